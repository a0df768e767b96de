/// How often values were how large, in equal steps over a span that doubles when it no longer suffices.
package struct ValueHistogram: Sendable {
  private static let half = 4096
  private var counts = [Int](repeating: 0, count: 2 * half)
  /// What is counted lies in -span ..< span.
  private var span: Float = 0x1p-20
  private var (least, greatest): (Float, Float) = (.infinity, -.infinity)

  /// Makes one without values.
  package init() {}

  /// Takes note of values.
  ///
  /// - Returns: whether all are finite; none is counted otherwise.
  package mutating func add(_ values: UnsafeBufferPointer<Float>) -> Bool {
    guard let first = values.first else { return true }
    var (low, high) = (first, first)
    for value in values {
      low = value < low ? value : low
      high = value > high ? value : high
    }
    guard values.areFinite else { return false }
    add(values, within: low...high)
    return true
  }

  /// Takes note of finite values whose limits are known.
  mutating func add(_ values: UnsafeBufferPointer<Float>, within limits: ClosedRange<Float>) {
    let (low, high) = (limits.lowerBound, limits.upperBound)
    (least, greatest) = (min(least, low), max(greatest, high))
    while max(-low, high) >= span, span < 0x1p+120 { double() }
    let scale = Float(Self.half) / span
    let last = Float(2 * Self.half - 1)
    counts.withUnsafeMutableBufferPointer { counts in
      for value in values {
        // Never below 0, where cutting off would be rounding up.
        let place = value * scale + Float(Self.half)
        counts[Int(Int32(place < last ? (place > 0 ? place : 0) : last))] += 1
      }
    }
  }

  private mutating func double() {
    var merged = [Int](repeating: 0, count: counts.count)
    for (place, count) in counts.enumerated() { merged[(place + Self.half) / 2] += count }
    counts = merged
    span *= 2
  }

  /// Takes over what another one has counted.
  mutating func merge(_ other: ValueHistogram) {
    guard other.least <= other.greatest else { return }
    var other = other
    while other.span < span { other.double() }
    while span < other.span { double() }
    for place in counts.indices { counts[place] += other.counts[place] }
    (least, greatest) = (min(least, other.least), max(greatest, other.greatest))
  }

  /// The smallest and the largest value; 0 without any.
  package var limits: ClosedRange<Float> { least <= greatest ? least...greatest : 0...0 }

  /// What is left without a share of the values at either end, to a step of the histogram.
  package func inner(leavingOut share: Double) -> ClosedRange<Float> {
    let total = counts.reduce(0, +)
    let left = Int(Double(total) * share)
    var (low, high) = (0, counts.count - 1)
    var sum = 0
    while low < high, sum + counts[low] <= left {
      sum += counts[low]
      low += 1
    }
    sum = 0
    while high > low, sum + counts[high] <= left {
      sum += counts[high]
      high -= 1
    }
    let step = span / Float(Self.half)
    let (first, last) = (Float(low - Self.half) * step, Float(high + 1 - Self.half) * step)
    return max(first, limits.lowerBound)...max(min(last, limits.upperBound), max(first, limits.lowerBound))
  }

  /// The range whose 255 steps, 0 among them, are off by the least mean square.
  ///
  /// A value inside is off by a twelfth of a step's square on average, one outside by its distance; what is 0 is exact. Each
  /// end is tried at 128 places between 0 and the limit.
  package func leastSquares() -> ClosedRange<Float> {
    let limits = self.limits
    let (least, greatest) = (Double(min(limits.lowerBound, 0)), Double(max(limits.upperBound, 0)))
    guard greatest > least else { return limits }
    let sums = PartialSums(counts, half: Self.half, step: Double(span) / Double(Self.half))
    let parts = 128
    func loss(_ low: Double, _ high: Double) -> Double {
      let step = (high - low) / 255
      return sums.outside(low, high) + sums.inside(low, high) * step * step / 12
    }
    var (low, high) = (least, greatest)
    for _ in 0..<3 {
      let before = (low, high)
      for end in [true, false] {
        let limit = end ? greatest : least
        guard limit != 0 else { continue }
        let places = (1...parts).map { limit * Double($0) / Double(parts) }
        let best = places.min { one, two in
          end ? loss(low, one) < loss(low, two) : loss(one, high) < loss(two, high)
        }
        if end { high = best ?? high } else { low = best ?? low }
      }
      if (low, high) == before { break }
    }
    return Float(low)...Float(high)
  }
}

extension UnsafeBufferPointer<Float> {
  /// Whether all are finite.
  var areFinite: Bool {
    var largest: UInt32 = 0
    for value in self { largest = Swift.max(largest, value.bitPattern & 0x7FFF_FFFF) }
    return largest < Float.infinity.bitPattern
  }
}

/// Sums over the first values of a histogram, for the losses of a range.
private struct PartialSums {
  private var counts: [Double] = [0]
  private var first: [Double] = [0]
  private var second: [Double] = [0]
  private let half: Int
  private let step: Double

  init(_ histogram: [Int], half: Int, step: Double) {
    (self.half, self.step) = (half, step)
    var (count, sum, squares) = (0.0, 0.0, 0.0)
    for (place, number) in histogram.enumerated() {
      // The step that begins at 0: nearly all of it is 0 itself.
      let value = place == half ? 0 : (Double(place - half) + 0.5) * step
      let number = Double(number)
      count += place == half ? 0 : number
      sum += number * value
      squares += number * value * value
      counts.append(count)
      first.append(sum)
      second.append(squares)
    }
  }

  private func place(_ value: Double) -> Int { min(max(Int((value / step).rounded()) + half, 0), counts.count - 1) }

  /// How many values lie in a range.
  func inside(_ low: Double, _ high: Double) -> Double { counts[place(high)] - counts[place(low)] }

  /// The squares of the distances of those that lie outside.
  func outside(_ low: Double, _ high: Double) -> Double {
    let (below, above, end) = (place(low), place(high), counts.count - 1)
    let under = second[below] - 2 * low * first[below] + low * low * counts[below]
    let over =
      (second[end] - second[above]) - 2 * high * (first[end] - first[above])
      + high * high * (counts[end] - counts[above])
    return under + over
  }
}
