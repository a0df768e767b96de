/// The mean of values that stand for several samples each.
///
/// Threads: a value.
package struct RunningAverage: Sendable, Hashable {
  /// The newest value.
  package private(set) var last = 0.0
  /// The values times their samples, added.
  package private(set) var sum = 0.0
  /// The samples so far.
  package private(set) var count = 0

  /// Makes an average of nothing.
  package init() {}

  /// The mean, 0 before the first value.
  package var mean: Double { count > 0 ? sum / Double(count) : 0 }

  /// Adds a value that stands for `samples` samples.
  package mutating func add(_ value: Double, samples: Int = 1) {
    last = value
    sum += value * Double(samples)
    count += samples
  }

  /// Forgets everything.
  package mutating func reset() { self = RunningAverage() }
}

/// Running averages by name, in the order in which the names first came.
///
/// Threads: a value.
package struct RunningAverages: Sendable, Hashable {
  private var names: [String] = []
  private var averages: [String: RunningAverage] = [:]

  /// Makes an empty collection.
  package init() {}

  /// The average of a name, nil before its first value.
  package subscript(name: String) -> RunningAverage? { averages[name] }

  /// Names and averages in order.
  package var entries: [(name: String, average: RunningAverage)] {
    names.compactMap { name in averages[name].map { (name, $0) } }
  }

  /// Names and means in order, as log lines show them.
  package var means: [(name: String, value: Double)] { entries.map { ($0.name, $0.average.mean) } }

  /// Names and newest values in order.
  package var newest: [(name: String, value: Double)] { entries.map { ($0.name, $0.average.last) } }

  /// Adds a value that stands for `samples` samples.
  package mutating func add(_ name: String, _ value: Double, samples: Int) {
    if averages[name] == nil { names.append(name) }
    averages[name, default: RunningAverage()].add(value, samples: samples)
  }

  /// Forgets everything.
  package mutating func reset() { self = RunningAverages() }
}
