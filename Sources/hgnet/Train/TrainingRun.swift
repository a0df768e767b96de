import ArgumentParser
import FoundationEssentials
import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetModels
import HGNetPlatform
import HGNetTraining
import HGNetVision

/// A training run over a configuration: data, weights, log, bar, curves, checkpoints, report.
///
/// All that `hgnet train` does once its configuration is known.
struct TrainingRun {
  /// What is run.
  let configuration: Configuration
  /// The same as plain values.
  let settings: TrainingConfiguration
  private let device: Device
  private let training: TrainingData
  private let evaluation: TrainingData?
  let isOffline: Bool
  private let communicator: any Communicator
  /// Where the configuration and its lists come from, in the short form.
  private let prepared: FolderConfiguration.Prepared?
  /// Whether lines of the log go to standard output, too; the file has them always.
  private let isTerminal = isatty(1) == 1 && isatty(2) == 1

  /// How a run ended.
  struct Outcome {
    /// The history with all curves.
    let history: TrainingHistory
    /// What the trainer says.
    let training: Trainer.Outcome
    /// The report.
    let report: String
    /// The signal that stopped the run, if one did, in whichever rank.
    let signal: Int32?
  }

  /// Reads the data and finds what is wrong with it and with the configuration, before anything is written.
  ///
  /// - Parameters:
  ///   - configuration: what to run.
  ///   - prepared: the short form that the configuration was made of, whose lists are not written yet.
  ///   - precision: what training computes with; nil for what the configuration says.
  init(
    _ configuration: Configuration, prepared: FolderConfiguration.Prepared? = nil, device: Device,
    precision: Precision? = nil,
    isOffline: Bool = false, communicator: any Communicator = SingleProcess()
  ) throws(HGNetError) {
    self.prepared = prepared
    try communicator.agree(on: [("configurations", SingleProcess.hash(of: configuration.root.yaml))])
    self.configuration = configuration
    self.communicator = communicator
    self.device = device
    self.isOffline = isOffline
    var settings = try TrainingConfiguration(configuration)
    settings.precision = precision
    self.settings = settings
    let classes = settings.options.classCount
    let needsLabels = settings.distillation?.loss.usesLabels ?? true
    let data = try TrainingData(
      configuration, part: "Train", classCount: classes, allowsUnlabelled: !needsLabels,
      listed: prepared?.dataset("Train", of: configuration))
    guard let training = data else {
      throw HGNetError(
        .invalidConfiguration, "expected the data to train on, found nothing", path: configuration.path,
        key: "DataLoader.Train")
    }
    self.training = training
    evaluation =
      settings.evaluatesDuringTraining
      ? try TrainingData(
        configuration, part: "Eval", classCount: classes, listed: prepared?.dataset("Eval", of: configuration)) : nil
    if settings.evaluatesDuringTraining, evaluation == nil {
      throw HGNetError(
        .invalidConfiguration,
        "expected the data to evaluate on, found nothing; or use -o Global.eval_during_train=False",
        path: configuration.path, key: "DataLoader.Eval")
    }
  }

  /// The names of the classes: of the label file of `Infer`, else of the folders; the built-in ones for ImageNet.
  static func labels(_ configuration: Configuration, data: TrainingData) throws(HGNetError) -> [String] {
    if let names = data.dataset.classNames { return names }
    guard configuration["Infer"] != nil, let labels = try? configuration.recipe()?.labels else { return [] }
    guard labels.fault(classCount: data.dataset.classCount) == nil else { return [] }
    return (0..<data.dataset.classCount).map { labels[$0] }
  }

