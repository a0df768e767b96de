import HGNet
import HGNetCore
import HGNetVision

/// Measures a network on the pictures of a part of the data, with the inference engine.
///
/// Evaluation during training and afterwards are the same code. Threads: one task.
public struct Evaluator: Sendable {
  /// What was measured.
  public struct Result: Sendable {
    /// The mean of each loss, `loss` last.
    public var losses: [(name: String, value: Double)]
    /// The metrics by name, such as `top1`; the first decides which model is best.
    public var metrics: [(name: String, value: Double)]
    /// The metrics as a log line spells them.
    public var metricText: String
    /// Who was taken for whom; nil with several labels per picture.
    public var confusion: ConfusionMatrix?
    /// The pictures that were taken for something else with the highest probability, worst first.
    public var mistakes: [Mistake]
    /// Pictures that could not be read.
    public var broken: [Loader.BrokenPicture]
    /// The pictures that were measured, and how many a second.
    public var pictures: Int, rate: Double
    /// Whether every logit was a finite number.
    public var hasFiniteLogits = true

    /// Puts a result together from what was measured.
    package init(
      losses: [(name: String, value: Double)], metrics: [(name: String, value: Double)], metricText: String,
      confusion: ConfusionMatrix?, mistakes: [Mistake], broken: [Loader.BrokenPicture], pictures: Int, rate: Double
    ) {
      (self.losses, self.metrics, self.metricText) = (losses, metrics, metricText)
      (self.confusion, self.mistakes, self.broken) = (confusion, mistakes, broken)
      (self.pictures, self.rate) = (pictures, rate)
    }

    /// The metric that decides, 0 without one.
    public var decisive: Double { metrics.first?.value ?? 0 }

    /// Whether logits, metrics and losses are all finite numbers; others say nothing about a model.
    public var isFinite: Bool { hasFiniteLogits && (metrics + losses).allSatisfy { $0.value.isFinite } }

    /// What is not finite, for a message.
    var notFinite: String {
      let names = (metrics + losses).filter { !$0.value.isFinite }.map {
        "\($0.name) \(FixedPoint.text($0.value, digits: 5))"
      }
      return names.isEmpty ? "logits" : names.joined(separator: ", ")
    }
  }

  /// A picture that was taken for something else.
  public struct Mistake: Sendable, Hashable {
    /// The file.
    public var path: String
    /// The class that it has, and the one that it was taken for.
    public var label, prediction: Int
    /// The probability of the prediction, 0 … 1.
    public var score: Double

    /// Names a picture and what it was taken for.
    package init(path: String, label: Int, prediction: Int, score: Double) {
      (self.path, self.label, self.prediction, self.score) = (path, label, prediction, score)
    }
  }

  /// The number of mistakes that are kept.
  public var mistakeLimit = 24

  /// The pictures.
  public let data: TrainingData
  /// What is logged beside the metrics.
  package let loss: CombinedLoss?
  /// What is measured.
  public let metrics: [TrainingConfiguration.Metric]
  /// The number of batches between two log lines.
  public let printInterval: Int
  private let device: Device
  private let communicator: any Communicator

  /// Puts the parts together.
  ///
  /// - Parameters:
  ///   - data: the pictures.
  ///   - metrics: what is measured, such as `TrainingConfiguration.evaluationMetrics`.
  ///   - device: what the network runs on.
  public init(data: TrainingData, metrics: [TrainingConfiguration.Metric], device: Device) {
    self.init(data: data, loss: nil, metrics: metrics, device: device)
  }

  /// Puts the parts together, for several ranks.
  ///
  /// Several ranks take turns with the batches and come to the same result, bit for bit, as one does alone; they call
  /// `evaluate` together with the same parameters.
  package init(
    data: TrainingData, loss: CombinedLoss?, metrics: [TrainingConfiguration.Metric], printInterval: Int = 10,
    device: Device, communicator: any Communicator = SingleProcess()
  ) {
    self.data = data
    self.loss = loss?.weighted(by: data.labelRatios)
    self.metrics = metrics
    self.printInterval = max(printInterval, 1)
    self.device = device
    self.communicator = communicator
  }

