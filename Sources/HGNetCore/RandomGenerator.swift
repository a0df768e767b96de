import HGNetPlatform

/// A seeded generator of random numbers: xoshiro256++, its state spread from seed and stream name by SplitMix64.
///
/// The same seed and stream give the same integers and the same uniform numbers on every machine; normal numbers agree
/// up to the rounding of the system's `log`. Streams of different names are independent: give each parameter, epoch or
/// worker its own, and adding one leaves the others alone. Not for secrets.
///
/// Threads: a value, one per task. Source: D. Blackman and S. Vigna, "Scrambled Linear Pseudorandom Number Generators",
/// 2021; G. Steele, D. Lea and C. Flood, "Fast Splittable Pseudorandom Number Generators", 2014.
package struct RandomGenerator: RandomNumberGenerator, Sendable {
  private var state: (UInt64, UInt64, UInt64, UInt64)
  private var spareNormal: Double?

  /// Makes the generator of a seed and, where several are needed, of a named stream.
  package init(seed: UInt64, stream: String = "") {
    // The name enters by 64-bit FNV-1a.
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in stream.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
    var counter = seed
    var spread = RandomGenerator.splitMix(&counter) ^ hash
    func word() -> UInt64 { RandomGenerator.splitMix(&spread) }
    // SplitMix64 yields each value once per period, so the four words are never all zero.
    state = (word(), word(), word(), word())
  }

  private static func splitMix(_ counter: inout UInt64) -> UInt64 {
    counter &+= 0x9E37_79B9_7F4A_7C15
    var mixed = counter
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  /// All that decides the numbers to come, in six words.
  package var words: [UInt64] {
    [state.0, state.1, state.2, state.3, spareNormal == nil ? 0 : 1, spareNormal?.bitPattern ?? 0]
  }

  /// Makes the generator that goes on where `words` were taken.
  ///
  /// - Throws: `HGNetError.Code.malformedData` for words that no generator has.
  package init(words: [UInt64]) throws(HGNetError) {
    guard words.count == 6, words[4] <= 1, words[..<4].contains(where: { $0 != 0 }) else {
      throw HGNetError(.malformedData, "expected the six words of a random generator, found \(words.count) or others")
    }
    state = (words[0], words[1], words[2], words[3])
    spareNormal = words[4] == 1 ? Double(bitPattern: words[5]) : nil
  }

  /// The next 64 random bits.
  package mutating func next() -> UInt64 {
    func rotated(_ word: UInt64, _ bits: UInt64) -> UInt64 { word << bits | word >> (64 - bits) }
    let result = rotated(state.0 &+ state.3, 23) &+ state.0
    let shifted = state.1 << 17
    state.2 ^= state.0
    state.3 ^= state.1
    state.1 ^= state.2
    state.0 ^= state.3
    state.2 ^= shifted
    state.3 = rotated(state.3, 45)
    return result
  }

  /// A number in [0, 1), a multiple of 2^-24, each equally likely.
  package mutating func uniform() -> Float { Float(next() >> 40) * 0x1p-24 }

  /// A number between two bounds; the upper one can come out by rounding only.
  package mutating func uniform(from lower: Float, to upper: Float) -> Float { lower + (upper - lower) * uniform() }

  /// A number of the normal distribution of mean 0 and standard deviation 1, by the polar method in float64.
  package mutating func normal() -> Float {
    if let spare = spareNormal {
      spareNormal = nil
      return Float(spare)
    }
    while true {
      let x = Double(next() >> 11) * 0x1p-52 - 1
      let y = Double(next() >> 11) * 0x1p-52 - 1
      let square = x * x + y * y
      guard square > 0, square < 1 else { continue }
      let factor = (-2 * log(square) / square).squareRoot()
      spareNormal = y * factor
      return Float(x * factor)
    }
  }
}