  /// Trains, evaluates, saves and reports; of several ranks the first alone writes.
  ///
  /// - Parameters:
  ///   - echoesLog: whether the lines of the log are also written to standard output.
  ///   - observe: receives every event; standard output and standard error are free for its lines.
  func run(echoesLog: Bool = true, observe: (Trainer.Event) -> Void = { _ in }) async throws -> Outcome {
    let isFirst = communicator.isFirst
    let log = openLog(echoesLog: echoesLog)
    // Before there are any weights.
    try Trainer.checkMemory(
      settings, training: training, evaluation: evaluation, device: device, hasParameters: false)
    let checkpoint = try settings.checkpoint.map { (prefix) throws(HGNetError) in try Checkpoint.read(prefix) }
    let initial: ParameterStore
    if let checkpoint, let prefix = settings.checkpoint {
      log.write(TrainingLog.loaded(Checkpoint.prefix(of: prefix)))
      tellWhetherEnded(checkpoint, prefix: prefix, log: log)
      initial = checkpoint.parameters
    } else {
      initial = try await weights(log: log)
    }
    let path = settings.outputFolder.isEmpty ? "." : settings.outputFolder
    var history = history(of: path)
    // Whatever is to be read has been; from here on the output folder is this run's.
    try communicator.barrier()
    let folder = isFirst ? try begin(log) : nil
    try communicator.barrier()
    let labels = try TrainingRun.labels(configuration, data: training)
    let trainer = try Trainer(
      configuration: settings, training: training, evaluation: evaluation, folder: folder, device: device,
      communicator: communicator)

    let purpose = Configuration.Purpose.training(
      evaluates: settings.evaluatesDuringTraining, isResumed: checkpoint != nil)
    if let text = configuration.idleNotice(for: purpose) { warn(text, log: log) }

    let historyPath = "\(path)/history.json"
    var bar = TrainingProgressBar(isShown: isatty(2) == 1 && isFirst)
    let curves =
      settings.writesTensorBoard && isFirst
      ? try TrainingCurves(folder: path, printInterval: settings.printInterval) : nil
    var brokenCount = 0
    var epochs = EpochLines()
    let signals = StopSignals { trainer.stop() }
    defer { signals.end() }
    let outcome: Trainer.Outcome
    do throws(HGNetError) {
      outcome = try trainer.run(from: initial, checkpoint: checkpoint) { line in
        bar.clear()
        log.write(line)
      } report: { event in
        history.note(event)
        switch event {
        case .warning(let text):
          bar.clear()
          warn(text, log: log)
        case .broken(let pictures):
          brokenCount += pictures.count
          bar.clear()
          tell(pictures, count: brokenCount, log: log)
        case .evaluated, .epochEnded, .averageEvaluated: bar.clear()
        default: break
        }
        if case .evaluated = event, isFirst { try? history.write(to: historyPath) }
        observe(event)
        if let line = epochs.line(after: event), isTerminal, echoesLog {
          bar.clear()
          try? StandardOutput.write(line)
        }
        bar.show(event)
        curves?.add(event)
      }
    } catch {
      bar.clear()
      log.write("\(error)", level: .error)
      throw advised(error, folder: folder)
    }
    bar.clear()
    if outcome.endedEarly, let patience = settings.earlyStopPatience {
      log.write(
        "Ended after epoch \(outcome.progress.epoch) of \(settings.epochs): no better evaluation in the last \(patience) "
          + "(Global.early_stop_patience)")
    }
    if let failure = curves?.failure { log.write("\(failure); the curves end there", level: .warning) }
    let signal = try signal(of: signals)
    let report = "\(path)/report.html"
    log.write("peak memory \(TrainingRun.peakMemory)")
    if isFirst {
      try history.write(to: historyPath)
      try self.report(history, outcome, labels: labels).write(to: report)
    }
    if outcome.wasStopped, let folder {
      log.write(
        "Stopped after epoch \(outcome.progress.epoch), iteration \(outcome.progress.stepInEpoch) of the next; "
          + "saved. Go on with -o Global.checkpoints=\(folder.latest), or --resume \(folder.path)")
    }
    return Outcome(history: history, training: outcome, report: report, signal: signal)
  }

