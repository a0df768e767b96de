import HGNetCore
import HGNetProgram
import HGNetVision

/// How the range of a result is chosen from what its values were on some pictures.
public enum RangeRule: String, Sendable, Hashable, CaseIterable {
  /// The smallest and the largest value.
  case minmax
  /// What lies between leaves out one value in ten thousand at either end.
  case percentile
  /// The range whose steps are off by the least mean square.
  case mse
}

/// The values of all results of a network on pictures, read from runs in float32.
///
/// Threads: one task at a time; a run and its statistics use all threads of the device.
package struct Calibration {
  /// The results that are watched, in the order of the network.
  let observed: [Program.Observed]
  private let program: Program
  private let run: ObservedRun
  private var statistics: [ResultStatistics]

  /// Compiles a network so that every result can be read.
  ///
  /// - Throws: as `InferenceModel.init(graph:parameters:device:)`.
  package init(graph: Graph, parameters: some ParameterSource, device: Device) throws(HGNetError) {
    program = try Program(graph)
    observed = program.observed
    guard Set(observed.map(\.layer)).count == observed.count else {
      throw HGNetError(.unsupported, "two layers of the network have the same name, by which ranges are known")
    }
    run = try ObservedRun(program, parameters: parameters, device: device, precision: .float32)
    let shapes = program.shapes
    statistics = observed.map { ResultStatistics(channels: shapes[$0.result].channels) }
  }

  /// Runs a picture and takes note of all values.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` for a picture that is too small for the network, `limitExceeded` without
  ///   memory, `parameterMismatch` naming a layer whose values are no numbers.
  package mutating func add(_ picture: PreparedPicture) throws(HGNetError) {
    try add(Size(height: picture.shape[0], width: picture.shape[1])) { picture.write(into: $0) }
  }

  /// Runs an input of one picture that `fill` writes, `[H, W, C]`, and takes note of all values.
  ///
  /// - Throws: as `add(_:)`.
  package mutating func add(
    _ size: Size, fill: (UnsafeMutableBufferPointer<Float>) -> Void
  ) throws(HGNetError) {
    try run.execute(size, fill: fill)
    let (values, pool) = (run.results, run.pool)
    // Each thread writes into places of its own.
    let failure: Int? = statistics.withUnsafeMutableBufferPointer { statistics in
      let places = statistics
      let failure = Monitor<Int?>(nil)
      pool.forEach(values.count) { index in
        guard !places[index].add(values[index]) else { return }
        failure.withLock { $0 = min($0 ?? index, index) }
      }
      return failure.withLock { $0 }
    }
    if let failure {
      throw HGNetError(
        .parameterMismatch, "some values of this layer are no finite numbers in float32", layer: observed[failure].layer
      )
    }
  }

  /// Whether all pixels of the last picture are alike.
  var hasPlainPicture: Bool {
    guard let pixels = run.results.first, let channels = statistics.first?.channelLimits.count else { return false }
    return pixels.indices.allSatisfy { pixels[$0] == pixels[$0 % max(channels, 1)] }
  }

  /// The first output of the last picture.
  func logits() throws(HGNetError) -> [Float] { try run.values(ofResult: program.outputs.first?.result ?? 0) }

  /// The ranges by the names of layers.
  ///
  /// Results that lie side by side in a concatenation have one scale, so that their errors are judged together.
  package func ranges(_ rule: RangeRule) -> [String: ClosedRange<Float>] {
    var ranges: [String: ClosedRange<Float>] = [:]
    let groups = program.concatenationGroups
    var merged: [Int: ValueHistogram] = [:]
    if rule == .mse {
      for (observed, statistics) in zip(observed, statistics) {
        merged[groups[observed.result], default: ValueHistogram()].merge(statistics.histogram)
      }
    }
    let best = merged.mapValues { $0.leastSquares() }
    for (observed, statistics) in zip(observed, statistics) {
      let histogram = statistics.histogram
      ranges[observed.layer] =
        switch rule {
        case .minmax: histogram.limits
        case .percentile: histogram.inner(leavingOut: 1e-4)
        case .mse: best[groups[observed.result]] ?? histogram.limits
        }
    }
    return ranges
  }

  /// The largest absolute value of each channel of a result; nil for one that is not watched.
  package func channelLimits(ofResult result: Int) -> [Float]? {
    zip(observed, statistics).first { $0.0.result == result }.map { $0.1.channelLimits }
  }

  /// The names of layers whose results were 0 throughout.
  var silentLayers: [String] {
    zip(observed, statistics).compactMap { $0.1.histogram.limits == 0...0 ? $0.0.layer : nil }
  }
}

/// What the values of a result were: all together, and the limits of each channel.
struct ResultStatistics: Sendable {
  private(set) var histogram = ValueHistogram()
  private var lows: [Float]
  private var highs: [Float]

  init(channels: Int) {
    lows = [Float](repeating: .infinity, count: channels)
    highs = [Float](repeating: -.infinity, count: channels)
  }

  var channelLimits: [Float] { zip(lows, highs).map { $0 <= $1 ? max(abs($0), abs($1)) : 0 } }

  /// Takes note of pixels `[P, C]`; says whether all are finite.
  mutating func add(_ values: UnsafeBufferPointer<Float>) -> Bool {
    let channels = lows.count
    guard channels > 0, let base = values.baseAddress else { return true }
    guard values.areFinite else { return false }
    lows.withUnsafeMutableBufferPointer { lows in
      highs.withUnsafeMutableBufferPointer { highs in
        for pixel in 0..<values.count / channels {
          let row = base + pixel * channels
          for channel in 0..<channels {
            let value = row[channel]
            lows[channel] = value < lows[channel] ? value : lows[channel]
            highs[channel] = value > highs[channel] ? value : highs[channel]
          }
        }
      }
    }
    let (low, high) = (lows.min() ?? 0, highs.max() ?? 0)
    histogram.add(values, within: low...max(low, high))
    return true
  }
}
