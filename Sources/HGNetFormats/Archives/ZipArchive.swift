import HGNetCore

/// The directory of a zip file whose entries are stored without compression, as PyTorch writes them.
///
/// Zip64 included; encryption, compression and archives in several parts are not.
struct ZipArchive {
  private struct Entry {
    var method: Int
    var storedByteCount: Int
    var byteCount: Int
    var headerOffset: Int
  }

  /// The names of the entries in the order of the directory.
  private(set) var names: [String] = []
  private var entries: [String: Entry] = [:]
  private let blob: Blob

  /// Whether a file starts as a zip file does.
  static func isZip(_ blob: Blob) -> Bool {
    blob.count >= 22 && blob[0] == 0x50 && blob[1] == 0x4B && blob[2] == 0x03 && blob[3] == 0x04
  }

  /// Reads the directory at the end of a file.
  ///
  /// - Throws: `HGNetError.Code.malformedData` for a truncated or damaged archive, `unsupported` for one in parts.
  init(_ blob: Blob) throws(HGNetError) {
    self.blob = blob
    let directory = try ZipArchive.locateDirectory(blob)
    var position = directory.lowerBound
    while position < directory.upperBound {
      guard try blob.unsigned(4, at: position) == 0x0201_4B50 else {
        throw blob.damaged("expected an entry of the zip directory at byte \(position), found something else")
      }
      let nameLength = Int(try blob.unsigned(2, at: position + 28))
      let extraLength = Int(try blob.unsigned(2, at: position + 30))
      let commentLength = Int(try blob.unsigned(2, at: position + 32))
      var entry = Entry(
        method: Int(try blob.unsigned(2, at: position + 10)),
        storedByteCount: Int(try blob.unsigned(4, at: position + 20)),
        byteCount: Int(try blob.unsigned(4, at: position + 24)),
        headerOffset: Int(try blob.unsigned(4, at: position + 42)))
      let nameStart = position + 46
      let next = nameStart + nameLength + extraLength + commentLength
      guard next <= directory.upperBound else { throw blob.damaged("the zip directory is truncated") }
      try ZipArchive.readZip64(blob, nameStart + nameLength..<nameStart + nameLength + extraLength, into: &entry)
      let name = blob.withUnsafeBytes { String(decoding: $0[nameStart..<nameStart + nameLength], as: UTF8.self) }
      if entries.updateValue(entry, forKey: name) == nil { names.append(name) }
      position = next
    }
  }

  /// The bytes of an entry, nil when there is none of that name.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for a compressed entry, `malformedData` for a damaged one.
  func contents(of name: String) throws(HGNetError) -> BlobSlice? {
    guard let entry = entries[name] else { return nil }
    guard entry.method == 0, entry.storedByteCount == entry.byteCount else {
      throw HGNetError(
        .unsupported,
        "expected entries without compression, as torch.save writes them, found a compressed one; "
          + "unpack the archive and pack it again without compression (zip -0)",
        path: blob.path, key: name)
    }
    guard try blob.unsigned(4, at: entry.headerOffset) == 0x0403_4B50 else {
      throw blob.damaged("expected the header of the zip entry \(name) at byte \(entry.headerOffset)")
    }
    let nameLength = Int(try blob.unsigned(2, at: entry.headerOffset + 26))
    let extraLength = Int(try blob.unsigned(2, at: entry.headerOffset + 28))
    let start = entry.headerOffset + 30 + nameLength + extraLength
    guard start <= blob.count, entry.byteCount <= blob.count - start else {
      throw blob.damaged("the zip entry \(name) leaves the file: it is truncated; fetch or save it again")
    }
    return try BlobSlice(blob, range: start..<start + entry.byteCount)
  }

  private static func locateDirectory(_ blob: Blob) throws(HGNetError) -> Range<Int> {
    var end = blob.count - 22
    let lowest = max(0, end - 0xFFFF)
    while end >= lowest {
      if blob[end] == 0x50, try blob.unsigned(4, at: end) == 0x0605_4B50,
        Int(try blob.unsigned(2, at: end + 20)) == blob.count - end - 22
      {
        break
      }
      end -= 1
    }
    guard end >= lowest else {
      throw blob.damaged("expected a zip directory at the end of the file, found none: it is truncated; fetch it again")
    }
    var size = try blob.unsigned(4, at: end + 12)
    var offset = try blob.unsigned(4, at: end + 16)
    var limit = end
    if end >= 20, try blob.unsigned(4, at: end - 20) == 0x0706_4B50 {
      let record = try blob.offset(try blob.unsigned(8, at: end - 12))
      guard record <= end - 20, try blob.unsigned(4, at: record) == 0x0606_4B50 else {
        throw blob.damaged("the zip64 directory record is not where it should be")
      }
      size = try blob.unsigned(8, at: record + 40)
      offset = try blob.unsigned(8, at: record + 48)
      limit = record
    }
    guard offset <= UInt64(limit), size <= UInt64(limit) - offset else {
      throw blob.damaged("the zip directory leaves the file; the archive is damaged or in several parts")
    }
    return Int(offset)..<Int(offset + size)
  }

  /// Replaces the sizes and offsets that do not fit 32 bits by those of the zip64 field.
  private static func readZip64(_ blob: Blob, _ extra: Range<Int>, into entry: inout Entry) throws(HGNetError) {
    var position = extra.lowerBound
    while position + 4 <= extra.upperBound {
      let kind = try blob.unsigned(2, at: position)
      let end = position + 4 + Int(try blob.unsigned(2, at: position + 2))
      guard end <= extra.upperBound else { return }
      position += 4
      if kind == 1 {
        for field in [\Entry.byteCount, \.storedByteCount, \.headerOffset] where entry[keyPath: field] == 0xFFFF_FFFF {
          guard position + 8 <= end else { throw blob.damaged("a zip64 field is too short") }
          entry[keyPath: field] = try blob.offset(try blob.unsigned(8, at: position))
          position += 8
        }
      }
      position = end
    }
  }
}

extension Blob {
  /// A little-endian unsigned integer.
  ///
  /// - Throws: `HGNetError.Code.malformedData` when it leaves the blob.
  func unsigned(_ byteCount: Int, at offset: Int) throws(HGNetError) -> UInt64 {
    guard offset >= 0, byteCount <= count, offset <= count - byteCount else {
      throw damaged("expected \(byteCount) bytes at byte \(offset), found the end: it is truncated; fetch it again")
    }
    return withUnsafeBytes { $0[offset..<offset + byteCount].reversed().reduce(0) { $0 << 8 | UInt64($1) } }
  }

  /// A number of the file as an offset into it.
  func offset(_ value: UInt64) throws(HGNetError) -> Int {
    guard value <= UInt64(count) else { throw damaged("byte \(value) is beyond the end of the file") }
    return Int(value)
  }

  /// An error about this file.
  func damaged(_ message: String) -> HGNetError { HGNetError(.malformedData, message, path: path) }
}
