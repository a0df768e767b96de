import CHGNetKernels
import HGNetCore
import HGNetProgram

/// Optimiser steps and the moving average.
///
/// Numeric promise: elementwise float32, so the same bits for any number of threads; within a few units in the last place
/// of PaddlePaddle's.
extension CPUTrainingState {
  private static let rangeLength = 1 << 15

  /// Changes parameters by their gradients.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for a parameter without the moments that its rule needs; nothing has
  ///   changed then.
  package func update(_ rules: [(parameter: Int, rule: UpdateRule)]) throws(HGNetError) {
    for (parameter, rule) in rules {
      _ = try place(.value, of: parameter)
      for number in 0..<rule.momentCount { _ = try moment(number, of: parameter) }
    }
    for (parameter, rule) in rules { try update(parameter, rule) }
  }

  private func update(_ parameter: Int, _ rule: UpdateRule) throws(HGNetError) {
    let (weights, count) = try place(.value, of: parameter)
    let gradient = try place(.gradient, of: parameter).base
    guard count > 0 else { return }
    var gradientRule = hg_gradient_rule(scale: rule.gradientScale, decay_l2: rule.decayL2, decay_l1: rule.decayL1)
    if let limit = rule.clipNorm {
      let norm = Float(hg_sum_of_squares(gradient, Int64(count)).squareRoot()) * abs(rule.gradientScale)
      if norm > limit { gradientRule.scale *= limit / norm }
    }
    let rate = rule.rate
    switch rule.formula {
    case .sgd:
      inRanges(of: count) { start, length in
        hg_optimizer_sgd(weights + start, gradient + start, length, rate, gradientRule)
      }
    case .momentum(let momentum, let nesterov):
      withMoment(0, of: parameter) { velocity in
        inRanges(of: count) { start, length in
          hg_optimizer_momentum(
            weights + start, gradient + start, velocity + start, length, rate, momentum, nesterov ? 1 : 0, gradientRule)
        }
      }
    case .adamW(let numbers):
      let correction = (1 - numbers.power2).squareRoot()
      let corrected = rate * correction / (1 - numbers.power1)
      let keep = 1 - rate * numbers.weightDecay
      withMoment(0, of: parameter) { mean in
        withMoment(1, of: parameter) { square in
          inRanges(of: count) { start, length in
            hg_optimizer_adamw(
              weights + start, gradient + start, mean + start, square + start, length, corrected, keep, numbers.beta1,
              numbers.beta2, numbers.epsilon * correction, gradientRule)
          }
        }
      }
    }
  }

  /// Calls `body` with a moment that is kept.
  private func withMoment(_ number: Int, of parameter: Int, _ body: (UnsafeMutablePointer<Float>) -> Void) {
    // Taken out, so that nothing else holds it while it changes.
    guard var moment = moments[number]?[parameter].take() else { return }
    moment.withUnsafeMutableBufferPointer { values in
      if let base = values.baseAddress { body(base) }
    }
    moments[number]?[parameter] = moment
  }

  /// Moves the averages of all parameters.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` where no average is kept.
  package func moveAverage(decay: Double) throws(HGNetError) {
    let (keep, take) = (Float(decay), Float(1 - decay))
    for parameter in declarations.indices {
      let (average, count) = try place(.average, of: parameter)
      let values = try place(.value, of: parameter).base
      inRanges(of: count) { start, length in
        hg_optimizer_average(average + start, values + start, length, keep, take)
      }
    }
  }

  /// Calls `body` for ranges that cover `0 ..< count`, on the threads of the pool where that pays.
  private func inRanges(of count: Int, _ body: (Int, Int64) -> Void) {
    let length = CPUTrainingState.rangeLength
    guard pool.count > 1, count > 2 * length else { return body(0, Int64(count)) }
    pool.forEach((count + length - 1) / length) { range in
      let start = range * length
      body(start, Int64(min(length, count - start)))
    }
  }
}
