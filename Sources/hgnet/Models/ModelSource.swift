import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetDownload
import HGNetModels
import HGNetPlatform

/// Where weights come from: a file of the user's, or the published ones.
enum ModelSource {
  /// Whether an argument names a file rather than a model.
  static func isPath(_ argument: String) -> Bool {
    if argument.contains("/") || argument.contains(".") { return true }
    if (try? Model.named(argument)) != nil { return false }
    return (try? WeightsFile.format(of: argument)) != nil
  }

  /// The file of published weights, fetched once.
  static func published(_ weights: PublishedWeights, isOffline: Bool) throws -> String {
    let cache = try PublishedWeightsCache(isOffline: isOffline)
    if let path = cache.cachedPath(for: weights) { return path }
    let progress = DownloadProgress(name: weights.fileName)
    defer { progress.end() }
    return try cache.path(for: weights) { (path) throws(HGNetError) in
      _ = try WeightsFile(contentsOf: path)
    } report: {
      progress.show($0)
    }
  }

  /// The path of what a user names: their file, or else the published file of that name, such as
  /// `PPHGNetV2_B0_ssld_stage1_pretrained` or `PPHGNetV2_B0_ssld_infer.tar`.
  static func file(named name: String, isOffline: Bool) throws -> String {
    guard !name.contains("/"), let published = try? PublishedWeights.named(name), access(name, F_OK) != 0,
      access(WeightsFile.withImpliedEnding(name), F_OK) != 0
    else { return name }
    return try Self.published(published, isOffline: isOffline)
  }

  /// The path of the weights that a configuration asks for, fetched if need be.
  static func file(
    of source: Configuration.WeightsSource, isOffline: Bool
  ) throws -> String {
    switch source {
    case .file(let name): try file(named: name, isOffline: isOffline)
    case .published(let weights): try published(weights, isOffline: isOffline)
    }
  }

  /// The weights of a model for prediction: those that are named, or else the most accurate published ones.
  static func weights(
    file: String?, model: Model?, isOffline: Bool, defaultModel: Model? = nil, isFirst: Bool = true
  ) throws -> WeightsFile {
    let path: String
    if let file {
      path = try Self.file(named: file, isOffline: isOffline)
    } else {
      guard let model = model ?? defaultModel, let published = PublishedWeights.mostAccurate(for: model) else {
        throw HGNetError(.invalidArgument, "expected weights; give a file with --weights FILE, or try `make demo`")
      }
      path = try Self.published(published, isOffline: isOffline)
    }
    do throws(HGNetError) {
      return try WeightsFile(contentsOf: path, model: model).told(isFirst: isFirst)
    } catch {
      guard path != file, error.code == .malformedData else { throw error }
      throw HGNetError(
        error.code, "the fetched file is damaged; remove it, and it is fetched again", path: path,
        cause: error.description)
    }
  }
}

extension WeightsFile {
  /// The weights, after a line on standard error where the file holds several networks.
  func told(isFirst: Bool = true) -> WeightsFile {
    if isFirst, let choice = report.choice { StandardError.write("hgnet: note: \(path): \(choice)") }
    return self
  }
}
