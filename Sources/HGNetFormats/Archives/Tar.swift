import HGNetCore

/// The files inside a tar archive: ustar, GNU and pax headers.
///
/// Nothing is extracted: an entry is a slice of the archive, and its name is only a name. Links, folders and devices
/// are passed over. Threads: safe to share.
package struct Tar: Sendable {
  /// A regular file of the archive.
  package struct Entry: Sendable {
    /// The path inside the archive, as it is written there.
    package let name: String
    /// The contents.
    package let contents: BlobSlice

    /// The last part of the path.
    package var baseName: String { name.split(separator: "/").last.map(String.init) ?? name }
  }

  /// The regular files, in the order of the archive.
  package let entries: [Entry]

  private static let blockSize = 512

  /// Whether the first block is a tar header with a right checksum.
  package static func isTar(_ blob: Blob) -> Bool {
    guard blob.count >= blockSize else { return false }
    return blob.withUnsafeBytes { bytes in
      let header = Header(block: UnsafeRawBufferPointer(rebasing: bytes[0..<blockSize]))
      return !header.isZero && header.isChecksumRight
    }
  }

  /// Reads the headers of an uncompressed archive.
  ///
  /// - Throws: `HGNetError.Code.malformedData` for a wrong checksum, a broken number or a missing end (a truncated
  ///   archive), `unsupported` for a compressed archive and for sparse files.
  /// - Cost: O(number of entries); contents are not touched.
  package init(_ blob: Blob) throws(HGNetError) {
    do throws(HGNetError) {
      entries = try Tar.entries(of: blob)
    } catch {
      throw blob.path.map { error.at(path: $0) } ?? error
    }
  }

  private static func entries(of blob: Blob) throws(HGNetError) -> [Entry] {
    if blob.count >= 2, blob[0] == 0x1F, blob[1] == 0x8B {
      throw HGNetError(.unsupported, "expected an uncompressed tar archive, found gzip; unpack it with gunzip first")
    }
    var entries: [Entry] = []
    var overrides = Overrides()
    var offset = 0
    while true {
      guard blob.count - offset >= blockSize else {
        throw HGNetError(
          .malformedData,
          "expected a tar header at byte \(offset), found the end of a file of \(blob.count) bytes; the archive is truncated"
        )
      }
      let header = blob.withUnsafeBytes { bytes in
        Header(block: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + blockSize]))
      }
      if header.isZero { return entries }
      guard header.isChecksumRight else {
        throw HGNetError(
          .malformedData, "the checksum of the tar header at byte \(offset) is wrong: damaged, or not a tar archive")
      }
      guard let written = header.size else {
        throw HGNetError(.malformedData, "the size in the tar header at byte \(offset) is not a number")
      }
      let size = header.hasContents ? overrides.size ?? written : 0
      let start = offset + blockSize
      guard size <= blob.count - start else {
        throw HGNetError(
          .malformedData,
          "a file of \(size) bytes at byte \(start) leaves the archive of \(blob.count) bytes; it is truncated")
      }
      let contents = try BlobSlice(blob, range: start..<start + size)
      switch header.kind {
      case UInt8(ascii: "0"), 0, UInt8(ascii: "7"):
        entries.append(Entry(name: overrides.name ?? header.name, contents: contents))
        overrides = Overrides()
      case UInt8(ascii: "L"):
        try overrides.readLongName(contents)
      case UInt8(ascii: "x"):
        try overrides.readExtendedHeader(contents)
      case UInt8(ascii: "K"), UInt8(ascii: "g"):
        break  // The target of a long link, and facts about all files: neither matters here.
      case UInt8(ascii: "S"):
        throw HGNetError(.unsupported, "sparse files in tar archives are not read; pack the archive without --sparse")
      default:
        overrides = Overrides()  // Links, folders and devices.
      }
      // Rounding up cannot pass the end of memory: size is at most the file's.
      offset = start + (size + blockSize - 1) / blockSize * blockSize
    }
  }

  /// What an extended header says about the entry after it.
  private struct Overrides {
    var name: String?
    var size: Int?

    private static let maximumSize = 1 << 20

    mutating func readLongName(_ contents: BlobSlice) throws(HGNetError) {
      try checkSize(contents)
      name = contents.withUnsafeBytes { Tar.text($0) }
    }

    /// Records of the form `length key=value\n`, the length counting itself.
    mutating func readExtendedHeader(_ contents: BlobSlice) throws(HGNetError) {
      try checkSize(contents)
      let bytes = contents.withUnsafeBytes { Array($0) }
      var position = 0
      while position < bytes.count {
        guard let space = bytes[position...].firstIndex(of: 0x20), space - position <= 8,
          let length = Int(String(decoding: bytes[position..<space], as: UTF8.self)), length > space - position,
          length <= bytes.count - position, bytes[position + length - 1] == 0x0A,
          let equals = bytes[space..<position + length].firstIndex(of: UInt8(ascii: "="))
        else { throw HGNetError(.malformedData, "an extended tar header (pax) has a broken record") }
        let key = String(decoding: bytes[space + 1..<equals], as: UTF8.self)
        let value = String(decoding: bytes[equals + 1..<position + length - 1], as: UTF8.self)
        switch key {
        case "path": name = value
        case "size":
          guard let number = Int(value), number >= 0 else {
            throw HGNetError(.malformedData, "an extended tar header (pax) has the size \(JSON.quoted(value))")
          }
          size = number
        case _ where key.hasPrefix("GNU.sparse."):
          throw HGNetError(.unsupported, "sparse files in tar archives are not read; pack the archive without --sparse")
        default: break
        }
        position += length
      }
    }

    private func checkSize(_ contents: BlobSlice) throws(HGNetError) {
      guard contents.count <= Overrides.maximumSize else {
        throw HGNetError(.limitExceeded, "an extended tar header has \(contents.count) bytes; no name is that long")
      }
    }
  }

  /// The fields of a header block that matter.
  private struct Header {
    let isZero: Bool
    let isChecksumRight: Bool
    let name: String
    let kind: UInt8
    /// The number of bytes of the contents, or nil when it is not a number.
    let size: Int?

    init(block: UnsafeRawBufferPointer) {
      func field(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: block[range]) }
      isZero = block.allSatisfy { $0 == 0 }
      // The checksum counts its own field as eight spaces; some old writers summed signed bytes.
      var unsigned = 8 * 0x20
      var signed = 8 * 0x20
      for (index, byte) in block.enumerated() where !(148..<156).contains(index) {
        unsigned += Int(byte)
        signed += Int(Int8(bitPattern: byte))
      }
      let checksum = Header.number(field(148..<156))
      isChecksumRight = checksum == unsigned || checksum == signed
      kind = block[156]
      size = Header.number(field(124..<136))
      let isUstar = field(257..<263).elementsEqual(Array("ustar\0".utf8))
      let prefix = isUstar ? Tar.text(field(345..<500)) : ""
      let suffix = Tar.text(field(0..<100))
      name = prefix.isEmpty ? suffix : "\(prefix)/\(suffix)"
    }

    /// Whether blocks of contents follow; links, devices and folders have none, whatever their size says.
    var hasContents: Bool { !(UInt8(ascii: "1")...UInt8(ascii: "6")).contains(kind) }

    /// Octal digits between spaces and zeros, or GNU's base 256 behind a set first bit.
    private static func number(_ field: UnsafeRawBufferPointer) -> Int? {
      if let first = field.first, first & 0x80 != 0 {
        guard first == 0x80 else { return nil }
        var value = 0
        for byte in field.dropFirst() {
          guard value < 1 << 55 else { return nil }
          value = value << 8 | Int(byte)
        }
        return value
      }
      var value = 0
      var hasDigit = false
      var hasEnded = false
      for byte in field {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "7"):
          guard !hasEnded else { return nil }
          value = value << 3 | Int(byte - UInt8(ascii: "0"))
          hasDigit = true
        case 0x20, 0: hasEnded = hasDigit
        default: return nil
        }
      }
      return hasDigit ? value : nil
    }
  }

  /// The bytes before the first zero, as UTF-8.
  private static func text(_ bytes: UnsafeRawBufferPointer) -> String {
    String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  }
}
