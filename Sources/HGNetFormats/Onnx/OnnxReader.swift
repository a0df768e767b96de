import HGNetCore

/// Reads the graph of an ONNX model as the operators of a Paddle program, so that one translator serves both.
///
/// Exporters write one network in many ways. Before anything is translated, what no result needs is left out, names that
/// stand for other values are replaced by those, and what can be computed from constants becomes one: shapes and borders
/// as whole numbers (`OnnxIntegers`), weights with their axes exchanged.
///
/// Threads: one task.
struct OnnxReader {
  private(set) var operations: [PaddleProgram.Operation] = []
  var parameters = ParameterStore()
  private(set) var inputName = ""
  private(set) var inputExtents: [Int] = []

  /// The value behind the preprocessing that this package may have put into a model.
  private static let normalizedName = "x"

  /// What is known about a value that is no constant.
  struct Computed {
    /// nil for what has more or fewer axes than a map or a row of scores.
    var extents: [OnnxIntegers.Element]?
  }

  var weights: [String: Parameter] = [:]
  private(set) var integers: [String: OnnxIntegers] = [:]
  /// Constants in 8 bits (biases also in 32), which mean something once they are dequantised.
  var codes: [String: Parameter] = [:]
  /// What the element types of constants are called that cannot be dequantised here.
  private(set) var foreignCodes: [String: String] = [:]
  /// Matrices whose rows have a scale each, for products with the transposed.
  var rowScales: [String: [Float]] = [:]
  /// The grids of values that a QuantizeLinear makes: one for all, or one for each channel.
  var grids: [String: [OnnxQuantization.Grid]] = [:]
  var computed: [String: Computed] = [:]
  private(set) var readers: [String: [Int]] = [:]
  var nodes: [OnnxNode] = []
  /// What makes each value, in the words of Paddle's programs.
  private(set) var kinds: [String: String] = [:]
  /// The values that names stand for, where operators only pass them on.
  private var origins: [String: String] = [:]
  /// Before anything is folded: the nodes that make and that read each value.
  private(set) var original: (makers: [String: Int], readers: [String: [Int]]) = ([:], [:])
  var budget: AllocationBudget
  private var integerCount = 0
  private let blob: Blob
  private var others: [String: Blob] = [:]

  private static let largestIntegerCount = 1 << 20

  /// Reads a graph.
  ///
  /// - Throws: `HGNetError.Code.malformedData`, `unsupported` naming an operator, `limitExceeded`.
  init(_ graph: BlobSlice) throws(HGNetError) {
    blob = graph.blob
    // Weights may be needed with their axes exchanged, once each, and those in bytes as float32.
    budget = AllocationBudget(byteCount: 8 * graph.count, path: graph.blob.path)
    var inputs: [OnnxValue] = []
    var outputs: [OnnxValue] = []
    var inner: [OnnxValue] = []
    for field in try ProtobufField.all(in: graph, maximumCount: PaddleProgram.maximumOperationCount) {
      guard let content = field.bytes else { continue }
      switch field.number {
      case 1: nodes.append(try OnnxNode(content))
      case 5: try keep(content, name: nil)
      case 11: inputs.append(try OnnxValue(content))
      case 12: outputs.append(try OnnxValue(content))
      case 13: inner.append(try OnnxValue(content))
      default: break
      }
    }
    // Before version 4 of the format, weights were inputs as well.
    inputs.removeAll { weights[$0.name] != nil || integers[$0.name] != nil }
    guard inputs.count == 1, outputs.count == 1 else {
      func listing(_ values: [OnnxValue]) -> String {
        values.isEmpty ? "none" : PaddleTensors.listing(values.map { String($0.name.prefix(60)) })
      }
      throw HGNetError(
        .unsupported,
        "expected a classifier with one input and one output, found the inputs \(listing(inputs)) and the outputs "
          + "\(listing(outputs)); export the logits or the probabilities alone")
    }
    let output = outputs[0].name
    try dropUnneeded(for: output)
    let first = try begin(input: inputs[0], inner: inner)
    computed[inputName] = Computed(
      extents: [.batch, inputExtents.count == 4 && inputExtents[1] > 0 ? .known(inputExtents[1]) : .open, .open, .open])
    try fold(from: first)
    for index in nodes.indices where !nodes[index].type.isEmpty {
      for name in nodes[index].inputs { readers[name, default: []].append(index) }
    }
    append("feed", "input", inputs: [:], output: inputName, [:])
    for index in nodes.indices where !nodes[index].type.isEmpty {
      do throws(HGNetError) {
        try translate(nodes[index])
      } catch {
        throw located(error, index)
      }
    }
    append("fetch", "output", inputs: ["X": [origin(of: output)]], output: "", ["name": .text(output)])
  }

