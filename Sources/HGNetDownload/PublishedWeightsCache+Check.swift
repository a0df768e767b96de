import HGNet
import HGNetCore
import HGNetModels

extension PublishedWeightsCache {
  /// The path of a file, which is fetched and read in its format if it is not there yet.
  ///
  /// - Parameters:
  ///   - weights: the file.
  ///   - isCancelled: asked while it waits; true ends it with `networkFailure`.
  ///   - report: told what happens.
  /// - Throws: as the form that is given a check.
  package func path(
    for weights: PublishedWeights, isCancelled: @escaping @Sendable () -> Bool = { false },
    report: @escaping @Sendable (DownloadEvent) -> Void = { _ in }
  ) throws(HGNetError) -> String {
    try path(
      for: weights,
      check: { (path) throws(HGNetError) in
        let reader = try WeightsFile.reader(of: path)
        guard reader.format.isInferenceModel == (weights.form == .inferenceModel) else {
          throw HGNetError(.malformedData, "expected \(weights.fileName), found a \(reader.format.title)", path: path)
        }
        _ = try reader.weights(at: path)
      }, isCancelled: isCancelled, report: report)
  }
}
