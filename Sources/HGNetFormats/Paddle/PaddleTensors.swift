import HGNetCore

/// The parameters of a Paddle inference model (`.pdiparams`): arrays one after the other, without names.
///
/// The names are those of the program, in ascending order of their bytes. Threads: safe.
package enum PaddleTensors {
  /// Reads as many arrays as there are names, without copying them.
  ///
  /// - Parameters:
  ///   - bytes: the whole file.
  ///   - names: the names of the program's parameters, in any order.
  /// - Returns: the parameters, in ascending byte order of their names.
  /// - Throws: `HGNetError.Code.malformedData` for a broken header or a truncated file, `parameterMismatch` when the
  ///   file holds fewer or more arrays than there are names, `unsupported` for other element types.
  /// - Cost: O(number of arrays); their elements are not touched.
  package static func read(_ bytes: BlobSlice, names: [String]) throws(HGNetError) -> ParameterStore {
    do throws(HGNetError) {
      return try parse(bytes, names: inFileOrder(names))
    } catch {
      throw bytes.blob.path.map { error.at(path: $0) } ?? error
    }
  }

  /// Writes all parameters as float32, in ascending byte order of their names.
  ///
  /// The file appears once it is complete. It needs a program with the same names to be read again.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile`.
  package static func write(_ store: ParameterStore, to path: String) throws(HGNetError) {
    var file = try FileOutput(path: path)
    for name in inFileOrder(store.names) {
      guard let parameter = store[name] else { continue }
      var description = ProtobufEncoder()
      description.integer(1, 5)
      for extent in parameter.shape.dimensions { description.integer(2, extent) }
      let encoded = description.bytes
      // Version 0, no levels, tensor version 0, size of the description.
      try file.write([UInt8](repeating: 0, count: 16))
      try file.write((0..<4).map { UInt8(truncatingIfNeeded: encoded.count >> ($0 * 8)) })
      try file.write(encoded)
      try file.writeFloat32(parameter)
    }
    try file.commit()
  }

  private static func inFileOrder(_ names: [String]) -> [String] {
    names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  private static func parse(_ bytes: BlobSlice, names: [String]) throws(HGNetError) -> ParameterStore {
    var store = ParameterStore()
    var cursor = Cursor(bytes: bytes)
    for (index, name) in names.enumerated() {
      guard !cursor.isAtEnd else {
        throw HGNetError(
          .parameterMismatch,
          "expected \(names.count) parameters as the program has, found \(index); missing: \(listing(names[index...]))")
      }
      do throws(HGNetError) {
        store[name] = try cursor.parameter()
      } catch {
        var named = error
        named.context.key = name
        throw named
      }
    }
    guard cursor.isAtEnd else {
      throw HGNetError(
        .parameterMismatch,
        "expected \(names.count) parameters as the program has, found \(cursor.remaining) unused bytes after them; "
          + "the file belongs to another program")
    }
    return store
  }

  /// Names for a message, the first few only.
  static func listing(_ names: some Collection<String>) -> String {
    let shown = names.prefix(8).joined(separator: ", ")
    return names.count > 8 ? "\(shown) and \(names.count - 8) more" : shown
  }

  /// A place in the file.
  private struct Cursor {
    let bytes: BlobSlice
    var position = 0

    private static let maximumDescriptionSize = 4096

    init(bytes: BlobSlice) { self.bytes = bytes }

    var remaining: Int { bytes.count - position }
    var isAtEnd: Bool { remaining == 0 }

    mutating func parameter() throws(HGNetError) -> Parameter {
      let version = try integer(UInt32.self, "the tensor's version")
      guard version == 0 else { throw broken("version 0 of a tensor", "\(version)") }
      let levels = try integer(UInt64.self, "the number of levels")
      guard levels <= 16 else { throw broken("at most 16 levels of detail", "\(levels)") }
      for _ in 0..<levels {
        let size = try integer(UInt64.self, "the size of a level")
        guard size <= UInt64(remaining) else { throw truncated("a level of \(size) bytes") }
        position += Int(size)
      }
      let tensorVersion = try integer(UInt32.self, "the tensor's second version")
      guard tensorVersion == 0 else { throw broken("version 0 of a tensor", "\(tensorVersion)") }
      let size = Int(try integer(Int32.self, "the size of the description"))
      guard size >= 0, size <= Cursor.maximumDescriptionSize else {
        throw broken("a description of at most \(Cursor.maximumDescriptionSize) bytes", "\(size)")
      }
      guard size <= remaining else { throw truncated("a description of \(size) bytes") }
      let start = bytes.range.lowerBound + position
      let description: PaddleProgram.TensorDescription
      do throws(HGNetError) {
        description = try PaddleProgram.TensorDescription(BlobSlice(bytes.blob, range: start..<start + size))
      } catch {
        throw broken("a tensor description", "something else")
      }
      position += size
      guard let elementType = description.elementType.flatMap(PaddleElementType.named) else {
        throw HGNetError(
          .unsupported, "element type \(description.elementType ?? 0) is not read; save the model as float32")
      }
      let shape = try Shape(validating: description.dimensions.prefix(Shape.maximumRank + 1))
      let count = shape.count * elementType.byteCount
      guard count <= remaining else { throw truncated("\(elementType) \(shape), \(count) bytes") }
      let first = bytes.range.lowerBound + position
      position += count
      return try Parameter(
        shape: shape, elementType: elementType, bytes: BlobSlice(bytes.blob, range: first..<first + count))
    }

    private mutating func integer<Value: FixedWidthInteger & BitwiseCopyable>(
      _ type: Value.Type, _ what: String
    ) throws(HGNetError) -> Value {
      let size = MemoryLayout<Value>.size
      guard remaining >= size else { throw truncated(what) }
      defer { position += size }
      return bytes.withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: position, as: type)) }
    }

    private func truncated(_ what: String) -> HGNetError {
      HGNetError(
        .malformedData,
        "expected \(what) at byte \(position), found the end after \(remaining) bytes; the file is truncated")
    }

    private func broken(_ expected: String, _ found: String) -> HGNetError {
      HGNetError(
        .malformedData, "expected \(expected) before byte \(position), found \(found); is this a .pdiparams file?")
    }
  }
}

/// PaddlePaddle's numbers for element types.
enum PaddleElementType {
  /// The encoding of a number, or nil for one that parameters cannot have.
  static func named(_ number: Int32) -> ElementType? {
    switch number {
    case 0: .bool
    case 1: .int16
    case 2: .int32
    case 3: .int64
    case 4: .float16
    case 5: .float32
    case 6: .float64
    case 20: .uint8
    case 21: .int8
    case 22: .bfloat16
    default: nil
    }
  }
}
