import HGNetCore

/// What a program says once it is understood.
struct PaddleTranslation: Sendable {
  var graph: Graph
  var activation: HeadActivation
  var inputName: String
  var outputName: String
  /// Height and width of the input, nil where the program leaves them open.
  var declaredInputSize: Size?
  /// Constants that the translation itself needs.
  var added: ParameterStore
  /// Where the values of results lie that are rounded to bytes, by the names of nodes; empty for other networks.
  var ranges: [String: ClosedRange<Float>]
}

extension ParameterStore {
  /// The parameters with those of another store behind them.
  func adding(_ other: ParameterStore) -> ParameterStore {
    var result = self
    for name in other.names { result[name] = other[name] }
    return result
  }
}

extension PaddleProgram {
  /// Translates the operators into a graph whose parameters keep the names of the program.
  ///
  /// - Parameters:
  ///   - parameters: the shapes that the file really has.
  ///   - inputSize: height and width; nil for what the program was exported with, 224×224 where it leaves that open.
  /// - Throws: `HGNetError.Code.unsupported` naming an operator that is not part of these networks, `malformedData`
  ///   for values that nothing makes, `parameterMismatch` listing parameters that no operator reads.
  func translate(parameters: ParameterStore, inputSize: Size?) throws(HGNetError) -> PaddleTranslation {
    var translator = PaddleTranslator(program: self, parameters: parameters, inputSize: inputSize)
    for operation in operations {
      do throws(HGNetError) {
        try translator.translate(operation)
      } catch {
        var located = error
        if located.context.layer == nil { located.context.layer = operation.label }
        throw located
      }
    }
    return try translator.finish()
  }
}

/// The state of a translation.
///
/// PaddlePaddle writes a convolution's bias, a linear layer's bias and both halves of the affine block as operators of
/// their own. A convolution or product therefore waits (`Pending`) until its first reader shows whether a bias follows,
/// and a multiplication by one value waits (`Value.scaled`) for its addition.
struct PaddleTranslator {
  /// A result that flows between operators.
  struct Activation {
    enum Source {
      case node(Graph.NodeID)
      case pending(Int)
    }
    var source: Source
    var shape: ActivationShape
    /// Whether the program sees `[N, C]` rather than `[N, C, 1, 1]`.
    var isFlat = false
    /// Input pixels per pixel, the same along both axes; nil once that has no meaning.
    var stride: Int?
  }

  enum Value {
    case parameter(name: String, shape: [Int])
    case activation(Activation)
    /// With a border of zeros, for the windows that read it.
    case padded(Activation, Padding)
    case scaled(Activation, by: String)
    /// Part of a decoder.
    case tokens(Activation, TokenForm)
    /// Whole numbers that the program computes, -1 for the number of pictures.
    case extents([Int])
  }

  /// A convolution or product that may yet get a bias.
  struct Pending {
    var operation: Operator
    var input: Graph.NodeID
    var name: String
    var node: Graph.NodeID?
  }

  private static let defaultInputSize = Size(224)
  private static let maximumSide = 8192
  private static let maximumChannels = 1 << 16
  private static let maximumActivationCount = 1 << 30
  private static let maximumMultiplyAdds = 1 << 56

  let program: PaddleProgram
  let parameters: ParameterStore
  private let requestedInputSize: Size?
  var builder = GraphBuilder()
  var values: [String: Value] = [:]
  var pending: [Pending] = []
  /// Constants that the program does not have.
  var added = ParameterStore()
  /// The nodes that a convolution, a linear layer or a decoder makes, or that pass its results on.
  private var products: Set<Graph.NodeID> = []
  /// The nodes whose results have no negative value.
  private var notNegative: Set<Graph.NodeID> = []
  /// What a ReLU makes of nodes that bytes from 0 on cut off.
  var rectified: [Graph.NodeID: Activation] = [:]
  private var unbounded: Set<Graph.NodeID> = []
  private var ranges: [String: ClosedRange<Float>] = [:]
  private var names: [String] = []
  private var declared: Set<String> = []
  private var nodeNames: Set<String> = []
  private var nameCounts: [String: Int] = [:]
  private var strides: [Int?] = []
  private var multiplyAdds = 0
  private var input: (name: String, size: Size)?
  private var declaredInputSize: Size?
  private var output: (name: String, node: Graph.NodeID)?
  /// The nodes that may be the activation of the head, with what they act on.
  private var heads: [Graph.NodeID: (activation: HeadActivation, logits: Graph.NodeID)] = [:]

