import HGNetCore
import HGNetModels

extension Configuration {
  /// One network of a distillation: an entry of `Arch.models`.
  package struct SubModel: Sendable, Hashable {
    /// The name, such as `Teacher`; parameters of checkpoints begin with it and a dot.
    package var name: String
    /// The network.
    package var model: Model
    /// Its options, the number of classes included.
    package var options: ModelOptions
    /// Whether it keeps its weights (`Arch.freeze_params_list`).
    package var isFrozen: Bool
    /// What it begins with (`Arch.pretrained_list`, else its own `pretrained`); nil for random weights.
    package var weights: WeightsSource?
    /// The path of its section.
    package var key: String
  }

  /// Whether `Arch` describes several networks.
  package var isDistillation: Bool { self["Arch.name"] == .text("DistillationModel") }

  /// The network of a distillation that is evaluated, exported and used (`Arch.infer_model_name`, else `Student`); nil
  /// for a configuration of one network.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for a name that is no text.
  package func inferredModelName() throws(HGNetError) -> String? {
    isDistillation ? try text("Arch.infer_model_name") ?? "Student" : nil
  }

  /// The networks of a distillation in order, nil for a configuration of one network.
  ///
  /// A network without `class_num` has that of `Arch`.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for lists of another length, two networks of one name, or what
  ///   `model()` throws.
  package func subModels() throws(HGNetError) -> [SubModel]? {
    guard isDistillation else { return nil }
    guard case .list(let entries)? = self["Arch.models"], !entries.isEmpty else {
      throw HGNetError(
        .invalidConfiguration, "expected a list of networks such as \"- Teacher: {name: PPHGNet_small}\"", path: path,
        key: "Arch.models")
    }
    let frozen = try list("Arch.freeze_params_list", count: entries.count)
    let pretrained = try list("Arch.pretrained_list", count: entries.count)
    var result: [SubModel] = []
    for (index, entry) in entries.enumerated() {
      guard case .mapping(let mapping) = entry, mapping.count == 1, let name = mapping.keys.first, !name.isEmpty else {
        throw wrong("Arch.models.\(index)", expected: "one network such as \"- Teacher:\"", found: entry)
      }
      guard !result.contains(where: { $0.name == name }) else {
        throw HGNetError(
          .invalidConfiguration, "two networks are named \(HGNetError.quoted(name))", path: path, key: "Arch.models")
      }
      let key = "Arch.models.\(index).\(name)"
      guard let (model, options) = try model(at: key) else {
        throw HGNetError(
          .invalidConfiguration, "expected the name of a network, found nothing", path: path, key: "\(key).name")
      }
      var weights = self["\(key).pretrained"]?.isOff ?? true ? nil : try weightsSource(at: key)
      switch pretrained?[index] {
      case .text(let file)?: weights = .file(file)
      case nil, .null?: break
      case let other?:
        throw wrong("Arch.pretrained_list.\(index)", expected: "a file or null", found: other)
      }
      var isFrozen = false
      switch frozen?[index] {
      case .boolean(let value)?: isFrozen = value
      case nil, .null?: break
      case let other?: throw wrong("Arch.freeze_params_list.\(index)", expected: "True or False", found: other)
      }
      result.append(
        SubModel(name: name, model: model, options: options, isFrozen: isFrozen, weights: weights, key: key))
    }
    return result
  }

  /// A list with one element per network.
  private func list(_ key: String, count: Int) throws(HGNetError) -> [ConfigurationValue]? {
    guard let value = self[key] else { return nil }
    guard case .list(let list) = value else {
      throw wrong(key, expected: "a list with one entry per network", found: value)
    }
    guard list.count == count else {
      throw HGNetError(
        .invalidConfiguration,
        "expected one entry for each of the \(count) networks of Arch.models, found \(list.count)",
        path: path, key: key)
    }
    return list
  }
}

extension ConfigurationValue {
  /// Gives an override of `Arch.class_num` to every network of a distillation that has a number of its own: an anchor
  /// of the file has been expanded by now and would keep its old value.
  mutating func spreadClassCount(_ override: ConfigurationOverride) throws(HGNetError) {
    guard override.key == "Arch.class_num", case .mapping(let root) = self, case .mapping(let arch)? = root["Arch"],
      case .list(let models)? = arch["models"]
    else { return }
    for (index, entry) in models.enumerated() {
      guard case .mapping(let mapping) = entry, let name = mapping.keys.first, case .mapping(let own)? = mapping[name],
        own["class_num"] != nil
      else { continue }
      try apply(ConfigurationOverride(key: "Arch.models.\(index).\(name).class_num", value: override.value))
    }
  }
}
