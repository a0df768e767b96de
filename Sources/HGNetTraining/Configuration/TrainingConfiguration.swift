import HGNetConfiguration
import HGNetCore
import HGNetModels

/// What a PaddleClas configuration says about a training run, as plain values.
///
/// Read are the sections `Global`, `Arch`, `Loss`, `Optimizer`, `EMA` and `Metric`; data belongs to the loaders. Keys
/// that PaddleClas cannot do without but that have an obvious value get it here. Threads: a value, safe to share.
public struct TrainingConfiguration: Sendable {
  /// What is measured.
  public enum Metric: Sendable, Hashable {
    /// `TopkAcc` with its values of k.
    case topK([Int])
    /// `MultiLabelMAP`.
    case meanAveragePrecision(MultiLabelMeanAveragePrecision.Kind)
  }

  /// The network; in a distillation the one that is evaluated.
  public var model: Model
  /// Its options, the number of classes included.
  public var options: ModelOptions
  /// Prefix of a checkpoint to resume (`Global.checkpoints`).
  public var checkpoint: String?
  /// Weights to begin with (`Global.pretrained_model`).
  public var pretrainedModel: String?
  /// The folder for results (`Global.output_dir`).
  public var outputFolder = "./output/"
  /// Epochs between kept checkpoints; 0 or less for none (`Global.save_interval`).
  public var saveInterval = 1
  /// Whether to evaluate during training (`Global.eval_during_train`).
  public var evaluatesDuringTraining = true
  /// Epochs between evaluations, at least 1 (`Global.eval_interval`).
  public var evaluationInterval = 1
  /// The first epoch that is evaluated (`Global.start_eval_epoch`).
  public var firstEvaluatedEpoch = 0
  /// Epochs of the whole training, at least 1 (`Global.epochs`).
  public var epochs: Int
  /// Evaluations in a row without a better one after which training ends, nil for none (`Global.early_stop_patience`).
  public var earlyStopPatience: Int?
  /// Iterations between log lines, at least 1 (`Global.print_batch_step`).
  public var printInterval = 10
  /// Whether TensorBoard records are written (`Global.use_visualdl`, `Global.use_tensorboard`).
  public var writesTensorBoard = false
  /// Whether each checkpoint has its weights as safetensors, too (`Global.save_safetensors`).
  public var savesSafetensors = false
  /// How much of the network keeps its weights: 0 the stem, k the stem and the first k stages; nil nothing
  /// (`Arch.freeze_at`).
  public var frozenStages: Int?
  /// Whether every batch normalisation keeps its weights and its running statistics, with which it then normalises
  /// (`Arch.freeze_norm`).
  public var freezesNormalization = false
  /// Whether pictures have several labels (`Global.use_multilabel`).
  public var usesMultipleLabels = false
  /// The seed of everything random, nil if none is given (`Global.seed`).
  public var seed: Int?
  /// Iterations whose gradients are added before a step, at least 1 (`Global.update_freq`).
  public var updateFrequency = 1
  /// Whether ranks normalise with the statistics of all their pictures (`Global.use_sync_bn`, `Arch.use_sync_bn`).
  public var synchronizesNormalization = false
  /// Whether gradients travel between ranks in bfloat16 (`Global.bf16_allreduce`).
  public var sumsGradientsInHalves = false
  /// Whether the learning rate is multiplied by the number of ranks (`Global.scale_learning_rate`).
  public var scalesLearningRate = false
  /// Whether a run that goes on computes its learning rate from this configuration instead of from the checkpoint's rate
  /// (`Global.recompute_learning_rate`).
  public var recomputesLearningRate = false
  /// The iterations of an epoch, nil for one pass over the data (`Global.iter_per_epoch`).
  public var iterationsPerEpoch: Int?
  /// The networks of a distillation with what they minimise, nil for one network.
  package var distillation: Distillation?
  /// Whether training sees weights and values as they are at the precision int8 (`Slim.quant.name`, `pact`).
  public var isQuantizationAware = false
  /// The level of mixed precision that is asked for (`AMP`); nil for float32.
  public var mixedPrecision: MixedPrecision?
  /// What training computes with, whatever `AMP` says; nil for what `AMP` says where the device is quicker with it.
  public var precision: Precision?
  /// Whether the loss is to be scaled, which bfloat16 does not need (`AMP.scale_loss`, `AMP.use_dynamic_loss_scaling`).
  var scalesLoss = false
  /// What one network minimises (`Loss.Train`); not looked at in a distillation.
  package var trainingLoss: CombinedLoss
  /// What is logged in evaluation (`Loss.Eval`), nil for nothing.
  package var evaluationLoss: CombinedLoss?
  /// How parameters change (`Optimizer`).
  package var optimizer: Optimizer.Settings
  /// The schedule's numbers (`Optimizer.lr`).
  package var rate: Rate
  /// The decay of the averaged weights, nil without `EMA`.
  public var averageDecay: Double?
  /// What is measured in training (`Metric.Train`).
  public var trainingMetrics: [Metric]
  /// What is measured in evaluation; the first decides which model is the best (`Metric.Eval`).
  public var evaluationMetrics: [Metric]

