import HGNetCore

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
