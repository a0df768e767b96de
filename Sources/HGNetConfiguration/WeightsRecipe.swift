import HGNet
import HGNetCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The recipe that lies beside weights, or inside them.
package enum WeightsRecipe {
  /// The recipe of `inference.yml` beside an exported model or in its metadata, or of the `config.yaml` that
  /// `hgnet train` wrote beside its weights; nil where there is none.
  ///
  /// - Parameters:
  ///   - weights: the opened weights; beside weights in memory lies nothing.
  ///   - note: told which training configuration is used, if one is.
  ///   - warn: told of a label file that is missing.
  /// - Throws: as `Configuration.recipe(warn:)`, for an `inference.yml` that cannot be used.
  package static func beside(
    _ weights: WeightsFile, note: (String) -> Void = { _ in }, warn: (String) -> Void
  ) throws(HGNetError) -> Recipe? {
    if let exported = try inferenceConfiguration(of: weights) { return try exported.recipe(warn: warn) }
    guard let trained = trainingConfiguration(of: weights) else { return nil }
    note("transforms and labels of \(trained.path)")
    return try trained.recipe(warn: warn)
  }

  /// The recipe beside weights or inside them, else the standard one of their network.
  ///
  /// - Throws: as `beside`.
  package static func of(
    _ weights: WeightsFile, note: (String) -> Void = { _ in }, warn: (String) -> Void
  ) throws(HGNetError) -> Recipe {
    try beside(weights, note: note, warn: warn) ?? weights.standardRecipe
  }

  /// `inference.yml` in the folder of an exported model, else in the model itself.
  private static func inferenceConfiguration(of weights: WeightsFile) throws(HGNetError) -> Configuration? {
    let isExported = weights.format.isInferenceModel || weights.metadata[metadataKey] != nil
    guard isExported else { return nil }
    for folder in weights.path.isEmpty ? [] : [weights.path, parent(of: weights.path)] {
      let file = folder + "/inference.yml"
      if access(file, F_OK) == 0 { return try Configuration(contentsOf: file) }
    }
    guard let text = weights.metadata[metadataKey] else { return nil }
    return try Configuration(try ConfigurationValue(yaml: text), path: weights.path)
  }

  /// The name under which a model carries its `inference.yml`.
  package static let metadataKey = "inference.yml"

  /// What `hgnet train` wrote beside its weights, if it is of the same network: the configuration of these weights, such as
  /// `best_model.yaml`, else `config.yaml`.
  private static func trainingConfiguration(of weights: WeightsFile) -> Configuration? {
    guard !weights.path.isEmpty, let model = weights.model, !weights.format.isInferenceModel else { return nil }
    for file in WeightsRecord.files(of: weights.path) {
      guard let configuration = try? Configuration(contentsOf: file), let described = try? configuration.model(),
        described.model == model, described.options.classCount == weights.graph.classCount
      else { continue }
      return configuration
    }
    return nil
  }

  private static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return String(path[..<slash])
  }
}