  /// Opens the log with the configuration, the device and what a person should know.
  private func openLog(echoesLog: Bool) -> TrainingLogFile {
    let log =
      communicator.isFirst
      ? TrainingLogFile(hidden: isTerminal ? .epochs : .nothing, isEchoed: echoesLog) : TrainingLogFile()
    for line in configuration.root.lines() { log.record(line, level: .info) }
    let ranks = communicator.rankCount > 1 ? ", ranks: \(communicator.rankCount)" : ""
    log.write(
      "train with hgnet \(Tool.configuration.version) and device \(device.kind.rawValue), threads: \(device.pool.count)\(ranks)"
    )
    let pace = settings.warning(configuration, rankCount: communicator.rankCount)
    for warning in settings.warnings + [pace].compactMap({ $0 }) { warn(warning, log: log) }
    return log
  }

  /// Says so where a run goes on from its own end, which would leave everything as it is without a word.
  private func tellWhetherEnded(_ checkpoint: CheckpointContents, prefix: String, log: TrainingLogFile) {
    guard checkpoint.progress.epoch >= settings.epochs else { return }
    warn(
      "\(Checkpoint.prefix(of: prefix)) has all \(settings.epochs) epochs behind it, and nothing is trained; "
        + "-o Global.epochs=\(2 * max(settings.epochs, 1)) would go on", log: log)
  }

  /// The signal that ended the run; it may have reached one rank only.
  private func signal(of signals: StopSignals) throws(HGNetError) -> Int32? {
    let received = try communicator.sums(of: StopSignals.numbers.map { signals.signalNumber == $0 ? 1 : 0 })
    return zip(StopSignals.numbers, received).first { $0.1 > 0 }?.0
  }

  /// Names pictures that cannot be read; each rank its own.
  private func tell(_ pictures: [Loader.BrokenPicture], count: Int, log: TrainingLogFile) {
    for picture in pictures {
      let text = "\(picture.error.at(path: picture.path)); the picture is left out (number \(count))"
      log.write(text, level: .warning)
      if !communicator.isFirst { StandardError.write("hgnet: warning: rank \(communicator.rank): \(text)") }
    }
  }

  /// The page about the run.
  private func report(
    _ history: TrainingHistory, _ outcome: Trainer.Outcome, labels: [String]
  ) throws -> TrainingReport {
    let root = try configuration.text("DataLoader.Train.dataset.image_root")
    return history.report(
      title: "\(settings.model.name) on \(root ?? training.dataset.source)",
      subtitle:
        "\(training.dataset.count) pictures to train on, \(evaluation?.dataset.count ?? 0) to evaluate on, "
        + "\(settings.options.classCount) classes; \(outcome.progress.epoch) of \(settings.epochs) epochs; "
        + "peak memory \(TrainingRun.peakMemory)",
      labels: labels, configuration: configuration.root.yaml)
  }

  /// The largest resident memory of this process so far, in words.
  private static var peakMemory: String { "\(FixedPoint.text(Double(PeakMemory.bytes) / 1e6, digits: 0)) MB" }

  /// Tells something that a person should know, once for all ranks: on standard error and in the log.
  func warn(_ text: String, log: TrainingLogFile) {
    guard communicator.isFirst else { return }
    log.record(text, level: .warning)
    StandardError.write("hgnet: warning: \(text)")
  }

  /// Takes the output folder for this run: what an earlier one has left there is set aside, and the lists, the configuration
  /// and the log are written.
  private func begin(_ log: TrainingLogFile) throws(HGNetError) -> CheckpointFolder {
    let path = settings.outputFolder.isEmpty ? "." : settings.outputFolder
    if !isContinued, let place = try EarlierRun.setAside(in: path) {
      StandardError.write(
        "hgnet: note: the files of an earlier run in \(path) are now in \(place); its best_model also stays, with its own "
          + "names, until this run has one")
    }
    try CheckpointFolder.make(path)
    try prepared?.write()
    try log.open("\(path)/train.log")
    try configuration.write(to: "\(path)/config.yaml")
    if settings.options.classCount == 1, case .classes = training.dataset.targets {
      let name = prepared?.training.classNames?.first.map { " (\($0))" } ?? ""
      StandardError.write(
        "hgnet: warning: there is one class only\(name), so that nothing can be learnt; expected one folder for each class"
      )
    }
    return try CheckpointFolder(
      path: path, saveInterval: settings.saveInterval, writesSafetensors: settings.savesSafetensors,
      configuration: configuration)
  }

