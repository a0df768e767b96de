import HGNetCore
import HGNetProgram

/// Takes the mean of what rounding changes out of the results of layers.
///
/// A layer of quantised weights `w + dw` whose input is rounded from `x` to `x + dx` gives on average
/// `(w + dw) · (E[x] + E[dx]) - w · E[x]` too much in each channel; that is subtracted by the normalisation behind it, or by
/// its bias. `E[dx]` is not 0 where a value comes up again and again, as where an affine step follows a ReLU.
///
/// Source: Nagel et al. (2019), with the rounding of the input besides.
struct BiasCorrection {
  /// The mean of each channel of a result, as it is and rounded.
  struct Means: Sendable {
    var exact: [Double]
    var rounded: [Double]
  }

  private var sums: [Means]
  private var pixels: [Int]
  private let observed: [Program.Observed]
  private let scales: [UniformScale?]
  private let program: Program

  /// - Parameter ranges: of the results, by the names of layers.
  init(_ program: Program, ranges: [String: ClosedRange<Float>]) {
    self.program = program
    observed = program.observed
    let shapes = program.shapes
    sums = observed.map {
      let zeros = [Double](repeating: 0, count: shapes[$0.result].channels)
      return Means(exact: zeros, rounded: zeros)
    }
    pixels = observed.map { _ in 0 }
    // Those that share a scale in a concatenation share a range.
    var joined: [Int: ClosedRange<Float>] = [:]
    let groups = program.concatenationGroups
    for observed in observed {
      guard let range = ranges[observed.layer] else { continue }
      let group = groups[observed.result]
      joined[group] =
        joined[group].map {
          min($0.lowerBound, range.lowerBound)...max($0.upperBound, range.upperBound)
        } ?? range
    }
    scales = observed.map { joined[groups[$0.result]].map { UniformScale(ValueScale($0)) } }
  }

  /// Takes note of a picture's results, in the order of `Program.observed`.
  mutating func add(_ results: [UnsafeBufferPointer<Float>], pool: ThreadPool) {
    let scales = scales
    sums.withUnsafeMutableBufferPointer { sums in
      let places = sums
      pool.forEach(results.count) { index in places[index].add(results[index], scale: scales[index]) }
    }
    for (index, result) in results.enumerated() { pixels[index] += result.count / max(sums[index].exact.count, 1) }
  }

  /// The means of a result, put together where it is a concatenation.
  private func means(ofResult result: Int) -> Means? {
    if let index = observed.firstIndex(where: { $0.result == result }) {
      guard pixels[index] > 0 else { return nil }
      let factor = 1 / Double(pixels[index])
      return Means(exact: sums[index].exact.map { $0 * factor }, rounded: sums[index].rounded.map { $0 * factor })
    }
    guard let layer = program.layer(computing: result), layer.kind == .concatenate else { return nil }
    var means = Means(exact: [], rounded: [])
    for input in layer.inputs {
      guard let part = self.means(ofResult: input) else { return nil }
      means.exact += part.exact
      means.rounded += part.rounded
    }
    return means
  }

  /// Quantised parameters with the means taken out.
  ///
  /// - Parameters:
  ///   - quantized: what `QuantizedWeights.quantizing` made.
  ///   - parameters: what it was made of.
  ///   - shapes: of the results, for pictures of the size that was run; they say how often a tap lies outside.
  /// - Throws: `HGNetError.Code.limitExceeded` without memory.
  func applied(
    to quantized: ParameterStore, of parameters: ParameterStore, shapes: [ActivationShape]
  ) throws(HGNetError) -> ParameterStore {
    var store = quantized
    for layer in program.layers {
      guard let name = layer.quantizedWeight, let rounded = quantized[name], rounded.scales != nil,
        let exact = parameters[name], let input = layer.inputs.first, let means = means(ofResult: input)
      else { continue }
      // What is taken off comes before a normalisation, whose mean it moves, and else off the bias.
      let (target, sign): (String?, Double) =
        switch layer.kind {
        case .convolution(_, let normalization?): (normalization.mean, 1)
        case .convolution(let convolution, nil): (convolution.bias, -1)
        case .linear(_, let bias, _, _): (bias, -1)
        default: (nil, 0)
        }
      guard let target, let value = store[target] else { continue }
      let excess = try BiasCorrection.excess(
        rounded.allocatedTensor(), exact.allocatedTensor(), means, groups: layer.groups,
        coverage: layer.coverage(from: shapes[input], to: shapes[layer.result]))
      let old = try value.allocatedTensor()
      guard old.count == excess.count else { continue }
      store[target] = try Parameter(allocating: old.shape, for: target) { place in
        old.withUnsafeBufferPointer { values in
          for index in place.indices { place[index] = Float(Double(values[index]) + sign * excess[index]) }
        }
      }
    }
    return store
  }

