import HGNet
import HGNetCore
import HGNetModels
import HGNetProgram
import HGNetVision
import Synchronization

/// A whole training run: epochs of steps, evaluation, checkpoints, and going on after a stop.
///
/// Output is left to the caller: lines in PaddleClas' form go to `log`, everything else to `Event`. A run that was
/// stopped, in mid-epoch too, goes on from its checkpoint with the same bits as if it had not been.
///
/// Several ranks may run it together, each on its share of every batch; all then call `run` with the same. Losses,
/// metrics and evaluations are those of all ranks. `log` and `report` are called in all of them; only rank 0 should be
/// given a folder.
///
/// Threads: `run` belongs to one task; `stop` may be called from any.
public final class Trainer: Sendable {
  /// What happened, for progress bars and reports.
  public enum Event: Sendable {
    /// A batch was trained on.
    case step(Step)
    /// Something that a person should know, before training begins or after an evaluation.
    case warning(String)
    /// The pictures that could not be read, once each.
    case broken([Loader.BrokenPicture])
    /// An epoch was evaluated.
    case evaluated(epoch: Int, Evaluator.Result)
    /// The average of the parameters was evaluated after an epoch.
    case averageEvaluated(epoch: Int, Evaluator.Result)
    /// Checkpoints were written: their paths without endings.
    case saved([String])
    /// Evaluation goes on: batches that are done, and all of them.
    case evaluating(epoch: Int, done: Int, of: Int)
    /// An epoch has ended: the means of its metrics and losses, how long its steps waited for data and how long they
    /// took, in seconds.
    case epochEnded(epoch: Int, averages: [(name: String, value: Double)], waited: Double, took: Double)
  }

  /// A batch that was trained on.
  public struct Step: Sendable {
    /// Where in the run.
    public var position: TrainingLog.Position
    /// The steps of the optimizer so far.
    public var globalStep: Int
    /// The means of the epoch so far: metrics, then losses, `loss` last.
    public var averages: [(name: String, value: Double)]
    /// The loss of this batch.
    public var loss: Double
    /// The name of the schedule, and the learning rate of the next step.
    public var learningRate: (name: String, value: Double)
    /// The pictures of the batch.
    public var pictures: Int
    /// How long the batch took and how long it waited for data, in seconds.
    public var took, waited: Double

    /// Tells what happened in a batch.
    package init(
      position: TrainingLog.Position, globalStep: Int, averages: [(name: String, value: Double)], loss: Double,
      learningRate: (name: String, value: Double), pictures: Int, took: Double, waited: Double
    ) {
      (self.position, self.globalStep, self.averages) = (position, globalStep, averages)
      (self.loss, self.learningRate, self.pictures) = (loss, learningRate, pictures)
      (self.took, self.waited) = (took, waited)
    }

    /// The part of the whole run that is done, 0 … 1.
    public var fraction: Double {
      Double((position.epoch - 1) * position.iterations + position.iteration + 1)
        / Double(max(position.epochs * position.iterations, 1))
    }
  }

  /// How a run ended.
  public struct Outcome: Sendable {
    /// The parameters at the end.
    public let parameters: ParameterStore
    /// How far it came.
    public let progress: TrainingProgress
    /// Whether it was asked to stop before its last epoch.
    public let wasStopped: Bool
    /// Whether it ended before its last epoch because no evaluation was better any more.
    public internal(set) var endedEarly = false
    /// The last evaluation.
    public let evaluation: Evaluator.Result?
  }

  /// What the run does.
  public let configuration: TrainingConfiguration
  /// The network; in a distillation the one that is evaluated.
  public let graph: Graph
  /// What quantisation-aware training adds; nil for plain training.
  let quantization: QuantizationAwareNetwork?
  /// At what precision it trains.
  public let precision: TrainingPrecision
  let training: TrainingData
  private let evaluator: Evaluator?
  let folder: CheckpointFolder?
  let device: Device
  private let communicator: any Communicator
  private let isStopping = Atomic<Bool>(false)
  private let hasToldOfSingleValues = Atomic<Bool>(false)

  /// Puts a run together.
  ///
  /// - Parameters:
  ///   - configuration: what the run does.
  ///   - training: the pictures to train on.
  ///   - evaluation: the pictures to evaluate on, if any.
  ///   - folder: where checkpoints go; nil keeps none.
  ///   - device: what the networks run on.
  /// - Throws: `HGNetError.Code.invalidArgument` for options that the model does not take, `limitExceeded` for a run that
  ///   needs more memory than the process may have.
  public convenience init(
    configuration: TrainingConfiguration, training: TrainingData, evaluation: TrainingData?, folder: CheckpointFolder?,
    device: Device
  ) throws(HGNetError) {
    try self.init(
      configuration: configuration, training: training, evaluation: evaluation, folder: folder, device: device,
      communicator: SingleProcess())
  }

