import HGNetConfiguration
import HGNetCore
import HGNetModels

/// The configurations that lie beside files of weights.
enum NeighboringConfiguration {
  /// Where the recipe of an exported model lies: in its folder, or beside its file under the same name or as
  /// `inference.yml`; of a link last beside the file that it leads to.
  static func exported(at path: String) -> [String] {
    guard !path.isEmpty else { return [] }
    if FileKind.isFolder(path) { return ["\(path)/inference.yml"] }
    let folder = parent(of: path)
    let beside = [join(folder, "\(stem(of: path)).yml"), join(folder, "inference.yml")]
    return beside + (FileKind.linkTarget(of: path).map(exported) ?? [])
  }

  /// Whether a YAML file says how pictures are prepared.
  static func describesPictures(_ file: String) -> Bool {
    guard let value = try? ConfigurationValue(contentsOf: file) else { return false }
    return value.value(at: "PreProcess.transform_ops") != nil
  }

  /// What `hgnet train` wrote beside its weights, if it is of the same network: the configuration of these weights, such as
  /// `best_model.yaml`, else `config.yaml`.
  ///
  /// - Parameters:
  ///   - network: the model and its number of classes.
  ///   - path: the file of weights; empty for weights in memory, beside which lies nothing.
  ///   - warn: told of a file that is there and cannot be used.
  static func trained(
    _ network: Model.Recognition, at path: String, warn: (String) -> Void = { _ in }
  ) -> Configuration? {
    guard !path.isEmpty else { return nil }
    // The weights alone lie one folder deeper, in `best_model/model.pdparams`.
    for (file, isBeside) in WeightsRecord.files(of: path) {
      do throws(HGNetError) {
        let configuration = try Configuration(contentsOf: file)
        guard let described = try configuration.model() else { continue }
        if described.model == network.model, described.options.classCount == network.options.classCount {
          return configuration
        }
        guard isBeside else { continue }
        warn(
          "\(file) is of \(described.model) for \(described.options.classCount) classes, the weights are of "
            + "\(network.model) for \(network.options.classCount); it is not used")
      } catch {
        if isBeside { warn("\(error); it is not used") }
      }
    }
    return nil
  }

  /// Every file from which the recipe of weights may come, whether it is there or not: the configurations beside them, and
  /// the files of labels that those name.
  static func candidates(at path: String) -> [String] {
    let configurations = exported(at: path) + WeightsRecord.candidates(of: path)
    var files = configurations
    for file in configurations where FileKind.exists(file) {
      guard let value = try? ConfigurationValue(contentsOf: file) else { continue }
      for key in ["Infer.PostProcess", "PostProcess.Topk", "PostProcess.MultiLabelThreshOutput"] {
        guard case .text(let labels)? = value.value(at: "\(key).class_id_map_file") else { continue }
        files += [labels, join(parent(of: file), name(of: labels))]
      }
    }
    return files
  }

  /// A network that was recognised by its parameters, with what leaves no trace in them: dropout, by which PaddlePaddle
  /// multiplies, and the heads of a decoder.
  static func completing(
    _ found: Model.Recognition, ofWeightsAt path: String, metadata: [String: String]
  ) -> Model.Recognition {
    var options = found.options
    if let text = metadata[WeightsRecipe.dropoutKey], let probability = Float(text), 0...1 ~= probability {
      options.dropoutProbability = probability
      return Model.Recognition(model: found.model, options: options, extent: found.extent)
    }
    guard let described = try? trained(found, at: path)?.model()?.options else { return found }
    options.dropoutProbability = described.dropoutProbability
    options.learningRateMultipliers = described.learningRateMultipliers
    if let decoder = described.decoder, options.decoder?.features == decoder.features {
      options.decoder?.heads = decoder.heads
      options.decoder?.dropoutProbability = decoder.dropoutProbability
    }
    return Model.Recognition(model: found.model, options: options, extent: found.extent)
  }

  /// The name of a file without its ending.
  private static func stem(of path: String) -> Substring {
    let name = name(of: path)
    return name.lastIndex(of: ".").map { name[..<$0] } ?? name[...]
  }

  static func name(of path: String) -> String { path.split(separator: "/").last.map(String.init) ?? "" }

  private static func join(_ folder: String, _ name: String) -> String {
    folder == "." ? name : folder == "/" ? "/\(name)" : "\(folder)/\(name)"
  }

  private static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}
