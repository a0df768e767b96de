import HGNetCore

/// A small seeded generator for test data.
struct TestRandom {
  private var state: UInt64

  init(seed: UInt64) { state = seed &* 2_862_933_555_777_941_757 &+ 3_037_000_493 }

  /// The next value in [0, 1).
  mutating func uniform() -> Float {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(state >> 40) * 0x1p-24
  }

  /// A value of mean 0 and variance 1.
  mutating func normal() -> Float {
    var sum: Float = 0
    for _ in 0..<4 { sum += uniform() }
    return (sum - 2) * 1.732_050_8
  }

  mutating func values(_ count: Int) -> [Float] { (0..<count).map { _ in normal() } }

  mutating func tensor(_ shape: Shape) -> Tensor { Tensor(shape: shape, values: values(shape.count)) }
}