  /// Puts together a rank's part of a run.
  ///
  /// - Parameters: as above, and `communicator`, the ranks that train together.
  /// - Throws: as above.
  package init(
    configuration: TrainingConfiguration, training: TrainingData, evaluation: TrainingData?, folder: CheckpointFolder?,
    device: Device, communicator: any Communicator
  ) throws(HGNetError) {
    self.configuration = configuration
    var training = training
    (training.rank, training.rankCount) = (communicator.rank, communicator.rankCount)
    self.training = training
    self.communicator = communicator
    self.folder = folder
    self.device = device
    graph = try configuration.model.graph(options: configuration.options)
    precision = try Trainer.precision(configuration, device: device, communicator: communicator)
    quantization = configuration.isQuantizationAware ? try QuantizationAwareNetwork(graph) : nil
    let isQuantized = quantization != nil
    if isQuantized { try device.engine.checkLayers(of: Program(graph), at: .int8) }
    try Trainer.checkMemory(
      configuration, training: training, evaluation: evaluation, device: device, hasParameters: true)
    evaluator = evaluation.map {
      Evaluator(
        data: $0, loss: configuration.evaluationLoss, metrics: configuration.evaluationMetrics,
        printInterval: configuration.printInterval, device: isQuantized ? device.computing(with: .int8) : device,
        communicator: communicator)
    }
  }

  /// Asks the run to save and end after the batch that it is at, of training or of evaluation.
  ///
  /// Of several ranks one is enough; all end after the same batch.
  public func stop() { isStopping.store(true, ordering: .relaxed) }

  /// The key in a checkpoint that says that its last epoch has not been evaluated yet.
  private static let pendingEvaluation = "pending evaluation"
  /// The key in a checkpoint of several ranks that holds their number.
  private static let rankCount = "ranks"

  /// Whether any rank was asked to stop.
  private func isToStop() throws(HGNetError) -> Bool {
    try communicator.sums(of: [isStopping.load(ordering: .relaxed) ? 1 : 0])[0] > 0
  }

  /// Trains from some parameters, or goes on from a checkpoint.
  ///
  /// - Parameters:
  ///   - initial: a value for each parameter of the graph.
  ///   - checkpoint: where the run goes on; its parameters replace `initial`.
  ///   - log: receives the lines of PaddleClas.
  ///   - report: receives everything else that happens.
  /// - Throws: `HGNetError.Code.parameterMismatch` for a checkpoint of another model, `malformedData` at the first loss
  ///   that is no number, and what reading pictures or writing checkpoints throws; older checkpoints are then complete.
  public func run(
    from initial: ParameterStore, checkpoint: CheckpointContents? = nil, log: (String) -> Void,
    report: (Event) -> Void = { _ in }
  ) throws(HGNetError) -> Outcome {
    let modelName = configuration.distillation?.description ?? configuration.model.name
    if let name = checkpoint?.progress.model, name != modelName {
      throw HGNetError(
        .parameterMismatch, "expected a checkpoint of \(modelName), found one of \(name)",
        key: "Global.checkpoints")
    }
    try checkQuantization(of: checkpoint)
    try agree(checkpoint?.parameters ?? initial)
    let parameters: ParameterStore
    if let checkpoint { parameters = checkpoint.parameters } else { parameters = try calibrated(initial, log: log) }
    let seed = checkpoint?.progress.seed ?? UInt64(truncatingIfNeeded: configuration.seed ?? 0)
    let sampler = try training.sampler()
    guard sampler.batchCount > 0 else {
      throw HGNetError(
        .noInput, "an epoch has no batch; use a smaller batch_size or drop_last: False", path: training.dataset.source)
    }
    let plan = EpochPlan(
      batches: sampler.batchCount, iterationsPerEpoch: configuration.iterationsPerEpoch,
      updateFrequency: configuration.updateFrequency)
    if let warning = plan.warning { report(.warning(warning)) }
    let schedule = try configuration.schedule(iterationsPerEpoch: plan.iterations, rankCount: communicator.rankCount)
    var step = try TrainingStep(
      networks(parameters), optimizer: configuration.optimizer, schedule: schedule,
      averageDecay: configuration.averageDecay, accumulatedSteps: plan.updateFrequency, seed: seed,
      communicator: communicator, synchronizesNormalization: configuration.synchronizesNormalization,
      sumsInHalves: configuration.sumsGradientsInHalves)
    for warning in configuration.optimizer.warnings(for: step.parameters.declarations) { report(.warning(warning)) }
    if let notice = precision.notice { log(notice) }
    var progress = checkpoint?.progress ?? TrainingProgress()
    progress.seed = seed
    progress.model = modelName
    if let checkpoint { try step.restore(checkpoint) }
    if let line = notePrecision(in: &progress, isResumed: checkpoint != nil) { report(.warning(line)) }
    try adapt(&step, &progress, plan: plan)
    if checkpoint != nil, progress.epoch < configuration.epochs {
      let update = schedule.isByEpoch ? progress.epoch : plan.updates(before: progress)
      if let warning = step.resumeRate(
        at: update, of: schedule, isRecomputed: configuration.recomputesLearningRate, epochs: configuration.epochs)
      {
        report(.warning(warning))
      }
    }
    var evaluation: Evaluator.Result?
    var isPending = progress.values.removeValue(forKey: Trainer.pendingEvaluation) == 1

    while isPending || progress.epoch < configuration.epochs && !hasEndedEarly(progress) {
      if !isPending {
        let isComplete = try runEpoch(&step, &progress, plan: plan, seed: seed, log: log, report: report)
        try step.align()
        guard isComplete else {
          try save(step, progress, report: report)
          return Outcome(
            parameters: try step.store(), progress: progress, wasStopped: true, evaluation: evaluation)
        }
        step.endEpoch()
        progress.epoch += 1
        progress.stepInEpoch = 0
        progress.metric = 0
      }
      isPending = false
      if let evaluator, configuration.evaluates(after: progress.epoch) {
        guard let result = try evaluate(evaluator, step: &step, &progress, log: log, report: report) else {
          progress.values[Trainer.pendingEvaluation] = 1
          try save(step, progress, report: report)
          return Outcome(
            parameters: try step.store(), progress: progress, wasStopped: true, evaluation: evaluation)
        }
        evaluation = result
      }
      for prefix in try save(step, progress, report: report) { log(TrainingLog.saved(prefix)) }
      if try isToStop(), progress.epoch < configuration.epochs {
        return Outcome(
          parameters: try step.store(), progress: progress, wasStopped: true, evaluation: evaluation)
      }
    }
    return Outcome(
      parameters: try step.store(), progress: progress, wasStopped: false,
      endedEarly: progress.epoch < configuration.epochs, evaluation: evaluation)
  }

