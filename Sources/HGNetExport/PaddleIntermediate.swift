import HGNetCore
import HGNetFormats

/// Encodes operators as a program of PaddlePaddle 3's intermediate representation, `inference.json`.
///
/// Dialects, attribute types and the order of attributes are those of what PaddlePaddle's own export writes.
struct PaddleIntermediate {
  private var operations: [String] = []
  private var numbers: [String: Int] = [:]
  private var extents: [String: [Int]] = [:]
  private var count = 0

  private static let outputName = "fetch_name_0"

  /// The program as JSON without white space.
  static func encode(_ program: PaddleOperations) -> String {
    var encoder = PaddleIntermediate()
    for variable in program.variables { encoder.append(variable) }
    encoder.appendInput(program)
    for operation in program.operations { encoder.append(operation) }
    encoder.appendOutput(program)
    let operations = encoder.operations.joined(separator: ",")
    return ##"{"base_code":{"magic":"pir","trainable":true,"version":4},"program":{"regions":[{"#":"region_0","##
      + ##""blocks":[{"#":"block_0","args":[],"ops":[\##(operations)]}]}]}}"##
  }

  // MARK: The ends

  private mutating func append(_ variable: PaddleOperations.Variable) {
    let number = next(variable.name, variable.shape.dimensions)
    let learned = variable.isLearned ? "[1,0,1]" : "[1,1,0]"
    operations.append(
      ##"{"#":"p","A":[0,1,1,\##(JSON.quoted(variable.name))"##
        + #"],"DA":[],"O":{"%":\#(number),"TT":\#(tensor(variable.shape.dimensions))},"#
        + #""OA":\#(learned),"QA":[]}"#)
  }

  private mutating func appendInput(_ program: PaddleOperations) {
    let number = next(PaddleOperations.inputName, program.inputExtents)
    append(
      "1.data",
      [
        ("name", text(PaddleOperations.inputName)), ("shape", typed("1.a_intarray", list(program.inputExtents))),
        ("dtype", typed("1.a_dtype", #""float32""#)), ("place", typed("1.a_place", #"[0,0,""]"#)),
      ], inputs: [], outputs: [(number, tensor(program.inputExtents))])
  }

  private mutating func appendOutput(_ program: PaddleOperations) {
    count += 1
    operations.append(
      operation(
        "1.fetch", [("name", text(PaddleIntermediate.outputName)), ("col", integer(0))],
        inputs: [id(program.outputName)], outputs: [(count, tensor(program.outputExtents))],
        about: [("persistable", array([flag(true)])), ("stop_gradient", array([flag(false)]))]))
  }

  // MARK: Operators

  private mutating func append(_ step: PaddleOperation) {
    let inputs = step.inputs.map { id($0) }
    switch step.kind {
    case .convolution(let convolution):
      let padding = PaddlePadding(convolution.padding, kernel: convolution.kernel, stride: convolution.stride)
      let groups = ("groups", integer(convolution.groups))
      let dilations = ("dilations", integers([1, 1]))
      let isDepthwise = convolution.isDepthwise
      append(
        isDepthwise ? "1.depthwise_conv2d" : "1.conv2d",
        [
          ("strides", integers([convolution.stride.height, convolution.stride.width])),
          ("paddings", integers(padding.extents)), ("padding_algorithm", text(padding.rule)),
          isDepthwise ? groups : dilations, isDepthwise ? dilations : groups, ("data_format", text("NCHW")),
        ], inputs: inputs, step)
    case .batchNormalization(let norm):
      let result = next(step.result, step.extents)
      let channels = tensor([step.extents[1]])
      var outputs = [(result, tensor(step.extents))]
      for type in [channels, channels, channels, channels, tensor([-1], "0.t_ui8")] {
        count += 1
        outputs.append((count, type))
      }
      append(
        "1.batch_norm_",
        [
          ("is_test", flag(true)), ("momentum", float(norm.momentum)), ("epsilon", float(norm.epsilon)),
          ("data_format", text("NCHW")), ("use_global_stats", flag(true)), ("trainable_statistics", flag(false)),
        ],
        // Input, mean, variance, scale, bias.
        inputs: [inputs[0], inputs[3], inputs[4], inputs[1], inputs[2]], outputs: outputs)
    case .relu: append("1.relu", [], inputs: inputs, step)
    case .sigmoid: append("1.sigmoid", [], inputs: inputs, step)
    case .softmax: append("1.softmax", [("axis", integer(-1))], inputs: inputs, step)
    case .multiply: append("1.multiply", [], inputs: inputs, step)
    case .add, .addFeatureBias: append("1.add", [], inputs: inputs, step)
    case .addChannelBias:
      let shape = [1, step.extents[1], 1, 1]
      let target = constantIntegers(shape)
      count += 1
      append("1.reshape", [], inputs: [inputs[1], target], outputs: [(count, tensor(shape))])
      append("1.add", [], inputs: [inputs[0], count], step)
    case .maxPool(let kernel, let stride, let padding):
      let border = PaddlePadding(padding, kernel: kernel, stride: stride)
      appendPool(step, "max", kernel: kernel, stride: stride, border, isAdaptive: false)
    case .averagePool:
      let none = PaddlePadding(Padding(0), kernel: Size(1), stride: Size(1))
      appendPool(step, "avg", kernel: Size(1), stride: Size(1), none, isAdaptive: true)
    case .concatenate:
      let axis = constant(1, "int32", "0.t_i32")
      count += 1
      let types = step.inputs.map { tensor(extents[$0] ?? []) }.joined(separator: ",")
      append("0.combine", [], inputs: inputs, outputs: [(count, ##"{"#":"0.t_vec","D":[\##(types)]}"##)])
      append("1.concat", [], inputs: [count, axis], step)
    case .dropout(let probability):
      let factor = constant(Double(probability), "float32", "0.t_f32")
      let result = next(step.result, step.extents)
      count += 1
      append(
        "1.dropout",
        [
          ("is_test", flag(true)), ("mode", text("downgrade_in_infer")), ("seed", integer(0)),
          ("fix_seed", flag(false)),
        ], inputs: [inputs[0], 0, factor],
        outputs: [(result, tensor(step.extents)), (count, tensor(step.extents, "0.t_ui8"))])
    case .flatten(let axis):
      append("1.flatten", [("start_axis", integer(axis)), ("stop_axis", integer(3))], inputs: inputs, step)
    case .repeatForBatch: appendRepetition(step, inputs)
    case .reshape(let shape):
      let target = constantIntegers(shape)
      append("1.reshape", [], inputs: [inputs[0], target], step)
    case .transpose(let order): append("1.transpose", [("perm", integers(order))], inputs: inputs, step)
    case .scale(let factor):
      let constant = constant(Double(factor), "float32", "0.t_f32")
      append(
        "1.scale", [("bias", float(0)), ("bias_after_scale", flag(true))], inputs: [inputs[0], constant], step)
    case .layerNormalization(let epsilon, let axis):
      let result = next(step.result, step.extents)
      let rows = tensor(Array(step.extents.prefix(axis)))
      count += 2
      append(
        "1.layer_norm", [("epsilon", float(epsilon)), ("begin_norm_axis", integer(axis))], inputs: inputs,
        outputs: [(result, tensor(step.extents)), (count - 1, rows), (count, rows)])
    case .matrixProduct(let isTransposed):
      append(
        "1.matmul", [("transpose_x", flag(false)), ("transpose_y", flag(isTransposed))], inputs: inputs, step)
    case .slice(let columns):
      let bounds = [constantIntegers([0]), constantIntegers([columns])]
      append(
        "1.slice", [("axes", longs([1])), ("infer_flags", longs([1])), ("decrease_axis", array([]))],
        inputs: [inputs[0]] + bounds, step)
    case .product:
      append("1.matmul", [("transpose_x", flag(false)), ("transpose_y", flag(false))], inputs: inputs, step)
    }
  }

  private mutating func appendPool(
    _ step: PaddleOperation, _ type: String, kernel: Size, stride: Size, _ padding: PaddlePadding, isAdaptive: Bool
  ) {
    let window = constantIntegers([kernel.height, kernel.width])
    append(
      "1.pool2d",
      [
        ("strides", longs([stride.height, stride.width])), ("paddings", longs(padding.extents)),
        ("ceil_mode", flag(false)), ("exclusive", flag(true)), ("data_format", text("NCHW")),
        ("pooling_type", text(type)), ("global_pooling", flag(false)), ("adaptive", flag(isAdaptive)),
        ("padding_algorithm", text(padding.rule)),
      ], inputs: [id(step.inputs[0]), window], step)
  }

  /// The first input once for each picture of the second, as PaddlePaddle's own export writes it.
  private mutating func appendRepetition(_ step: PaddleOperation, _ inputs: [Int]) {
    func computed(_ kind: String, _ attributes: [(String, String)], _ inputs: [Int], _ shape: [Int]) -> Int {
      count += 1
      append(kind, attributes, inputs: inputs, outputs: [(count, tensor(shape, "0.t_i64"))], isConstant: true)
      return count
    }
    let extents = computed("1.shape64", [], [inputs[1]], [4])
    let bounds = [constantIntegers([0]), constantIntegers([1])]
    let pictures = computed(
      "1.slice", [("axes", longs([0])), ("infer_flags", longs([1])), ("decrease_axis", longs([0]))],
      [extents] + bounds, [])
    let ones = (0..<2).map { _ in constant(1, "int64", "0.t_i64", shape: []) }
    count += 1
    let type = tensor([], "0.t_i64")
    append(
      "0.combine", [], inputs: [pictures] + ones,
      outputs: [(count, ##"{"#":"0.t_vec","D":[\##(type),\##(type),\##(type)]}"##)],
      isConstant: true)
    let factors = computed("1.stack", [("axis", integer(0))], [count], [3])
    append("1.tile", [], inputs: [inputs[0], factors], step)
  }

  private mutating func constant(_ value: Double, _ type: String, _ element: String, shape: [Int] = [1]) -> Int {
    count += 1
    append(
      "1.full",
      [
        ("shape", typed("1.a_intarray", list(shape))), ("value", typed("0.a_f64", "\(value)")),
        ("dtype", typed("1.a_dtype", JSON.quoted(type))), ("place", typed("1.a_place", #"[1,0,""]"#)),
      ], inputs: [], outputs: [(count, tensor(shape, element))], isConstant: true)
    return count
  }

  private mutating func constantIntegers(_ values: [Int]) -> Int {
    count += 1
    append(
      "1.full_int_array",
      [
        ("value", longs(values)), ("dtype", typed("1.a_dtype", #""int64""#)),
        ("place", typed("1.a_place", #"[1,0,""]"#)),
      ], inputs: [], outputs: [(count, tensor([values.count], "0.t_i64"))], isConstant: true)
    return count
  }

  // MARK: Text

  private mutating func append(
    _ kind: String, _ attributes: [(String, String)], inputs: [Int], _ step: PaddleOperation
  ) {
    let number = next(step.result, step.extents)
    append(kind, attributes, inputs: inputs, outputs: [(number, tensor(step.extents))])
  }

  private mutating func append(
    _ kind: String, _ attributes: [(String, String)], inputs: [Int], outputs: [(Int, String)], isConstant: Bool = false
  ) {
    let gradients = array(outputs.map { _ in flag(isConstant) })
    operations.append(
      operation(kind, attributes, inputs: inputs, outputs: outputs, about: [("stop_gradient", gradients)]))
  }

  private func operation(
    _ kind: String, _ attributes: [(String, String)], inputs: [Int], outputs: [(Int, String)],
    about: [(String, String)]
  ) -> String {
    func named(_ pairs: [(String, String)]) -> String {
      pairs.map { #"{"AT":\#($0.1),"N":\#(JSON.quoted($0.0))}"# }.joined(separator: ",")
    }
    let operands = inputs.map { #"{"%":\#($0)}"# }.joined(separator: ",")
    let results = outputs.map { #"{"%":\#($0.0),"TT":\#($0.1)}"# }.joined(separator: ",")
    return ##"{"#":\##(JSON.quoted(kind)),"A":[\##(named(attributes))],"I":[\##(operands)],"O":[\##(results)],"##
      + #""OA":[\#(named(about))]}"#
  }

  private mutating func next(_ name: String, _ shape: [Int]) -> Int {
    count += 1
    numbers[name] = count
    extents[name] = shape
    return count
  }

  private func id(_ name: String) -> Int { numbers[name] ?? 0 }
  private func list(_ values: [Int]) -> String { "[\(values.map(String.init).joined(separator: ","))]" }
  private func typed(_ type: String, _ value: String) -> String { ##"{"#":"\##(type)","D":\##(value)}"## }
  private func text(_ value: String) -> String { typed("0.a_str", JSON.quoted(value)) }
  private func integer(_ value: Int) -> String { typed("0.a_i32", "\(value)") }
  private func flag(_ value: Bool) -> String { typed("0.a_bool", "\(value)") }
  private func float(_ value: Float) -> String { typed("0.a_f32", "\(Double(value))") }
  private func array(_ values: [String]) -> String { typed("0.a_array", "[\(values.joined(separator: ","))]") }
  private func integers(_ values: [Int]) -> String { array(values.map { integer($0) }) }
  private func longs(_ values: [Int]) -> String { array(values.map { typed("0.a_i64", "\($0)") }) }
  private func tensor(_ extents: [Int], _ type: String = "0.t_f32") -> String {
    ##"{"#":"0.t_dtensor","D":[{"#":"\##(type)"},\##(list(extents)),"NCHW",[],0]}"##
  }
}
