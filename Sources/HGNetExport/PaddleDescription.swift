import HGNetCore
import HGNetFormats

/// Encodes operators as a program description, `inference.pdmodel`.
///
/// Field numbers and attributes are those of PaddlePaddle's `framework.proto` and of what its own export writes.
struct PaddleDescription {
  /// PaddlePaddle's numbers of element types and kinds of variables.
  private enum VariableKind {
    static let float32 = 5
    static let tensor = 7
    static let feedList = 9
    static let fetchList = 10
    static let unsigned8 = 20
  }

  private enum Attribute {
    case integer(Int)
    case float(Float)
    case text(String)
    case integers([Int])
    case flag(Bool)
  }

  private var variables = ProtobufEncoder()
  private var operators = ProtobufEncoder()

  /// The encoded program.
  static func encode(_ program: PaddleOperations) -> [UInt8] {
    var description = PaddleDescription()
    description.append(program)
    var result = ProtobufEncoder()
    result.message(1) { block in
      block.integer(1, 0)
      block.integer(2, -1)
      block.raw(description.variables)
      block.raw(description.operators)
      block.integer(5, -1)
    }
    // The version of the program's writer; PaddlePaddle compares it only with its own breaking changes.
    result.message(4) { $0.integer(1, 3_003_001) }
    result.message(5) { versions in
      for name in ["conv2d", "depthwise_conv2d", "elementwise_add", "elementwise_mul"] {
        versions.message(1) { pair in
          pair.text(1, name)
          pair.message(2) { $0.integer(1, 1) }
        }
      }
    }
    return result.bytes
  }

  private mutating func append(_ program: PaddleOperations) {
    appendList("feed", VariableKind.feedList)
    appendList("fetch", VariableKind.fetchList)
    appendTensor(PaddleOperations.inputName, program.inputExtents, isInput: true)
    for variable in program.variables {
      appendTensor(variable.name, variable.shape.dimensions, isParameter: true, isLearned: variable.isLearned)
    }
    appendOperator(
      "feed", inputs: [("X", ["feed"])], outputs: [("Out", [PaddleOperations.inputName])], [("col", .integer(0))])
    for operation in program.operations { append(operation) }
    appendOperator(
      "fetch", inputs: [("X", [program.outputName])], outputs: [("Out", ["fetch"])], [("col", .integer(0))])
  }

  private mutating func append(_ operation: PaddleOperation) {
    let (inputs, result) = (operation.inputs, operation.result)
    appendTensor(result, operation.extents)
    func unary(_ type: String, _ attributes: [(String, Attribute)] = []) {
      appendOperator(type, inputs: [("X", [inputs[0]])], outputs: [("Out", [result])], attributes)
    }
    func binary(_ type: String, _ attributes: [(String, Attribute)]) {
      appendOperator(
        type, inputs: [("X", [inputs[0]]), ("Y", [inputs[1]])], outputs: [("Out", [result])], attributes)
    }
    // Results for a gradient, which Paddle Lite asks for although nothing reads them.
    func unary(_ type: String, for name: String, _ kind: Int, _ attributes: [(String, Attribute)]) {
      let unread = "\(result).\(name.lowercased())"
      appendTensor(unread, kind == VariableKind.float32 ? [0] : operation.extents, kind)
      appendOperator(
        type, inputs: [("X", [inputs[0]])], outputs: [("Out", [result]), (name, [unread])].sorted { $0.0 < $1.0 },
        attributes)
    }
    func reshaping(_ type: String, _ attributes: [(String, Attribute)]) {
      unary(type, for: "XShape", VariableKind.float32, attributes)
    }
    switch operation.kind {
    case .convolution(let convolution):
      let padding = PaddlePadding(convolution.padding, kernel: convolution.kernel, stride: convolution.stride)
      appendOperator(
        convolution.isDepthwise ? "depthwise_conv2d" : "conv2d",
        inputs: [("Filter", [inputs[1]]), ("Input", [inputs[0]])], outputs: [("Output", [result])],
        [
          ("data_format", .text("NCHW")), ("dilations", .integers([1, 1])), ("groups", .integer(convolution.groups)),
          ("padding_algorithm", .text(padding.rule)), ("paddings", .integers(padding.extents)),
          ("strides", .integers([convolution.stride.height, convolution.stride.width])),
        ])
    case .batchNormalization(let norm):
      let channels = [operation.extents[1]]
      let saved = ["\(result).saved_mean", "\(result).saved_variance"]
      for name in saved { appendTensor(name, channels) }
      appendOperator(
        "batch_norm",
        inputs: [
          ("Bias", [inputs[2]]), ("Mean", [inputs[3]]), ("Scale", [inputs[1]]), ("Variance", [inputs[4]]),
          ("X", [inputs[0]]),
        ],
        outputs: [
          ("MeanOut", [inputs[3]]), ("SavedMean", [saved[0]]), ("SavedVariance", [saved[1]]),
          ("VarianceOut", [inputs[4]]), ("Y", [result]),
        ],
        [
          ("data_layout", .text("NCHW")), ("epsilon", .float(norm.epsilon)), ("is_test", .flag(true)),
          ("momentum", .float(norm.momentum)), ("trainable_statistics", .flag(false)),
          ("use_global_stats", .flag(true)),
        ])
    case .relu: unary("relu")
    case .sigmoid: unary("sigmoid")
    case .softmax: unary("softmax", [("axis", .integer(-1)), ("data_format", .text("AnyLayout"))])
    case .multiply: binary("elementwise_mul", [("axis", .integer(-1))])
    case .add, .addFeatureBias: binary("elementwise_add", [("axis", .integer(-1))])
    case .addChannelBias: binary("elementwise_add", [("axis", .integer(1))])
    case .maxPool(let kernel, let stride, let padding):
      unary(
        "pool2d",
        PaddleDescription.pool(
          "max", kernel: kernel, stride: stride, PaddlePadding(padding, kernel: kernel, stride: stride),
          isAdaptive: false))
    case .averagePool:
      let none = PaddlePadding(Padding(0), kernel: Size(1), stride: Size(1))
      unary("pool2d", PaddleDescription.pool("avg", kernel: Size(1), stride: Size(1), none, isAdaptive: true))
    case .concatenate:
      appendOperator("concat", inputs: [("X", inputs)], outputs: [("Out", [result])], [("axis", .integer(1))])
    case .dropout(let probability):
      unary(
        "dropout", for: "Mask", VariableKind.unsigned8,
        [
          ("dropout_implementation", .text("downgrade_in_infer")), ("dropout_prob", .float(probability)),
          ("fix_seed", .flag(false)), ("is_test", .flag(true)), ("seed", .integer(0)),
        ])
    case .flatten(let axis):
      reshaping("flatten_contiguous_range", [("start_axis", .integer(axis)), ("stop_axis", .integer(3))])
    // Programs of this encoding are lowered without it.
    case .repeatForBatch: unary("assign")
    case .reshape(let shape): reshaping("reshape2", [("shape", .integers(shape))])
    case .transpose(let order): reshaping("transpose2", [("axis", .integers(order))])
    case .scale(let factor):
      unary("scale", [("bias", .float(0)), ("bias_after_scale", .flag(true)), ("scale", .float(factor))])
    case .layerNormalization(let epsilon, let axis):
      let saved = ["\(result).mean", "\(result).variance"]
      for name in saved { appendTensor(name, Array(operation.extents.prefix(axis))) }
      appendOperator(
        "layer_norm", inputs: [("Bias", [inputs[2]]), ("Scale", [inputs[1]]), ("X", [inputs[0]])],
        outputs: [("Mean", [saved[0]]), ("Variance", [saved[1]]), ("Y", [result])],
        [("begin_norm_axis", .integer(axis)), ("epsilon", .float(epsilon))])
    case .matrixProduct(let isTransposed):
      binary("matmul_v2", [("trans_x", .flag(false)), ("trans_y", .flag(isTransposed))])
    case .slice(let count):
      appendOperator(
        "slice", inputs: [("Input", [inputs[0]])], outputs: [("Out", [result])],
        [
          ("axes", .integers([1])), ("decrease_axis", .integers([])), ("ends", .integers([count])),
          ("infer_flags", .integers([1])), ("starts", .integers([0])),
        ])
    case .product: binary("matmul_v2", [("trans_x", .flag(false)), ("trans_y", .flag(false))])
    }
  }

