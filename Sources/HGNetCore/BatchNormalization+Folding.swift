extension BatchNormalization {
  /// What a batch normalisation in inference does to the convolution before it: `conv(x) * factors + biases`, with the
  /// convolution taken without its own bias.
  package struct Folding: Sendable {
    /// One factor per channel, for the weights.
    package let factors: [Double]
    /// One summand per channel, which holds the convolution's own bias as well.
    package let biases: [Float]
  }

  /// Folds the normalisation into the convolution before it, in double precision.
  ///
  /// `(conv(x) + b - mean) * f + beta` with `f = gamma / sqrt(variance + epsilon)`.
  ///
  /// - Parameters:
  ///   - convolutionBias: the name of the convolution's bias, if it has one.
  ///   - values: gives the values of a parameter by its name; each is asked for once.
  /// - Throws: what `values` throws; `HGNetError.Code.parameterMismatch` for parameters of different lengths.
  package func folding(
    into convolutionBias: String?, values: (String) throws(HGNetError) -> [Float]
  ) throws(HGNetError) -> Folding {
    let own = try convolutionBias.map(values)
    let gamma = try values(weight)
    let beta = try values(bias)
    let mean = try values(mean)
    let variance = try values(variance)
    for (name, found) in [(convolutionBias, own), (bias, beta), (self.mean, mean), (self.variance, variance)] {
      guard let name, let found, found.count != gamma.count else { continue }
      throw HGNetError(.parameterMismatch, "expected \(gamma.count) values, found \(found.count)", key: name)
    }
    let factors = gamma.indices.map { Double(gamma[$0]) / (Double(variance[$0]) + Double(epsilon)).squareRoot() }
    let biases = gamma.indices.map {
      Float((Double(own?[$0] ?? 0) - Double(mean[$0])) * factors[$0] + Double(beta[$0]))
    }
    return Folding(factors: factors, biases: biases)
  }
}
