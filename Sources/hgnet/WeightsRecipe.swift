import HGNet
import HGNetConfiguration
import HGNetCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The recipe that lies beside weights, or inside them.
enum WeightsRecipe {
  /// The recipe of `inference.yml` beside an exported model or in its metadata, or of the `config.yaml` that
  /// `hgnet train` wrote beside its weights; nil where there is none.
  static func beside(_ weights: WeightsFile, isVerbose: Bool = false, warn: (String) -> Void) throws -> Recipe? {
    if let exported = try inferenceConfiguration(of: weights) { return try exported.recipe(warn: warn) }
    guard let trained = trainingConfiguration(of: weights) else { return nil }
    if isVerbose { StandardError.write("hgnet: transforms and labels of \(trained.path)") }
    return try trained.recipe(warn: warn)
  }

  /// `inference.yml` in the folder of an exported model, else in the model itself.
  private static func inferenceConfiguration(of weights: WeightsFile) throws -> Configuration? {
    let isExported = weights.format.isInferenceModel || weights.metadata[metadataKey] != nil
    guard isExported else { return nil }
    for folder in [weights.path, parent(of: weights.path)] {
      let file = folder + "/inference.yml"
      if access(file, F_OK) == 0 { return try Configuration(contentsOf: file) }
    }
    guard let text = weights.metadata[metadataKey] else { return nil }
    return try Configuration(try ConfigurationValue(yaml: text), path: weights.path)
  }

  /// The name under which a model carries its `inference.yml`.
  static let metadataKey = "inference.yml"

  /// `config.yaml` that `hgnet train` wrote beside its weights, if it is of the same network.
  private static func trainingConfiguration(of weights: WeightsFile) -> Configuration? {
    guard let model = weights.model, !weights.format.isInferenceModel else { return nil }
    // The weights alone lie one folder deeper, in `best_model/model.pdparams`.
    for folder in [parent(of: weights.path), parent(of: parent(of: weights.path))] {
      let file = folder + "/config.yaml"
      guard access(file, F_OK) == 0, let configuration = try? Configuration(contentsOf: file),
        let described = try? configuration.model(), described.model == model,
        described.options.classCount == weights.graph.classCount
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
