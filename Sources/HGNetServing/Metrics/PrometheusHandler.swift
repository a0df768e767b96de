import Synchronization

/// What holds the value of one series.
package protocol PrometheusHandler: AnyObject, Sendable {
  /// The kind of its family on the page.
  static var kind: String { get }
  /// The names that a family takes on the page.
  static func names(of family: String) -> [String]
  /// Writes the value at this moment.
  func write(to text: inout PrometheusText, name: String, labels: [PrometheusLabel])
}

extension PrometheusHandler {
  package static func names(of family: String) -> [String] { [family] }
}

/// A number that only grows.
///
/// Threads: safe to share.
package final class PrometheusCounter: PrometheusHandler {
  package static let kind = "counter"

  /// Whole steps are kept apart, so that none of them is ever lost to rounding.
  private let steps = Atomic<Int64>(0)
  private let rest = AtomicDouble()

  /// Nothing yet.
  package init() {}

  /// The number at this moment.
  package var value: Double { Double(steps.load(ordering: .relaxed)) + rest.value }

  /// The whole steps at this moment.
  package var stepCount: Int { Int(steps.load(ordering: .relaxed)) }

  /// Adds a step.
  package func increment() { increment(by: Int64(1)) }

  /// Adds whole steps; stays at the highest number, and does not go back.
  package func increment(by amount: Int64) {
    guard amount > 0 else { return }
    var old = steps.load(ordering: .relaxed)
    while true {
      let (sum, isTooLarge) = old.addingReportingOverflow(amount)
      let exchange = steps.weakCompareExchange(
        expected: old, desired: isTooLarge ? .max : sum, ordering: .relaxed)
      if exchange.exchanged { return }
      old = exchange.original
    }
  }

  /// Adds a number; does not go back.
  package func increment(by amount: Double) {
    guard amount > 0, amount.isFinite else { return }
    rest.add(amount)
  }

  /// Begins at nothing again.
  package func reset() {
    steps.store(0, ordering: .relaxed)
    rest.value = 0
  }

  package func write(to text: inout PrometheusText, name: String, labels: [PrometheusLabel]) {
    text.sample(name, labels, value)
  }
}

/// A number that rises and falls.
///
/// Threads: safe to share.
package final class PrometheusGauge: PrometheusHandler {
  package static let kind = "gauge"

  private let number = AtomicDouble()

  /// Zero.
  package init() {}

  /// The number at this moment.
  package var value: Double { number.value }

  /// Puts another number in its place.
  package func set(_ value: Double) { number.value = value }

  /// Puts another number in its place.
  package func set(_ value: Int64) { number.value = Double(value) }

  /// Adds a number.
  package func increment(by amount: Double) { number.add(amount) }

  /// Takes a number away.
  package func decrement(by amount: Double) { number.add(-amount) }

  /// Puts another number in its place.
  package func record(_ value: Int64) { set(value) }

  /// Puts another number in its place.
  package func record(_ value: Double) { set(value) }

  package func write(to text: inout PrometheusText, name: String, labels: [PrometheusLabel]) {
    text.sample(name, labels, value)
  }
}

/// Counts of values by size.
///
/// Threads: safe to share.
package final class PrometheusHistogram: PrometheusHandler {
  package static let kind = "histogram"

  package static func names(of family: String) -> [String] {
    [family, family + "_bucket", family + "_sum", family + "_count"]
  }

  private let histogram: Mutex<Histogram>

  /// No values yet.
  package init(bounds: [Double]) { histogram = Mutex(Histogram(bounds: bounds)) }

  /// All counts at this moment.
  package var current: Histogram { histogram.withLock { $0 } }

  /// Counts a value; one that is no number has no place.
  package func record(_ value: Double) {
    guard value.isFinite else { return }
    histogram.withLock { $0.add(value) }
  }

  /// Counts a value.
  package func record(_ value: Int64) { record(Double(value)) }

  /// Counts a time, in seconds.
  package func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }

  package func write(to text: inout PrometheusText, name: String, labels: [PrometheusLabel]) {
    text.histogram(name, labels, current)
  }
}

/// Counts of values by size, as Prometheus reads them.
package struct Histogram: Sendable {
  /// From half a millisecond to ten seconds.
  package static let latencyBounds = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  ]
  /// Powers of ten, for values of which nothing is known.
  package static let decades = [0.001, 0.01, 0.1, 1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]

  /// The upper bounds, ascending.
  package let bounds: [Double]
  /// Values up to each bound and above the one before; the last holds what is above all.
  package private(set) var counts: [Int]
  /// The number of values.
  package private(set) var count = 0
  /// The sum of all values.
  package private(set) var sum = 0.0

  /// No values yet.
  package init(bounds: [Double]) {
    self.bounds = bounds
    counts = [Int](repeating: 0, count: bounds.count + 1)
  }

  /// Counts a value.
  package mutating func add(_ value: Double) {
    counts[bounds.firstIndex { value <= $0 } ?? bounds.count] += 1
    count += 1
    sum += value
  }
}

/// A number that several threads change.
private final class AtomicDouble: Sendable {
  private let bits = Atomic<UInt64>(0)

  var value: Double {
    get { Double(bitPattern: bits.load(ordering: .relaxed)) }
    set { bits.store(newValue.bitPattern, ordering: .relaxed) }
  }

  func add(_ amount: Double) {
    var old = bits.load(ordering: .relaxed)
    while true {
      let sum = (Double(bitPattern: old) + amount).bitPattern
      let exchange = bits.weakCompareExchange(expected: old, desired: sum, ordering: .relaxed)
      if exchange.exchanged { return }
      old = exchange.original
    }
  }
}
