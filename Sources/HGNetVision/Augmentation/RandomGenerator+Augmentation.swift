import HGNetCore
import HGNetPlatform

extension RandomGenerator {
  /// Makes the generator of one picture in one epoch.
  ///
  /// Each pair has its own stream, so that a picture is changed in the same way whichever thread does it, in whatever
  /// order, and however many pictures were skipped before it.
  ///
  /// - Parameters:
  ///   - seed: the seed of the run.
  ///   - epoch: the pass over the data.
  ///   - sample: the index of the picture in the data set.
  package init(seed: UInt64, epoch: Int, sample: Int) {
    self.init(seed: seed, stream: "augmentation \(epoch) \(sample)")
  }

  /// Makes the generator of what happens to one batch as a whole.
  ///
  /// - Parameters:
  ///   - seed: the seed of the run.
  ///   - epoch: the pass over the data.
  ///   - batch: the number of the batch in the epoch.
  package init(seed: UInt64, epoch: Int, batch: Int) {
    self.init(seed: seed, stream: "mixing \(epoch) \(batch)")
  }

  /// A number in [0, 1), a multiple of 2⁻⁵³.
  mutating func fraction() -> Double { Double(next() >> 11) * 0x1p-53 }

  /// A number between two bounds in either order.
  mutating func number(from first: Double, to last: Double) -> Double { first + (last - first) * fraction() }

  /// One of the numbers 0 … `last`; 0 for a `last` below 1.
  mutating func integer(upTo last: Int) -> Int {
    guard last > 0 else { return 0 }
    return Int((UInt64(last) + 1).multipliedFullWidth(by: next()).high)
  }

  /// Heads or tails.
  mutating func coin() -> Bool { next() >> 63 == 1 }

  /// An index, each as likely as its weight says; nil when no weight is above 0.
  mutating func index(weights: [Double]) -> Int? {
    let total = weights.reduce(0) { $0 + max($1, 0) }
    var place = fraction() * total
    for (index, weight) in weights.enumerated() where weight > 0 {
      if place < weight { return index }
      place -= weight
    }
    return weights.lastIndex { $0 > 0 }
  }

  /// The numbers 0 ..< `count` in a random order.
  mutating func permutation(of count: Int) -> [Int] {
    var order = Array(0..<max(count, 0))
    for last in stride(from: order.count - 1, to: 0, by: -1) { order.swapAt(last, integer(upTo: last)) }
    return order
  }

  /// A number of the beta distribution with both parameters equal, in 0 … 1.
  ///
  /// From two gamma numbers, compared as logarithms so that small parameters do not vanish.
  mutating func beta(_ parameter: Double) -> Double {
    let first = logarithmOfGamma(parameter)
    let second = logarithmOfGamma(parameter)
    let result = 1 / (1 + exp(second - first))
    // So small a parameter that both logarithms are out of range leaves the two ends, each as likely.
    return result.isNaN ? (coin() ? 1 : 0) : result
  }

  /// The logarithm of a number of the gamma distribution.
  ///
  /// Source: G. Marsaglia and W. Tsang, "A Simple Method for Generating Gamma Variables", 2000.
  private mutating func logarithmOfGamma(_ parameter: Double) -> Double {
    if parameter < 1 { return logarithmOfGamma(parameter + 1) + log(1 - fraction()) / parameter }
    let d = parameter - 1.0 / 3
    let c = 1 / (9 * d).squareRoot()
    while true {
      let x = Double(normal())
      let root = 1 + c * x
      guard root > 0 else { continue }
      let v = root * root * root
      if log(1 - fraction()) < 0.5 * x * x + d - d * v + d * log(v) { return log(d) + log(v) }
    }
  }
}
