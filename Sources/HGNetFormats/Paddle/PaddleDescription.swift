import HGNetCore

/// Encodes operators as a program description, `inference.pdmodel`.
///
/// Field numbers and attributes are those of PaddlePaddle's `framework.proto` and of what its own export writes.
package struct PaddleDescription {
  /// PaddlePaddle's numbers of element types and kinds of variables.
  enum VariableKind {
    static let float32 = 5
    static let tensor = 7
    static let feedList = 9
    static let fetchList = 10
    static let unsigned8 = 20
  }

  enum Attribute {
    case integer(Int)
    case float(Float)
    case text(String)
    case integers([Int])
    case flag(Bool)
  }

  private var variables = ProtobufEncoder()
  private var operators = ProtobufEncoder()

  /// The encoded program.
  package static func encode(_ program: PaddleOperations) -> [UInt8] {
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
    append(
      "feed", inputs: [("X", ["feed"])], outputs: [("Out", [PaddleOperations.inputName])], [("col", .integer(0))])
    for operation in program.operations { append(operation) }
    append(
      "fetch", inputs: [("X", [program.outputName])], outputs: [("Out", ["fetch"])], [("col", .integer(0))])
  }

  private mutating func append(_ operation: PaddleOperation) {
    appendTensor(operation.result, operation.extents)
    operation.kind.older(operation, &self)
  }

  // MARK: For the vocabularies

  /// An operator with one operand.
  mutating func unary(_ type: String, _ step: PaddleOperation, _ attributes: [(String, Attribute)] = []) {
    append(type, inputs: [("X", [step.inputs[0]])], outputs: [("Out", [step.result])], attributes)
  }

  /// An operator with two operands.
  mutating func binary(_ type: String, _ step: PaddleOperation, _ attributes: [(String, Attribute)]) {
    append(
      type, inputs: [("X", [step.inputs[0]]), ("Y", [step.inputs[1]])], outputs: [("Out", [step.result])], attributes)
  }

  /// An operator with one operand and a result for a gradient, which Paddle Lite asks for although nothing reads it.
  mutating func unary(
    _ type: String, _ step: PaddleOperation, unread name: String, _ kind: Int, _ extents: [Int],
    _ attributes: [(String, Attribute)]
  ) {
    let unread = "\(step.result).\(name.lowercased())"
    appendTensor(unread, extents, kind)
    append(
      type, inputs: [("X", [step.inputs[0]])],
      outputs: [("Out", [step.result]), (name, [unread])].sorted { $0.0 < $1.0 }, attributes)
  }

  /// An operator that changes extents alone.
  mutating func reshaping(_ type: String, _ step: PaddleOperation, _ attributes: [(String, Attribute)]) {
    unary(type, step, unread: "XShape", VariableKind.float32, [0], attributes)
  }

  // MARK: Messages

  private mutating func appendList(_ name: String, _ kind: Int) {
    variables.message(3) { variable in
      variable.text(1, name)
      variable.message(2) { $0.integer(1, kind) }
      variable.integer(3, 1)
    }
  }

  mutating func appendTensor(
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

  mutating func append(
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