  init(program: PaddleProgram, parameters: ParameterStore, inputSize: Size?) {
    self.program = program
    self.parameters = parameters
    requestedInputSize = inputSize
    for name in parameters.names {
      guard let parameter = parameters[name] else { continue }
      values[name] = .parameter(name: name, shape: parameter.shape.dimensions)
    }
  }

  // MARK: The ends

  mutating func feed(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    guard input == nil else { throw HGNetError(.unsupported, "expected one input, found another") }
    let result = try operation.output("Out")
    let dimensions = program.inputDimensions[result] ?? []
    guard dimensions.isEmpty || dimensions.count == 4 else {
      throw HGNetError(.unsupported, "expected pictures [N, C, H, W] as input, found the extents \(dimensions)")
    }
    let channels = dimensions.isEmpty ? 3 : dimensions[1]
    var size = PaddleTranslator.defaultInputSize
    if dimensions.count == 4 {
      if dimensions[2] != -1 { size.height = dimensions[2] }
      if dimensions[3] != -1 { size.width = dimensions[3] }
      if dimensions[2] > 0, dimensions[3] > 0 { declaredInputSize = size }
    }
    size = requestedInputSize ?? size
    let sides = 1...PaddleTranslator.maximumSide
    guard (1...PaddleTranslator.maximumChannels).contains(channels), sides.contains(size.height),
      sides.contains(size.width)
    else {
      throw HGNetError(
        .limitExceeded,
        "expected pictures of 1 to \(PaddleTranslator.maximumSide) pixels a side, found \(channels) channels of \(size)"
      )
    }
    // The newer encoding gives the input's name beside the number of its value.
    let name = operation.inputs["X"]?.first.flatMap { result.hasPrefix("%") ? $0 : nil } ?? result
    input = (name, size)
    let node = try append(
      .input(channels: channels), name: "input", inputs: [],
      shape: ActivationShape(channels: channels, height: size.height, width: size.width), stride: 1)
    values[result] = .activation(node)
  }

  mutating func fetch(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    guard output == nil else { throw HGNetError(.unsupported, "expected one output, found another") }
    let argument = try operation.input("X")
    let activation = try self.activation(operation, "X")
    guard activation.shape.height == 1, activation.shape.width == 1 else {
      throw HGNetError(
        .unsupported,
        "expected one score per class as output, found a map of \(activation.shape); of a backbone that is not a "
          + "classifier open the weights")
    }
    var name = argument
    if case .text(let given)? = operation.attributes["name"] { name = given }
    output = (name, try node(of: activation))
  }

  /// Checks what only the whole program shows, names the outputs and builds the graph.
  func finish() throws(HGNetError) -> PaddleTranslation {
    guard let input else { throw HGNetError(.malformedData, "the program has no input (feed)") }
    guard let output else { throw HGNetError(.malformedData, "the program has no output (fetch)") }
    let unused = parameters.names.filter { !declared.contains($0) }
    guard unused.isEmpty else {
      throw HGNetError(
        .parameterMismatch, "no operator of the program reads these parameters: \(PaddleTensors.listing(unused))")
    }
    var builder = builder
    let head = heads[output.node]
    let role: Graph.Output.Role = head != nil || isClassifier(output.node) ? .logits : .embedding
    builder.markOutput(role, head?.logits ?? output.node)
    if head != nil { builder.markOutput(.probabilities, output.node) }
    let stages = [4, 8, 16, 32].map { stride in strides.lastIndex { $0 == stride } }
    let found = stages.compactMap { $0 }
    if found.count == stages.count, zip(found, found.dropFirst()).allSatisfy({ $0 < $1 }) {
      for (number, index) in found.enumerated() { builder.markOutput(.stage(number), Graph.NodeID(index)) }
    }
    return PaddleTranslation(
      graph: try builder.graph(output: role, inputSize: input.size), activation: head?.activation ?? .none,
      inputName: input.name, outputName: output.name, declaredInputSize: declaredInputSize, added: added,
      ranges: ranges)
  }

  /// Whether a result may be logits: what a product gives, rather than a mean over a map or what a ReLU leaves of it.
  private func isClassifier(_ node: Graph.NodeID) -> Bool { products.contains(node) }