  private static func pool(
    _ type: String, kernel: Size, stride: Size, _ padding: PaddlePadding, isAdaptive: Bool
  ) -> [(String, Attribute)] {
    [
      ("adaptive", .flag(isAdaptive)), ("ceil_mode", .flag(false)), ("data_format", .text("NCHW")),
      ("exclusive", .flag(true)), ("global_pooling", .flag(false)),
      ("ksize", .integers([kernel.height, kernel.width])), ("padding_algorithm", .text(padding.rule)),
      ("paddings", .integers(padding.extents)), ("pooling_type", .text(type)),
      ("strides", .integers([stride.height, stride.width])),
    ]
  }

  // MARK: Messages

  private mutating func appendList(_ name: String, _ kind: Int) {
    variables.message(3) { variable in
      variable.text(1, name)
      variable.message(2) { $0.integer(1, kind) }
      variable.integer(3, 1)
    }
  }

  private mutating func appendTensor(
    _ name: String, _ extents: [Int], _ kind: Int = VariableKind.float32, isParameter: Bool = false,
    isLearned: Bool = false, isInput: Bool = false
  ) {
    variables.message(3) { variable in
      variable.text(1, name)
      variable.message(2) { type in
        type.integer(1, VariableKind.tensor)
        type.message(3) { dense in
          dense.message(1) { tensor in
            tensor.integer(1, kind)
            for extent in extents { tensor.integer(2, extent) }
          }
          dense.integer(2, 0)
        }
      }
      variable.integer(3, isParameter ? 1 : 0)
      if isInput { variable.integer(4, 1) }
      if isParameter { variable.integer(5, 1) }
      variable.integer(6, isLearned ? 0 : 1)
    }
  }

  private mutating func appendOperator(
    _ type: String, inputs: [(String, [String])], outputs: [(String, [String])], _ attributes: [(String, Attribute)]
  ) {
    operators.message(4) { message in
      for (field, slots) in [(1, inputs), (2, outputs)] {
        for (slot, names) in slots {
          message.message(field) { variable in
            variable.text(1, slot)
            for name in names { variable.text(2, name) }
          }
        }
      }
      message.text(3, type)
      for (name, value) in attributes {
        message.message(4) { attribute in
          attribute.text(1, name)
          switch value {
          case .integer(let value):
            attribute.integer(2, 0)
            attribute.integer(3, value)
          case .float(let value):
            attribute.integer(2, 1)
            attribute.float(4, value)
          case .text(let value):
            attribute.integer(2, 2)
            attribute.text(5, value)
          case .integers(let values):
            attribute.integer(2, 3)
            for value in values { attribute.integer(6, value) }
          case .flag(let value):
            attribute.integer(2, 6)
            attribute.integer(10, value ? 1 : 0)
          }
        }
      }
    }
  }
}
