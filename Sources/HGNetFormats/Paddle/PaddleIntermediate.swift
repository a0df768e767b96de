import HGNetCore

/// Encodes operators as a program of PaddlePaddle 3's intermediate representation, `inference.json`.
///
/// Dialects, attribute types and the order of attributes are those of what PaddlePaddle's own export writes.
package struct PaddleIntermediate {
  private var operations: [String] = []
  private var numbers: [String: Int] = [:]
  private var extents: [String: [Int]] = [:]
  private var count = 0

  private static let outputName = "fetch_name_0"

  /// The program as JSON without white space.
  package static func encode(_ program: PaddleOperations) -> String {
    var encoder = PaddleIntermediate()
    for variable in program.variables { encoder.append(variable) }
    encoder.appendInput(program)
    for operation in program.operations { operation.kind.newer(operation, &encoder) }
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

  // MARK: For the vocabularies

  /// The numbers of an operator's operands.
  func ids(_ step: PaddleOperation) -> [Int] { step.inputs.map { id($0) } }

  /// A parameter or result with other extents.
  mutating func reshaped(_ input: Int, to shape: [Int]) -> Int {
    let target = constantIntegers(shape)
    count += 1
    append("1.reshape", [], inputs: [input, target], outputs: [(count, tensor(shape))])
    return count
  }

  /// A list of results.
  mutating func combined(_ names: [String]) -> Int {
    combined(names.map { id($0) }, types: names.map { tensor(extents[$0] ?? []) })
  }

  mutating func combined(_ inputs: [Int], types: [String], isConstant: Bool = false) -> Int {
    count += 1
    let type = ##"{"#":"0.t_vec","D":[\##(types.joined(separator: ","))]}"##
    append("0.combine", [], inputs: inputs, outputs: [(count, type)], isConstant: isConstant)
    return count
  }

  /// Whole numbers that the program computes.
  mutating func appendComputed(
    _ kind: String, _ attributes: [(String, String)], inputs: [Int], _ shape: [Int]
  ) -> Int {
    count += 1
    append(kind, attributes, inputs: inputs, outputs: [(count, tensor(shape, "0.t_i64"))], isConstant: true)
    return count
  }

  mutating func constant(_ value: Double, _ type: String, _ element: String, shape: [Int] = [1]) -> Int {
    count += 1
    append(
      "1.full",
      [
        ("shape", typed("1.a_intarray", list(shape))), ("value", typed("0.a_f64", "\(value)")),
        ("dtype", typed("1.a_dtype", JSON.quoted(type))), ("place", typed("1.a_place", #"[1,0,""]"#)),
      ], inputs: [], outputs: [(count, tensor(shape, element))], isConstant: true)
    return count
  }

  mutating func constantIntegers(_ values: [Int]) -> Int {
    count += 1
    append(
      "1.full_int_array",
      [
        ("value", longs(values)), ("dtype", typed("1.a_dtype", #""int64""#)),
        ("place", typed("1.a_place", #"[1,0,""]"#)),
      ], inputs: [], outputs: [(count, tensor([values.count], "0.t_i64"))], isConstant: true)
    return count
  }

  /// Appends an operator with the result of a step, and others of some types that nothing reads.
  mutating func append(
    _ kind: String, _ attributes: [(String, String)], inputs: [Int], _ step: PaddleOperation, others: [String] = []
  ) {
    var outputs = [(next(step.result, step.extents), tensor(step.extents))]
    for type in others {
      count += 1
      outputs.append((count, type))
    }
    append(kind, attributes, inputs: inputs, outputs: outputs)
  }

  // MARK: Text

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
  func text(_ value: String) -> String { typed("0.a_str", JSON.quoted(value)) }
  func integer(_ value: Int) -> String { typed("0.a_i32", "\(value)") }
  func flag(_ value: Bool) -> String { typed("0.a_bool", "\(value)") }
  func float(_ value: Float) -> String { typed("0.a_f32", "\(Double(value))") }
  func array(_ values: [String]) -> String { typed("0.a_array", "[\(values.joined(separator: ","))]") }
  func integers(_ values: [Int]) -> String { array(values.map { integer($0) }) }
  func longs(_ values: [Int]) -> String { array(values.map { typed("0.a_i64", "\($0)") }) }
  func tensor(_ extents: [Int], _ type: String = "0.t_f32") -> String {
    ##"{"#":"0.t_dtensor","D":[{"#":"\##(type)"},\##(list(extents)),"NCHW",[],0]}"##
  }
}
