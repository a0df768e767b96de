import HGNetCore
import HGNetVision

/// What happened in a run, kept for its report: the curves of losses and metrics, the last evaluation, the time.
///
/// Threads: a value, one task.
public struct TrainingHistory: Sendable {
  /// The means of each trained epoch: the epoch, then metrics and losses by name.
  public private(set) var training: [(epoch: Int, values: [(name: String, value: Double)])] = []
  /// The same of each evaluation.
  public private(set) var evaluation: [(epoch: Int, values: [(name: String, value: Double)])] = []
  /// The learning rate along the run: epochs as a fraction, and the rate.
  public private(set) var learningRates: [(epoch: Double, value: Double)] = []
  /// The loss of single batches along the run, thinned out.
  public private(set) var losses: [(epoch: Double, value: Double)] = []
  /// The newest evaluation that was the best when it was made.
  public private(set) var best: (epoch: Int, result: Evaluator.Result)?
  /// Seconds of training steps, and of those the seconds that they waited for data.
  public private(set) var trainingTime = 0.0, waitingTime = 0.0
  /// The pictures that were trained on.
  public private(set) var pictureCount = 0
  /// The pictures that could not be read, by path.
  public private(set) var broken: [String: HGNetError] = [:]

  /// Makes an empty history.
  public init() {}

  /// Takes what was kept of the run before.
  mutating func restore(
    training: [(epoch: Int, values: [(name: String, value: Double)])],
    evaluation: [(epoch: Int, values: [(name: String, value: Double)])],
    learningRates: [(epoch: Double, value: Double)], losses: [(epoch: Double, value: Double)], trainingTime: Double,
    waitingTime: Double, pictureCount: Int, best: (epoch: Int, result: Evaluator.Result)?
  ) {
    (self.training, self.evaluation) = (training, evaluation)
    (self.learningRates, self.losses) = (learningRates, losses)
    (self.trainingTime, self.waitingTime, self.pictureCount) = (trainingTime, waitingTime, pictureCount)
    self.best = best
  }

  /// Takes note of an event.
  public mutating func note(_ event: Trainer.Event) {
    switch event {
    case .step(let step):
      pictureCount += step.pictures
      forget(from: step.position.epoch)
      // Some 500 points along the run draw the same curve as all of them.
      let total = step.position.epochs * step.position.iterations
      let number = (step.position.epoch - 1) * step.position.iterations + step.position.iteration
      guard number % max(total / 500, 1) == 0 else { return }
      let place =
        Double(step.position.epoch - 1) + Double(step.position.iteration + 1) / Double(step.position.iterations)
      losses.removeAll { $0.epoch >= place }
      learningRates.removeAll { $0.epoch >= place }
      losses.append((place, step.loss))
      learningRates.append((place, step.learningRate.value))
    case .epochEnded(let epoch, let averages, let waited, let took):
      training.append((epoch, averages))
      trainingTime += took
      waitingTime += waited
    case .evaluated(let epoch, let result), .averageEvaluated(let epoch, let result):
      if case .evaluated = event { evaluation.append((epoch, result.metrics + result.losses)) }
      if result.isFinite, result.decisive >= best?.result.decisive ?? -.infinity { best = (epoch, result) }
    case .broken(let pictures):
      for picture in pictures { broken[picture.path] = picture.error }
    case .evaluating, .warning, .saved: break
    }
  }

  /// Drops what is known of an epoch and of later ones: a run that goes on from an older checkpoint repeats it.
  private mutating func forget(from epoch: Int) {
    guard (training.last?.epoch ?? 0) >= epoch || (evaluation.last?.epoch ?? 0) >= epoch else { return }
    training.removeAll { $0.epoch >= epoch }
    evaluation.removeAll { $0.epoch >= epoch }
    losses.removeAll { $0.epoch > Double(epoch) }
    learningRates.removeAll { $0.epoch > Double(epoch) }
    if let best, best.epoch >= epoch { self.best = nil }
  }