  /// Remembers that a node may be the activation of the head.
  mutating func noteHead(
    _ activation: HeadActivation, _ result: Activation, logits: Graph.NodeID
  ) {
    guard case .node(let node) = result.source else { return }
    heads[node] = (activation, logits)
  }

  // MARK: Values

  /// The value that a slot reads.
  func value(_ operation: PaddleProgram.Operation, _ slot: String) throws(HGNetError) -> Value {
    try value(named: operation.input(slot))
  }

  /// The value of a name.
  func value(named name: String) throws(HGNetError) -> Value {
    guard let value = values[name] else {
      throw HGNetError(
        .malformedData, "it reads the value \(name), which no earlier operator makes and no parameter is", key: name)
    }
    return value
  }

  /// The result of an earlier operator that a slot reads.
  func activation(_ operation: PaddleProgram.Operation, _ slot: String) throws(HGNetError) -> Activation {
    try activation(named: operation.input(slot))
  }

  /// The result of an earlier operator by name.
  func activation(named name: String) throws(HGNetError) -> Activation {
    switch try value(named: name) {
    case .activation(let activation): return activation
    case .parameter(let name, _):
      throw HGNetError(.unsupported, "expected a computed value, found the parameter \(name)", key: name)
    case .scaled(_, let scale):
      throw HGNetError(
        .unsupported, "a multiplication by one value must be followed by the addition of one value", key: scale)
    case .padded:
      throw HGNetError(.unsupported, "a border of zeros must be followed by convolutions or maximum pools", key: name)
    case .tokens, .extents:
      throw HGNetError(.unsupported, "expected a feature map or scores, found a part of a decoder", key: name)
    }
  }

  /// The parameter that a slot reads, as it was declared.
  func parameter(_ operation: PaddleProgram.Operation, _ slot: String) throws(HGNetError) -> (
    name: String, shape: [Int]
  ) {
    guard case .parameter(let name, let shape) = try value(operation, slot) else {
      throw HGNetError(.unsupported, "expected a parameter for \(slot), found a computed value")
    }
    return (name, shape)
  }

  /// The node of a result, made now if it was waiting.
  mutating func node(of activation: Activation) throws(HGNetError) -> Graph.NodeID {
    switch activation.source {
    case .node(let node): return node
    case .pending(let index):
      if let node = pending[index].node { return node }
      let waiting = pending[index]
      if case .decoder(.groupedLinear(let weight, "", _, _, _, _)) = waiting.operation {
        throw HGNetError(.unsupported, "the products of a decoder's queries need a bias", key: weight)
      }
      let result = try append(
        waiting.operation, name: waiting.name, inputs: [waiting.input], shape: activation.shape,
        stride: activation.stride)
      guard case .node(let node) = result.source else { return waiting.input }
      pending[index].node = node
      return node
    }
  }

  // MARK: Nodes

  /// Appends a node and gives its result.
  mutating func append(
    _ operation: Operator, name: String, inputs: [Graph.NodeID], shape: ActivationShape, stride: Int?,
    isFlat: Bool = false
  ) throws(HGNetError) -> Activation {
    try checkSize(shape)
    try count(operation, shape: shape)
    var unique = name
    var number = 1
    while !nodeNames.insert(unique).inserted {
      number = (nameCounts[name] ?? 1) + 1
      nameCounts[name] = number
      unique = "\(name)_\(number)"
    }
    strides.append(stride)
    switch operation {
    case .convolution, .linear, .decoder: products.insert(Graph.NodeID(strides.count - 1))
    // What only passes scores on.
    case .flatten, .dropout:
      if inputs.allSatisfy(products.contains) { products.insert(Graph.NodeID(strides.count - 1)) }
    default: break
    }
    let node = builder.append(operation, name: unique, inputs: inputs)
    names.append(unique)
    switch operation {
    case .convolution, .batchNormalization: unbounded.insert(node)
    default: break
    }
    if hasNoNegative(operation, inputs) { notNegative.insert(node) }
    return Activation(source: .node(node), shape: shape, isFlat: isFlat, stride: stride)
  }

  /// Whether no value of an activation is negative, as far as the operators tell.
  func hasNoNegative(_ activation: Activation) -> Bool {
    guard case .node(let node) = activation.source else { return false }
    return notNegative.contains(node)
  }

  /// Whether a node is a convolution or a normalisation, which a ReLU follows in these networks.
  func isUnbounded(_ node: Graph.NodeID) -> Bool { unbounded.contains(node) }

