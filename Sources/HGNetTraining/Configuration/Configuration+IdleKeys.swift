import HGNetConfiguration
import HGNetCore

extension Configuration {
  /// What a configuration is read for.
  package enum Purpose: Sendable, Hashable {
    /// A training run: with evaluations or without, from the beginning or from a checkpoint.
    case training(evaluates: Bool, isResumed: Bool)
    /// An evaluation; `overrides` are the keys that its caller set.
    case evaluation(overrides: [String])
  }

  /// One line about keys whose values decide nothing, nil when there are none.
  ///
  /// To be asked for once everything has been read. A configuration serves several commands, and so an evaluation is not
  /// told about what belongs to training, unless its caller has set it for this evaluation.
  package func idleNotice(for purpose: Purpose) -> String? {
    let keys: [String]
    switch purpose {
    case .training(let evaluates, let isResumed):
      let sections = ["Arch", "Loss", "Optimizer", "EMA", "Metric", "DataLoader.Train"]
      keys = unreadKeys(in: evaluates ? sections + ["DataLoader.Eval"] : sections).filter { key in
        !isSpread(key) && !isForExport(key) && !(isResumed && isForBeginning(key))
      }
    case .evaluation(let overrides):
      let unread = unreadKeys(in: ["Arch", "Loss.Eval", "Metric.Eval", "DataLoader.Eval"]).filter { key in
        !isSpread(key) && !isForExport(key) && !isForBeginning(key) && !isForTraining(key)
      }
      let set = overrides.filter { key in
        root.value(at: key) != nil && !ignoredKeys.contains(key) && !unread.contains(key)
          && (isForTraining(key) || key.hasPrefix("DataLoader.Train.") && !readKeys.contains(key))
      }
      keys = unread + set
    }
    return keys.isEmpty ? nil : "nothing in this run depends on these keys: \(keys.joined(separator: ", "))"
  }

  /// The number of classes of a distillation is that of its networks, to which an override carries it.
  private func isSpread(_ key: String) -> Bool { key == "Arch.class_num" }

  private func isForExport(_ key: String) -> Bool { key.hasSuffix(".infer_add_softmax") }

  private func isForBeginning(_ key: String) -> Bool {
    ["pretrained", "pretrained_list", "use_ssld"].contains(key.split(separator: ".").last ?? "")
  }

  /// Whether a key decides about training alone.
  private func isForTraining(_ key: String) -> Bool {
    let isInSection = ["Optimizer", "EMA", "Loss.Train", "Metric.Train"].contains { section in
      key == section || key.hasPrefix("\(section).")
    }
    return isInSection || Configuration.trainingKeys.contains(key)
  }

  /// Keys outside these sections that an evaluation has no use for.
  private static let trainingKeys: Set<String> = Set(
    """
    checkpoints save_interval eval_during_train eval_interval start_eval_epoch epochs update_freq iter_per_epoch seed
    use_visualdl use_tensorboard save_safetensors scale_learning_rate recompute_learning_rate use_sync_bn
    bf16_allreduce early_stop_patience
    """.split(whereSeparator: \.isWhitespace).map { "Global.\($0)" }
      + ["lr_mult_list", "freeze_at", "freeze_norm", "use_sync_bn", "freeze_params_list"].map { "Arch.\($0)" })
}
