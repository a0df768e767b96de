import CHGNetKernels

/// What algorithms for the same layer cost relative to each other, measured ahead on real machines.
///
/// A plan chooses by this table and never by timing, so that the same model and input give the same bits in every run.
/// `Benchmarks/algorithms` measures the costs over a grid of extents and fits the rows; what it measured is
/// `Benchmarks/results/algorithms-….csv`.
struct AlgorithmCosts {
  /// Time of one level of Strassen's algorithm ÷ time of the plain product is
  /// `constant + channels / C + columns / K + pixels / P` for C input channels, K output channels and P pixels.
  ///
  /// 7/8 of the products would be the constant if sums cost nothing.
  struct Strassen {
    var constant: Double
    var channels: Double
    var columns: Double
    var pixels: Double

    /// The ratio below which Strassen's algorithm is taken: a hundredth less is not worth its rounding.
    static let greatestRatio = 0.99

    /// The ratio for a layer; below 1 Strassen's algorithm is quicker.
    func ratio(pixelCount: Int, inputFeatures: Int, columnCount: Int) -> Double {
      constant + channels / Double(inputFeatures) + columns / Double(columnCount) + pixels / Double(pixelCount)
    }
  }

  let strassen: Strassen

  /// One row for the wide vectors of AVX-512; the others follow AVX2, which was measured.
  init(kernels: hg_kernels) {
    strassen =
      kernels.lanes == 16
      ? Strassen(constant: 0.933, channels: 8.3, columns: 2.6, pixels: 3.1)
      : Strassen(constant: 0.911, channels: 14.7, columns: 3.7, pixels: 3.0)
  }
}
