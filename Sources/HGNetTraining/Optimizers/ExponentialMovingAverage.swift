import CHGNetKernels
import HGNetCore

/// Averages of all parameters over the training steps, running statistics included: `a = d · a + (1 - d) · w`.
///
/// It starts as a copy. Update it after every optimiser step. Threads: one task. Source: PaddleClas `ppcls/utils/ema.py`.
package struct ExponentialMovingAverage: Sendable {
  /// The weight of the past, inside (0, 1).
  package let decay: Double
  /// The averages, in the order of the declarations.
  package private(set) var averages: [Tensor]

  /// Starts with a copy of the parameters.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for a decay outside (0, 1).
  package init(of parameters: some TrainableParameters, decay: Double = 0.9999) throws(HGNetError) {
    guard decay > 0, decay < 1 else {
      throw HGNetError(.invalidConfiguration, "expected a decay inside (0, 1), found \(decay)", key: "EMA.decay")
    }
    self.decay = decay
    averages = parameters.declarations.indices.map { index in
      parameters.withValue(index) { Tensor(shape: parameters.declarations[index].shape, values: $0) }
    }
  }

  /// Moves the averages towards the parameters.
  ///
  /// - Parameters:
  ///   - parameters: the parameters that the averages were made from.
  ///   - pool: threads that share the work, or nil.
  package mutating func update(_ parameters: some TrainableParameters, pool: ThreadPool? = nil) {
    let (keep, take) = (Float(decay), Float(1 - decay))
    for index in averages.indices {
      parameters.withValue(index) { values in
        averages[index].withUnsafeMutableBufferPointer { average in
          guard let target = average.baseAddress, let source = values.baseAddress else { return }
          Optimizer.inRanges(of: min(average.count, values.count), pool: pool) { start, length in
            hg_optimizer_average(target + start, source + start, length, keep, take)
          }
        }
      }
    }
  }

  /// Exchanges averages and parameters, so that the network can be evaluated with the averages; again, to go back.
  package mutating func swap(with parameters: some TrainableParameters) {
    for index in averages.indices {
      parameters.withValue(index) { values in
        averages[index].withUnsafeMutableBufferPointer { average in
          for element in 0..<min(average.count, values.count) {
            let kept = average[element]
            average[element] = values[element]
            values[element] = kept
          }
        }
      }
    }
  }

  /// Takes over stored averages.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` when number or shapes differ.
  package mutating func restore(_ stored: [Tensor]) throws(HGNetError) {
    guard stored.map(\.shape) == averages.map(\.shape) else {
      throw HGNetError(.parameterMismatch, "the stored averages belong to another model")
    }
    averages = stored
  }
}
