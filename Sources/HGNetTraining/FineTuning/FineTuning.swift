import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetDownload
import HGNetModels
import Synchronization

/// Fine-tunes a network on a folder of one's own pictures: a folder per class in, a classifier out.
///
/// ```swift
/// let result = try await FineTuning(folder: "photos").run()
/// print(result.accuracy)
/// let classes = try result.classifier.classify(contentsOf: "new.jpg")
/// ```
///
/// It does what `hgnet train --data FOLDER` does, with the same defaults and the same files in the output folder:
/// `best_model.pdparams` and `best_model.yaml`, which `Classifier` opens, `latest.pdparams` … to go on from, `config.yaml`,
/// the lists of pictures, `history.json` and `report.html`. The files of an earlier run there are moved into `earlier-1`.
///
/// Threads: a value, safe to share; one run at a time writes into an output folder.
public struct FineTuning: Sendable {
  /// How a run ended.
  public struct Result: Sendable {
    /// Classifies with the best weights, sizes and class names of the run.
    public let classifier: Classifier
    /// The file of the best weights.
    public let weights: String
    /// The part of the pictures to evaluate on that the best weights classify right, 0 … 1.
    public let accuracy: Double
    /// The epoch of the best weights, counted from 1.
    public let epoch: Int
    /// The page about the run.
    public let report: String
    /// The evaluation of the best weights: confusion matrix, losses, the worst mistakes.
    public let evaluation: Evaluator.Result
  }

  /// The pictures, the network and the numbers of the run.
  public var settings: FolderConfiguration
  /// What it computes on.
  public var device: Device
  /// Whether published weights must have been fetched before.
  public var isOffline = false

  /// Names the pictures and the network; everything else has its default.
  ///
  /// - Parameters:
  ///   - folder: one folder per class, or `train` and `val` (or `test`) with one folder per class each. Without such parts one
  ///     picture in ten is held out for evaluation.
  ///   - output: the folder for the results, which is made if need be.
  ///   - model: the network.
  ///   - weights: the file of weights to begin with; nil for the published ones, which are fetched once.
  ///   - device: what it computes on.
  public init(
    folder: String, output: String = "output", model: Model = .b0, weights: String? = nil, device: Device = .cpu()
  ) {
    settings = FolderConfiguration(folder: folder, output: output, model: model, weights: weights)
    self.device = device
  }

  /// Trains, evaluates after every epoch, and opens the best weights.
  ///
  /// It computes on a thread of its own. A task that is cancelled saves the run after the batch that it is at, and throws.
  ///
  /// - Parameter report: receives what happens, on the thread of the run, which waits for it.
  /// - Throws: `HGNetError` for what is wrong with the folder, its pictures, the weights or the output folder, of code
  ///   `networkFailure` when weights cannot be fetched; `CancellationError`.
  public func run(report: @escaping @Sendable (Trainer.Event) -> Void = { _ in }) async throws -> Result {
    let prepared = try await OwnThread.run { () throws(HGNetError) in try FineTuningRun(self) }
    let history = Mutex(TrainingHistory())
    let outcome = try await prepared.trainer.run(from: prepared.initial) { event in
      history.withLock { $0.note(event) }
      report(event)
    }
    try prepared.write(history.withLock { $0 }, outcome)
    guard !outcome.wasStopped else { throw CancellationError() }
    guard let best = history.withLock({ $0.best }) else {
      throw HGNetError(
        .malformedData, "no evaluation gave finite numbers; use a smaller learningRate", path: settings.output)
    }
    let (weights, device) = ("\(prepared.folder.best).pdparams", device)
    return Result(
      classifier: try await OwnThread.run { () throws(HGNetError) in
        try Classifier(WeightsFile(contentsOf: weights), device: device)
      },
      weights: weights, accuracy: best.result.decisive, epoch: best.epoch,
      report: prepared.reportPath, evaluation: best.result)
  }
}

/// A fine-tuning whose data are read and whose output folder is made.
private struct FineTuningRun: Sendable {
  let trainer: Trainer
  let initial: ParameterStore
  let folder: CheckpointFolder
  let reportPath: String
  private let configuration: Configuration
  private let labels: [String]
  private let subtitle: String

  init(_ tuning: FineTuning) throws(HGNetError) {
    let output = tuning.settings.output
    let prepared = try tuning.settings.prepared()
    let configuration = try Configuration(prepared.value, path: "\(output)/config.yaml")
    let settings = try TrainingConfiguration(configuration)
    let classCount = settings.options.classCount
    func data(_ part: String) throws(HGNetError) -> TrainingData {
      let listed = prepared.dataset(part, of: configuration)
      guard let data = try TrainingData(configuration, part: part, classCount: classCount, listed: listed) else {
        throw HGNetError(.internalInconsistency, "the configuration has no pictures", key: "DataLoader.\(part)")
      }
      return data
    }
    let (training, evaluation) = (try data("Train"), try data("Eval"))
    try Trainer.checkMemory(
      settings, training: training, evaluation: evaluation, device: tuning.device, hasParameters: false)
    initial = try FineTuningRun.weights(configuration, settings, isOffline: tuning.isOffline)
    // Whatever is to be read has been; from here on the output folder is this run's.
    _ = try EarlierRun.setAside(in: output)
    try prepared.write()
    try configuration.write(to: "\(output)/config.yaml")
    folder = try CheckpointFolder(path: output, saveInterval: settings.saveInterval, configuration: configuration)
    trainer = try Trainer(
      configuration: settings, training: training, evaluation: evaluation, folder: folder, device: tuning.device)
    reportPath = "\(folder.path)/report.html"
    self.configuration = configuration
    labels = prepared.training.classNames ?? []
    subtitle =
      "\(training.dataset.count) pictures to train on, \(evaluation.dataset.count) to evaluate on, \(classCount) classes"
  }

  /// The weights to begin with: a file, the published ones, or random ones.
  private static func weights(
    _ configuration: Configuration, _ settings: TrainingConfiguration, isOffline: Bool
  ) throws(HGNetError) -> ParameterStore {
    let path: String
    switch try configuration.trainingWeightsSource() {
    case nil:
      let graph = try settings.model.graph(options: settings.options)
      return try Model.initialParameters(for: graph, seed: UInt64(truncatingIfNeeded: settings.seed ?? 0))
    case .file(let file): path = file
    case .published(let published):
      path = try PublishedWeightsCache(isOffline: isOffline).path(for: published) { (path) throws(HGNetError) in
        _ = try WeightsFile(contentsOf: path)
      }
    }
    // A head for other classes is left out and begins anew.
    let weights = try WeightsFile(
      contentsOf: path, model: settings.model, options: settings.options, allowsNewHead: true)
    try weights.requireFloat(for: "training")
    return weights.parameters
  }

  /// Writes the history and the page about the run.
  func write(_ history: TrainingHistory, _ outcome: Trainer.Outcome) throws(HGNetError) {
    let settings = trainer.configuration
    try history.write(to: "\(folder.path)/history.json")
    let root = try configuration.text("DataLoader.Train.dataset.image_root")
    try history.report(
      title: "\(settings.model.name) on \(root ?? folder.path)",
      subtitle: "\(subtitle); \(outcome.progress.epoch) of \(settings.epochs) epochs", labels: labels,
      configuration: configuration.root.yaml
    ).write(to: reportPath)
  }
}