  /// Whether the run goes on with the one in its output folder.
  private var isContinued: Bool {
    settings.checkpoint.map {
      EarlierRun.isContinued(by: Checkpoint.prefix(of: $0), in: settings.outputFolder)
    } ?? false
  }

  /// What has happened so far: of a run that goes on, also from a checkpoint in another folder.
  private func history(of folder: String) -> TrainingHistory {
    guard let checkpoint = settings.checkpoint else { return TrainingHistory() }
    let file = TrainingRun.historyPath(besides: Checkpoint.prefix(of: checkpoint))
    // A best_model that an earlier run has left does not belong to the history beside it.
    if !isContinued, "\(folder)/history.json" == file { return TrainingHistory() }
    return TrainingHistory(contentsOf: file, classCount: settings.options.classCount)
  }

  /// Where the history of a checkpoint's run is.
  private static func historyPath(besides prefix: String) -> String {
    let folder = prefix.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    return folder.isEmpty && !prefix.hasPrefix("/") ? "history.json" : "\(folder)/history.json"
  }

  /// The weights to begin with: a file, the published ones, or random ones; what happened to each goes to the log.
  private func weights(log: TrainingLogFile) async throws -> ParameterStore {
    if let distillation = settings.distillation { return try await weights(of: distillation, log: log) }
    guard let source = try configuration.trainingWeightsSource() else {
      log.write("random weights (seed \(settings.seed ?? 0))")
      let graph = try settings.model.graph(options: settings.options)
      return try Model.initialParameters(for: graph, seed: UInt64(truncatingIfNeeded: settings.seed ?? 0))
    }
    let file = try ModelSource.file(of: source, isOffline: isOffline)
    let weights = try WeightsFile(
      contentsOf: file, model: settings.model, options: settings.options, allowsNewHead: true)
    try weights.requireFloat(for: "training")
    if let choice = weights.report.choice { warn("\(weights.path): \(choice)", log: log) }
    log.write("\(weights.path): \(weights.format.title): \(weights.report.summary)")
    return weights.parameters
  }

  /// An error of the run with where the last complete checkpoint is.
  private func advised(_ error: HGNetError, folder: CheckpointFolder?) -> HGNetError {
    guard let folder, let prefix = [folder.latest, folder.best].first(where: { Checkpoint.exists(at: $0) }) else {
      return error
    }
    var advised = error
    advised.message += "; the checkpoint \(prefix) is complete"
    if error.code == .deviceFailure { advised.message += ", go on with -o Global.checkpoints=\(prefix)" }
    return advised
  }
}

/// The curves that TensorBoard shows of a run, under the tags of PaddleClas' VisualDL records.
///
/// A disk that is full ends the curves, not the run.
private final class TrainingCurves {
  private let events: TensorBoardEvents
  private let printInterval: Int
  /// Why the curves ended early.
  private(set) var failure: HGNetError?

  init(folder: String, printInterval: Int) throws(HGNetError) {
    events = try TensorBoardEvents(folder: folder, time: Date().timeIntervalSince1970)
    self.printInterval = printInterval
  }

  func add(_ event: Trainer.Event) {
    guard failure == nil else { return }
    switch event {
    case .step(let step) where step.position.iteration % printInterval == 0:
      add(
        [("lr(\(step.learningRate.name))", step.learningRate.value)]
          + step.averages.map { ("train_\($0.name)", $0.value) }, at: step.globalStep)
    case .evaluated(let epoch, let result):
      add([("eval_acc", result.decisive)] + result.losses.map { ("eval_\($0.name)", $0.value) }, at: epoch)
    case .averageEvaluated(let epoch, let result): add([("eval_acc_ema", result.decisive)], at: epoch)
    default: return
    }
  }

  private func add(_ values: [(name: String, value: Double)], at step: Int) {
    do throws(HGNetError) {
      try events.add(values, step: step, time: Date().timeIntervalSince1970)
    } catch {
      failure = error
    }
  }
}