  /// What a person should know about the configuration before it is run, one line each.
  public internal(set) var warnings: [String] = []

  /// The numbers of a schedule before the length of an epoch is known.
  package struct Rate: Sendable, Hashable {
    /// The rule after the warm-up.
    package var rule: Schedule.Rule
    /// The base rate.
    package var learningRate: Double
    /// Epochs of warm-up.
    package var warmupEpochs: Double
    /// The rate at the beginning of the warm-up.
    package var warmupStart: Double
    /// Whether the rate changes per epoch instead of per step.
    package var isByEpoch: Bool

    /// Makes a rate.
    package init(
      _ rule: Schedule.Rule, learningRate: Double, warmupEpochs: Double = 0, warmupStart: Double = 0,
      isByEpoch: Bool = false
    ) {
      self.rule = rule
      self.learningRate = learningRate
      self.warmupEpochs = warmupEpochs
      self.warmupStart = warmupStart
      self.isByEpoch = isByEpoch
    }

    /// The same course with all rates multiplied.
    func multiplied(by factor: Double) -> Rate {
      var result = self
      result.learningRate *= factor
      result.warmupStart *= factor
      switch rule {
      case .constant, .step, .multiStep: break
      case .cosine(let minimum): result.rule = .cosine(minimum: minimum * factor)
      case .polynomial(let end, let power, let cycle):
        result.rule = .polynomial(end: end * factor, power: power, cycle: cycle)
      case .piecewise(let epochs, let rates): result.rule = .piecewise(epochs: epochs, rates: rates.map { $0 * factor })
      }
      return result
    }
  }