  /// Checks that all ranks begin with the same.
  private func agree(_ parameters: ParameterStore) throws(HGNetError) {
    guard communicator.rankCount > 1 else { return }
    try communicator.agree(on: [
      ("lists of pictures to train on", training.hash),
      ("lists of pictures to evaluate on", evaluator?.data.hash ?? ""),
      ("weights", parameters.hash),
    ])
    guard training.dataset.count >= communicator.rankCount else {
      throw HGNetError(
        .noInput,
        "expected at least one picture to train on for each of the \(communicator.rankCount) ranks, found "
          + "\(training.dataset.count); start fewer ranks", path: training.dataset.source)
    }
  }

  /// Makes a checkpoint of another number of ranks, whose batches were longer or shorter, one of this number.
  private func adapt(
    _ step: inout TrainingStep, _ progress: inout TrainingProgress, plan: EpochPlan
  ) throws(HGNetError) {
    let before = Int(progress.values[Trainer.rankCount] ?? 1)
    let now = communicator.rankCount
    progress.values[Trainer.rankCount] = now > 1 ? Double(now) : nil
    guard before != now, progress.epoch > 0 || progress.stepInEpoch > 0 else { return }
    // As many pictures of the epoch as have been seen, rounded down to whole updates.
    let seen = min(progress.stepInEpoch * before / now, plan.iterations)
    progress.stepInEpoch = seen / plan.updateFrequency * plan.updateFrequency
    progress.globalStep = plan.updates(before: progress)
    try step.move(
      toUpdate: progress.globalStep,
      of: configuration.schedule(iterationsPerEpoch: plan.iterations, rankCount: communicator.rankCount))
  }

  /// The networks with their parameters.
  private func networks(_ parameters: ParameterStore) throws(HGNetError) -> StepNetworks {
    guard var distillation = configuration.distillation else {
      return StepNetworks(
        graph,
        parameters: try device.engine.trainingState(
          of: quantization?.declarations ?? graph.parameters, parameters: parameters, isFrozen: configuration.isFrozen),
        loss: configuration.trainingLoss.weighted(by: training.labelRatios), device: device,
        isQuantizationAware: quantization != nil, mixedPrecision: precision.level)
    }
    distillation.loss = distillation.loss.weighted(by: training.labelRatios)
    return try StepNetworks(
      distillation, initial: parameters, isFrozen: configuration.isFrozen, data: training, device: device,
      mixedPrecision: precision.level)
  }

