import HGNetCore
import Testing

@Suite("Random numbers")
struct RandomTests {
  /// Computed by a separate implementation of the published algorithms.
  @Test(
    "The same integers everywhere",
    arguments: [
      (0, "", [0x96BB3C9CAB98ED3F, 0x65B64FBC9A770E81, 0xED86FB2D91DE1AE1, 0xC597F5E135156F81]),
      (42, "fc.weight", [0x044B53A4237A126E, 0x0D737F642C01CFAA, 0x97D2B971CFCE1131, 0x2573E9CD953EF086]),
    ] as [(UInt64, String, [UInt64])])
  func integers(_ seed: UInt64, _ stream: String, _ expected: [UInt64]) {
    var generator = RandomGenerator(seed: seed, stream: stream)
    #expect((0..<expected.count).map { _ in generator.next() } == expected)
  }

  @Test("Streams and seeds differ")
  func streams() {
    func first(_ seed: UInt64, _ stream: String) -> UInt64 {
      var generator = RandomGenerator(seed: seed, stream: stream)
      return generator.next()
    }
    let values = [first(0, ""), first(1, ""), first(0, "a"), first(0, "b"), first(1, "a"), first(0, "ab")]
    #expect(Set(values).count == values.count)
  }

  @Test("Uniform numbers fill [0, 1) evenly")
  func uniform() {
    var generator = RandomGenerator(seed: 5)
    var buckets = [Int](repeating: 0, count: 16)
    for _ in 0..<160_000 {
      let value = generator.uniform()
      #expect(value >= 0 && value < 1)
      buckets[Int(value * 16)] += 1
    }
    // Six standard deviations of a bucket's count, sqrt(160000 · 1/16 · 15/16) ≈ 97.
    #expect(buckets.allSatisfy { abs($0 - 10_000) < 600 })
  }

  @Test("Normal numbers have the moments of the normal distribution")
  func normal() {
    var generator = RandomGenerator(seed: 6)
    let count = 200_000
    var sums = (0.0, 0.0, 0.0, 0.0)
    for _ in 0..<count {
      let value = Double(generator.normal())
      sums.0 += value
      sums.1 += value * value
      sums.2 += value * value * value
      sums.3 += value * value * value * value
    }
    let scale = 1 / Double(count)
    #expect(abs(sums.0 * scale) < 0.015)
    #expect(abs(sums.1 * scale - 1) < 0.02)
    #expect(abs(sums.2 * scale) < 0.04)
    #expect(abs(sums.3 * scale - 3) < 0.15)
  }
}
