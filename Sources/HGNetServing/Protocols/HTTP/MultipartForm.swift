import HGNetCore

/// The files of a form (`multipart/form-data`, RFC 7578).
struct MultipartForm: Sendable {
  /// One file of the form.
  struct Part: Sendable {
    /// The name of the file, else that of the field.
    let name: String
    let bytes: BlobSlice
  }

  let parts: [Part]

  private static let partLimit = 1024

  /// Splits a body.
  ///
  /// - Parameters:
  ///   - body: the whole body.
  ///   - contentType: the header field, which names the boundary.
  /// - Throws: `invalidRequest` for a body that does not follow the form.
  init(_ body: Blob, contentType: String) throws(ServingError) {
    guard let boundary = MultipartForm.parameter("boundary", of: contentType), (1...70).contains(boundary.utf8.count)
    else { throw ServingError(.invalidRequest, "content-type: expected multipart/form-data with a boundary") }
    let ranges = body.withUnsafeBytes { MultipartForm.split($0, boundary: Array("--\(boundary)".utf8)) }
    guard let ranges, !ranges.isEmpty else {
      throw ServingError(.invalidRequest, "the form does not end with its boundary; it may be cut off")
    }
    var parts: [Part] = []
    for (head, content) in ranges {
      let text = body.withUnsafeBytes { String(decoding: $0[head], as: UTF8.self) }
      let disposition =
        text.split(separator: "\r\n").first { $0.lowercased().hasPrefix("content-disposition:") }.map(String.init) ?? ""
      let name =
        MultipartForm.parameter("filename", of: disposition) ?? MultipartForm.parameter("name", of: disposition)
      do throws(HGNetError) {
        parts.append(Part(name: name ?? "", bytes: try BlobSlice(body, range: content)))
      } catch { throw ServingError(error) }
    }
    self.parts = parts
  }

  /// The head and the content of each part; nil for a form that is cut off.
  private static func split(_ bytes: UnsafeRawBufferPointer, boundary: [UInt8]) -> [(Range<Int>, Range<Int>)]? {
    var parts: [(Range<Int>, Range<Int>)] = []
    guard var position = find(boundary, in: bytes, from: 0) else { return nil }
    while true {
      position += boundary.count
      guard position + 2 <= bytes.count else { return nil }
      if bytes[position] == UInt8(ascii: "-"), bytes[position + 1] == UInt8(ascii: "-") { return parts }
      guard bytes[position] == 13, bytes[position + 1] == 10, parts.count < partLimit,
        let next = find([13, 10] + boundary, in: bytes, from: position)
      else { return nil }
      let start = position + 2
      // A part without head fields has its empty line at once.
      guard let blank = find([13, 10, 13, 10], in: bytes, from: position), blank + 4 <= next else { return nil }
      parts.append((min(start, blank)..<blank, blank + 4..<next))
      position = next + 2
    }
  }

  private static func find(_ pattern: [UInt8], in bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
    guard let first = pattern.first, bytes.count - start >= pattern.count else { return nil }
    var index = start
    let last = bytes.count - pattern.count
    while index <= last {
      if bytes[index] == first, pattern.indices.allSatisfy({ bytes[index + $0] == pattern[$0] }) { return index }
      index += 1
    }
    return nil
  }

  /// The value of a parameter of a header field, quotes undone.
  static func parameter(_ name: String, of field: String) -> String? {
    for part in field.split(separator: ";").dropFirst() {
      let sides = part.split(separator: "=", maxSplits: 1)
      guard sides.count == 2, sides[0].filter({ $0 != " " }).lowercased() == name else { continue }
      var value = sides[1].drop { $0 == " " }
      while value.last == " " { value.removeLast() }
      if value.count >= 2, value.first == "\"", value.last == "\"" { value = value.dropFirst().dropLast() }
      return String(value)
    }
    return nil
  }
}