  private func located(_ error: HGNetError, _ index: Int) -> HGNetError {
    var named = error
    if named.context.layer == nil {
      let node = nodes[index]
      let name = node.name.isEmpty ? node.outputs.first ?? "no result" : node.name
      named.context.layer = "\(node.type) (node \(index), \(name.prefix(120)))"
    }
    return named
  }

  // MARK: Before the translation

  /// The input of the network, behind any preprocessing; gives the first node that belongs to it.
  private mutating func begin(input: OnnxValue, inner: [OnnxValue]) throws(HGNetError) -> Int {
    inputName = input.name
    inputExtents = input.extents
    if OnnxConstant.floats[input.elementType] != nil { return 0 }
    if nodes.contains(where: { $0.type == "DequantizeLinear" && $0.inputs.first == input.name }) {
      throw HGNetError(
        .unsupported,
        "the model takes quantised pictures (element type \(input.elementType)) as its input \(input.name.prefix(60)); "
          + "quantise it with a float32 input, which its first QuantizeLinear reads")
    }
    guard
      let boundary = nodes.firstIndex(where: { $0.outputs == [OnnxReader.normalizedName] }),
      let normalized = inner.first(where: { $0.name == OnnxReader.normalizedName })
    else {
      throw HGNetError(
        .unsupported,
        "expected a float32 input, found element type \(input.elementType); export without preprocessing")
    }
    inputName = normalized.name
    inputExtents = normalized.extents
    for index in 0...boundary { nodes[index].type = "" }
    return boundary + 1
  }

  /// Takes out the operators that the output does not need.
  private mutating func dropUnneeded(for output: String) throws(HGNetError) {
    var makers: [String: Int] = [:]
    for (index, node) in nodes.enumerated() {
      for name in node.outputs where !name.isEmpty { makers[name] = index }
    }
    var isNeeded = [Bool](repeating: false, count: nodes.count)
    var waiting = [output]
    while let name = waiting.popLast() {
      guard let index = makers[name], !isNeeded[index] else { continue }
      isNeeded[index] = true
      waiting += nodes[index].inputs
    }
    for index in nodes.indices where !isNeeded[index] { nodes[index].type = "" }
  }

  /// Computes what can be computed, and lets names stand for what they only pass on.
  private mutating func fold(from first: Int) throws(HGNetError) {
    for index in first..<nodes.count where !nodes[index].type.isEmpty {
      for name in nodes[index].inputs { original.readers[name, default: []].append(index) }
      for name in nodes[index].outputs where !name.isEmpty { original.makers[name] = index }
    }
    for index in first..<nodes.count where !nodes[index].type.isEmpty {
      nodes[index].inputs = nodes[index].inputs.map(origin)
      do throws(HGNetError) {
        if try fold(nodes[index]) { nodes[index].type = "" } else { try follow(nodes[index]) }
      } catch {
        throw located(error, index)
      }
    }
  }

  /// Whether a node needs no translation, because its result is a constant or another value.
  private mutating func fold(_ node: OnnxNode) throws(HGNetError) -> Bool {
    guard let result = node.outputs.first, !result.isEmpty else {
      throw HGNetError(.malformedData, "expected a result")
    }
    guard node.domain.isEmpty else {
      throw HGNetError(
        .unsupported,
        "the operator \(node.type) of \(node.domain.prefix(60)) is none of ONNX's own: "
          + OnnxReader.foreignReason(node.type))
    }
    if node.type == "Constant" {
      try keepConstant(node, as: result)
      return true
    }
    guard let first = node.inputs.first else { throw HGNetError(.malformedData, "expected inputs") }
    if node.type == "Shape", integers[first] == nil {
      guard let extents = weights[first]?.shape.dimensions.map(OnnxIntegers.Element.known) ?? computed[first]?.extents
      else { return false }
      let shape = OnnxIntegers(extents: [extents.count], elements: extents)
      let range = node.integer("start", 0)...max(node.integer("end", extents.count), node.integer("start", 0))
      guard range == 0...extents.count else { return false }
      try keep(shape, as: result)
      return true
    }
    if node.type == "ConstantOfShape", let shape = integers[first]?.numbers {
      let value = try node.attributes["value"]?.tensor.map { (bytes) throws(HGNetError) in
        try self.constant(bytes).constant
      }
      guard case .integers(let filling)? = value ?? nil, let number = filling.numbers?.first else { return false }
      try keep(try OnnxIntegers.constant(number, shape: shape), as: result)
      return true
    }
    let operands = node.inputs.compactMap { integers[$0] }
    if operands.count == node.inputs.count {
      guard let folded = try OnnxIntegers.folded(node, operands) else { return false }
      try keep(folded, as: result)
      return true
    }
    if isPassedOn(node) {
      origins[result] = first
      return true
    }
    if try foldQuantization(node, first, as: result) { return true }
    return try foldWeights(node, first, as: result)
  }

