import ArgumentParser
import FoundationEssentials
import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetPlatform
import HGNetTraining
import HGNetVision

/// Measures a network on labelled pictures: the work of `tools/eval.py`, and the short form for a folder.
struct Evaluate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "eval", abstract: "Measure a network on labelled pictures.",
    discussion: """
      With a training configuration, as tools/eval.py:
        hgnet eval -c Configs/PPHGNetV2_B4.yaml -o Global.pretrained_model=output/best_model
      Short form, for a folder with one folder per class (its val or test if it has them):
        hgnet eval --data photos --weights output/best_model.pdparams --report report.html

      Classes are found by the names of the folders. On the folder that the weights were trained on, only the pictures that \
      the training run held out are measured.
      """)

  @OptionGroup var folder: FolderOptions

  @Option(help: ArgumentHelp("Write a report with the confusion matrix and the worst mistakes.", valueName: "file"))
  var report: String?

  @Flag(help: "With --data: measure on every picture of the folder, also on those that the weights were trained on.")
  var all = false

  @Flag(help: "Print JSON instead of the lines of tools/eval.py.")
  var json = false

  @Flag(help: "Do not use the network; published weights must be in the cache.")
  var offline = false

  @OptionGroup var options: ConfigurationOptions
  @OptionGroup var compute: DeviceOptions

  func validate() throws {
    try folder.check(configuration: options.file, others: [("--all", all)])
    if folder.data != nil, !options.overrides.isEmpty {
      throw ValidationError("-o overrides a key of a configuration; give one with -c FILE")
    }
  }

  /// What is measured, on what, how.
  private struct Subject {
    var weights: WeightsFile
    var data: TrainingData
    var loss: CombinedLoss?
    var metrics: [TrainingConfiguration.Metric]
    var printInterval: Int
    var labels: [String]
    var log: TrainingLogFile?
    var configuration: String
    var precision: PrecisionChoice?
    var gpu: String?
  }

  func run() async throws { try await RankedCommand.run(run) }

  private func run(_ communicator: any Communicator) async throws {
    let subject: Subject
    if let data = folder.data {
      subject = try await labelled(data, isFirst: communicator.isFirst)
    } else {
      subject = try await configured(communicator)
    }
    let isFirst = communicator.isFirst
    let device = try compute.device(
      configured: subject.precision, gpu: subject.gpu, for: subject.weights.parameters)
    let evaluator = Evaluator(
      data: subject.data, loss: subject.loss, metrics: subject.metrics, printInterval: subject.printInterval,
      device: device, communicator: communicator)
    try evaluator.agree(on: subject.weights.parameters)
    var bar = TrainingProgressBar(isShown: isatty(2) == 1 && isFirst)
    let result = try evaluator.evaluate(
      graph: subject.weights.graph, parameters: subject.weights.parameters, epoch: 0
    ) { line in
      bar.clear()
      if json || !isFirst { return }
      if let log = subject.log { log.write(line) } else { try? StandardOutput.write(line) }
    } shouldContinue: { done, count in
      bar.show(.evaluating(epoch: 0, done: done, of: count))
      return true
    }
    bar.clear()
    guard let result else { return }
    guard isFirst else {
      if !result.broken.isEmpty { throw ExitStatus.dataError }
      return
    }
    for picture in result.broken {
      StandardError.write("hgnet: warning: \(picture.error.at(path: picture.path)); the picture is left out")
    }
    if json { try StandardOutput.write(text(of: result, labels: subject.labels).indented) }
    if let report {
      var history = TrainingHistory()
      history.note(.evaluated(epoch: 0, result))
      try history.report(
        title: "\(subject.weights.path) on \(subject.data.dataset.source)",
        subtitle: "\(result.pictures) pictures, \(FixedPoint.text(result.rate, digits: 1)) a second",
        labels: subject.labels, configuration: subject.configuration
      ).write(to: report)
      StandardError.write("hgnet: report: \(report)")
    }
    if !result.broken.isEmpty { throw ExitStatus.dataError }
  }

  /// With `-c`: the model, weights, data and metrics of a configuration.
  private func configured(_ communicator: any Communicator) async throws -> Subject {
    let configuration = try options.require(honoringDevice: true)
    try communicator.agree(on: [("configurations", SingleProcess.hash(of: configuration.root.yaml))])
    let settings = try TrainingConfiguration(configuration)
    guard let data = try TrainingData(configuration, part: "Eval", classCount: settings.options.classCount) else {
      throw HGNetError(
        .invalidConfiguration, "expected the data to evaluate on, found nothing", path: configuration.path,
        key: "DataLoader.Eval")
    }
    let file = try ModelSource.file(of: configuration.weightsSource(), isOffline: offline)
    let weights = try WeightsFile(
      contentsOf: file, model: settings.model, options: settings.options, part: configuration.inferredModelName()
    ).told(isFirst: communicator.isFirst)
    if settings.isQuantizationAware { try weights.requireQuantized(by: "Slim.quant.name") }
    let log =
      communicator.isFirst
      ? try TrainingLogFile(
        path: "\(CheckpointFolder(path: settings.outputFolder).path)/eval.log",
        hidden: isatty(1) == 1 && isatty(2) == 1 ? .iterations : .nothing) : TrainingLogFile()
    if !json { for line in configuration.root.lines() { log.write(line) } }
    let overrides = try options.overrides.map { (text) throws(HGNetError) in try ConfigurationOverride(text).key }
    if communicator.isFirst, let text = configuration.idleNotice(for: .evaluation(overrides: overrides)) {
      StandardError.write("hgnet: warning: \(text)")
    }
    return Subject(
      weights: weights, data: data, loss: settings.evaluationLoss, metrics: settings.evaluationMetrics,
      printInterval: settings.printInterval, labels: try TrainingRun.labels(configuration, data: data), log: log,
      configuration: configuration.root.yaml,
      precision: try configuration.precision() ?? (settings.isQuantizationAware ? .int8 : nil), gpu: configuration.gpu)
  }

  /// With `--data`: cross entropy and top-k on the pictures of a folder, mAP where the network gives several labels.
  private func labelled(_ data: String, isFirst: Bool) async throws -> Subject {
    let named = try folder.model.map { name throws(HGNetError) in try Model.named(name) }
    let weights = try ModelSource.weights(
      file: folder.weights, model: named, isOffline: offline, isFirst: isFirst)
    try weights.requireClassifier()
    // The recipe of the training run, as in every other command.
    let found = try weights.findRecipe()
    found.tell(verbose: options.verbose, isFirst: isFirst)
    let note = { (text: String) in if isFirst { StandardError.write("hgnet: note: \(data): \(text)") } }
    var dataset = try LabelledFolder(data, weights: weights, recipe: found, takesAll: all).dataset(note: note)
    // A network of several labels has no best class, and its scores are no distribution.
    let severalLabels = found.recipe.activation == .sigmoid
    if severalLabels {
      note(
        "these weights give each picture several labels, a folder gives it one: measured is the order in which the scores "
          + "of each class put the pictures, MultiLabelMAP, with every other label taken for absent")
      dataset = try dataset.withSeveralLabels()
    }
    let recipe = folder.inputSize.map { found.recipe.resized(to: $0.size) } ?? found.recipe
    let transforms = TrainingTransforms(
      decodingStyle: recipe.decodingStyle, steps: recipe.transforms.map { .fixed($0) })
    return Subject(
      weights: weights,
      data: TrainingData(dataset: dataset, batchSize: folder.batch ?? 32, shuffles: false, transforms: transforms),
      loss: try CombinedLoss([
        .init(severalLabels ? MultiLabelLoss() : CrossEntropyLoss(epsilon: nil), weight: 1)
      ]),
      metrics: [
        severalLabels ? .meanAveragePrecision(.integral) : .topK(dataset.classCount > 5 ? [1, 5] : [1])
      ], printInterval: 10, labels: dataset.classNames ?? [],
      log: nil, configuration: "")
  }

  private func text(of result: Evaluator.Result, labels: [String]) -> JSONText {
    func numbers(_ values: [(name: String, value: Double)]) -> JSONText {
      .object(values.map { ($0.name, .number($0.value)) })
    }
    var entries: [(String, JSONText)] = [
      ("metrics", numbers(result.metrics)), ("losses", numbers(result.losses)), ("pictures", .integer(result.pictures)),
      ("pictures_per_second", .number(result.rate)),
      (
        "broken",
        .list(result.broken.map { .object([("file_name", .text($0.path)), ("error", .text($0.error.description))]) })
      ),
    ]
    if let confusion = result.confusion {
      let classes = confusion.qualities.enumerated().map { index, quality in
        JSONText.object([
          ("name", .text(labels.indices.contains(index) ? labels[index] : "\(index)")),
          ("precision", .number(quality.precision)), ("recall", .number(quality.recall)), ("f1", .number(quality.f1)),
          ("pictures", .integer(quality.support)),
        ])
      }
      entries.append(("classes", .list(classes)))
    }
    return .object(entries)
  }
}
