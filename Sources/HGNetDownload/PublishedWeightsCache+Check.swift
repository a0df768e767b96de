import HGNetCore
import HGNetFormats
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
        switch weights.form {
        case .stateDictionary: _ = try PaddleParameters.read(Blob(mapping: path))
        case .inferenceModel: _ = try PaddleInferenceModel(contentsOf: path)
        }
      }, report: report)
  }
}