  /// The rest of an epoch; false if the run was asked to stop.
  private func runEpoch(
    _ step: inout TrainingStep, _ progress: inout TrainingProgress, plan: EpochPlan, seed: UInt64,
    log: (String) -> Void, report: (Event) -> Void
  ) throws(HGNetError) -> Bool {
    let (epoch, iterations) = (progress.epoch + 1, plan.iterations)
    var loader = EpochBatches(
      training, plan: plan, epoch: progress.epoch, startingAt: progress.stepInEpoch, seed: seed)
    step.beginEpoch(at: progress.stepInEpoch)
    var averages = RunningAverages()
    var accuracies: [TopKAccuracy] = []
    for case .topK(let ks) in configuration.trainingMetrics { accuracies.append(try TopKAccuracy(ks)) }
    var times = TrainingLog.Times()
    let clock = ContinuousClock()
    let begin = clock.now
    var last = begin
    var reading = PictureReading(training.dataset)
    while let (batch, iteration, pass) = try loader.next() {
      try folder?.check()
      if !batch.broken.isEmpty { report(.broken(batch.broken)) }
      // A batch of which a rank could read nothing is left out by all.
      let counts = try communicator.sums(
        of: [Double(batch.count), batch.count > 0 ? 0 : 1] + reading.counts(of: batch))
      try reading.note(Array(counts[2...]), broken: batch.broken)
      guard counts[1] == 0 else {
        if try step.skip() != nil { progress.globalStep += 1 }
        progress.stepInEpoch = iteration + 1
        continue
      }
      let allCount = Int(counts[0])
      var (inputs, targets) = (
        try batch.inputs(pool: device.pool), try batch.targets.targets(classCount: training.dataset.classCount)
      )
      if hasSingleValues(inputs.shape, allCount: allCount), !hasToldOfSingleValues.exchange(true, ordering: .relaxed) {
        report(.warning("epoch \(epoch), iteration \(iteration): \(Self.singleValues(inputs.shape))"))
      }
      if !training.transforms.mixing.isEmpty {
        // A stream of its own for each batch, so that a run that goes on needs no state of it.
        let rank = communicator.rank > 0 ? " rank \(communicator.rank)" : ""
        var random = RandomGenerator(seed: seed, stream: "mixing \(pass) \(batch.number)\(rank)")
        try training.mix(&inputs, &targets, using: &random)
      }
      let outcome: TrainingStep.Outcome
      do throws(HGNetError) {
        outcome = try step.run(inputs, targets: targets, samples: batch.indices, of: allCount)
      } catch {
        throw named(error, epoch: epoch, iteration: iteration, samples: batch.indices)
      }
      progress.stepInEpoch = iteration + 1
      if outcome.learningRate != nil { progress.globalStep += 1 }
      let measured = try measured(&accuracies, outcome, targets, count: batch.count)
      for (name, value) in measured.values { averages.add(name, value, samples: measured.count) }
      for (name, value) in outcome.loss.logged { averages.add(name, Double(value), samples: allCount) }
      let now = clock.now, took = (now - last).inSeconds
      times.add(batch: took, reader: batch.waited.inSeconds, iteration: iteration)
      last = now
      let position = TrainingLog.Position(
        epoch: epoch, epochs: configuration.epochs, iteration: iteration, iterations: iterations)
      if iteration % configuration.printInterval == 0 {
        log(
          TrainingLog.iteration(
            position, learningRates: [(step.schedule.name, step.schedule.learningRate)], averages: averages.means,
            times: times, batchSize: allCount))
        times.reset()
      }
      report(
        .step(
          Step(
            position: position, globalStep: progress.globalStep, averages: averages.means,
            loss: Double(outcome.loss.value), learningRate: (step.schedule.name, step.schedule.learningRate),
            pictures: allCount, took: took, waited: batch.waited.inSeconds)))
      // Gradients that wait for an update are in no checkpoint, so a stop waits for it, too.
      if !step.hasGradients, try isToStop(), progress.stepInEpoch < iterations { return false }
    }
    try reading.check()
    log(TrainingLog.epoch(epoch, of: configuration.epochs, averages: averages.means))
    report(
      .epochEnded(
        epoch: epoch, averages: averages.means, waited: loader.waited.inSeconds, took: (clock.now - begin).inSeconds))
    return true
  }

