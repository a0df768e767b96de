import HGNetConfiguration
import HGNetCore

extension Configuration {
  /// The losses of a list, nil without the key.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for a loss without weight, `unsupported` for losses that belong to
  ///   distillation.
  func losses(_ key: String) throws(HGNetError) -> CombinedLoss? {
    guard let entries = try operators(key) else { return nil }
    var terms: [CombinedLoss.Term] = []
    for (name, key) in entries {
      guard let weight = try number("\(key).weight") else {
        throw HGNetError(
          .invalidConfiguration, "expected a weight such as 1.0, found nothing", path: path, key: "\(key).weight")
      }
      terms.append(.init(try loss(name, key), weight: weight))
    }
    do throws(HGNetError) {
      return try CombinedLoss(terms)
    } catch { throw HGNetError(error.code, error.message, path: path, key: key) }
  }

  private func loss(_ name: String, _ key: String) throws(HGNetError) -> any Loss {
    switch name {
    case "CELoss":
      if let reduction = try text("\(key).reduction"), reduction != "mean" {
        throw HGNetError(
          .unsupported, "the cross entropy is a mean over pictures, found \(reduction)", path: path,
          key: "\(key).reduction")
      }
      return CrossEntropyLoss(epsilon: try number("\(key).epsilon"))
    case "DistillationGTCELoss" where isDistillation:
      // Only the network that is used later is evaluated.
      let names = try texts("\(key).model_names") ?? []
      guard let inferred = try inferredModelName(), names == [inferred] else {
        throw HGNetError(
          .unsupported,
          "only \(try inferredModelName() ?? "the student") is evaluated, found \(names.joined(separator: ", "))",
          path: path, key: "\(key).model_names")
      }
      return RenamedLoss(loss: CrossEntropyLoss(epsilon: try number("\(key).epsilon")), name: "CELoss_\(inferred)")
    case "MultiLabelLoss":
      return MultiLabelLoss(
        epsilon: try number("\(key).epsilon"), sumsClasses: try boolean("\(key).size_sum") ?? false,
        weightsByRatio: try boolean("\(key).weight_ratio") ?? false)
    case "MultiLabelAsymmetricLoss":
      let reductionName = try text("\(key).reduction") ?? "sum"
      guard let reduction = MultiLabelAsymmetricLoss.Reduction(rawValue: reductionName) else {
        throw HGNetError(
          .invalidConfiguration, "expected sum or mean, found \(reductionName)", path: path, key: "\(key).reduction")
      }
      return MultiLabelAsymmetricLoss(
        positiveFocus: try number("\(key).gamma_pos") ?? 1, negativeFocus: try number("\(key).gamma_neg") ?? 4,
        clip: try number("\(key).clip") ?? 0.05, epsilon: try number("\(key).eps") ?? 1e-8,
        holdsFocusConstant: try boolean("\(key).disable_focal_loss_grad") ?? true, reduction: reduction)
    default:
      throw HGNetError(
        .unsupported,
        "expected CELoss, MultiLabelLoss or MultiLabelAsymmetricLoss, found \(name)"
          + (name.hasPrefix("Distillation") ? ", which belongs to Loss.Train of Arch.name: DistillationModel" : ""),
        path: path, key: key)
    }
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
        if name == "DistillationTopkAcc" { try checkMeasuredModel("\(key).model_key") }
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
        result.append(.meanAveragePrecision(kind))
      default:
        throw HGNetError(.unsupported, "expected TopkAcc or MultiLabelMAP, found \(name)", path: path, key: key)
      }
    }
    return result
  }

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
  func optimizerSettings() throws(HGNetError) -> (Optimizer.Settings, TrainingConfiguration.Rate) {
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
    func value(_ name: String) throws(HGNetError) -> Float? { try number("\(key).\(name)").map { Float($0) } }
    guard self["\(key).grad_clip"] == nil else {
      throw HGNetError(.unsupported, "clip with clip_norm: NUMBER instead", path: path, key: "\(key).grad_clip")
    }
    var settings: Optimizer.Settings
    switch name {
    case "SGD": settings = Optimizer.Settings(.sgd)
    case "Momentum":
      settings = Optimizer.Settings(
        .momentum(try value("momentum") ?? 0.9, nesterov: try boolean("\(key).use_nesterov") ?? false))
    case "AdamW":
      settings = Optimizer.Settings(
        .adamW(
          beta1: try value("beta1") ?? 0.9, beta2: try value("beta2") ?? 0.999, epsilon: try value("epsilon") ?? 1e-8,
          weightDecay: try value("weight_decay") ?? 0.01))
    default:
      throw HGNetError(
        .unsupported, "expected Momentum, SGD or AdamW, found \(name)", path: path, key: "\(key).name")
    }
    if let regularizer = try text("\(key).regularizer.name") {
      let coefficient = try value("regularizer.coeff") ?? 0
      switch regularizer {
      case "L1": settings.regularizer = .l1(coefficient)
      case "L2": settings.regularizer = .l2(coefficient)
      default:
        throw HGNetError(
          .invalidConfiguration, "expected L1 or L2, found \(regularizer)", path: path, key: "\(key).regularizer.name")
      }
    } else if !settings.rule.decaysWeights, let coefficient = try value("weight_decay") {
      settings.regularizer = .l2(coefficient)
    }
    settings.clipNorm = try value("clip_norm")
    let names = try text("\(key).no_weight_decay_name") ?? ""
    settings.namesWithoutDecay = names.split(whereSeparator: \.isWhitespace).map(String.init)
    settings.oneAxisWithoutDecay = try boolean("\(key).one_dim_param_no_weight_decay") ?? false
    return (settings, try rate("\(key).lr"))
  }

  private func rate(_ key: String) throws(HGNetError) -> TrainingConfiguration.Rate {
    guard self[key] != nil else {
      throw HGNetError(
        .invalidConfiguration, "expected a learning rate such as {name: Cosine, learning_rate: 0.1}, found nothing",
        path: path, key: key)
    }
    let name = try text("\(key).name") ?? "ConstLR"
    let rule: Schedule.Rule
    switch name {
    case "ConstLR", "Constant": rule = .constant
    case "Cosine": rule = .cosine(minimum: try number("\(key).eta_min") ?? 0)
    case "Linear":
      rule = .polynomial(
        end: try number("\(key).end_lr") ?? 0, power: try number("\(key).power") ?? 1,
        cycle: try boolean("\(key).cycle") ?? false)
    case "Step":
      rule = .step(epochs: try required("\(key).step_size"), factor: try number("\(key).gamma") ?? 0.1)
    case "MultiStepDecay":
      guard let milestones = try numbers("\(key).milestones") else { throw missing("\(key).milestones") }
      rule = .multiStep(epochs: milestones, factor: try number("\(key).gamma") ?? 0.1)
    case "Piecewise":
      guard let epochs = try numbers("\(key).decay_epochs") else { throw missing("\(key).decay_epochs") }
      guard let rates = try numbers("\(key).values") else { throw missing("\(key).values") }
      rule = .piecewise(epochs: epochs, rates: rates)
    default:
      throw HGNetError(
        .unsupported, "expected ConstLR, Cosine, Linear, Step, MultiStepDecay or Piecewise, found \(name)", path: path,
        key: "\(key).name")
    }
    var learningRate = 0.0
    if case .piecewise = rule {} else { learningRate = try required("\(key).learning_rate") }
    return TrainingConfiguration.Rate(
      rule, learningRate: learningRate, warmupEpochs: try number("\(key).warmup_epoch") ?? 0,
      warmupStart: try number("\(key).warmup_start_lr") ?? 0, isByEpoch: try boolean("\(key).by_epoch") ?? false)
  }

  private func required(_ key: String) throws(HGNetError) -> Double {
    guard let value = try number(key) else { throw missing(key) }
    return value
  }

  private func missing(_ key: String) -> HGNetError {
    HGNetError(.invalidConfiguration, "expected a value, found nothing", path: path, key: key)
  }
}
