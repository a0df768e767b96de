import HGNetCore

extension TorchCheckpoint {
  /// The ten bytes of the integer that PyTorch writes first, as pickle encodes it.
  private static let magic: [UInt8] = [0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E]

  /// The length of the first pickle when it is the magic number, nil otherwise.
  private static func magicLength(_ blob: Blob) -> Int? {
    blob.withUnsafeBytes { bytes in
      guard bytes.count >= 2, bytes[0] == 0x80 else { return nil }
      // From protocol 4 on, a frame of nine bytes may come before the number.
      let start = bytes[1] >= 4 && bytes.count > 2 && bytes[2] == 0x95 ? 11 : 2
      guard bytes.count >= start + magic.count, bytes[start..<start + magic.count].elementsEqual(magic) else {
        return nil
      }
      return start + magic.count
    }
  }

  static func isLegacy(_ blob: Blob) -> Bool { magicLength(blob) != nil }

  /// Reads the form before PyTorch 1.6: magic number, protocol version, facts of the writing system, the object, the
  /// keys of its storages, and then each storage as a count of elements and the elements.
  static func readLegacy(_ blob: Blob) throws(HGNetError) -> Contents {
    var position = magicLength(blob) ?? 0
    func next() throws(HGNetError) -> PickleValue {
      let result = try Pickle.read(try BlobSlice(blob, range: position..<blob.count))
      position += result.byteCount
      return result.value
    }
    let version = try next()
    guard case .integer(1001) = version else {
      throw HGNetError(.unsupported, "expected version 1001 of PyTorch's file protocol, found another one")
    }
    if case .dictionary(let system) = try next(), case .bool(false) = system["little_endian"] {
      throw HGNetError(.unsupported, "expected a little-endian checkpoint, found a big-endian one")
    }
    let value = try next()
    guard case .list(let keys) = try next() else {
      throw HGNetError(.malformedData, "expected the list of storages behind the object, found something else")
    }
    let elementTypes = storageTypes(of: value)
    var storages: [String: BlobSlice] = [:]
    for key in keys {
      guard case .text(let key) = key else {
        throw HGNetError(.malformedData, "expected the list of storages behind the object, found something else")
      }
      let count = try blob.unsigned(8, at: position)
      position += 8
      // A storage that no tensor refers to has an unknown size of elements: nothing behind it can be found.
      guard let size = elementTypes[key]?.byteCount else {
        throw HGNetError(.unsupported, "the storage \(key) belongs to no tensor of the checkpoint")
      }
      let (byteCount, overflow) = (try blob.offset(count)).multipliedReportingOverflow(by: size)
      guard !overflow, byteCount <= blob.count - position else {
        throw blob.damaged(
          "the file is truncated: a storage of \(count) elements is announced, \(blob.count - position) bytes are left; "
            + "fetch or save it again")
      }
      storages[key] = try BlobSlice(blob, range: position..<position + byteCount)
      position += byteCount
    }
    return try parameters(of: value, fileByteCount: blob.count) { (storage) throws(HGNetError) in
      guard let bytes = storages[storage.key] else {
        throw HGNetError(.malformedData, "expected a storage \(storage.key) behind the object, found none")
      }
      return bytes
    }
  }

  /// The element types of all storages that a value refers to, by key.
  private static func storageTypes(of value: PickleValue) -> [String: ElementType] {
    var result: [String: ElementType] = [:]
    var pending = [value]
    while let value = pending.popLast() {
      switch value {
      case .tensor(let tensor): result[tensor.storage.key] = tensor.storage.elementType
      case .storage(let storage): result[storage.key] = storage.elementType
      case .tuple(let items), .list(let items): pending.append(contentsOf: items)
      case .dictionary(let dictionary):
        for pair in dictionary.pairs {
          pending.append(pair.key)
          pending.append(pair.value)
        }
      default: break
      }
    }
    return result
  }
}
