import HGNetCore
import HGNetProgram
import HGNetVision

/// How the range of a result is chosen from what its values were on some pictures.
public enum RangeRule: String, Sendable, Hashable, CaseIterable {
  /// The smallest and the largest value.
  case minmax
  /// What lies between leaves out one value in ten thousand at either end.
  case percentile
}

/// The ranges of all results of a network on pictures, read from runs in float32.
///
/// Threads: one task at a time.
package struct Calibration {
  private let compiled: any CompiledProgram
  private let observed: [Program.Observed]
  private var histograms: [ValueHistogram]
  private var session: (any EngineSession)?

  /// Compiles a network so that every result can be read.
  ///
  /// - Throws: as `InferenceModel.init(graph:parameters:device:)`.
  package init(graph: Graph, parameters: some ParameterSource, device: Device) throws(HGNetError) {
    let program = try Program(graph)
    observed = program.observed
    guard Set(observed.map(\.layer)).count == observed.count else {
      throw HGNetError(.unsupported, "two layers of the network have the same name, by which ranges are known")
    }
    compiled = try device.engine.compile(program.observing, parameters: parameters, precision: .float32)
    histograms = [ValueHistogram](repeating: ValueHistogram(), count: observed.count)
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
    let session: any EngineSession
    if let kept = self.session, kept.program.inputSize == size {
      session = kept
    } else {
      self.session = nil
      session = try compiled.session(RunExtent(batch: 1, inputSize: size))
      self.session = session
    }
    session.withInput { fill($0) }
    try session.execute()
    for (index, shape) in session.outputShapes.enumerated() {
      let values = try Tensor(allocating: shape, for: "a result of the network") { (target) throws(HGNetError) in
        try session.read(index, into: target)
      }
      guard values.withUnsafeBufferPointer({ histograms[index].add($0) }) else {
        throw HGNetError(
          .parameterMismatch, "some values of this layer are no finite numbers in float32", layer: observed[index].layer
        )
      }
    }
  }

  /// The ranges by the names of layers.
  package func ranges(_ rule: RangeRule) -> [String: ClosedRange<Float>] {
    var ranges: [String: ClosedRange<Float>] = [:]
    for (observed, histogram) in zip(observed, histograms) {
      ranges[observed.layer] = rule == .minmax ? histogram.limits : histogram.inner(leavingOut: 1e-4)
    }
    return ranges
  }
}

/// How often values were how large, in equal steps over a span that doubles when it no longer suffices.
package struct ValueHistogram {
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
    var isFinite = true
    for value in values {
      low = min(low, value)
      high = max(high, value)
      isFinite = isFinite && value.isFinite
    }
    guard isFinite else { return false }
    (least, greatest) = (min(least, low), max(greatest, high))
    while max(-low, high) >= span, span < 0x1p+120 { double() }
    let scale = Float(Self.half) / span
    let half = Self.half
    counts.withUnsafeMutableBufferPointer { counts in
      for value in values {
        let place = Int((value * scale).rounded(.down)) + half
        counts[min(max(place, 0), 2 * half - 1)] += 1
      }
    }
    return true
  }

  private mutating func double() {
    var merged = [Int](repeating: 0, count: counts.count)
    for (place, count) in counts.enumerated() { merged[(place + Self.half) / 2] += count }
    counts = merged
    span *= 2
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
}
