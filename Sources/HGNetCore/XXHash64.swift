/// The 64-bit hash XXH64 of bytes with seed 0, as `xxh64sum` prints it.
///
/// It tells files of two checkpoints apart, or data sets of two ranks, and finds damage; it is no protection against intent.
///
/// Source: Y. Collet, "xxHash fast digest algorithm", specification 0.1.1.
package enum XXHash64 {
  private static let prime1: UInt64 = 0x9E37_79B1_85EB_CA87
  private static let prime2: UInt64 = 0xC2B2_AE3D_27D4_EB4F
  private static let prime3: UInt64 = 0x1656_67B1_9E37_79F9
  private static let prime4: UInt64 = 0x85EB_CA77_C2B2_AE63
  private static let prime5: UInt64 = 0x27D4_EB2F_1656_67C5

  /// The hash as 16 hexadecimal digits.
  package static func text(of blob: Blob) -> String { text(blob.withUnsafeBytes { value(of: $0) }) }

  private static func text(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  /// One hash of several things in a row.
  package struct Chain {
    private var value: UInt64 = 0

    /// Begins with nothing.
    package init() {}

    /// Adds bytes.
    package mutating func add(_ bytes: UnsafeRawBufferPointer) {
      var pair = (value, XXHash64.value(of: bytes))
      value = withUnsafeBytes(of: &pair) { XXHash64.value(of: $0) }
    }

    /// Adds the bytes of a text in UTF-8.
    package mutating func add(_ text: String) {
      let bytes = Array(text.utf8)
      bytes.withUnsafeBytes { add($0) }
    }

    /// Adds the names of parameters and their bytes, in their order.
    package mutating func add(_ store: ParameterStore) {
      for name in store.names {
        add(name)
        store[name]?.withUnsafeBytes { add($0) }
      }
    }

    /// The hash as 16 hexadecimal digits.
    package var text: String { XXHash64.text(value) }
  }

  /// The hash.
  package static func value(of bytes: UnsafeRawBufferPointer) -> UInt64 {
    var hash: UInt64
    var position = 0
    if bytes.count >= 32 {
      var lane0 = prime1 &+ prime2
      var lane1 = prime2
      var lane2: UInt64 = 0
      var lane3 = 0 &- prime1
      while position <= bytes.count - 32 {
        lane0 = round(lane0, word(bytes, position))
        lane1 = round(lane1, word(bytes, position + 8))
        lane2 = round(lane2, word(bytes, position + 16))
        lane3 = round(lane3, word(bytes, position + 24))
        position += 32
      }
      hash = rotated(lane0, 1) &+ rotated(lane1, 7) &+ rotated(lane2, 12) &+ rotated(lane3, 18)
      for lane in [lane0, lane1, lane2, lane3] { hash = (hash ^ round(0, lane)) &* prime1 &+ prime4 }
    } else {
      hash = prime5
    }
    hash &+= UInt64(bytes.count)
    while position <= bytes.count - 8 {
      hash = rotated(hash ^ round(0, word(bytes, position)), 27) &* prime1 &+ prime4
      position += 8
    }
    if position <= bytes.count - 4 {
      let half = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self))
      hash = rotated(hash ^ UInt64(half) &* prime1, 23) &* prime2 &+ prime3
      position += 4
    }
    while position < bytes.count {
      hash = rotated(hash ^ UInt64(bytes[position]) &* prime5, 11) &* prime1
      position += 1
    }
    hash = (hash ^ hash >> 33) &* prime2
    hash = (hash ^ hash >> 29) &* prime3
    return hash ^ hash >> 32
  }

  private static func word(_ bytes: UnsafeRawBufferPointer, _ position: Int) -> UInt64 {
    UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self))
  }

  private static func rotated(_ word: UInt64, _ bits: UInt64) -> UInt64 { word << bits | word >> (64 - bits) }

  private static func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
    rotated(lane &+ word &* prime2, 31) &* prime1
  }
}
