import HGNetCore
internal import SwiftProtobuf

/// The operators of an inference program, from either encoding.
///
/// Operators and their slots carry the names of the older encoding (`elementwise_add`, `X`, `Y`, `Out`); the newer one
/// is renamed while it is read, so that one translator serves both.
struct PaddleProgram: Sendable {
  /// A parameter that the program declares.
  struct Variable: Sendable {
    var name: String
    var dimensions: [Int]
  }

  /// The value of an operator's attribute.
  enum Attribute: Sendable, Equatable {
    case integer(Int)
    case number(Double)
    case flag(Bool)
    case text(String)
    case integers([Int])
    case other
  }

  /// One operator.
  struct Operation: Sendable {
    var kind: String
    var inputs: [String: [String]]
    var outputs: [String: [String]]
    var attributes: [String: Attribute]
    /// How messages call it: the kind and its number among all operators.
    var label: String
  }

  var parameters: [Variable]
  var operations: [Operation]
  /// The extents of the input, `[N, C, H, W]` with -1 for unknown ones, by variable; empty when unknown.
  var inputDimensions: [String: [Int]]

  /// More operators than any network of the family has, by far.
  static let maximumOperationCount = 100_000
  static let maximumSize = 1 << 28

  /// Reads a program, telling the encodings apart by their first byte.
  ///
  /// - Throws: `HGNetError.Code.malformedData`, `unsupported` for control flow, `limitExceeded`.
  init(_ bytes: BlobSlice) throws(HGNetError) {
    do throws(HGNetError) {
      guard bytes.count <= PaddleProgram.maximumSize else {
        throw HGNetError(.limitExceeded, "a program of \(bytes.count) bytes; are these the parameters instead?")
      }
      let isJSON = bytes.withUnsafeBytes { all in
        all.first { $0 != 0x20 && $0 != 0x09 && $0 != 0x0A && $0 != 0x0D } == UInt8(ascii: "{")
      }
      // A program description begins with the tag of its first block (0x0A), which JSON takes for white space, but
      // never with a brace after it: that would be a block of 123 bytes, too small for any program.
      self = isJSON ? try PaddleProgram(pir: bytes) : try PaddleProgram(description: bytes)
      try checkNames()
    } catch {
      throw bytes.blob.path.map { error.at(path: $0) } ?? error
    }
  }

  init(parameters: [Variable], operations: [Operation], inputDimensions: [String: [Int]]) {
    self.parameters = parameters
    self.operations = operations
    self.inputDimensions = inputDimensions
  }

  private func checkNames() throws(HGNetError) {
    var seen: Set<String> = []
    for parameter in parameters where !seen.insert(parameter.name).inserted {
      throw HGNetError(.malformedData, "the program declares this parameter twice", key: parameter.name)
    }
  }
}

// MARK: - The older encoding

extension PaddleProgram {
  /// Reads `inference.pdmodel`, a protobuf message.
  init(description bytes: BlobSlice) throws(HGNetError) {
    guard bytes.count > 0 else { throw HGNetError(.malformedData, "expected a program, found an empty file") }
    let program: PaddleProgramDesc
    do {
      var options = BinaryDecodingOptions()
      options.discardUnknownFields = true
      options.messageDepthLimit = 16
      program = try PaddleProgramDesc(serializedBytes: bytes.withUnsafeBytes { Array($0) }, options: options)
    } catch {
      throw HGNetError(
        .malformedData,
        "expected a program description (.pdmodel), found bytes that are not one; the file is damaged, truncated or of another format",
        cause: "\(error)")
    }
    guard let block = program.blocks.first else {
      throw HGNetError(.malformedData, "expected a program of one block, found none; is this a .pdmodel file?")
    }
    guard program.blocks.count == 1 else {
      throw HGNetError(.unsupported, "expected a program of one block, found \(program.blocks.count): control flow")
    }
    guard block.ops.count <= PaddleProgram.maximumOperationCount else {
      throw HGNetError(.limitExceeded, "the program has \(block.ops.count) operators; no network of this family has")
    }
    var parameters: [Variable] = []
    var dimensions: [String: [Int]] = [:]
    var elementTypes: [String: Int32] = [:]
    for variable in block.vars {
      guard variable.hasName else { throw HGNetError(.malformedData, "the program has a variable without a name") }
      let tensor = variable.type.denseTensor.tensor
      let extents = tensor.dims.map { Int(clamping: $0) }
      // Other persistable variables are the lists that feed and fetch use.
      if variable.type.type == 7 {
        if variable.persistable { parameters.append(Variable(name: variable.name, dimensions: extents)) }
        dimensions[variable.name] = extents
        if tensor.hasDataType { elementTypes[variable.name] = tensor.dataType }
      }
    }
    var inputDimensions: [String: [Int]] = [:]
    var operations: [Operation] = []
    operations.reserveCapacity(block.ops.count)
    for (index, operation) in block.ops.enumerated() {
      let converted = Operation(
        kind: PaddleProgram.oldNames[operation.type] ?? operation.type, inputs: PaddleProgram.slots(operation.inputs),
        outputs: PaddleProgram.slots(operation.outputs), attributes: PaddleProgram.attributes(operation.attrs),
        label: "\(operation.type) (operator \(index))")
      if converted.kind == "feed", let name = converted.outputs["Out"]?.first {
        if let elementType = elementTypes[name], elementType != 5 {
          throw HGNetError(.unsupported, "expected a float32 input; export the model without half precision", key: name)
        }
        inputDimensions[name] = dimensions[name]
      }
      operations.append(converted)
    }
    self.init(parameters: parameters, operations: operations, inputDimensions: inputDimensions)
  }

  private static let oldNames = [
    "flatten2": "flatten", "reshape2": "reshape", "relu_": "relu", "matmul": "matmul_v1", "matmul_v2": "matmul",
    "mul": "matmul_v0", "depthwise_conv2d": "conv2d", "sync_batch_norm": "batch_norm",
  ]

  private static func slots(_ variables: [PaddleOpDesc.Var]) -> [String: [String]] {
    var result: [String: [String]] = [:]
    for variable in variables { result[variable.parameter] = variable.arguments }
    return result
  }

  private static func attributes(_ attributes: [PaddleOpDesc.Attr]) -> [String: Attribute] {
    var result: [String: Attribute] = [:]
    for attribute in attributes {
      result[attribute.name] =
        switch attribute.type {
        case 0: .integer(Int(attribute.i))
        case 1: .number(Double(attribute.f))
        case 2: .text(attribute.s)
        case 3: .integers(attribute.ints.map(Int.init))
        case 6: .flag(attribute.b)
        case 9: .integer(Int(clamping: attribute.l))
        case 11: .integers(attribute.longs.map { Int(clamping: $0) })
        case 15: .number(attribute.float64)
        default: .other
        }
    }
    return result
  }
}
