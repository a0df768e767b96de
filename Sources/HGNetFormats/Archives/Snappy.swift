import HGNetCore

/// Snappy's raw block, without framing: a length, then literals and copies of what has come out already.
package enum Snappy {
  /// The bytes that were packed.
  ///
  /// - Parameters:
  ///   - packed: one whole block.
  ///   - limit: the most bytes that may come out; no more are ever held.
  /// - Throws: `HGNetError.Code.limitExceeded` for more than `limit` bytes, `malformedData` for bytes that do not follow the
  ///   format or do not give as many as they say.
  package static func unpack(_ packed: BlobSlice, limit: Int) throws(HGNetError) -> Blob {
    let (count, start) = try packed.withUnsafeBytes { (bytes) throws(HGNetError) in try length(bytes) }
    guard count <= limit else {
      throw HGNetError(.limitExceeded, "expected at most \(limit) bytes when unpacked, found \(count)")
    }
    // A copy takes two bytes at least and gives 64 at most.
    guard count <= (packed.count - start) * 32 else { throw malformed }
    return try Blob(allocating: count, for: "what comes out of a snappy block") { (target) throws(HGNetError) in
      try packed.withUnsafeBytes { (bytes) throws(HGNetError) in try unpack(bytes, from: start, into: target) }
    }
  }

  private static var malformed: HGNetError {
    HGNetError(.malformedData, "expected a block of snappy, found bytes that do not follow it")
  }

  /// The length that the block says it has, and where its elements begin.
  private static func length(_ bytes: UnsafeRawBufferPointer) throws(HGNetError) -> (count: Int, start: Int) {
    var count = 0
    for index in 0..<min(5, bytes.count) {
      count |= Int(bytes[index] & 0x7F) << (7 * index)
      if bytes[index] < 0x80 {
        guard count <= UInt32.max else { break }
        return (count, index + 1)
      }
    }
    throw malformed
  }

  private static func unpack(
    _ bytes: UnsafeRawBufferPointer, from start: Int, into target: UnsafeMutableRawBufferPointer
  ) throws(HGNetError) {
    var position = start
    var filled = 0
    /// A number of one to four bytes, the lowest first.
    func number(_ byteCount: Int) throws(HGNetError) -> Int {
      guard byteCount <= bytes.count - position else { throw malformed }
      var value = 0
      for index in 0..<byteCount { value |= Int(bytes[position + index]) << (8 * index) }
      position += byteCount
      return value
    }
    while position < bytes.count {
      let tag = Int(bytes[position])
      position += 1
      if tag & 3 == 0 {
        let short = tag >> 2
        let count = (short < 60 ? short : try number(short - 59)) + 1
        guard count <= bytes.count - position, count <= target.count - filled else { throw malformed }
        UnsafeMutableRawBufferPointer(rebasing: target[filled..<filled + count])
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[position..<position + count]))
        position += count
        filled += count
        continue
      }
      let count = tag & 3 == 1 ? (tag >> 2 & 7) + 4 : (tag >> 2) + 1
      let offset =
        switch tag & 3 {
        case 1: (tag >> 5) << 8 | (try number(1))
        case 2: try number(2)
        default: try number(4)
        }
      guard offset > 0, offset <= filled, count <= target.count - filled else { throw malformed }
      // A copy may reach into what it makes.
      for index in filled..<filled + count { target[index] = target[index - offset] }
      filled += count
    }
    guard filled == target.count else { throw malformed }
  }

  // MARK: - Packing

  /// Places are kept by a hash of four bytes, of so many bits.
  private static let hashBits = 12
  /// The farthest that a copy of two bytes of distance reaches back.
  private static let farthest = 0xFFFF
  /// The most bytes of one copy.
  private static let longestCopy = 64

  /// Bytes as one block; nil for more than a block can have.
  package static func pack(_ bytes: [UInt8]) -> [UInt8]? {
    guard bytes.count <= Int32.max else { return nil }
    var packed: [UInt8] = []
    var count = bytes.count
    while count >= 0x80 {
      packed.append(UInt8(truncatingIfNeeded: count) | 0x80)
      count >>= 7
    }
    packed.append(UInt8(count))
    bytes.withUnsafeBytes { bytes in
      var places = [Int32](repeating: -1, count: 1 << hashBits)
      var (begin, position) = (0, 0)
      while position + 4 <= bytes.count {
        let word = bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self)
        let key = Int((word &* 0x1E35_A7BD) >> UInt32(32 - hashBits))
        let earlier = Int(places[key])
        places[key] = Int32(truncatingIfNeeded: position)
        guard earlier >= 0, position - earlier <= farthest,
          bytes.loadUnaligned(fromByteOffset: earlier, as: UInt32.self) == word
        else {
          position += 1
          continue
        }
        var end = position + 4
        while end < bytes.count, bytes[end] == bytes[end - position + earlier] { end += 1 }
        literal(bytes[begin..<position], into: &packed)
        copy(end - position, distance: position - earlier, into: &packed)
        (begin, position) = (end, end)
      }
      literal(bytes[begin...], into: &packed)
    }
    return packed
  }

  private static func literal(_ bytes: Slice<UnsafeRawBufferPointer>, into packed: inout [UInt8]) {
    guard !bytes.isEmpty else { return }
    let last = bytes.count - 1
    if last < 60 {
      packed.append(UInt8(last << 2))
    } else {
      let width = (last.bitWidth - last.leadingZeroBitCount + 7) / 8
      packed.append(UInt8((59 + width) << 2))
      for index in 0..<width { packed.append(UInt8(truncatingIfNeeded: last >> (8 * index))) }
    }
    packed += bytes
  }

  private static func copy(_ count: Int, distance: Int, into packed: inout [UInt8]) {
    var rest = count
    while rest > 0 {
      let part = min(rest, longestCopy)
      packed.append(UInt8((part - 1) << 2 | 2))
      packed.append(UInt8(truncatingIfNeeded: distance))
      packed.append(UInt8(truncatingIfNeeded: distance >> 8))
      rest -= part
    }
  }
}
