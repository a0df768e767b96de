import ArgumentParser
import Foundation
import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetModels
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
  private let pool: ThreadPool
  private let training: TrainingData
  private let evaluation: TrainingData?
  private let labels: [String]
  let isOffline: Bool
  private let communicator: any Communicator
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
  init(
    _ configuration: Configuration, pool: ThreadPool, isOffline: Bool = false,
    communicator: any Communicator = SingleProcess()
  ) throws(HGNetError) {
    try communicator.agree(on: [("configurations", SingleProcess.hash(of: configuration.root.yaml))])
    self.configuration = configuration
    self.communicator = communicator
    self.pool = pool
    self.isOffline = isOffline
    settings = try TrainingConfiguration(configuration)
    let classes = settings.options.classCount
    let needsLabels = settings.distillation?.loss.usesLabels ?? true
    let data = try TrainingData(configuration, part: "Train", classCount: classes, allowsUnlabelled: !needsLabels)
    guard let training = data else {
      throw HGNetError(
        .invalidConfiguration, "expected the data to train on, found nothing", path: configuration.path,
        key: "DataLoader.Train")
    }
    self.training = training
    evaluation =
      settings.evaluatesDuringTraining
      ? try TrainingData(configuration, part: "Eval", classCount: classes) : nil
    if settings.evaluatesDuringTraining, evaluation == nil {
      throw HGNetError(
        .invalidConfiguration,
        "expected the data to evaluate on, found nothing; or use -o Global.eval_during_train=False",
        path: configuration.path, key: "DataLoader.Eval")
    }
    labels = try TrainingRun.labels(configuration, data: training)
  }

  /// The names of the classes: of the label file of `Infer`, else of the folders; the built-in ones for ImageNet.
  static func labels(_ configuration: Configuration, data: TrainingData) throws(HGNetError) -> [String] {
    if let names = data.dataset.classNames { return names }
    guard configuration["Infer"] != nil, let labels = try? configuration.recipe()?.labels else { return [] }
    return (0..<data.dataset.classCount).map { labels[$0] }
  }

  /// Trains, evaluates, saves and reports; of several ranks the first alone writes.
  ///
  /// - Parameters:
  ///   - echoesLog: whether the lines of the log are also written to standard output.
  ///   - observe: receives every event; standard output and standard error are free for its lines.
  func run(echoesLog: Bool = true, observe: (Trainer.Event) -> Void = { _ in }) async throws -> Outcome {
    let isFirst = communicator.isFirst
    let folder =
      isFirst
      ? try CheckpointFolder(
        path: settings.outputFolder, saveInterval: settings.saveInterval, writesSafetensors: settings.savesSafetensors)
      : nil
    let path = folder?.path ?? settings.outputFolder
    let log =
      isFirst
      ? try TrainingLogFile(path: "\(path)/train.log", hidesIterations: isTerminal, isEchoed: echoesLog)
      : TrainingLogFile()
    for line in configuration.root.lines() { log.write(line, isEchoed: false) }
    let ranks = communicator.rankCount > 1 ? ", ranks: \(communicator.rankCount)" : ""
    log.write("train with hgnet \(Tool.configuration.version) and device cpu, threads: \(pool.count)\(ranks)")
    if isFirst { try configuration.write(to: "\(path)/config.yaml") }

    let trainer = try Trainer(
      configuration: settings, training: training, evaluation: evaluation, folder: folder, pool: pool,
      communicator: communicator)
    let checkpoint = try settings.checkpoint.map { (prefix) throws(HGNetError) in try Checkpoint.read(prefix) }
    let initial: ParameterStore
    if let checkpoint, let prefix = settings.checkpoint {
      log.write(TrainingLog.loaded(Checkpoint.prefix(of: prefix)))
      initial = checkpoint.parameters
    } else {
      initial = try await weights(for: trainer, log: log)
    }

    var history = TrainingHistory()
    let historyPath = "\(path)/history.json"
    if let prefix = settings.checkpoint {
      history = TrainingHistory(
        contentsOf: TrainingRun.historyPath(besides: Checkpoint.prefix(of: prefix)),
        classCount: settings.options.classCount)
    }
    var bar = TrainingProgressBar(isShown: isatty(2) == 1 && isFirst)
    let curves =
      settings.writesTensorBoard && isFirst
      ? try TrainingCurves(folder: path, printInterval: settings.printInterval) : nil
    var brokenCount = 0
    let signals = StopSignals { trainer.stop() }
    defer { signals.end() }
    let outcome: Trainer.Outcome
    do throws(HGNetError) {
      outcome = try trainer.run(from: initial, checkpoint: checkpoint) { line in
        bar.clear()
        log.write(line)
      } report: { event in
        history.note(event)
        if case .broken(let pictures) = event {
          brokenCount += pictures.count
          bar.clear()
          for picture in pictures {
            let text = "\(picture.error.at(path: picture.path)); the picture is left out (number \(brokenCount))"
            log.write(text, level: .warning)
            if !isFirst { StandardError.write("hgnet: warning: rank \(communicator.rank): \(text)") }
          }
        }
        switch event {
        case .evaluated, .epochEnded, .averageEvaluated: bar.clear()
        default: break
        }
        if case .evaluated = event, isFirst { try? history.write(to: historyPath) }
        observe(event)
        bar.show(event)
        curves?.add(event)
      }
    } catch {
      bar.clear()
      log.write("\(error)", level: .error)
      throw advised(error, folder: folder)
    }
    bar.clear()
    if let failure = curves?.failure { log.write("\(failure); the curves end there", level: .warning) }
    // A signal may have reached one rank only.
    let received = try communicator.sums(of: StopSignals.numbers.map { signals.signalNumber == $0 ? 1 : 0 })
    let signal = zip(StopSignals.numbers, received).first { $0.1 > 0 }?.0
    let report = "\(path)/report.html"
    let root = try configuration.text("DataLoader.Train.dataset.image_root")
    if isFirst {
      try history.write(to: historyPath)
      try history.report(
        title: "\(settings.model.name) on \(root ?? training.dataset.source)",
        subtitle:
          "\(training.dataset.count) pictures to train on, \(evaluation?.dataset.count ?? 0) to evaluate on, "
          + "\(settings.options.classCount) classes; \(outcome.progress.epoch) of \(settings.epochs) epochs",
        labels: labels, configuration: configuration.root.yaml
      ).write(to: report)
    }
    if outcome.wasStopped, let folder {
      log.write(
        "Stopped after epoch \(outcome.progress.epoch), iteration \(outcome.progress.stepInEpoch) of the next; "
          + "saved. Go on with -o Global.checkpoints=\(folder.latest)")
    }
    return Outcome(history: history, training: outcome, report: report, signal: signal)
  }

  /// Where the history of a checkpoint's run is.
  private static func historyPath(besides prefix: String) -> String {
    let folder = prefix.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    return folder.isEmpty && !prefix.hasPrefix("/") ? "history.json" : "\(folder)/history.json"
  }

  /// The weights to begin with: a file, the published ones, or random ones; what happened to each goes to the log.
  private func weights(for trainer: Trainer, log: TrainingLogFile) async throws -> ParameterStore {
    if let distillation = settings.distillation { return try await weights(of: distillation, log: log) }
    guard let source = try configuration.trainingWeightsSource() else {
      log.write("random weights (seed \(settings.seed ?? 0))")
      return Model.initialParameters(for: trainer.graph, seed: UInt64(truncatingIfNeeded: settings.seed ?? 0))
    }
    let file = try await ModelSource.file(of: source, isOffline: isOffline)
    let weights = try WeightsFile(
      contentsOf: file, model: settings.model, options: settings.options, allowsNewHead: true)
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
