import HGNetConfiguration
import HGNetCore

extension Configuration {
  /// The losses of a list, nil without the key.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for a loss without weight or a number outside its range,
  ///   `unsupported` for losses that belong to distillation.
  func losses(_ key: String) throws(HGNetError) -> CombinedLoss? {
    guard let entries = try operators(key) else { return nil }
    var terms: [CombinedLoss.Term] = []
    for (name, key) in entries {
      terms.append(.init(try loss(name, key), weight: try lossWeight(key)))
    }
    do throws(HGNetError) {
      return try CombinedLoss(terms)
    } catch { throw HGNetError(error.code, error.message, path: path, key: key) }
  }

  /// The factor of a loss, which must be there.
  func lossWeight(_ key: String) throws(HGNetError) -> Double {
    guard let weight = try number("\(key).weight", in: NumberRange.factor) else {
      throw HGNetError(
        .invalidConfiguration, "expected a weight such as 1.0, found nothing", path: path, key: "\(key).weight")
    }
    return weight
  }

  /// The share of a label that is spread over the classes; 0 and 1 mean none, as in PaddleClas.
  func smoothing(_ key: String) throws(HGNetError) -> Double? { try number("\(key).epsilon", in: NumberRange.share) }

  private func loss(_ name: String, _ key: String) throws(HGNetError) -> any Loss {
    switch name {
    case "CELoss":
      if let reduction = try text("\(key).reduction"), reduction != "mean" {
        throw HGNetError(
          .unsupported, "the cross entropy is a mean over pictures, found \(reduction)", path: path,
          key: "\(key).reduction")
      }
      return CrossEntropyLoss(epsilon: try smoothing(key))
    case "DistillationGTCELoss" where isDistillation:
      return RenamedLoss(
        loss: CrossEntropyLoss(epsilon: try smoothing(key)), name: "CELoss_\(try evaluatedNetwork(key))")
    case "DistillationMultiLabelLoss" where isDistillation:
      return RenamedLoss(loss: try multiLabelLoss(key), name: "MultiLabelLoss_\(try evaluatedNetwork(key))")
    case "MultiLabelLoss": return try multiLabelLoss(key)
    case "MultiLabelAsymmetricLoss": return try asymmetricLoss(key)
    default:
      throw HGNetError(
        .unsupported,
        "expected CELoss, MultiLabelLoss or MultiLabelAsymmetricLoss, found \(name)"
          + (name.hasPrefix("Distillation") ? ", which belongs to Loss.Train of Arch.name: DistillationModel" : ""),
        path: path, key: key)
    }
  }

  /// The network that a loss of the evaluation of a distillation names; only the one that is used later is evaluated.
  private func evaluatedNetwork(_ key: String) throws(HGNetError) -> String {
    let names = try texts("\(key).model_names") ?? []
    guard let inferred = try inferredModelName(), names == [inferred] else {
      throw HGNetError(
        .unsupported,
        "only \(try inferredModelName() ?? "the student") is evaluated, found \(names.joined(separator: ", "))",
        path: path, key: "\(key).model_names")
    }
    try checkNoKey(key)
    return inferred
  }

  /// - Throws: `HGNetError.Code.unsupported` for a loss that looks at something else than logits.
  func checkNoKey(_ key: String) throws(HGNetError) {
    if try text("\(key).key") != nil {
      throw HGNetError(
        .unsupported, "the networks give logits only; leave the key out", path: path, key: "\(key).key")
    }
  }

  func multiLabelLoss(_ key: String) throws(HGNetError) -> MultiLabelLoss {
    let weightsByRatio = try boolean("\(key).weight_ratio") ?? false
    if weightsByRatio {
      let part = key.hasPrefix("Loss.Eval") ? "Eval" : "Train"
      let ratio = "DataLoader.\(part).dataset.label_ratio"
      guard try boolean(ratio) == true else {
        throw HGNetError(
          .invalidConfiguration,
          "weight_ratio needs the share of pictures that have each label; expected \(ratio): True, found "
            + (self[ratio]?.kind ?? "nothing"), path: path, key: "\(key).weight_ratio")
      }
    }
    return MultiLabelLoss(
      epsilon: try smoothing(key), sumsClasses: try boolean("\(key).size_sum") ?? false,
      weightsByRatio: weightsByRatio)
  }