  /// Reads the sections.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for a missing or wrong value, `unsupported` for something that
  ///   PaddleClas has and this package does not; both name the key.
  public init(_ configuration: Configuration) throws(HGNetError) {
    let path = configuration.path
    guard let (model, options) = try configuration.model() else {
      throw HGNetError(
        .invalidConfiguration, "expected the name of a network, found nothing", path: path, key: "Arch.name")
    }
    self.model = model
    self.options = options
    let counts = 1...Int(Int32.max)
    guard let epochs = try configuration.integer("Global.epochs", in: counts) else {
      throw HGNetError(
        .invalidConfiguration, "expected the number of epochs, found nothing", path: path, key: "Global.epochs")
    }
    self.epochs = epochs
    let distillation = try Distillation(configuration)
    self.distillation = distillation
    isQuantizationAware = try configuration.isQuantizationAware(distillation != nil, options)
    (mixedPrecision, scalesLoss) = try configuration.mixedPrecision()
    let loss = distillation == nil ? try configuration.losses("Loss.Train") : CombinedLoss(CrossEntropyLoss())
    guard let loss else {
      throw HGNetError(
        .invalidConfiguration, "expected a list of losses such as CELoss, found nothing", path: path, key: "Loss.Train")
    }
    trainingLoss = loss
    evaluationLoss = try configuration.losses("Loss.Eval")
    var warnings: [String] = []
    (optimizer, rate) = try configuration.optimizerSettings(warnings: &warnings)
    trainingMetrics = try configuration.metrics("Metric.Train")
    evaluationMetrics = try configuration.metrics("Metric.Eval")
    checkpoint = try configuration.text("Global.checkpoints")
    pretrainedModel = try configuration.text("Global.pretrained_model")
    if let folder = try configuration.text("Global.output_dir") { outputFolder = folder }
    if let interval = try configuration.integer("Global.save_interval") { saveInterval = interval }
    if let evaluates = try configuration.boolean("Global.eval_during_train") { evaluatesDuringTraining = evaluates }
    if let interval = try configuration.integer("Global.eval_interval", in: counts) { evaluationInterval = interval }
    if let epoch = try configuration.integer("Global.start_eval_epoch") { firstEvaluatedEpoch = epoch }
    if let interval = try configuration.integer("Global.print_batch_step", in: counts) { printInterval = interval }
    earlyStopPatience = try configuration.integer("Global.early_stop_patience", in: counts)
    let usesVisualDL = try configuration.boolean("Global.use_visualdl") ?? false
    writesTensorBoard = try configuration.boolean("Global.use_tensorboard") ?? usesVisualDL
    savesSafetensors = try configuration.boolean("Global.save_safetensors") ?? false
    // PaddleDetection's name and its -1 for nothing.
    if let stages = try configuration.integer("Arch.freeze_at", in: -1...4), stages >= 0 { frozenStages = stages }
    freezesNormalization = try configuration.boolean("Arch.freeze_norm") ?? false
    if let uses = try configuration.boolean("Global.use_multilabel") { usesMultipleLabels = uses }
    seed = try configuration.integer("Global.seed")
    if let frequency = try configuration.integer("Global.update_freq", in: counts) { updateFrequency = frequency }
    let synchronizes = try configuration.boolean("Arch.use_sync_bn") ?? false
    synchronizesNormalization = try configuration.boolean("Global.use_sync_bn") ?? synchronizes
    sumsGradientsInHalves = try configuration.boolean("Global.bf16_allreduce") ?? false
    scalesLearningRate = try configuration.boolean("Global.scale_learning_rate") ?? false
    recomputesLearningRate = try configuration.boolean("Global.recompute_learning_rate") ?? false
    iterationsPerEpoch = try configuration.integer("Global.iter_per_epoch", in: counts)
    if configuration["EMA"] != nil {
      averageDecay = try configuration.number("EMA.decay", in: 1e-6...0.9999999) ?? 0.9999
    }
    self.warnings = warnings + (try configuration.labelRatioWarnings())
    try checkMetrics(configuration)
    try configuration.checkModes()
    // Wrong numbers should be found before any data is read.
    do throws(HGNetError) {
      try optimizer.check()
      _ = try schedule(iterationsPerEpoch: max(updateFrequency, 1))
    } catch { throw error.at(path: path) }
  }

  /// The schedule of the run.
  ///
  /// - Parameters:
  ///   - iterationsPerEpoch: iterations of an epoch; with gradients added over several iterations the schedule takes
  ///     fewer steps.
  ///   - rankCount: the processes that train together, by whose number the rates are multiplied on request.
  /// - Throws: `HGNetError.Code.invalidConfiguration`.
  package func schedule(iterationsPerEpoch: Int, rankCount: Int = 1) throws(HGNetError) -> Schedule {
    let rate = scalesLearningRate ? rate.multiplied(by: Double(rankCount)) : rate
    return try Schedule(
      rate.rule, learningRate: rate.learningRate, epochs: epochs,
      stepsPerEpoch: EpochPlan(batches: iterationsPerEpoch, updateFrequency: updateFrequency).updates,
      warmupEpochs: rate.warmupEpochs,
      warmupStart: rate.warmupStart, isByEpoch: rate.isByEpoch)
  }

  /// Whether a parameter keeps its value.
  public func isFrozen(_ parameter: ParameterDeclaration) -> Bool {
    if freezesNormalization, parameter.role.isNormalization { return true }
    guard let frozenStages else { return false }
    return switch parameter.part {
    case .stem: true
    case .stage(let index): index < frozenStages
    case .embedding, .classifier, nil: false
    }
  }

  /// Whether an epoch (from 1) is followed by an evaluation.
  public func evaluates(after epoch: Int) -> Bool {
    evaluatesDuringTraining && epoch % evaluationInterval == 0 && epoch >= firstEvaluatedEpoch
  }
}