  /// Notes where the values of a result lie; of two ranges what holds both.
  mutating func note(_ range: ClosedRange<Float>, of activation: Activation) throws(HGNetError) {
    let name = names[try node(of: activation).index]
    let known = ranges[name] ?? range
    ranges[name] = min(known.lowerBound, range.lowerBound)...max(known.upperBound, range.upperBound)
  }

  private func hasNoNegative(_ operation: Operator, _ inputs: [Graph.NodeID]) -> Bool {
    func isPositive(_ name: String) -> Bool {
      guard let parameter = parameters[name] ?? added[name], parameter.shape.count == 1 else { return false }
      return parameter.tensor()[0] >= 0
    }
    switch operation {
    case .relu, .softmax: return true
    case .pointwise(let function): return function.isNeverNegative
    case .affine(let scale, let bias):
      return inputs.allSatisfy(notNegative.contains) && isPositive(scale) && isPositive(bias)
    case .maxPool, .concatenate, .add, .multiplyPerChannel, .globalAveragePool, .flatten, .dropout:
      return inputs.allSatisfy(notNegative.contains)
    default: return false
    }
  }

  /// Lets a convolution or product wait for its bias.
  mutating func wait(
    _ operation: Operator, name: String, input: Activation, shape: ActivationShape, stride: Int?, isFlat: Bool = false
  ) throws(HGNetError) -> Activation {
    try checkSize(shape)
    pending.append(Pending(operation: operation, input: try node(of: input), name: name))
    return Activation(source: .pending(pending.count - 1), shape: shape, isFlat: isFlat, stride: stride)
  }

  /// What waits, with another operation; who has read it before keeps what it has read.
  mutating func replacing(
    _ activation: Activation, at index: Int, with operation: Operator, channels: Int
  ) -> Activation {
    pending.append(Pending(operation: operation, input: pending[index].input, name: pending[index].name))
    var result = activation
    result.source = .pending(pending.count - 1)
    result.shape.channels = channels
    return result
  }

  private func checkSize(_ shape: ActivationShape) throws(HGNetError) {
    // The product is only taken once three factors below 2^17 cannot overflow.
    guard shape.channels >= 1, shape.channels <= PaddleTranslator.maximumChannels,
      shape.height <= 2 * PaddleTranslator.maximumSide, shape.width <= 2 * PaddleTranslator.maximumSide,
      shape.count <= PaddleTranslator.maximumActivationCount
    else { throw HGNetError(.limitExceeded, "no network of this family makes a result of \(shape)") }
  }

  /// The name of a node that has no parameter: its kind and a running number.
  mutating func numbered(_ kind: String) -> String {
    let number = nameCounts["#\(kind)"] ?? 0
    nameCounts["#\(kind)"] = number + 1
    return "\(kind)_\(number)"
  }

  /// The name of a layer from that of its first parameter: `conv2d_3` from `conv2d_3.w_0_deepcopy_17`.
  static func layerName(of parameter: String) -> String {
    guard let dot = parameter.firstIndex(of: "."), dot != parameter.startIndex else { return parameter }
    return String(parameter[..<dot])
  }

  /// Declares a parameter at its first use.
  mutating func declare(_ name: String, _ role: ParameterRole) {
    guard declared.insert(name).inserted, let shape = (parameters[name] ?? added[name])?.shape else { return }
    builder.declare(ParameterDeclaration(name: name, shape: shape, role: role))
  }

  /// Keeps the number of multiply-adds of the whole network far from overflow.
  private mutating func count(_ operation: Operator, shape: ActivationShape) throws(HGNetError) {
    var factors = [shape.count]
    switch operation {
    case .convolution(let convolution):
      factors += [convolution.inputChannels, convolution.kernel.height, convolution.kernel.width]
    case .linear(_, _, let inputFeatures, _): factors.append(inputFeatures)
    default: return
    }
    var product = 1
    for factor in factors {
      let (next, overflow) = product.multipliedReportingOverflow(by: factor)
      guard !overflow, next <= PaddleTranslator.maximumMultiplyAdds else {
        throw HGNetError(.limitExceeded, "the layer needs more arithmetic than any network of this family")
      }
      product = next
    }
    multiplyAdds += product
    guard multiplyAdds <= PaddleTranslator.maximumMultiplyAdds else {
      throw HGNetError(.limitExceeded, "the network needs more arithmetic than any of this family")
    }
  }
}
