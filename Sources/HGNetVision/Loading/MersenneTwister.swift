/// NumPy's legacy generator of random numbers, `numpy.random.RandomState(seed)`: MT19937.
///
/// It exists to reproduce PaddlePaddle's order of samples; for everything else there is `RandomGenerator`. The same
/// integers on every machine. Threads: a value, one per task.
///
/// Source: M. Matsumoto and T. Nishimura, "Mersenne Twister", 1998, with the initialisation of 2002.
package struct MersenneTwister: Sendable {
  private static let size = 624
  private static let middle = 397
  private var state: [UInt32]
  private var position = MersenneTwister.size

  /// Makes the generator of a seed.
  package init(seed: UInt32) {
    state = [UInt32](repeating: seed, count: MersenneTwister.size)
    for index in 1..<MersenneTwister.size {
      let previous = state[index - 1]
      state[index] = 1_812_433_253 &* (previous ^ previous >> 30) &+ UInt32(index)
    }
  }

  /// The next 32 random bits.
  package mutating func next() -> UInt32 {
    if position == MersenneTwister.size { refill() }
    var word = state[position]
    position += 1
    word ^= word >> 11
    word ^= word << 7 & 0x9D2C_5680
    word ^= word << 15 & 0xEFC6_0000
    return word ^ word >> 18
  }

  /// A number in `0 ... maximum`, each equally likely, drawn as NumPy's shuffle draws it.
  ///
  /// Bits beyond the highest of `maximum` are masked off and numbers above it drawn again; more than 32 bits take two
  /// words, the upper one first.
  package mutating func next(upTo maximum: UInt64) -> UInt64 {
    guard maximum > 0 else { return 0 }
    let mask = UInt64.max >> UInt64(maximum.leadingZeroBitCount)
    while true {
      var word = UInt64(next())
      if maximum > UInt32.max { word = word << 32 | UInt64(next()) }
      word &= mask
      if word <= maximum { return word }
    }
  }

  /// Shuffles as `RandomState.shuffle` does.
  package mutating func shuffle<Element>(_ elements: inout [Element]) {
    for index in stride(from: elements.count - 1, to: 0, by: -1) {
      elements.swapAt(index, Int(next(upTo: UInt64(index))))
    }
  }

  private mutating func refill() {
    func twisted(_ upper: UInt32, _ lower: UInt32) -> UInt32 {
      let mixed = upper & 0x8000_0000 | lower & 0x7FFF_FFFF
      return mixed >> 1 ^ (mixed & 1 == 0 ? 0 : 0x9908_B0DF)
    }
    let size = MersenneTwister.size
    for index in 0..<size {
      let next = twisted(state[index], state[(index + 1) % size])
      state[index] = state[(index + MersenneTwister.middle) % size] ^ next
    }
    position = 0
  }
}
