import HGNetConfiguration
import HGNetCore
import HGNetModels
import HGNetVision

extension Configuration {
  /// The recipe that the configuration describes, nil when it has no transforms.
  ///
  /// Read are `Infer.transforms` with `Infer.PostProcess` (training configurations), or `PreProcess.transform_ops` with
  /// `PostProcess` (deployment configurations and `inference.yml`). Beside weights a training configuration without
  /// `Infer` means the transforms of its evaluation. The label file `imagenet1k_label_list.txt` need not
  /// exist: its names are built in. Another label file that is missing is looked for beside the configuration; when it is
  /// not there either, that is reported through `warn` and leaves the names unknown, as in PaddleClas.
  ///
  /// - Parameters:
  ///   - isBesideWeights: whether the configuration lies beside its weights, so that its label file does, too, whatever
  ///     lies in the working folder.
  ///   - warn: told of a label file that is missing.
  /// - Throws: `HGNetError.Code.invalidConfiguration` naming the key, `unsupported` for a transform that belongs to
  ///   training, `malformedData` for a damaged label file.
  package func recipe(
    isBesideWeights: Bool = false, warn: (String) -> Void = { _ in }
  ) throws(HGNetError) -> Recipe? {
    let isTraining = self["Infer.transforms"] != nil
    var key = isTraining ? "Infer.transforms" : "PreProcess.transform_ops"
    let evaluation = "DataLoader.Eval.dataset.transform_ops"
    if isBesideWeights, self[key] == nil, self[evaluation] != nil { key = evaluation }
    guard let operators = try operators(key) else { return nil }
    var recipe = Recipe(transforms: [])
    // The name of an exported model is for people and other tools; it must be text all the same.
    _ = try text("Global.model_name")
    for (name, key) in operators {
      switch name {
      case "DecodeImage": recipe.decodingStyle = try decodingStyle(key)
      case "ResizeImage": recipe.transforms.append(try resize(key))
      case "CropImage", "CenterCropImage": recipe.transforms.append(.centerCrop(try size("\(key).size")))
      case "NormalizeImage": recipe.transforms.append(try normalization(key))
      case "ToCHWImage", "ToTensor": break
      default:
        throw HGNetError(
          .unsupported,
          "\(name) belongs to training; expected DecodeImage, ResizeImage, CropImage, NormalizeImage or ToCHWImage",
          path: path, key: key)
      }
    }
    try readPostProcessing(
      isTraining ? "Infer.PostProcess" : "PostProcess", isTraining: isTraining, isBesideWeights: isBesideWeights,
      into: &recipe, warn: warn)
    // Scores of several labels are told as the best few, too.
    if try boolean("Global.use_multilabel") == true { recipe.activation = .sigmoid }
    return recipe
  }

  private func readPostProcessing(
    _ key: String, isTraining: Bool, isBesideWeights: Bool, into recipe: inout Recipe, warn: (String) -> Void
  ) throws(HGNetError) {
    guard let section = self[key] else { return }
    guard case .mapping(let mapping) = section else { throw wrong(key, expected: "a mapping", found: section) }
    // A training configuration names the operator; a deployment configuration has one section for each.
    let name: String
    let arguments: String
    if isTraining {
      name = try text("\(key).name") ?? "Topk"
      arguments = key
    } else {
      let present = ["Topk", "MultiLabelThreshOutput"].filter { mapping[$0] != nil }
      name = try text("\(key).main_indicator") ?? present.first ?? "Topk"
      arguments = "\(key).\(name)"
    }
    switch name {
    case "Topk": recipe.postProcessing = .topK(try integer("\(arguments).topk", in: 1...Int.max) ?? 1)
    case "MultiLabelThreshOutput":
      recipe.postProcessing = .threshold(try number("\(arguments).threshold", in: NumberRange.share) ?? 0.5)
    default:
      throw HGNetError(
        .invalidConfiguration, "expected Topk or MultiLabelThreshOutput, found \(name)", path: path,
        key: isTraining ? "\(key).name" : "\(key).main_indicator")
    }
    if let delimiter = try text("\(arguments).delimiter"), delimiter != " " {
      throw HGNetError(
        .unsupported, "the names of a label file stand behind the first blank; leave the delimiter out", path: path,
        key: "\(arguments).delimiter")
    }
    if let names = try texts("\(arguments).label_list") {
      recipe.labels = Labels(names)
    } else if let file = try text("\(arguments).class_id_map_file") {
      recipe.labels = try labels(file, isBesideWeights: isBesideWeights, warn: warn)
    }
  }

  private func labels(_ file: String, isBesideWeights: Bool, warn: (String) -> Void) throws(HGNetError) -> Labels? {
    let name = file.split(separator: "/").last ?? ""
    // A training run names its label file from the folder where it was started, and puts it beside its configuration.
    let folder = path.lastIndex(of: "/").map { path[...$0] } ?? ""
    func beside() -> Labels? { name.isEmpty ? nil : try? Labels(contentsOf: "\(folder)\(name)") }
    if isBesideWeights, !file.hasPrefix("/"), let labels = beside() { return labels }
    do throws(HGNetError) {
      return try Labels(contentsOf: file)
    } catch {
      guard error.code == .fileNotFound else { throw error }
      if name == "imagenet1k_label_list.txt" { return .imageNet }
      if let labels = beside() { return labels }
      warn("\(error); the classes are printed without names")
      return nil
    }
  }
}