  /// Checks that all ranks measure the same parameters on the same pictures.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` in all ranks.
  package func agree(on parameters: ParameterStore) throws(HGNetError) {
    guard communicator.rankCount > 1 else { return }
    try communicator.agree(on: [("lists of pictures", data.hash), ("weights", parameters.hash)])
  }

  /// Runs all pictures through the network once.
  ///
  /// - Parameters:
  ///   - graph: the network; its first output is the logits.
  ///   - parameters: its parameters.
  ///   - epoch: the epoch in log lines, 0 outside training.
  ///   - log: receives the lines of PaddleClas.
  ///   - shouldContinue: asked after each batch, with the batches done and all of them.
  /// - Returns: nil when it was not to continue.
  /// - Throws: what the loader, the losses or the engine throw.
  public func evaluate(
    graph: Graph, parameters: ParameterStore, epoch: Int, log: (String) -> Void,
    shouldContinue: (_ done: Int, _ count: Int) -> Bool = { _, _ in true }
  ) throws(HGNetError) -> Result? {
    let model = try InferenceModel(graph: graph, parameters: parameters, device: device)
    let ranks = communicator.rankCount
    let loader = try data.loader(epoch: 0, part: (communicator.rank, of: ranks))
    let batchCount = try data.sampler().batchCount
    var tally = try EvaluationTally(self)
    var accuracy: TopKAccuracy?
    for case .topK(let ks) in metrics { accuracy = try TopKAccuracy(ks) }
    var times = TrainingLog.Times()
    var sessions = SessionKeeper(model: model)
    var reading = PictureReading(data.dataset)
    let clock = ContinuousClock()
    let begin = clock.now
    var last = begin
    // Ranks stay in step, so that all of them end at the same batch.
    for round in 0..<(batchCount + ranks - 1) / ranks {
      let number = round * ranks + communicator.rank
      let next = try loader.next()
      if let batch = next {
        tally.broken += batch.broken
        if batch.count > 0 {
          let result = try sessions.run(batch.pictures).session.result(0)
          let logits = try result.reshaped([batch.count, result.count / batch.count])
          let targets = try batch.targets.targets(classCount: data.dataset.classCount)
          let newest = try loss?.evaluate(logits: logits, targets: targets).logged.map { ($0.name, Double($0.value)) }
          var accuracies: [Double] = []
          if case .classes(let labels) = targets {
            accuracies = try accuracy?.add(logits: logits, labels: labels).map(\.value) ?? []
          }
          try tally.add(
            number: number, logits: logits, targets: targets, indices: batch.indices,
            losses: newest?.map(\.1) ?? [], accuracies: accuracies)
          let now = clock.now
          times.add(batch: (now - last).inSeconds, reader: batch.waited.inSeconds, iteration: number)
          last = now
          if number % printInterval == 0 {
            log(
              TrainingLog.evaluation(
                epoch: epoch, iteration: number, iterations: batchCount, losses: newest ?? [],
                metrics: TrainingLog.metrics(accuracy?.averages.means ?? []), times: times, batchSize: batch.count))
            times.reset()
          }
        }
      }
      let goesOn = shouldContinue(min((round + 1) * ranks, batchCount), batchCount)
      let sums = try communicator.sums(of: [goesOn ? 0 : 1] + reading.counts(of: next))
      try reading.note(Array(sums[1...]), broken: tally.broken)
      guard sums[0] == 0 else { return nil }
    }
    try reading.check()
    try tally.unite(over: communicator, dataset: data.dataset)
    let (values, text) = try tally.metrics()
    log(TrainingLog.evaluation(epoch: epoch, losses: tally.losses, metrics: text))
    var result = Result(
      losses: tally.losses, metrics: values, metricText: text, confusion: tally.confusion,
      mistakes: tally.mistakes(in: data.dataset), broken: tally.broken, pictures: tally.pictures,
      rate: Double(tally.pictures) / max((clock.now - begin).inSeconds, 1e-9))
    result.hasFiniteLogits = tally.hasFiniteLogits
    return result
  }
}
