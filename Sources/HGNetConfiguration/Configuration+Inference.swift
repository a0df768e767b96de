import HGNetCore
import HGNetModels

extension Configuration {
  /// The model of `Arch` with its options, nil without `Arch.name`.
  ///
  /// In a distillation configuration it is the sub-model of `Arch.infer_model_name` (`Student` if not given).
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for an unknown name, `invalidConfiguration` for a wrong value,
  ///   `unsupported` for the ML-Decoder head.
  package func model() throws(HGNetError) -> (model: Model, options: ModelOptions)? {
    guard let key = try architectureKey() else { return nil }
    return try model(at: key)
  }

  /// The model of a section.
  func model(at key: String) throws(HGNetError) -> (model: Model, options: ModelOptions)? {
    guard let name = try text("\(key).name") else { return nil }
    let model: Model
    do throws(HGNetError) {
      model = try Model.named(name)
    } catch {
      throw HGNetError(.invalidConfiguration, error.message, path: path, key: "\(key).name")
    }
    var options = ModelOptions()
    // Older files have the number of classes in Global.
    let countKeys = ["\(key).class_num", "Arch.class_num"]
    let countKey = countKeys.first { self[$0] != nil } ?? "Global.class_num"
    if let count = try integer(countKey, in: 1...(1 << 24)) { options.classCount = count }
    if let channels = try integer("\(key).class_expand", in: 1...(1 << 20)) { options.classExpand = channels }
    if let probability = try number("\(key).dropout_prob", in: NumberRange.share) {
      options.dropoutProbability = Float(probability)
    }
    if let use = try boolean("\(key).use_last_conv") { options.useLastConvolution = use }
    options.useLearnableAffineBlock = try boolean("\(key).use_lab")
    if try boolean("\(key).use_ml_decoder") == true { options.decoder = try decoder(of: key, options) }
    if let factors = try numbers("\(key).lr_mult_list", in: 0...1e6) {
      options.learningRateMultipliers = factors.map { Float($0) }
    }
    return (model, options)
  }

  /// What inference is to compute with: `Global.precision`, int8 where PaddleClas' `Global.use_int8` is set, or
  /// bfloat16 where `Global.use_fp16` or `Global.enable_mkldnn_bfloat16` asks for numbers of 16 bits; nil where nothing asks.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for another value.
  package func precision() throws(HGNetError) -> PrecisionChoice? {
    if let name = try text("Global.precision") {
      if let choice = PrecisionChoice(rawValue: name) { return choice }
      let names = PrecisionChoice.allCases.map(\.rawValue).joined(separator: ", ")
      throw HGNetError(
        .invalidConfiguration, "expected one of \(names), found \(name)", path: path, key: "Global.precision")
    }
    if try boolean("Global.use_int8") == true { return .int8 }
    for key in ["Global.use_fp16", "Global.enable_mkldnn_bfloat16"] where try boolean(key) == true {
      return .bfloat16
    }
    return nil
  }

  /// The GPU that inference is to run on, `gpu` or `gpu:N`: `Global.device`, else `Global.use_gpu`; nil where none is
  /// asked for.
  package var gpu: String? {
    if case .text(let device)? = self["Global.device"] { return device.hasPrefix("gpu") ? device : nil }
    if case .boolean(true)? = self["Global.use_gpu"] { return "gpu" }
    return nil
  }

  /// Where the weights of `infer` come from.
  package enum WeightsSource: Sendable, Hashable {
    /// A file of the user's: `Global.pretrained_model`, or `Arch.pretrained` as text.
    case file(String)
    /// `Arch.pretrained: True`: the published weights that fine-tuning starts from.
    case published(PublishedWeights)
  }

  /// The weights of `infer`: `Global.pretrained_model`, else `Arch.pretrained`.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` when there are none, saying how to give them.
  package func weightsSource() throws(HGNetError) -> WeightsSource {
    if let file = try text("Global.pretrained_model") { return .file(file) }
    return try weightsSource(at: architectureKey() ?? "Arch")
  }

  /// The weights that a section asks for.
  func weightsSource(at key: String) throws(HGNetError) -> WeightsSource {
    switch self["\(key).pretrained"] {
    case .text(let file): return .file(file)
    case .boolean(true):
      if let model = try model(at: key)?.model,
        let weights = PublishedWeights.pretrained(for: model, distilled: try boolean("\(key).use_ssld") ?? false)
      {
        return .published(weights)
      }
      throw HGNetError(
        .invalidConfiguration,
        "no weights are published for this model; give a file with -o Global.pretrained_model=FILE",
        path: path, key: "\(key).pretrained")
    default:
      throw HGNetError(
        .invalidConfiguration,
        "expected weights, found none; give a file with -o Global.pretrained_model=FILE (or `hgnet predict --weights FILE`), "
          + "or see `make demo`", path: path, key: "Global.pretrained_model")
    }
  }

  /// The weights that training begins with; nil where neither `Global.pretrained_model` nor `Arch.pretrained` asks for any.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` when published weights are asked for that do not exist.
  package func trainingWeightsSource() throws(HGNetError) -> WeightsSource? {
    let key = try architectureKey() ?? "Arch"
    if try text("Global.pretrained_model") == nil, self["\(key).pretrained"]?.isOff ?? true { return nil }
    return try weightsSource()
  }

  private func architectureKey() throws(HGNetError) -> String? {
    guard let name = try text("Arch.name") else { return nil }
    guard name == "DistillationModel" else { return "Arch" }
    let wanted = try text("Arch.infer_model_name") ?? "Student"
    guard case .list(let models)? = self["Arch.models"] else {
      throw HGNetError(.invalidConfiguration, "expected a list of models", path: path, key: "Arch.models")
    }
    for (index, element) in models.enumerated() {
      if case .mapping(let mapping) = element, mapping[wanted] != nil { return "Arch.models.\(index).\(wanted)" }
    }
    throw HGNetError(
      .invalidConfiguration, "none of the models is named \(HGNetError.quoted(wanted))", path: path,
      key: "Arch.infer_model_name")
  }

  /// What `infer` or `predict` works on.
  package struct Input: Sendable, Hashable {
    /// A picture or a folder.
    package var pictures: String?
    /// A text file whose lines begin with names below `pictures`.
    package var list: String?
    /// Pictures per run of the network, at least 1.
    package var batchSize: Int
    /// Where results are saved as JSON instead of being printed.
    package var saveFile: String?
  }

  /// The pictures, batch size and result file: of `Infer` in a training configuration, of `Global` in a deployment one.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for a wrong value.
  package func input() throws(HGNetError) -> Input {
    let section = self["Infer"] != nil ? "Infer" : "Global"
    var input = Input(
      pictures: try text("\(section).infer_imgs"), list: section == "Infer" ? try text("Infer.infer_list") : nil,
      batchSize: try integer("\(section).batch_size", in: 1...65536) ?? 1, saveFile: nil)
    if section == "Infer", let file = try text("Infer.save_dir") {
      let name = file.split(separator: "/").last ?? ""
      let hasExtension = name.dropFirst().utf8.contains(UInt8(ascii: "."))
      guard file.hasSuffix(".json") || !hasExtension else {
        throw HGNetError(
          .invalidConfiguration,
          "expected a name that ends in .json or without extension, found \(HGNetError.quoted(file))",
          path: path,
          key: "Infer.save_dir")
      }
      input.saveFile = file.hasSuffix(".json") ? file : file + ".json"
    }
    return input
  }
}