  private func asymmetricLoss(_ key: String) throws(HGNetError) -> MultiLabelAsymmetricLoss {
    let reductionName = try text("\(key).reduction") ?? "sum"
    guard let reduction = MultiLabelAsymmetricLoss.Reduction(rawValue: reductionName) else {
      throw HGNetError(
        .invalidConfiguration, "expected sum or mean, found \(reductionName)", path: path, key: "\(key).reduction")
    }
    // `null` says that nothing is clipped; without the key PaddleClas' value counts.
    let clip = isNull("\(key).clip") ? 0 : try number("\(key).clip", in: NumberRange.share) ?? 0.05
    // The second name is of older versions of this package.
    let names = ["epsilon", "eps"].filter { self["\(key).\($0)"] != nil }
    guard names.count < 2 else {
      throw HGNetError(
        .invalidConfiguration, "expected epsilon, found eps, too, which means the same", path: path, key: "\(key).eps")
    }
    let epsilon = try number("\(key).\(names.first ?? "epsilon")", in: NumberRange.share)
    return MultiLabelAsymmetricLoss(
      positiveFocus: try number("\(key).gamma_pos", in: 0...100) ?? 1,
      negativeFocus: try number("\(key).gamma_neg", in: 0...100) ?? 4, clip: clip, epsilon: epsilon ?? 1e-8,
      holdsFocusConstant: try boolean("\(key).disable_focal_loss_grad") ?? true, reduction: reduction)
  }

  /// The metrics of a list; empty without the key.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration`, `unsupported` for a metric that is not there.
  func metrics(_ key: String) throws(HGNetError) -> [TrainingConfiguration.Metric] {
    guard let entries = try operators(key) else { return [] }
    var result: [TrainingConfiguration.Metric] = []
    for (name, key) in entries {
      switch name {
      case "TopkAcc", "DistillationTopkAcc":
        if name == "DistillationTopkAcc" {
          try checkMeasuredModel("\(key).model_key")
          if try text("\(key).feature_key") != nil {
            throw HGNetError(
              .unsupported, "the networks give logits only; leave the key out", path: path, key: "\(key).feature_key")
          }
        }
        if try hasSeveralLabels() {
          throw HGNetError(
            .invalidConfiguration,
            "\(name) is for one label a picture, and these have several (\(try severalLabelsKey() ?? "")); use "
              + "MultiLabelMAP, or [] for none", path: path, key: key)
        }
        var values = [1, 5]
        if case .list(let list)? = self["\(key).topk"] {
          values = []
          for index in list.indices { values.append(try integer("\(key).topk.\(index)", in: 1...Int.max) ?? 1) }
        } else if let single = try integer("\(key).topk", in: 1...Int.max) {
          values = [single]
        }
        guard !values.isEmpty else {
          throw HGNetError(
            .invalidConfiguration, "expected numbers such as [1, 5], found none", path: path, key: "\(key).topk")
        }
        result.append(.topK(values))
      case "MultiLabelMAP":
        let kindName = try text("\(key).map_type") ?? "integral"
        guard let kind = MultiLabelMeanAveragePrecision.Kind(rawValue: kindName) else {
          throw HGNetError(
            .invalidConfiguration, "expected integral or 11point, found \(kindName)", path: path, key: "\(key).map_type"
          )
        }
        guard try hasSeveralLabels() else {
          throw HGNetError(
            .invalidConfiguration,
            "MultiLabelMAP is for several labels a picture; use TopkAcc, or set Global.use_multilabel: True with "
              + "MultiLabelDataset", path: path, key: key)
        }
        result.append(.meanAveragePrecision(kind))
      default:
        throw HGNetError(.unsupported, "expected TopkAcc or MultiLabelMAP, found \(name)", path: path, key: key)
      }
    }
    return result
  }

  /// The key that says that pictures have several labels, nil where none does.
  private func severalLabelsKey() throws(HGNetError) -> String? {
    if try boolean("Global.use_multilabel") == true { return "Global.use_multilabel" }
    for part in ["Train", "Eval"] {
      let key = "DataLoader.\(part).dataset.name"
      if try text(key) == "MultiLabelDataset" { return key }
    }
    return nil
  }

  private func hasSeveralLabels() throws(HGNetError) -> Bool { try severalLabelsKey() != nil }

