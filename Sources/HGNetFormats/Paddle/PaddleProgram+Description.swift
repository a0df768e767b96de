import HGNetCore

/// The older encoding, `inference.pdmodel`: a protobuf message `ProgramDesc`.
///
/// Field numbers are PaddlePaddle's. Enumerations are read as plain integers, so that unknown values stay visible.
extension PaddleProgram {
  /// Reads `inference.pdmodel`.
  ///
  /// - Throws: `HGNetError.Code.malformedData`, `unsupported` for control flow, `limitExceeded`.
  init(description bytes: BlobSlice) throws(HGNetError) {
    guard bytes.count > 0 else { throw HGNetError(.malformedData, "expected a program, found an empty file") }
    do throws(HGNetError) {
      try self.init(message: bytes)
    } catch {
      guard error.code == .malformedData, error.context.key == PaddleProgram.wireKey else { throw error }
      throw HGNetError(
        .malformedData,
        "expected a program description (.pdmodel), found bytes that are not one; the file is damaged, truncated or of another format",
        cause: error.message)
    }
  }

  /// Marks the errors of the encoding itself.
  private static let wireKey = "protobuf"

  private static func fields(_ message: BlobSlice) throws(HGNetError) -> [ProtobufField] {
    do throws(HGNetError) {
      return try ProtobufField.all(in: message)
    } catch {
      throw HGNetError(error.code, error.message, key: wireKey)
    }
  }

  /// The message of a field that is there at most once; nil without it.
  private static func message(_ number: Int, in fields: [ProtobufField]) -> BlobSlice? {
    fields.last { $0.number == number && $0.bytes != nil }?.bytes
  }

  private static func integer(_ number: Int, in fields: [ProtobufField]) -> Int? {
    fields.last { $0.number == number && $0.bytes == nil }?.integer
  }

  private static func text(_ field: ProtobufField) throws(HGNetError) -> String {
    let text = field.bytes?.withUnsafeBytes { String(validating: $0, as: UTF8.self) }
    guard let text else { throw HGNetError(.malformedData, "expected text in UTF-8, found other bytes", key: wireKey) }
    return text
  }

  private static func text(_ number: Int, in fields: [ProtobufField]) throws(HGNetError) -> String? {
    guard let field = fields.last(where: { $0.number == number && $0.bytes != nil }) else { return nil }
    return try text(field)
  }

  /// Numbers that are written one by one, packed, or both.
  private static func integers(_ number: Int, in fields: [ProtobufField]) throws(HGNetError) -> [Int] {
    var result: [Int] = []
    for field in fields where field.number == number {
      do throws(HGNetError) {
        result += try field.integers()
      } catch {
        throw HGNetError(error.code, error.message, key: wireKey)
      }
    }
    return result
  }

  private init(message: BlobSlice) throws(HGNetError) {
    let blocks = try PaddleProgram.fields(message).filter { $0.number == 1 }.compactMap(\.bytes)
    guard let block = blocks.first else {
      throw HGNetError(.malformedData, "expected a program of one block, found none; is this a .pdmodel file?")
    }
    guard blocks.count == 1 else {
      throw HGNetError(.unsupported, "expected a program of one block, found \(blocks.count): control flow")
    }
    let fields = try PaddleProgram.fields(block)
    let encodedOperations = fields.filter { $0.number == 4 }.compactMap(\.bytes)
    guard encodedOperations.count <= PaddleProgram.maximumOperationCount else {
      throw HGNetError(
        .limitExceeded, "the program has \(encodedOperations.count) operators; no network of this family has")
    }
    var parameters: [Variable] = []
    var tensors: [String: TensorDescription] = [:]
    for case let encoded? in fields.filter({ $0.number == 3 }).map(\.bytes) {
      let variable = try PaddleProgram.fields(encoded)
      guard let name = try PaddleProgram.text(1, in: variable) else {
        throw HGNetError(.malformedData, "the program has a variable without a name")
      }
      // Other persistable variables are the lists that feed and fetch use.
      guard let tensor = try PaddleProgram.tensor(of: variable) else { continue }
      if PaddleProgram.integer(3, in: variable) ?? 0 != 0 {
        parameters.append(Variable(name: name, dimensions: tensor.dimensions))
      }
      tensors[name] = tensor
    }
    var inputDimensions: [String: [Int]] = [:]
    var operations: [Operation] = []
    operations.reserveCapacity(encodedOperations.count)
    for (index, encoded) in encodedOperations.enumerated() {
      let operation = try PaddleProgram.operation(encoded, index: index)
      if operation.kind == "feed", let name = operation.outputs["Out"]?.first {
        if let elementType = tensors[name]?.elementType, elementType != 5 {
          throw HGNetError(.unsupported, "expected a float32 input; export the model without half precision", key: name)
        }
        inputDimensions[name] = tensors[name]?.dimensions
      }
      operations.append(operation)
    }
    self.init(parameters: parameters, operations: operations, inputDimensions: inputDimensions)
  }