  /// Lets a name stand for another value.
  mutating func pass(_ value: String, on result: String) { origins[result] = value }

  /// Whether a node's result is its first input.
  private func isPassedOn(_ node: OnnxNode) -> Bool {
    switch node.type {
    case "Identity": return true
    case "Dropout":
      // With a third input, a flag, it may really drop values.
      return node.inputs.count < 3 || integers[node.inputs[2]]?.numbers == [0]
    case "Cast": return OnnxConstant.floats[node.integer("to", 0)] != nil
    default: return false
    }
  }

  /// Weights with other axes; whatever else is computed from weights is left to the translation to refuse.
  private mutating func foldWeights(_ node: OnnxNode, _ first: String, as result: String) throws(HGNetError) -> Bool {
    guard let parameter = weights[first] else { return false }
    let old = parameter.shape.dimensions
    let wanted: [Int]
    switch node.type {
    case "Transpose":
      let order = node.integers("perm") ?? Array((0..<old.count).reversed())
      guard old.count == 2, order == [1, 0] else { return false }
      weights[result] = try transposed(first, parameter)
      return true
    case "Reshape":
      // More axes make the queries of a decoder, which the translator knows.
      guard let given = node.inputs.dropFirst().first.flatMap({ integers[$0]?.numbers }),
        old.count <= 1 || given.count <= 2, let extents = OnnxReader.resolved(given, from: old)
      else { return false }
      wanted = extents
    case "Unsqueeze":
      guard old.count <= 1,
        let axes = node.integers("axes") ?? node.inputs.dropFirst().first.flatMap({ integers[$0]?.numbers })
      else { return false }
      let rank = old.count + axes.count
      let places = Set(axes.map { $0 < 0 ? $0 &+ rank : $0 })
      guard places.count == axes.count, places.allSatisfy({ 0..<rank ~= $0 }), rank <= Shape.maximumRank else {
        return false
      }
      var rest = old[...]
      wanted = (0..<rank).map { places.contains($0) ? 1 : rest.removeFirst() }
    case "Squeeze":
      wanted = old.filter { $0 != 1 }
    default: return false
    }
    guard rowScales[first] == nil else { return false }
    weights[result] = try reshaped(parameter, to: wanted)
    return true
  }

  /// The extents that a shape with open places stands for, nil if it does not fit.
  private static func resolved(_ wanted: [Int], from old: [Int]) -> [Int]? {
    guard wanted.count <= Shape.maximumRank, wanted.count(where: { $0 == -1 }) <= 1,
      wanted.allSatisfy({ -1...(1 << 20) ~= $0 })
    else { return nil }
    let count = old.reduce(1, *)
    var result = wanted
    for (axis, extent) in wanted.enumerated() where extent == 0 {
      guard old.indices.contains(axis) else { return nil }
      result[axis] = old[axis]
    }
    var known = 1
    for extent in result where extent != -1 {
      let (product, overflow) = known.multipliedReportingOverflow(by: extent)
      guard !overflow, product > 0 else { return nil }
      known = product
    }
    if let open = result.firstIndex(of: -1) { result[open] = count / known }
    return result.contains(0) || result.reduce(1, *) != count ? nil : result
  }

  /// What a name stands for.
  func origin(of name: String) -> String { origins[name] ?? name }

  // MARK: Constants

  private mutating func keepConstant(_ node: OnnxNode, as result: String) throws(HGNetError) {
    if let tensor = node.attributes["value"]?.tensor {
      try keep(tensor, name: result)
    } else if let value = node.attributes["value_float"] {
      weights[result] = Parameter(Tensor(shape: [], values: [value.float]))
    } else if let value = node.attributes["value_floats"] {
      weights[result] = Parameter(Tensor(shape: [value.floats.count], values: value.floats))
    } else if let value = node.attributes["value_int"] {
      try keep(OnnxIntegers(extents: [], elements: [.known(value.integer)]), as: result)
    } else if let value = node.attributes["value_ints"] {
      try keep(OnnxIntegers(value.integers), as: result)
    } else {
      throw HGNetError(.unsupported, "expected a constant of numbers")
    }
  }

  private mutating func constant(_ bytes: BlobSlice) throws(HGNetError) -> (
    name: String, type: Int, constant: OnnxConstant?
  ) {
    let folder = blob.path
    var opened = others
    defer { others = opened }
    return try OnnxConstant.read(bytes) { (place) throws(HGNetError) in
      if let known = opened[place] { return known }
      let other = try OnnxReader.other(place, besides: folder)
      opened[place] = other
      return other
    }
  }