  /// What each output channel has too much on average.
  private static func excess(
    _ rounded: Tensor, _ exact: Tensor, _ means: Means, groups: Int, coverage: [Double]
  ) -> [Double] {
    let isLinear = exact.shape.rank == 2
    let columns = isLinear ? exact.shape[1] : exact.shape[0]
    guard columns > 0, groups > 0 else { return [] }
    let rows = exact.count / columns
    let taps = isLinear ? 1 : exact.shape[2] * exact.shape[3]
    let channels = rows / max(taps, 1)
    guard coverage.count == taps else { return [] }
    var excess = [Double](repeating: 0, count: columns)
    rounded.withUnsafeBufferPointer { rounded in
      exact.withUnsafeBufferPointer { exact in
        for column in 0..<columns {
          let first = column / max(columns / groups, 1) * channels
          guard first + channels <= means.exact.count else { return }
          for row in 0..<rows {
            let index = isLinear ? row * columns + column : column * rows + row
            let channel = first + row / taps
            excess[column] +=
              coverage[row % taps]
              * (Double(rounded[index]) * means.rounded[channel] - Double(exact[index]) * means.exact[channel])
          }
        }
      }
    }
    return excess
  }
}

/// Rounds to what the bytes of a result can be.
struct UniformScale: Sendable {
  private let scale: Float
  private let inverse: Float
  private let zero: Float

  init(_ steps: ValueScale) {
    scale = steps.scale
    inverse = 1 / steps.scale
    zero = Float(steps.zero)
  }

  /// The nearest of the 256 values.
  func rounded(_ value: Float) -> Float {
    let steps = value * inverse + zero
    let bounded = steps > 0 ? (steps < 255 ? steps : 255) : 0
    // Below 256 adding half and cutting off is rounding.
    return (Float(Int32(bounded + 0.5)) - zero) * scale
  }
}

extension BiasCorrection.Means {
  /// Adds pixels `[P, C]`, as they are and rounded.
  fileprivate mutating func add(_ values: UnsafeBufferPointer<Float>, scale: UniformScale?) {
    let channels = self.exact.count
    guard channels > 0 else { return }
    var exact = [Float](repeating: 0, count: channels)
    var rounded = exact
    exact.withUnsafeMutableBufferPointer { exact in
      rounded.withUnsafeMutableBufferPointer { rounded in
        for pixel in 0..<values.count / channels {
          for channel in 0..<channels {
            let value = values[pixel * channels + channel]
            exact[channel] += value
            rounded[channel] += scale?.rounded(value) ?? value
          }
        }
      }
    }
    for channel in 0..<channels {
      self.exact[channel] += Double(exact[channel])
      self.rounded[channel] += Double(rounded[channel])
    }
  }
}

extension Layer {
  /// The groups of a convolution; 1 for another layer.
  fileprivate var groups: Int {
    if case .convolution(let convolution, _) = kind { convolution.groups } else { 1 }
  }

  /// For each tap of a window the share of results at which it lies inside the picture, where values are not 0.
  fileprivate func coverage(from input: ActivationShape, to output: ActivationShape) -> [Double] {
    guard case .convolution(let convolution, _) = kind else { return [1] }
    func shares(_ taps: Int, _ stride: Int, _ padding: Int, _ input: Int, _ output: Int) -> [Double] {
      (0..<taps).map { tap in
        let inside = (0..<output).count { (0..<input).contains($0 * stride + tap - padding) }
        return Double(inside) / Double(max(output, 1))
      }
    }
    let (kernel, stride) = (convolution.kernel, convolution.stride)
    let rows = shares(kernel.height, stride.height, convolution.padding.top, input.height, output.height)
    let columns = shares(kernel.width, stride.width, convolution.padding.left, input.width, output.width)
    return rows.flatMap { row in columns.map { row * $0 } }
  }
}