  /// `TensorDesc`: PaddlePaddle's number of the element type, and the extents.
  struct TensorDescription {
    var elementType: Int32?
    var dimensions: [Int]

    /// Reads a message.
    ///
    /// - Throws: `HGNetError.Code.malformedData`, `limitExceeded`.
    init(_ message: BlobSlice) throws(HGNetError) {
      let fields = try PaddleProgram.fields(message)
      elementType = PaddleProgram.integer(1, in: fields).map { Int32(truncatingIfNeeded: $0) }
      dimensions = try PaddleProgram.integers(2, in: fields)
    }

    init() {
      elementType = nil
      dimensions = []
    }
  }

  /// What a variable says about its tensor; nil for a variable that is none.
  private static func tensor(of variable: [ProtobufField]) throws(HGNetError) -> TensorDescription? {
    guard let type = message(2, in: variable) else { return nil }
    let typeFields = try fields(type)
    guard integer(1, in: typeFields) == 7 else { return nil }
    guard let dense = message(3, in: typeFields), let tensor = message(1, in: try fields(dense)) else {
      return TensorDescription()
    }
    return try TensorDescription(tensor)
  }

  private static func operation(_ message: BlobSlice, index: Int) throws(HGNetError) -> Operation {
    let fields = try fields(message)
    let kind = try text(3, in: fields) ?? ""
    return Operation(
      kind: PaddleName.kind(older: kind), inputs: try slots(1, in: fields), outputs: try slots(2, in: fields),
      attributes: try attributes(4, in: fields), label: "\(kind) (operator \(index))")
  }

  private static func slots(
    _ number: Int, in operation: [ProtobufField]
  ) throws(HGNetError) -> [String: [String]] {
    var result: [String: [String]] = [:]
    for case let message? in operation.filter({ $0.number == number }).map(\.bytes) {
      let fields = try fields(message)
      var arguments: [String] = []
      for field in fields where field.number == 2 && field.bytes != nil { arguments.append(try text(field)) }
      result[try text(1, in: fields) ?? ""] = arguments
    }
    return result
  }

  private static func attributes(
    _ number: Int, in operation: [ProtobufField]
  ) throws(HGNetError) -> [String: Attribute] {
    var result: [String: Attribute] = [:]
    for case let message? in operation.filter({ $0.number == number }).map(\.bytes) {
      let fields = try fields(message)
      let value: Attribute =
        switch integer(2, in: fields) ?? 0 {
        case 0: .integer(Int(Int32(truncatingIfNeeded: integer(3, in: fields) ?? 0)))
        case 1: .number(Double(fields.last { $0.number == 4 }?.float ?? 0))
        case 2: .text(try text(5, in: fields) ?? "")
        case 3: .integers(try integers(6, in: fields).map { Int(Int32(truncatingIfNeeded: $0)) })
        case 6: .flag(integer(10, in: fields) ?? 0 != 0)
        case 9: .integer(integer(13, in: fields) ?? 0)
        case 11: .integers(try integers(15, in: fields))
        case 15: .number(Double(bitPattern: UInt64(bitPattern: Int64(integer(19, in: fields) ?? 0))))
        default: .other
        }
      result[try text(1, in: fields) ?? ""] = value
    }
    return result
  }
}
