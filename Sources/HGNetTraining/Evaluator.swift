import HGNetCore
import HGNetEngine
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
    /// Pictures that could not be read.
    public var broken: [Loader.BrokenPicture]

    /// The metric that decides, 0 without one.
    public var decisive: Double { metrics.first?.value ?? 0 }
  }

  /// The pictures.
  public let data: TrainingData
  /// What is logged beside the metrics.
  public let loss: CombinedLoss?
  /// What is measured.
  public let metrics: [TrainingConfiguration.Metric]
  /// The number of batches between two log lines.
  public let printInterval: Int
  private let pool: ThreadPool

  /// Puts the parts together.
  public init(
    data: TrainingData, loss: CombinedLoss?, metrics: [TrainingConfiguration.Metric], printInterval: Int = 10,
    pool: ThreadPool
  ) {
    self.data = data
    self.loss = loss
    self.metrics = metrics
    self.printInterval = max(printInterval, 1)
    self.pool = pool
  }

  /// Runs all pictures through the network once.
  ///
  /// - Parameters:
  ///   - graph: the network; its first output is the logits.
  ///   - parameters: its parameters.
  ///   - epoch: the epoch in log lines, 0 outside training.
  ///   - log: receives the lines of PaddleClas.
  /// - Throws: what the loader, the losses or the engine throw.
  public func evaluate(
    graph: Graph, parameters: ParameterStore, epoch: Int, log: (String) -> Void
  ) throws(HGNetError) -> Result {
    let model = try InferenceModel(graph: graph, parameters: parameters, pool: pool)
    let loader = try data.loader(epoch: 0)
    var losses = RunningAverages()
    var accuracy: TopKAccuracy?
    var precision: MultiLabelMeanAveragePrecision?
    for metric in metrics {
      switch metric {
      case .topK(let ks): accuracy = try TopKAccuracy(ks)
      case .meanAveragePrecision(let kind): precision = MultiLabelMeanAveragePrecision(kind)
      }
    }
    var confusion: ConfusionMatrix?
    if case .classes = data.dataset.targets { confusion = try ConfusionMatrix(classes: data.dataset.classCount) }
    var broken: [Loader.BrokenPicture] = []
    var times = TrainingLog.Times()
    var (batchSize, size) = (0, Size(0))
    var session: Session?
    let clock = ContinuousClock()
    var last = clock.now
    while let batch = try loader.next() {
      broken += batch.broken
      guard batch.count > 0 else { continue }
      let inputs = batch.inputs
      if session == nil || batchSize != batch.count || size != Size(height: inputs.shape[1], width: inputs.shape[2]) {
        (batchSize, size) = (batch.count, Size(height: inputs.shape[1], width: inputs.shape[2]))
        session = try model.session(batch: batchSize, inputSize: size, pool: pool)
      }
      guard var active = session.take() else { continue }
      let logits = try active.run(inputs)[0]
      session = consume active
      let targets = batch.targets.targets(classCount: data.dataset.classCount)
      var newest: [(name: String, value: Double)] = []
      if let loss {
        for (name, value) in try loss.evaluate(logits: logits, targets: targets).logged {
          losses.add(name, Double(value), samples: batch.count)
          newest.append((name, Double(value)))
        }
      }
      if case .classes(let labels) = targets {
        _ = try accuracy?.add(logits: logits, labels: labels)
        try confusion?.add(logits: logits, labels: labels)
      } else if case .vectors(let vectors) = targets {
        try precision?.add(scores: logits, targets: vectors)
      }
      let now = clock.now
      times.add(batch: seconds(now - last), reader: seconds(batch.waited), iteration: batch.number)
      last = now
      if batch.number % printInterval == 0 {
        log(
          TrainingLog.evaluation(
            epoch: epoch, iteration: batch.number, iterations: loader.batchCount, losses: newest,
            metrics: TrainingLog.metrics(accuracy?.averages.means ?? []), times: times, batchSize: batch.count))
        times.reset()
      }
    }
    var text = TrainingLog.metrics(accuracy?.averages.means ?? [])
    var values = accuracy?.averages.means ?? []
    if let precision {
      text = TrainingLog.metric(precision)
      values = [(precision.name, precision.value)]
    }
    log(TrainingLog.evaluation(epoch: epoch, losses: losses.means, metrics: text))
    return Result(losses: losses.means, metrics: values, metricText: text, confusion: confusion, broken: broken)
  }
}

/// A duration in seconds.
func seconds(_ duration: Duration) -> Double {
  Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
}