  private mutating func keep(_ bytes: BlobSlice, name: String?) throws(HGNetError) {
    let (own, type, constant) = try self.constant(bytes)
    switch constant {
    case .weights(let parameter)?: weights[name ?? own] = parameter
    case .codes(let parameter)?: codes[name ?? own] = parameter
    case .integers(let numbers)?: try keep(numbers, as: name ?? own)
    // Other types belong to preprocessing; a network that reads one is refused there.
    case nil: foreignCodes[name ?? own] = OnnxConstant.foreignCodes[type]
    }
  }

  private mutating func keep(_ numbers: OnnxIntegers, as name: String) throws(HGNetError) {
    integerCount += numbers.elements.count
    guard integerCount <= OnnxReader.largestIntegerCount, numbers.elements.count <= OnnxIntegers.largestCount else {
      throw HGNetError(.limitExceeded, "the graph computes with more whole numbers than any network of this family")
    }
    integers[name] = numbers
  }

  /// A file with weights beside the model, as large models and PyTorch's exporter leave it.
  private static func other(_ place: String, besides path: String?) throws(HGNetError) -> Blob {
    guard let path else {
      throw HGNetError(
        .unsupported,
        "the weights lie in the file \(place.prefix(120)); open the model by its path, or save it as one file")
    }
    let parts = place.split(separator: "/", omittingEmptySubsequences: false)
    guard !place.isEmpty, !place.hasPrefix("/"), !parts.contains(".."), parts.count <= 8,
      place.utf8.allSatisfy({ $0 != 0 && $0 != UInt8(ascii: "\\") })
    else {
      throw HGNetError(
        .unsafeContent, "expected weights in a file beside the model, found the place \"\(place.prefix(120))\"")
    }
    let folder = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    return try Blob(mapping: folder.isEmpty && !path.hasPrefix("/") ? place : "\(folder)/\(place)")
  }

  // MARK: For the translation

  /// Makes a constant a parameter of the network, with the shape that the translator expects.
  mutating func use(_ name: String, shape: [Int]? = nil) throws(HGNetError) {
    guard let weight = weights[name] else { return }
    guard rowScales[name] == nil else {
      throw HGNetError(
        .unsupported, "expected a scale for each output of a product, found one for each input", key: name)
    }
    if let shape {
      parameters[name] = try reshaped(weight, to: shape)
    } else if parameters[name] == nil {
      parameters[name] = weight
    }
  }

  /// The same numbers with other extents; quantised ones become float32.
  private mutating func reshaped(_ weight: Parameter, to extents: [Int]) throws(HGNetError) -> Parameter {
    var weight = weight
    if weight.scales != nil {
      try budget.spend(4 * weight.shape.count)
      weight = Parameter(try weight.allocatedTensor())
    }
    return try Parameter(
      shape: try Shape(validating: extents), elementType: weight.elementType, bytes: weight.bytes)
  }

  /// Makes weights a parameter with its two axes exchanged, and gives its name.
  mutating func useTransposed(_ name: String) throws(HGNetError) -> String {
    let turned = "\(name)#transposed"
    if let weight = weights[name], parameters[turned] == nil {
      parameters[turned] = try transposed(name, weight)
    }
    return turned
  }

  /// Makes a constant that is computed number by number from another, and gives its name.
  mutating func useChanged(
    _ name: String, _ changed: String, _ change: (Float) -> Float
  ) throws(HGNetError) -> String {
    if let weight = weights[name], weights[changed] == nil {
      try budget.spend(weight.shape.count * 4)
      let old = try weight.allocatedTensor()
      weights[changed] = try Parameter(allocating: weight.shape, for: changed) { values in
        for index in values.indices { values[index] = change(old[index]) }
      }
    }
    return changed
  }

  /// Makes a factor of one for each channel a parameter.
  mutating func useOnes(_ count: Int, as name: String) throws(HGNetError) {
    try budget.spend(count * 4)
    let shape = try Shape(validating: [count, 1, 1, 1])
    parameters[name] = try Parameter(allocating: shape, for: name) { $0.initialize(repeating: 1) }
  }

  /// Makes a number a parameter.
  mutating func useNumber(_ value: Float, as name: String) {
    parameters[name] = Parameter(Tensor(shape: [1], values: [value]))
  }

  mutating func append(
    _ kind: String, _ type: String, inputs: [String: [String]], output: String,
    _ attributes: [String: PaddleProgram.Attribute], slot: String = "Out"
  ) {
    kinds[output] = kind
    operations.append(
      PaddleProgram.Operation(
        kind: kind, inputs: inputs, outputs: [slot: [output]], attributes: attributes, label: "\(type) (\(output))"))
  }
}
