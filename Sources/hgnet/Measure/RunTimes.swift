import HGNetCore
import HGNetFormats

/// The times of measured runs, in milliseconds; at least one.
struct RunTimes {
  /// In the order of the runs.
  let milliseconds: [Double]
  private let sorted: [Double]

  init(_ milliseconds: [Double]) {
    self.milliseconds = milliseconds
    sorted = milliseconds.sorted()
  }

  var minimum: Double { sorted[0] }
  var median: Double { percentile(0.5) }
  var maximum: Double { sorted[sorted.count - 1] }
  var mean: Double { milliseconds.reduce(0, +) / Double(milliseconds.count) }

  /// The time that a share of the runs, inside 0 … 1, does not exceed.
  func percentile(_ share: Double) -> Double {
    sorted[min(sorted.count - 1, max(0, Int((share * Double(sorted.count)).rounded(.up)) - 1))]
  }

  /// What JSON says about them, without the single runs.
  var json: [(String, JSONText)] {
    [
      ("minimum_milliseconds", .number(minimum)), ("mean_milliseconds", .number(mean)),
      ("median_milliseconds", .number(median)), ("percentile_90_milliseconds", .number(percentile(0.9))),
      ("percentile_95_milliseconds", .number(percentile(0.95))),
      ("percentile_99_milliseconds", .number(percentile(0.99))),
      ("maximum_milliseconds", .number(maximum)),
    ]
  }
}

extension Duration {
  /// The length in milliseconds.
  var milliseconds: Double { inSeconds * 1000 }
}
