import HGNetCore
import HGNetProgram

/// Batch normalisation: `(z - mean) / √(variance + epsilon) · weight + bias` per channel.
///
/// Source: Ioffe and Szegedy, 2015; the running variance is that of the biased batch variance, as in PaddlePaddle.
extension Walk {
  /// How the statistics of a layer came about, kept for the backward pass.
  private enum Way: Double {
    /// Those of the batch.
    case batch
    /// The running ones, which stay.
    case fixed
    /// There is one value, which stays as it is.
    case single
  }

  /// Whether the running statistics take the place of the batch's.
  private func isFixed(_ normalization: BatchNormalization) -> Bool {
    guard let state = training?.state else { return true }
    return [normalization.mean, normalization.variance].allSatisfy { name in
      state.values.indices[name].map { state.isFrozen[$0] } ?? false
    }
  }

  /// - Parameter kept: receives means, inverse deviations, the way, and the number of rows.
  func normalize(
    _ layer: Layer, _ normalization: BatchNormalization, _ kept: Pointer, _ source: Pointer, into target: Pointer
  ) throws(HGNetError) {
    let (channels, rows) = (shapes[layer.result].channels, rows(layer))
    let name = layer.name
    let weight = try parameters.pointer(normalization.weight, layer: name)
    let bias = try parameters.pointer(normalization.bias, layer: name)
    let runningMean = try parameters.pointer(normalization.mean, layer: name)
    let runningVariance = try parameters.pointer(normalization.variance, layer: name)
    let isFixed = isFixed(normalization)
    let batchStatistics = isFixed ? nil : statistics(source, rows: rows, channels: channels)
    let allRows = batchStatistics?.rows ?? Double(rows)
    let way: Way = isFixed ? .fixed : allRows == 1 ? .single : .batch
    (kept[2 * channels], kept[2 * channels + 1]) = (way.rawValue, allRows)
    let momentum = Double(normalization.momentum)
    for channel in 0..<channels {
      var (mean, variance) = (runningMean[channel], runningVariance[channel])
      if let batchStatistics, way == .batch {
        (mean, variance) = (batchStatistics.means[channel], batchStatistics.variances[channel])
        runningMean[channel] = momentum * runningMean[channel] + (1 - momentum) * mean
        runningVariance[channel] = momentum * runningVariance[channel] + (1 - momentum) * variance
      }
      kept[channel] = mean
      kept[channels + channel] = 1 / (variance + Double(normalization.epsilon)).squareRoot()
    }
    for row in 0..<rows {
      for channel in 0..<channels {
        let index = row * channels + channel
        target[index] =
          way == .single
          ? source[index] : (source[index] - kept[channel]) * kept[channels + channel] * weight[channel] + bias[channel]
      }
    }
  }

  /// Means and biased variances over the rows of all processes.
  private func statistics(
    _ source: Pointer, rows: Int, channels: Int
  ) -> (means: [Double], variances: [Double], rows: Double) {
    // Sums, sums of squares, rows: what processes add.
    var sums = [Double](repeating: 0, count: 2 * channels + 1)
    for row in 0..<rows {
      for channel in 0..<channels {
        let value = source[row * channels + channel]
        sums[channel] += value
        sums[channels + channel] += value * value
      }
    }
    sums[2 * channels] = Double(rows)
    reduce(&sums)
    let all = sums[2 * channels]
    var (means, variances) = ([Double](), [Double]())
    for channel in 0..<channels {
      let mean = sums[channel] / all
      means.append(mean)
      variances.append(max(sums[channels + channel] / all - mean * mean, 0))
    }
    return (means, variances, all)
  }

  private func reduce(_ sums: inout [Double]) {
    guard let statistics = training?.statistics else { return }
    sums.withUnsafeMutableBufferPointer { statistics.sum($0) }
  }

  /// Makes `own`, the gradient of the result, that of `source`, what was normalised.
  func normalizeBack(
    _ layer: Layer, _ normalization: BatchNormalization, _ kept: Pointer, _ own: Pointer, _ source: Pointer
  ) throws(HGNetError) {
    let (channels, rows) = (shapes[layer.result].channels, rows(layer))
    let weight = try parameters.pointer(normalization.weight, layer: layer.name)
    let way = Way(rawValue: kept[2 * channels]) ?? .batch
    let allRows = kept[2 * channels + 1]
    // The sums of the gradient, and of its products with what the mean was taken from.
    var sums = [Double](repeating: 0, count: 2 * channels)
    for row in 0..<rows {
      for channel in 0..<channels {
        let gradient = own[row * channels + channel]
        sums[channel] += gradient
        sums[channels + channel] += gradient * (source[row * channels + channel] - kept[channel])
      }
    }
    if way != .single {
      let (weightGradient, biasGradient) = (
        parameterGradient(normalization.weight), parameterGradient(normalization.bias)
      )
      for channel in 0..<channels {
        weightGradient?[channel] += sums[channels + channel] * kept[channels + channel]
        biasGradient?[channel] += sums[channel]
      }
    }
    if way != .fixed { reduce(&sums) }
    guard way != .single else { return }
    for row in 0..<rows {
      for channel in 0..<channels {
        let (index, inverse) = (row * channels + channel, kept[channels + channel])
        var gradient = own[index]
        if way == .batch {
          let distance = source[index] - kept[channel]
          gradient -= (sums[channel] + distance * inverse * inverse * sums[channels + channel]) / allRows
        }
        own[index] = gradient * weight[channel] * inverse
      }
    }
  }
}
