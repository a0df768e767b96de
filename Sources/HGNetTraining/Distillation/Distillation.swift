import HGNet
import HGNetConfiguration
import HGNetCore

/// What a configuration says about a distillation: its networks, and what they learn from each other.
///
/// Threads: a value, safe to share.
package struct Distillation: Sendable {
  /// The networks in order.
  package var networks: [Configuration.SubModel]
  /// The network that is evaluated and used later, mostly `Student`.
  package var inferred: String
  /// What is minimised.
  package var loss: DistillationLoss
  /// Whether frozen networks normalise with the statistics of the batch and move their running statistics, as in
  /// PaddleClas; otherwise the inference engine runs them (`Arch.teacher_in_training_mode`).
  package var observesTeachers = false
  /// The folder in which logits of frozen networks are kept for later epochs and runs (`Arch.teacher_logits_cache`).
  package var logitsCache: String?
  /// What frozen networks compute with (`Arch.teacher_precision`); nil for what the device computes with.
  package var teacherPrecision: PrecisionChoice?
  /// What frozen networks run on (`Arch.teacher_device`); nil for what the others run on.
  package var teacherDevice: DeviceChoice?

  /// Reads `Arch` and `Loss.Train`; nil for a configuration of one network.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for a name that none of the networks has, for a distillation in
  ///   which nothing learns, and for networks of different numbers of classes.
  package init?(_ configuration: Configuration) throws(HGNetError) {
    guard let networks = try configuration.subModels(), let inferred = try configuration.inferredModelName() else {
      return nil
    }
    let path = configuration.path
    self.networks = networks
    self.inferred = inferred
    guard let loss = try configuration.distillationLoss("Loss.Train", networks: networks.map(\.name)) else {
      throw HGNetError(
        .invalidConfiguration, "expected a list of losses such as DistillationCELoss, found nothing", path: path,
        key: "Loss.Train")
    }
    self.loss = loss
    observesTeachers = try configuration.boolean("Arch.teacher_in_training_mode") ?? false
    logitsCache = try configuration.text("Arch.teacher_logits_cache")
    if let name = try configuration.text("Arch.teacher_precision") {
      guard let precision = PrecisionChoice(rawValue: name) else {
        throw HGNetError(
          .invalidConfiguration, "expected float32, float16, bfloat16, int8 or auto, found \(name)", path: path,
          key: "Arch.teacher_precision")
      }
      teacherPrecision = precision
    }
    teacherDevice = try configuration.teacherDevice(observed: observesTeachers, precision: teacherPrecision)
    guard let student = networks.first(where: { $0.name == inferred }) else {
      throw HGNetError(
        .invalidConfiguration, "none of the models is named \(inferred)", path: path, key: "Arch.infer_model_name")
    }
    guard !student.isFrozen else {
      throw HGNetError(
        .invalidConfiguration, "\(inferred) is to learn, but it is frozen", path: path, key: "Arch.freeze_params_list")
    }
    for network in networks where network.options.classCount != student.options.classCount {
      throw HGNetError(
        .invalidConfiguration,
        "expected \(student.options.classCount) classes as \(inferred) has, found \(network.options.classCount)",
        path: path, key: "\(network.key).class_num")
    }
    for network in networks where !network.isFrozen && !loss.models.contains(network.name) {
      throw HGNetError(
        .invalidConfiguration,
        "no loss looks at \(network.name), which is to learn; name it in model_name_pairs or model_names, or freeze it",
        path: path, key: "Loss.Train")
    }
    if observesTeachers, teacherPrecision != nil {
      throw HGNetError(
        .invalidConfiguration,
        "a teacher in training mode has the precision of training; leave teacher_in_training_mode out, or this key",
        path: path, key: "Arch.teacher_precision")
    }
    if observesTeachers, logitsCache != nil {
      throw HGNetError(
        .invalidConfiguration,
        "logits can be kept only for a teacher in evaluation mode; leave teacher_in_training_mode out", path: path,
        key: "Arch.teacher_logits_cache")
    }
  }

  /// A name for all networks together, by which checkpoints are told apart.
  package var description: String {
    "DistillationModel(" + networks.map { "\($0.name): \($0.model.name)" }.joined(separator: ", ") + ")"
  }
}

extension Configuration {
  /// What frozen networks run on; nil without the key.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for an unknown device, a teacher in training mode, and a precision
  ///   that a GPU does not have.
  fileprivate func teacherDevice(
    observed: Bool, precision: PrecisionChoice?
  ) throws(HGNetError) -> DeviceChoice? {
    let key = "Arch.teacher_device"
    guard let name = try text(key) else { return nil }
    guard let device = DeviceChoice(name) else {
      throw HGNetError(
        .invalidConfiguration, "expected cpu, gpu, gpu:N or auto, found \(name)", path: path, key: key)
    }
    if observed {
      throw HGNetError(
        .invalidConfiguration,
        "a teacher in training mode runs where training does; leave teacher_in_training_mode out, or this key",
        path: path, key: key)
    }
    if case .gpu = device, precision == .int8 || precision == .bfloat16 {
      throw HGNetError(
        .invalidConfiguration,
        "a GPU computes in float32 and float16; leave teacher_precision out, or choose float16 or auto", path: path,
        key: "Arch.teacher_precision")
    }
    return device
  }

