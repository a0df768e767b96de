import HGNet
import HGNetCore
import HGNetModels

/// One operator of a Paddle program, before it is encoded; kinds are those of the older encoding.
struct PaddleOperation {
  enum Kind {
    case convolution(Convolution)
    case batchNormalization(BatchNormalization)
    case relu, sigmoid, softmax
    /// One operand times the other: a parameter of one value, or one factor per channel.
    case multiply
    /// The sum of two operands of the same shape, or with a parameter of one value.
    case add
    /// The sum with a parameter of one value per channel of `[N, C, H, W]`.
    case addChannelBias
    /// The sum with a parameter of one value per feature of `[N, C]`.
    case addFeatureBias
    case maxPool(kernel: Size, stride: Size, padding: Padding)
    case averagePool
    case concatenate
    case dropout(probability: Float)
    /// The axes from one to the last of `[N, C, H, W]` become one.
    case flatten(from: Int)
    case product
    /// What a decoder needs; -1 stands for what is left, 0 for the extent of the operand at that place.
    case reshape([Int])
    /// The first operand, `[1, tokens, C]`, once for each picture of the second.
    case repeatForBatch
    case transpose([Int])
    case scale(Float)
    case layerNormalization(epsilon: Float, axis: Int)
    /// The product of two results, the second with its last axes exchanged if that is said.
    case matrixProduct(isTransposed: Bool)
    /// The first columns of `[N, C]`.
    case slice(count: Int)
  }

  var kind: Kind
  /// Names of parameters and earlier results, in the order of the operator.
  var inputs: [String]
  /// The name of the result.
  var result: String
  /// The extents of the result, with -1 for the batch.
  var extents: [Int]
}

/// The operators of a network in order, with the names that PaddlePaddle gives.
struct PaddleOperations {
  /// A parameter of the program.
  struct Variable {
    /// The name in the program, such as `conv2d_0.w_0`.
    var name: String
    /// The name of the graph's parameter.
    var source: String
    var shape: Shape
    /// Whether it is trained, rather than a running statistic.
    var isLearned: Bool
  }

  static let inputName = "x"

  private(set) var operations: [PaddleOperation] = []
  /// In the order of the graph.
  private(set) var variables: [Variable] = []
  private(set) var inputExtents: [Int] = []
  /// The name of the last result.
  private(set) var outputName = ""
  private(set) var outputExtents: [Int] = []

  /// Results that are `[N, tokens, C]`, with their first extent: 1 before the pictures come in.
  var tokens: [Int: Int] = [:]
  private var names: [String: String] = [:]
  private var counts: [String: Int] = [:]

  /// Whether a decoder's queries are repeated for the batch, rather than matched to it by broadcasting.
  let repeatsQueries: Bool

