import HGNetConfiguration
import HGNetCore
import HGNetModels

extension Configuration {
  /// Checks values that PaddleClas has several of and this package one.
  ///
  /// - Throws: `HGNetError.Code.unsupported` naming the key.
  func checkModes() throws(HGNetError) {
    func check(_ key: String, is expected: String, _ what: String) throws(HGNetError) {
      guard let value = try text(key), value != expected else { return }
      throw HGNetError(
        .unsupported, "\(what); expected \(expected) or no key, found \(value)", path: path, key: key)
    }
    try check("Global.eval_mode", is: "classification", "networks are evaluated as classifiers only")
    if let mode = try text("Global.train_mode") {
      throw HGNetError(
        .unsupported, "there is one way to train, without a mode; leave the key out, found \(mode)", path: path,
        key: "Global.train_mode")
    }
    for part in ["Train", "Eval"] {
      try check(
        "DataLoader.\(part).sampler.name", is: "DistributedBatchSampler", "batches come in one kind of order")
    }
  }
}

extension Configuration {
  /// Whether training is quantisation-aware, as `Slim.quant.name` says.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for another method than PACT and for networks that are not trained so.
  func isQuantizationAware(_ isDistillation: Bool, _ options: ModelOptions) throws(HGNetError) -> Bool {
    let key = "Slim.quant.name"
    guard let name = try text(key) else { return false }
    // PaddleClas does not look at the case of the name either.
    guard name.lowercased() == "pact" else {
      throw HGNetError(
        .unsupported, "expected pact, the one method of quantisation-aware training, found \(name)", path: path,
        key: key)
    }
    if isDistillation || options.decoder != nil {
      throw HGNetError(
        .unsupported,
        "quantisation-aware training is of one network "
          + (isDistillation
            ? "and not of a distillation; train the student, then fine-tune its weights alone with Slim.quant.name=pact"
            : "without a decoder for several labels, which is not computed in 8 bits; leave out Arch.use_ml_decoder or Slim"),
        path: path, key: key)
    }
    return true
  }
}

extension Configuration {
  /// What a person should know about shares of labels that no loss looks at.
  func labelRatioWarnings() throws(HGNetError) -> [String] {
    var result: [String] = []
    for part in ["Train", "Eval"] {
      guard try boolean("DataLoader.\(part).dataset.label_ratio") == true else { continue }
      var isUsed = false
      for (name, key) in try operators("Loss.\(part)") ?? [] where name.hasSuffix("MultiLabelLoss") {
        if try boolean("\(key).weight_ratio") == true { isUsed = true }
      }
      if !isUsed {
        result.append(
          "DataLoader.\(part).dataset.label_ratio has no effect: no loss of Loss.\(part) has weight_ratio: True")
      }
    }
    return result
  }
}

extension TrainingConfiguration {
  /// Takes out metrics that cannot be measured, as PaddleClas does, and says so.
  mutating func checkMetrics(_ configuration: Configuration) throws(HGNetError) {
    func isTopK(_ metric: Metric) -> Bool { if case .topK = metric { true } else { false } }
    let key = "DataLoader.Train.dataset.batch_transform_ops"
    if try configuration.operators(key)?.isEmpty == false, trainingMetrics.contains(where: isTopK) {
      trainingMetrics.removeAll(where: isTopK)
      warnings.append(
        "Metric.Train: pictures and labels are mixed (\(key)), so that TopkAcc cannot be measured in training; it is left "
          + "out, as in PaddleClas")
    }
    for (part, metrics) in [("Train", trainingMetrics), ("Eval", evaluationMetrics)] {
      for case .topK(let ks) in metrics {
        let idle = ks.filter { $0 > options.classCount }.map { "top\($0)" }
        if !idle.isEmpty {
          warnings.append(
            "Metric.\(part): \(idle.joined(separator: ", ")) of \(options.classCount) classes is always 1 and says nothing"
          )
        }
      }
    }
    if let old = try configuration.integer("Global.class_num"),
      try configuration.integer("Arch.class_num") ?? old != old
    {
      warnings.append("Global.class_num: \(old) is ignored, as in PaddleClas; Arch.class_num counts")
    }
  }

  /// What PaddleClas says where a run has another number of processes than its configurations are made for.
  ///
  /// - Parameters:
  ///   - configuration: what was read.
  ///   - rankCount: the processes that train together.
  /// - Returns: nil where `Global.scale_learning_rate` says what is meant.
  package func warning(_ configuration: Configuration, rankCount: Int) -> String? {
    guard configuration["Global.scale_learning_rate"] == nil else { return nil }
    var meant = 4
    if case .adamW = optimizer.rule, configuration["Optimizer.name"] != nil { meant = 8 }
    guard rankCount != meant else { return nil }
    let one = rankCount == 1 ? "1 process" : "\(rankCount) processes"
    return
      "the learning rates of PaddleClas' configurations are meant for \(meant) processes with a batch each, and this run has "
      + "\(one); Global.scale_learning_rate: True multiplies the rate by the number of processes, False says that it is meant "
      + "as it is"
  }
}