  /// - Throws: `HGNetError.Code.invalidConfiguration` unless a metric measures the network that is evaluated.
  private func checkMeasuredModel(_ key: String) throws(HGNetError) {
    guard let networks = try subModels()?.map(\.name), let inferred = try inferredModelName() else {
      throw HGNetError(
        .invalidConfiguration, "DistillationTopkAcc belongs to Arch.name: DistillationModel; use TopkAcc", path: path,
        key: key)
    }
    guard let name = try text(key) else {
      throw HGNetError(
        .invalidConfiguration, "expected the name of a network such as \(inferred), found nothing", path: path, key: key
      )
    }
    try checkSubModel(name, of: networks, key: key)
    guard name == inferred else {
      throw HGNetError(
        .unsupported, "only \(inferred) (Arch.infer_model_name) is measured, found \(name)", path: path, key: key)
    }
  }

  /// Everything in `Optimizer`.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration`, `unsupported` for other optimisers and several of them.
  func optimizerSettings(
    warnings: inout [String]
  ) throws(HGNetError) -> (Optimizer.Settings, TrainingConfiguration.Rate) {
    var key = "Optimizer"
    var name: String
    if case .list? = self["Optimizer"] {
      let entries = try operators("Optimizer") ?? []
      guard entries.count == 1, let only = entries.first, try text("\(only.key).scope") ?? "all" == "all" else {
        throw HGNetError(
          .unsupported, "expected one optimiser for the whole network, found \(entries.count)", path: path, key: key)
      }
      (name, key) = (only.name, only.key)
    } else if let plain = try text("Optimizer.name") {
      name = plain
    } else {
      throw HGNetError(
        .invalidConfiguration, "expected Momentum, SGD or AdamW, found nothing", path: path, key: "Optimizer.name")
    }
    func value(_ name: String, in range: ClosedRange<Double>) throws(HGNetError) -> Float? {
      try number("\(key).\(name)", in: range).map { Float($0) }
    }
    guard self["\(key).grad_clip"] == nil else {
      throw HGNetError(.unsupported, "clip with clip_norm: NUMBER instead", path: path, key: "\(key).grad_clip")
    }
    // Below 1 in float32, too.
    let memory = 0...0.9999999
    var settings: Optimizer.Settings
    switch name {
    case "SGD": settings = Optimizer.Settings(.sgd)
    case "Momentum":
      settings = Optimizer.Settings(
        .momentum(
          try value("momentum", in: memory) ?? 0.9, nesterov: try boolean("\(key).use_nesterov") ?? false))
    case "AdamW":
      settings = Optimizer.Settings(
        .adamW(
          beta1: try value("beta1", in: memory) ?? 0.9, beta2: try value("beta2", in: memory) ?? 0.999,
          epsilon: try value("epsilon", in: 1e-30...1) ?? 1e-8,
          weightDecay: try value("weight_decay", in: NumberRange.decay) ?? 0.01))
    default:
      throw HGNetError(
        .unsupported, "expected Momentum, SGD or AdamW, found \(name)", path: path, key: "\(key).name")
    }
    if let regularizer = try text("\(key).regularizer.name") {
      let coefficient = try value("regularizer.coeff", in: NumberRange.decay) ?? 0
      switch regularizer {
      case "L1": settings.regularizer = .l1(coefficient)
      case "L2": settings.regularizer = .l2(coefficient)
      default:
        throw HGNetError(
          .invalidConfiguration, "expected L1 or L2, found \(regularizer)", path: path, key: "\(key).regularizer.name")
      }
      if !settings.rule.decaysWeights, let other = try number("\(key).weight_decay", in: NumberRange.decay) {
        warnings.append(
          "\(key).weight_decay: \(other) is ignored, as in PaddleClas, since \(key).regularizer decays the weights; leave one "
            + "of them out")
      }
    } else if !settings.rule.decaysWeights, let coefficient = try value("weight_decay", in: NumberRange.decay) {
      settings.regularizer = .l2(coefficient)
    }
    settings.clipNorm = try value("clip_norm", in: 1e-30...1e30)
    if settings.rule != .sgd {
      let names = try text("\(key).no_weight_decay_name") ?? ""
      settings.namesWithoutDecay = names.split(whereSeparator: \.isWhitespace).map(String.init)
      settings.oneAxisWithoutDecay = try boolean("\(key).one_dim_param_no_weight_decay") ?? false
    }
    return (settings, try rate("\(key).lr", warnings: &warnings))
  }