  /// Lowers a network to operators.
  ///
  /// - Parameters:
  ///   - network: the network.
  ///   - repeatsQueries: whether a decoder's queries are repeated for the batch. With oneDNN, PaddlePaddle 3 does not run
  ///     a program in JSON that normalises parameters alone.
  /// - Throws: `HGNetError.Code.internalInconsistency` for a graph without input.
  init(_ network: ExportedNetwork, repeatsQueries: Bool = false) throws(HGNetError) {
    let graph = network.graph
    self.repeatsQueries = repeatsQueries
    names = graph.internalParameterNames
    for parameter in graph.parameters {
      variables.append(
        Variable(
          name: names[parameter.name] ?? parameter.name, source: parameter.name, shape: parameter.shape,
          isLearned: parameter.role.isLearned))
    }
    var results: [String] = []
    var flat: [Bool] = []
    for (index, node) in graph.nodes.enumerated() {
      if let result = try appendDecoder(index, node, graph: graph, results: results) {
        results.append(result)
        flat.append(tokens[index] == nil)
        continue
      }
      let inputs = node.inputs.map { results[$0.index] }
      let isFlat = node.inputs.first.map { flat[$0.index] } ?? false
      var after = isFlat
      let spatial = [-1, node.shape.channels, node.shape.height, node.shape.width]
      let extents = isFlat ? [-1, node.shape.channels] : spatial
      var result: String
      switch node.operation {
      case .input(let channels):
        inputExtents = [-1, channels, node.shape.height, node.shape.width]
        result = PaddleOperations.inputName
      case .convolution(let convolution):
        result = append(
          .convolution(convolution), "conv2d", inputs + [own(convolution.weight)], extents)
        if let bias = convolution.bias {
          result = append(.addChannelBias, "conv2d", [result, own(bias)], extents)
        }
      case .batchNormalization(let norm):
        result = append(
          .batchNormalization(norm), "batch_norm",
          inputs + [own(norm.weight), own(norm.bias), own(norm.mean), own(norm.variance)], extents)
      case .relu: result = append(.relu, "relu", inputs, extents)
      case .sigmoid: result = append(.sigmoid, "sigmoid", inputs, extents)
      case .softmax: result = append(.softmax, "softmax", inputs, extents)
      case .affine(let scale, let bias):
        let scaled = append(.multiply, "tmp", [own(scale)] + inputs, extents)
        result = append(.add, "tmp", [scaled, own(bias)], extents)
      case .maxPool(let kernel, let stride, let padding):
        result = append(.maxPool(kernel: kernel, stride: stride, padding: padding), "pool2d", inputs, extents)
      case .globalAveragePool: result = append(.averagePool, "pool2d", inputs, extents)
      case .concatenate: result = append(.concatenate, "concat", inputs, extents)
      case .add: result = append(.add, "tmp", inputs, extents)
      case .multiplyPerChannel: result = append(.multiply, "tmp", inputs, extents)
      case .dropout(let probability):
        // Dropout of nothing leaves no operator in a program.
        result =
          probability > 0 ? append(.dropout(probability: probability), "dropout", inputs, extents) : inputs[0]
      case .flatten:
        after = true
        result = append(.flatten(from: 1), "flatten", inputs, [-1, node.shape.count])
      case .decoder: throw HGNetError(.internalInconsistency, "a decoder is done above", layer: node.name)
      case .linear(let weight, let bias, _, _):
        after = true
        let features = [-1, node.shape.channels]
        var operand = inputs[0]
        if !isFlat {
          let shape = graph[node.inputs[0]].shape
          operand = append(.flatten(from: 1), "flatten", inputs, [-1, shape.count])
        }
        result = append(.product, "linear", [operand, own(weight)], features)
        if let bias { result = append(.addFeatureBias, "linear", [result, own(bias)], features) }
      }
      results.append(result)
      flat.append(after)
    }
    let logits = network.logits
    outputName = results[logits.index]
    outputExtents =
      flat[logits.index] ? [-1, network.classCount] : [-1, network.classCount, 1, 1]
    switch network.activation {
    case .softmax: outputName = append(.softmax, "softmax", [outputName], outputExtents)
    case .sigmoid: outputName = append(.sigmoid, "sigmoid", [outputName], outputExtents)
    case .none: break
    }
    guard !inputExtents.isEmpty else {
      throw HGNetError(.internalInconsistency, "expected a network with an input, found none")
    }
  }

  /// The parameters under the names of the program.
  func parameters(of network: ExportedNetwork) -> ParameterStore {
    var store = ParameterStore()
    for variable in variables { store[variable.name] = network.parameters[variable.source] }
    return store
  }

  func own(_ parameter: String) -> String { names[parameter] ?? parameter }

  mutating func append(
    _ kind: PaddleOperation.Kind, _ stem: String, _ inputs: [String], _ extents: [Int]
  ) -> String {
    let number = counts[stem, default: 0]
    counts[stem] = number + 1
    let result = "\(stem)_\(number).tmp_0"
    operations.append(PaddleOperation(kind: kind, inputs: inputs, result: result, extents: extents))
    return result
  }
}

/// How PaddlePaddle writes the border of a window.
struct PaddlePadding {
  /// `EXPLICIT` or `SAME`.
  let rule: String
  /// Height and width, or above, below, left, right.
  let extents: [Int]

  init(_ padding: Padding, kernel: Size, stride: Size) {
    if padding == .sameForTwoByTwo, kernel == Size(2), stride == Size(1) {
      (rule, extents) = ("SAME", [0, 0])
    } else if padding.top == padding.bottom, padding.left == padding.right {
      (rule, extents) = ("EXPLICIT", [padding.top, padding.left])
    } else {
      (rule, extents) = ("EXPLICIT", [padding.top, padding.bottom, padding.left, padding.right])
    }
  }
}
