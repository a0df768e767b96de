import HGNet
import HGNetCore
import HGNetDownload
import HGNetModels

/// Where weights come from: a file of the user's, or the published ones.
enum ModelSource {
  /// Whether an argument names a file rather than a model.
  static func isPath(_ argument: String) -> Bool {
    if argument.contains("/") || argument.contains(".") { return true }
    if (try? Model.named(argument)) != nil { return false }
    return (try? WeightsFile.format(of: argument)) != nil
  }

  /// The file of published weights, fetched once.
  static func published(_ weights: PublishedWeights, isOffline: Bool) async throws -> String {
    let cache = try PublishedWeightsCache(isOffline: isOffline)
    if let path = cache.cachedPath(for: weights) { return path }
    let progress = DownloadProgress(name: weights.fileName)
    defer { progress.end() }
    return try await cache.path(for: weights) { (path) throws(HGNetError) in
      _ = try WeightsFile(contentsOf: path)
    } report: {
      progress.show($0)
    }
  }

  /// The weights of a model for prediction: a file, or else the most accurate published ones.
  static func weights(
    file: String?, model: Model?, isOffline: Bool, standard: Model? = nil
  ) async throws -> WeightsFile {
    if let file { return try WeightsFile(contentsOf: file, model: model) }
    guard let model = model ?? standard, let published = PublishedWeights.mostAccurate(for: model) else {
      throw HGNetError(.invalidArgument, "expected weights; give a file with --weights FILE, or try `make demo`")
    }
    let path = try await Self.published(published, isOffline: isOffline)
    return try WeightsFile(contentsOf: path, model: model)
  }
}