  private func rate(
    _ key: String, warnings: inout [String]
  ) throws(HGNetError) -> TrainingConfiguration.Rate {
    guard self[key] != nil else {
      throw HGNetError(
        .invalidConfiguration, "expected a learning rate such as {name: Cosine, learning_rate: 0.1}, found nothing",
        path: path, key: key)
    }
    let name = try text("\(key).name") ?? "ConstLR"
    func gamma() throws(HGNetError) -> Double { try number("\(key).gamma", in: 0...0.9999999) ?? 0.1 }
    var learningRate = 0.0
    if name != "Piecewise" {
      guard let rate = try number("\(key).learning_rate", in: NumberRange.learningRate) else {
        throw missing("\(key).learning_rate")
      }
      learningRate = rate
    }
    let rule: Schedule.Rule
    switch name {
    case "ConstLR", "Constant": rule = .constant
    case "Cosine": rule = .cosine(minimum: try number("\(key).eta_min", in: NumberRange.learningRate) ?? 0)
    case "Linear":
      rule = .polynomial(
        end: try number("\(key).end_lr", in: NumberRange.learningRate) ?? 0,
        power: try number("\(key).power", in: 1e-3...1e3) ?? 1, cycle: try boolean("\(key).cycle") ?? false)
    case "Step":
      guard let length = try number("\(key).step_size", in: 1e-6...NumberRange.epochs.upperBound) else {
        throw missing("\(key).step_size")
      }
      rule = .step(epochs: length, factor: try gamma())
    case "MultiStepDecay":
      guard let milestones = try numbers("\(key).milestones", in: NumberRange.epochs) else {
        throw missing("\(key).milestones")
      }
      rule = .multiStep(epochs: milestones, factor: try gamma())
    case "Piecewise": rule = try piecewise(key, warnings: &warnings)
    default:
      throw HGNetError(
        .unsupported, "expected ConstLR, Cosine, Linear, Step, MultiStepDecay or Piecewise, found \(name)", path: path,
        key: "\(key).name")
    }
    let warmup = try number("\(key).warmup_epoch", in: NumberRange.epochs) ?? 0
    if let epochs = try integer("Global.epochs"), warmup >= Double(epochs) {
      warnings.append(
        "\(key).warmup_epoch: \(warmup) is not below the \(epochs) epochs of the run; it counts as \(epochs), as in PaddleClas, "
          + "and the rate rises until the end")
    }
    return TrainingConfiguration.Rate(
      rule, learningRate: learningRate, warmupEpochs: warmup,
      warmupStart: try number("\(key).warmup_start_lr", in: NumberRange.learningRate) ?? 0,
      isByEpoch: try boolean("\(key).by_epoch") ?? false)
  }

  /// Rates between epochs; with a `learning_rate` a tenth every 30 epochs, whatever else is given, as in PaddleClas.
  private func piecewise(_ key: String, warnings: inout [String]) throws(HGNetError) -> Schedule.Rule {
    let given = try numbers("\(key).decay_epochs", in: NumberRange.epochs)
    let values = try numbers("\(key).values", in: NumberRange.learningRate)
    if let rate = try number("\(key).learning_rate", in: NumberRange.learningRate), rate != 0 {
      let total = Double(try integer("Global.epochs") ?? 1)
      var epochs = Array(stride(from: 30.0, to: min(total, 3000), by: 30))
      var rates = [rate] + epochs.indices.map { rate * Configuration.power(0.1, $0 + 1) }
      if epochs.isEmpty { (epochs, rates) = ([total], [rate, rate]) }
      if given != nil || values != nil {
        warnings.append(
          "\(key).learning_rate: \(rate) replaces decay_epochs and values, as in PaddleClas: the rate becomes a tenth every 30 "
            + "epochs; leave it out to use them")
      }
      return .piecewise(epochs: epochs, rates: rates)
    }
    guard let given else { throw missing("\(key).decay_epochs") }
    guard let values else { throw missing("\(key).values") }
    return .piecewise(epochs: given, rates: values)
  }

  private static func power(_ base: Double, _ exponent: Int) -> Double {
    (0..<exponent).reduce(1) { product, _ in product * base }
  }

  private func missing(_ key: String) -> HGNetError {
    HGNetError(.invalidConfiguration, "expected a value, found nothing", path: path, key: key)
  }
}
