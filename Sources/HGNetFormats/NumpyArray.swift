import HGNetCore

/// Reads and writes NumPy's `.npy` files: one array each.
///
/// Source: NumPy Enhancement Proposal 1, format versions 1.0 to 3.0.
package enum NumpyArray {
  private static let magic: [UInt8] = [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59]
  private static let longestHeader = 1 << 16

  /// Reads an array as float32 in C order, whatever its type and order in the file.
  ///
  /// Float64 and wide integers are rounded to the nearest float32; the other types are exact.
  ///
  /// - Throws: `HGNetError.Code.malformedData` for a damaged file or one with more or less data than its header says,
  ///   `unsupported` for big-endian data, other element types and more than 4 axes, `limitExceeded`.
  package static func read(_ blob: Blob) throws(HGNetError) -> Tensor {
    let parameter = try parameter(of: blob)
    do throws(HGNetError) { return try parameter.allocatedTensor() } catch {
      throw blob.path.map(error.at(path:)) ?? error
    }
  }

  /// Reads an array with its element type; the elements stay in the mapped file unless they are in Fortran order.
  ///
  /// - Throws: as `read`.
  package static func parameter(of blob: Blob) throws(HGNetError) -> Parameter {
    do throws(HGNetError) {
      let (header, start) = try self.header(of: blob)
      guard let type = ElementType(numpyTypeCode: String(header.type.dropFirst())), header.type.first != ">" else {
        throw HGNetError(
          .unsupported,
          "expected a little-endian array of numbers such as <f4, found type \(HGNetError.quoted(header.type)); "
            + "convert it with array.astype(\"<f4\")")
      }
      let shape = try Shape(validating: header.shape)
      let expected = shape.count * type.byteCount
      guard expected == blob.count - start else {
        throw HGNetError(
          .malformedData,
          "expected \(expected) bytes for \(type) \(shape) behind the header, found \(blob.count - start)")
      }
      var bytes = try BlobSlice(blob, range: start..<blob.count)
      if header.isColumnMajor {
        var budget = AllocationBudget(byteCount: blob.count, path: blob.path)
        bytes = try StridedView(columnMajor: shape, elementCount: shape.count)
          .elements(of: bytes, elementSize: type.byteCount, budget: &budget)
      }
      return try Parameter(shape: shape, elementType: type, bytes: bytes)
    } catch {
      guard let path = blob.path else { throw error }
      throw error.at(path: path)
    }
  }

  /// Writes a tensor as little-endian float32 in C order, format version 1.0.
  ///
  /// The file appears under its name only once it is complete.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile`.
  package static func write(_ tensor: Tensor, to path: String) throws(HGNetError) {
    let extents = tensor.shape.dimensions.map { "\($0)" }
    let shape = extents.count == 1 ? "(\(extents[0]),)" : "(\(extents.joined(separator: ", ")))"
    var header = "{'descr': '<f4', 'fortran_order': False, 'shape': \(shape), }"
    // Preamble, header and the line feed at its end fill a multiple of 64 bytes.
    header += String(repeating: " ", count: 63 - (10 + header.utf8.count) % 64) + "\n"
    var output = try FileOutput(path: path)
    try output.write(magic + [1, 0, UInt8(header.utf8.count & 0xFF), UInt8(header.utf8.count >> 8)])
    try output.write(header)
    try tensor.withUnsafeBufferPointer { (values) throws(HGNetError) in try output.write(UnsafeRawBufferPointer(values))
    }
    try output.commit()
  }

  private struct Header {
    var type = ""
    var isColumnMajor = false
    var shape: [Int] = []
  }

  private static func header(of blob: Blob) throws(HGNetError) -> (header: Header, start: Int) {
    guard blob.count >= 10, blob.withUnsafeBytes({ $0.prefix(6).elementsEqual(magic) }) else {
      throw HGNetError(
        .malformedData, "expected a NumPy array file, which starts with \\x93NUMPY, found something else")
    }
    guard (1...3).contains(blob[6]) else {
      throw HGNetError(.unsupported, "expected version 1, 2 or 3 of the format, found \(blob[6])")
    }
    let width = blob[6] == 1 ? 2 : 4
    let length = try blob.unsigned(width, at: 8)
    guard length <= longestHeader, Int(length) <= blob.count - 8 - width else {
      throw HGNetError(
        .malformedData, "the file is truncated: a header of \(length) bytes is announced, the file has \(blob.count)")
    }
    let start = 8 + width + Int(length)
    var parser = HeaderParser(blob.withUnsafeBytes { Array($0[8 + width..<start]) })
    guard let header = parser.header() else {
      throw HGNetError(
        .malformedData, "expected a header with descr, fortran_order and shape, found something else")
    }
    return (header, start)
  }

  /// Reads the dictionary literal of a header.
  private struct HeaderParser {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func header() -> Header? {
      var header = Header()
      var seen: Set<String> = []
      guard take("{") else { return nil }
      while !take("}") {
        guard let key = quoted(), take(":"), seen.insert(key).inserted else { return nil }
        switch key {
        case "descr":
          guard let type = quoted(), type.utf8.count >= 2 else { return nil }
          header.type = type
        case "fortran_order":
          if take("True") {
            header.isColumnMajor = true
          } else if !take("False") {
            return nil
          }
        case "shape":
          guard let shape = shape() else { return nil }
          header.shape = shape
        default: return nil
        }
        if !take(",") {
          guard take("}") else { return nil }
          break
        }
      }
      skipSpace()
      return seen.count == 3 && position == bytes.count ? header : nil
    }

    private mutating func skipSpace() {
      while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) { position += 1 }
    }

    private mutating func take(_ word: String) -> Bool {
      skipSpace()
      guard bytes[position...].starts(with: word.utf8) else { return false }
      position += word.utf8.count
      return true
    }

    private mutating func quoted() -> String? {
      skipSpace()
      guard position < bytes.count, bytes[position] == 0x27 || bytes[position] == 0x22 else { return nil }
      let quote = bytes[position]
      guard let end = bytes[(position + 1)...].firstIndex(of: quote) else { return nil }
      defer { position = end + 1 }
      return String(decoding: bytes[position + 1..<end], as: UTF8.self)
    }

    private mutating func shape() -> [Int]? {
      guard take("(") else { return nil }
      var result: [Int] = []
      while !take(")") {
        skipSpace()
        let digits = bytes[position...].prefix { (0x30...0x39).contains($0) }
        guard let extent = Int(String(decoding: digits, as: UTF8.self)), result.count < 64 else { return nil }
        position += digits.count
        result.append(extent)
        // Python 2 wrote long integers with a letter behind them.
        _ = take("L")
        if !take(",") {
          guard take(")") else { return nil }
          break
        }
      }
      return result
    }
  }
}