  /// The error of a step with the epoch, the iteration and the first pictures, where its numbers are at fault.
  private func named(_ error: HGNetError, epoch: Int, iteration: Int, samples: [Int]) -> HGNetError {
    guard error.code == .malformedData else { return error }
    var named = error
    let names = samples.prefix(4).map { training.dataset.paths[$0] }
    named.cause = "epoch \(epoch), iteration \(iteration), first pictures: " + names.joined(separator: ", ")
    return named
  }

  private static func singleValues(_ shape: Shape) -> String {
    "in a batch of one picture of \(shape[1])×\(shape[2]) pixels the last maps have a single value, which is not "
      + "normalised, as in PaddlePaddle; use another batch_size, drop_last: True or larger pictures"
  }

  /// The top-k accuracies of a batch over all ranks, and of how many pictures.
  private func measured(
    _ accuracies: inout [TopKAccuracy], _ outcome: TrainingStep.Outcome, _ targets: Targets, count: Int
  ) throws(HGNetError) -> (values: [(name: String, value: Double)], count: Int) {
    var (values, measuredCount): ([(name: String, value: Double)], Int) = ([], 0)
    if case .classes(let labels) = targets, labels.allSatisfy({ $0 >= 0 }) {
      for index in accuracies.indices {
        values += try accuracies[index].add(logits: outcome.logits, labels: labels)
      }
      measuredCount = count
    }
    try average(&values, of: &measuredCount, names: accuracies.flatMap { $0.ks.map { "top\($0)" } })
    return (values, measuredCount)
  }

  /// Whether a batch normalisation sees one value per channel: one picture whose last maps, 32 times smaller, have one.
  private func hasSingleValues(_ shape: Shape, allCount: Int) -> Bool {
    let count = configuration.synchronizesNormalization ? allCount : shape[0]
    return count == 1 && shape.rank == 4 && shape[1] <= 32 && shape[2] <= 32 && !configuration.freezesNormalization
  }

  /// Makes the metrics of this rank's pictures those of all ranks'.
  private func average(
    _ values: inout [(name: String, value: Double)], of count: inout Int, names: [String]
  ) throws(HGNetError) {
    guard communicator.rankCount > 1, !names.isEmpty else { return }
    // A rank without labels has nothing to add, but takes part.
    let own = count > 0 ? values.map { $0.value * Double(count) } : names.map { _ in 0 }
    let sums = try communicator.sums(of: own + [Double(count)])
    count = Int(sums[names.count])
    values = count > 0 ? zip(names, sums).map { ($0, $1 / Double(count)) } : []
  }

  /// Evaluates the parameters, and their average where one is kept; the better of both counts.
  ///
  /// - Returns: nil if stopped.
  private func evaluate(
    _ evaluator: Evaluator, step: inout TrainingStep, _ progress: inout TrainingProgress, log: (String) -> Void,
    report: (Event) -> Void
  ) throws(HGNetError) -> Evaluator.Result? {
    let epoch = progress.epoch
    func measure(_ parameters: ParameterStore) throws(HGNetError) -> Evaluator.Result? {
      let inferred = try quantization.map { (network) throws(HGNetError) in try network.quantized(parameters) }
      return try evaluator.evaluate(
        graph: graph, parameters: inferred ?? step.inferred(parameters), epoch: epoch, log: log
      ) { done, count in
        report(.evaluating(epoch: epoch, done: done, of: count))
        return !isStopping.load(ordering: .relaxed)
      }
    }
    guard var result = try measure(step.store()) else { return nil }
    report(.evaluated(epoch: epoch, result))
    if !result.broken.isEmpty { report(.broken(result.broken)) }
    if let averaged = try step.averagedStore() {
      guard let other = try measure(averaged) else { return nil }
      log(TrainingLog.best(epoch: epoch, metric: other.decisive, isAveraged: true))
      report(.averageEvaluated(epoch: epoch, other))
      if other.isFinite, !result.isFinite || other.decisive > result.decisive { result = other }
    }
    progress.metric = result.decisive
    noteImprovement(result, in: &progress)
    if !result.isFinite {
      report(
        .warning(
          "epoch \(epoch): the evaluation is not finite (\(result.notFinite)); it does not become best_model. Use a smaller "
            + "learning rate, and look at the losses of the epoch"))
      progress.metric = 0
    } else if result.decisive >= progress.bestMetric ?? -.infinity {
      progress.bestMetric = result.decisive
      progress.bestEpoch = epoch
      try folder?.saveBest(contents(of: step, progress), inferred: configuration.distillation?.inferred)
      if let folder {
        log(TrainingLog.saved(folder.best))
        report(.saved([folder.best]))
      }
    }
    log(TrainingLog.best(epoch: epoch, metric: progress.bestMetric ?? 0))
    return result
  }
}
