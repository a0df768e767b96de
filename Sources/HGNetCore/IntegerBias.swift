/// What a layer in 8 bits adds to its sums.
///
/// A sum of bytes counts in steps of input scale × weight scale. ONNX Runtime starts it from the bias as a whole number of
/// these steps (its `WeightBiasQuantization`), and so do we, so that both round the same numbers to the same bytes.
package enum IntegerBias {
  /// The nearest whole number of steps, as the number that it stands for.
  ///
  /// - Parameters:
  ///   - bias: of an output channel.
  ///   - step: input scale × weight scale of that channel; of any sign.
  /// - Returns: the bias as it is where its steps do not fit 32 bits.
  package static func rounded(_ bias: Double, step: Double) -> Double {
    let steps = (bias / step).rounded(.toNearestOrEven)
    return abs(steps) <= Double(Int32.max) ? steps * step : bias
  }
}
