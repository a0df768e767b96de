import HGNet
import HGNetCore
import HGNetModels

extension PublishedWeightsCache {
  /// The path of a file, which is fetched and read in its format if it is not there yet.
  ///
  /// - Parameters:
  ///   - weights: the file.
  ///   - report: told what happens, from any thread.
  /// - Throws: as the form that is given a check.
  package func path(
    for weights: PublishedWeights, report: @escaping @Sendable (DownloadEvent) -> Void = { _ in }
  ) async throws(HGNetError) -> String {
    try await path(
      for: weights,
      check: { (path) throws(HGNetError) in
        let reader = try WeightsFile.reader(of: path)
        guard reader.format.isInferenceModel == (weights.form == .inferenceModel) else {
          throw HGNetError(.malformedData, "expected \(weights.fileName), found a \(reader.format.title)", path: path)
        }
        _ = try reader.weights(at: path)
      }, report: report)
  }
}
