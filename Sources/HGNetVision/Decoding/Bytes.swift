/// Integers read from bytes that come from outside: nothing past the end, nothing that overflows.
struct Bytes {
  let base: UnsafeRawBufferPointer

  init(_ base: UnsafeRawBufferPointer) { self.base = base }

  var count: Int { base.count }

  /// The byte at an offset, or nil outside.
  func byte(at offset: Int) -> UInt8? {
    offset >= 0 && offset < base.count ? base[offset] : nil
  }

  /// An unsigned 16-bit integer, or nil outside.
  func integer16(at offset: Int, isBigEndian: Bool) -> Int? {
    guard offset >= 0, offset <= base.count - 2 else { return nil }
    let value = base.loadUnaligned(fromByteOffset: offset, as: UInt16.self)
    return Int(isBigEndian ? UInt16(bigEndian: value) : UInt16(littleEndian: value))
  }

  /// An unsigned 32-bit integer, or nil outside.
  func integer32(at offset: Int, isBigEndian: Bool) -> Int? {
    guard offset >= 0, offset <= base.count - 4 else { return nil }
    let value = base.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
    return Int(isBigEndian ? UInt32(bigEndian: value) : UInt32(littleEndian: value))
  }

  /// A signed little-endian 32-bit integer, or nil outside.
  func signed32(at offset: Int) -> Int? {
    integer32(at: offset, isBigEndian: false).map { Int(Int32(truncatingIfNeeded: $0)) }
  }

  /// Whether the ASCII text stands at an offset.
  func has(_ text: StaticString, at offset: Int = 0) -> Bool {
    guard offset >= 0, text.utf8CodeUnitCount <= base.count - offset else { return false }
    for index in 0..<text.utf8CodeUnitCount where base[offset + index] != text.utf8Start[index] { return false }
    return true
  }

  /// The bytes of a range, cut at the end of what is there.
  func slice(from offset: Int, count: Int) -> Bytes {
    let first = min(max(offset, 0), base.count)
    return Bytes(UnsafeRawBufferPointer(rebasing: base[first..<(first + min(max(count, 0), base.count - first))]))
  }
}
