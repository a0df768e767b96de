/// Makes inputs from seeds: the same ones for the same number.
struct Generator {
  private var state: UInt64
  private let seeds: [[UInt8]]
  /// What lengths and counts in a file are likely to be got wrong by.
  private static let numbers: [UInt64] = [
    0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x1_0000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000,
    0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF,
  ]
  private static let texts = [
    "99999999999999999999", "-1", "1e308", "NaN", "[[[[[[[[", "\"\\u0000", "{\"a\":", "\u{FEFF}", "&a *a", "<<: *a", "\r\n", "../../",
    "\u{1F9E8}",
  ].map { Array($0.utf8) }

  init(seed: UInt64, seeds: [[UInt8]]) {
    state = seed
    self.seeds = seeds.isEmpty ? [[]] : seeds
  }

  private mutating func random() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
  }

  private mutating func below(_ count: Int) -> Int { count > 0 ? Int(random() % UInt64(count)) : 0 }

  /// The next input: a seed with one to eight changes.
  mutating func next() -> [UInt8] {
    var bytes = seeds[below(seeds.count)]
    for _ in 0...below(8) { change(&bytes) }
    return bytes
  }

  private mutating func change(_ bytes: inout [UInt8]) {
    let place = below(bytes.count)
    let length = min(1 << below(8), bytes.count - place)
    switch below(11) {
    case 0 where !bytes.isEmpty: bytes[place] ^= 1 << below(8)
    case 1 where !bytes.isEmpty: bytes[place] = UInt8(truncatingIfNeeded: random())
    case 2, 3:
      // A number of 1, 2, 4 or 8 bytes in either order, where a length may stand.
      let number = Generator.numbers[below(Generator.numbers.count)] &+ UInt64(below(3)) &- 1
      let (width, isBigEndian) = (1 << below(4), below(2) == 0)
      for index in 0..<width where place + index < bytes.count {
        bytes[place + index] = UInt8(truncatingIfNeeded: number >> UInt64(8 * (isBigEndian ? width - 1 - index : index)))
      }
    case 4: bytes.removeSubrange(place..<(place + length))
    case 5: bytes.insert(contentsOf: Array(bytes[place..<(place + length)]), at: below(bytes.count + 1))
    case 6: bytes.removeLast(min(bytes.count, below(64) + 1))
    case 7:
      let other = seeds[below(seeds.count)]
      let start = below(other.count)
      bytes.insert(contentsOf: other[start..<min(other.count, start + 1 << below(8))], at: below(bytes.count + 1))
    case 8: bytes.insert(contentsOf: Generator.texts[below(Generator.texts.count)], at: place)
    case 9:
      for index in place..<(place + length) { bytes[index] = UInt8(truncatingIfNeeded: random()) }
    default: bytes.insert(contentsOf: [UInt8](repeating: bytes.isEmpty ? 0x28 : bytes[place], count: 1 << below(10)), at: place)
    }
    // Long inputs are slow and find no more.
    if bytes.count > 1 << 18 { bytes.removeLast(bytes.count - 1 << 18) }
  }
}