  /// The report of the run.
  ///
  /// Thumbnails are made of the pictures as they are now; one that can no longer be read is left out.
  ///
  /// - Parameters:
  ///   - title: the heading.
  ///   - subtitle: a sentence below it.
  ///   - labels: the names of the classes, may be empty.
  ///   - configuration: what was run, as text.
  public func report(title: String, subtitle: String, labels: [String], configuration: String) -> TrainingReport {
    var report = TrainingReport(title: title, subtitle: subtitle)
    report.labels = labels
    report.configuration = configuration
    if let best {
      for (name, value) in best.result.metrics { report.figures.append((name, HTML.percent(value))) }
      if isMeasurement, let loss = best.result.losses.first(where: { $0.name == "loss" }) {
        report.figures.append(("loss", FixedPoint.text(loss.value, digits: 4)))
      } else {
        report.figures.append(("best epoch", "\(best.epoch)"))
      }
      report.figures.append(("evaluated pictures", "\(best.result.pictures)"))
    }
    if trainingTime > 0 {
      report.figures.append(
        ("pictures/s in training", FixedPoint.text(Double(pictureCount) / trainingTime, digits: 1)))
      report.figures.append(("training time", TextFormat.duration(trainingTime)))
      report.figures.append(("waiting for data", HTML.percent(waitingTime / trainingTime)))
    }
    if !broken.isEmpty { report.figures.append(("broken pictures", "\(broken.count)")) }
    if !isMeasurement { report.curves = curves }
    if let best {
      report.confusion = best.result.confusion
      report.mistakes = best.result.mistakes.compactMap { mistake in
        guard let thumbnail = TrainingHistory.thumbnail(of: mistake.path) else { return nil }
        let name = mistake.path.split(separator: "/").suffix(2).joined(separator: "/")
        return TrainingReport.Mistake(
          thumbnail: thumbnail, fileName: name, label: mistake.label, prediction: mistake.prediction,
          score: mistake.score)
      }
    }
    return report
  }

  /// Whether a network was only measured, which has no epochs and no curves.
  private var isMeasurement: Bool { training.isEmpty && losses.isEmpty }

  private var curves: [TrainingReport.Curves] {
    func series(_ name: String, _ key: String, _ source: [(epoch: Int, values: [(name: String, value: Double)])])
      -> TrainingReport.Series
    {
      TrainingReport.Series(
        name,
        points: source.compactMap { entry in
          entry.values.first { $0.name == key }.map { (Double(entry.epoch), $0.value) }
        })
    }
    var curves = [
      TrainingReport.Curves(
        "Loss", series: [series("training", "loss", training), series("evaluation", "loss", evaluation)])
    ]
    var metrics: [String] = []
    for entry in evaluation.prefix(1) + training.prefix(1) {
      for (name, _) in entry.values where !metrics.contains(name) && name != "loss" && !name.hasSuffix("Loss") {
        metrics.append(name)
      }
    }
    for metric in metrics.prefix(2) {
      curves.append(
        TrainingReport.Curves(
          metric, isShare: true,
          series: [series("training", metric, training), series("evaluation", metric, evaluation)]))
    }
    curves.append(
      TrainingReport.Curves(
        "Loss of single batches",
        series: [TrainingReport.Series("training", points: losses.map { ($0.epoch, $0.value) })]))
    curves.append(
      TrainingReport.Curves(
        "Learning rate", series: [TrainingReport.Series("rate", points: learningRates.map { ($0.epoch, $0.value) })]))
    return curves
  }

  /// A small JPEG of a picture; nil if it cannot be read.
  static func thumbnail(of path: String, side: Int = 160) -> [UInt8]? {
    guard let image = try? Image(contentsOf: path) else { return nil }
    let longest = max(image.size.height, image.size.width)
    let size = Size(
      height: max(1, image.size.height * side / longest), width: max(1, image.size.width * side / longest))
    let small = try? Transform.resize(size, interpolation: .bilinear, backend: .pillow).applying(to: image)
    return try? small?.encoded(as: .jpeg(quality: 85))
  }
}
