import HGNetCore
import HGNetProgram

/// Averages of all parameters over the training steps, running statistics included: `a = d · a + (1 - d) · w`.
///
/// The state of the parameters keeps them. It starts as a copy. Update it after every optimiser step. Threads: one task.
/// Source: PaddleClas `ppcls/utils/ema.py`.
package struct ExponentialMovingAverage: Sendable {
  /// The weight of the past, inside (0, 1).
  package let decay: Double
  private let parameters: any TrainingState

  /// Starts with a copy of the parameters.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for a decay outside (0, 1), `limitExceeded` without memory.
  package init(of parameters: any TrainingState, decay: Double = 0.9999) throws(HGNetError) {
    guard decay > 0, decay < 1 else {
      throw HGNetError(.invalidConfiguration, "expected a decay inside (0, 1), found \(decay)", key: "EMA.decay")
    }
    self.decay = decay
    self.parameters = parameters
    try parameters.keep(.average)
  }

  /// Moves the averages towards the parameters.
  ///
  /// - Throws: `HGNetError` when the device fails.
  package func update() throws(HGNetError) { try parameters.moveAverage(decay: decay) }

  /// A copy of the averages, under the names of the parameters.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` without memory.
  package func store() throws(HGNetError) -> ParameterStore { try parameters.store(.average) }

  /// Takes over stored averages; nothing changes when they do not fit.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` naming a parameter that is missing or has another shape.
  package func restore(_ stored: ParameterStore) throws(HGNetError) { try parameters.load(stored, into: .average) }
}