  /// The losses of a distillation, nil without the key.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration`, `unsupported` for losses without meaning here.
  func distillationLoss(_ key: String, networks: [String]) throws(HGNetError) -> DistillationLoss? {
    guard let entries = try operators(key) else { return nil }
    var terms: [DistillationLoss.Term] = []
    for (name, key) in entries {
      let weight = try lossWeight(key)
      try checkNoKey(key)
      let rules: [DistillationLoss.Rule]
      switch name {
      case "DistillationCELoss":
        if try number("\(key).epsilon") != nil {
          throw HGNetError(
            .unsupported, "the logits of a teacher cannot be smoothed like labels; leave epsilon out", path: path,
            key: "\(key).epsilon")
        }
        rules = try pairs(key, of: networks).map { .imitation(student: $0.0, teacher: $0.1) }
      case "DistillationGTCELoss":
        let loss = CrossEntropyLoss(epsilon: try smoothing(key))
        rules = try names("\(key).model_names", of: networks).map { .labels(model: $0, loss) }
      case "DistillationMultiLabelLoss":
        let loss = try multiLabelLoss(key)
        rules = try names("\(key).model_names", of: networks).map { .labels(model: $0, loss) }
      case "DistillationKLDivLoss":
        let loss = DivergenceLoss(temperature: try number("\(key).temperature", in: NumberRange.temperature) ?? 4)
        rules = try pairs(key, of: networks).map { .divergence(student: $0.0, teacher: $0.1, loss) }
      case "DistillationDKDLoss":
        let loss = DecoupledLoss(
          temperature: try number("\(key).temperature", in: NumberRange.temperature) ?? 1,
          alpha: try number("\(key).alpha", in: NumberRange.factor) ?? 1,
          beta: try number("\(key).beta", in: NumberRange.factor) ?? 1,
          takesTeachersClass: try boolean("\(key).use_target_as_gt") ?? false,
          name: try text("\(key).name") ?? "loss_dkd")
        rules = try pairs(key, of: networks).map { .decoupled(student: $0.0, teacher: $0.1, loss) }
      case "DistillationDMLLoss":
        if try boolean("\(key).weight_ratio") == true {
          throw HGNetError(
            .unsupported, "classes cannot be weighted by their ratio here", path: path, key: "\(key).weight_ratio")
        }
        let loss = MutualLearningLoss(
          activation: try mutualActivation("\(key).act"),
          multipliesByClasses: try boolean("\(key).sum_across_class_dim") ?? false)
        rules = try pairs(key, of: networks).map { .mutual(first: $0.0, second: $0.1, loss) }
      default:
        throw HGNetError(
          .unsupported,
          "\(name) is no loss of a distillation; there are: DistillationCELoss, DistillationDKDLoss, DistillationDMLLoss, "
            + "DistillationGTCELoss, DistillationKLDivLoss, DistillationMultiLabelLoss",
          path: path, key: key)
      }
      terms.append(.init(rules, weight: weight))
    }
    do throws(HGNetError) {
      return try DistillationLoss(terms)
    } catch { throw HGNetError(error.code, error.message, path: path, key: key) }
  }

  private func mutualActivation(_ key: String) throws(HGNetError) -> MutualLearningLoss.Activation? {
    // The key with `None` is something else than no key.
    if isNull(key) { return nil }
    let name = try text(key) ?? "softmax"
    guard let activation = MutualLearningLoss.Activation(rawValue: name) else {
      throw HGNetError(.invalidConfiguration, "expected softmax, sigmoid or None, found \(name)", path: path, key: key)
    }
    return activation
  }

  private func pairs(_ key: String, of networks: [String]) throws(HGNetError) -> [(String, String)] {
    let key = "\(key).model_name_pairs"
    guard case .list(let list)? = self[key], !list.isEmpty else {
      throw HGNetError(
        .invalidConfiguration, "expected pairs such as [[\"Student\", \"Teacher\"]], found none", path: path, key: key)
    }
    var result: [(String, String)] = []
    for index in list.indices {
      let pair = try names("\(key).\(index)", of: networks)
      guard pair.count == 2, pair[0] != pair[1] else {
        throw HGNetError(
          .invalidConfiguration, "expected a pair of two networks, found \(pair.joined(separator: ", "))", path: path,
          key: "\(key).\(index)")
      }
      result.append((pair[0], pair[1]))
    }
    return result
  }

  private func names(_ key: String, of networks: [String]) throws(HGNetError) -> [String] {
    guard let names = try texts(key), !names.isEmpty else {
      throw HGNetError(
        .invalidConfiguration, "expected names of networks such as [\"Student\"], found none", path: path, key: key)
    }
    for name in names { try checkSubModel(name, of: networks, key: key) }
    return names
  }

  /// - Throws: `HGNetError.Code.invalidConfiguration` for a name that no network has.
  func checkSubModel(_ name: String, of networks: [String], key: String) throws(HGNetError) {
    guard networks.contains(name) else {
      throw HGNetError(
        .invalidConfiguration,
        "no network is named \(name); Arch.models has \(networks.joined(separator: ", "))", path: path, key: key)
    }
  }
}

/// A loss under another name in the log.
struct RenamedLoss: Loss {
  let loss: any Loss
  let name: String

  func check(_ targets: Targets, rows: Int, classes: Int) throws(HGNetError) {
    try loss.check(targets, rows: rows, classes: classes)
  }

  func evaluate(
    row: Int, of rows: Int, logits: UnsafeBufferPointer<Double>, targets: Targets,
    gradient: UnsafeMutableBufferPointer<Double>
  ) -> Double {
    loss.evaluate(row: row, of: rows, logits: logits, targets: targets, gradient: gradient)
  }
}
