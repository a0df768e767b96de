import HGNetCore
import HGNetEngine
import HGNetVision

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

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

    /// The metric that decides, 0 without one.
    public var decisive: Double { metrics.first?.value ?? 0 }
  }

  /// A picture that was taken for something else.
  public struct Mistake: Sendable, Hashable {
    /// The file.
    public var path: String
    /// The class that it has, and the one that it was taken for.
    public var label, prediction: Int
    /// The probability of the prediction, 0 … 1.
    public var score: Double
  }

  /// The number of mistakes that are kept.
  public var mistakeLimit = 24

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
  ///   - shouldContinue: asked after each batch, with the batches done and all of them.
  /// - Returns: nil when it was not to continue.
  /// - Throws: what the loader, the losses or the engine throw.
  public func evaluate(
    graph: Graph, parameters: ParameterStore, epoch: Int, log: (String) -> Void,
    shouldContinue: (_ done: Int, _ count: Int) -> Bool = { _, _ in true }
  ) throws(HGNetError) -> Result? {
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
    var mistakes: [Mistake] = []
    var pictures = 0
    var times = TrainingLog.Times()
    var (batchSize, size) = (0, Size(0))
    var session: Session?
    let clock = ContinuousClock()
    let begin = clock.now
    var last = begin
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
        note(&mistakes, logits: logits, labels: labels, indices: batch.indices)
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
      pictures += batch.count
      guard shouldContinue(batch.number + 1, loader.batchCount) else { return nil }
    }
    var text = TrainingLog.metrics(accuracy?.averages.means ?? [])
    var values = accuracy?.averages.means ?? []
    if let precision {
      text = TrainingLog.metric(precision)
      values = [(precision.name, precision.value)]
    }
    log(TrainingLog.evaluation(epoch: epoch, losses: losses.means, metrics: text))
    return Result(
      losses: losses.means, metrics: values, metricText: text, confusion: confusion, mistakes: mistakes,
      broken: broken, pictures: pictures, rate: Double(pictures) / max(seconds(clock.now - begin), 1e-9))
  }

  /// Adds the mistakes of a batch, and keeps the worst.
  private func note(_ mistakes: inout [Mistake], logits: Tensor, labels: [Int], indices: [Int]) {
    let classes = logits.shape[1]
    logits.withUnsafeBufferPointer { values in
      for (row, label) in labels.enumerated() {
        let scores = values[row * classes..<(row + 1) * classes]
        // The lower index counts first among equals.
        guard let top = scores.max(), let best = scores.firstIndex(of: top) else { continue }
        let prediction = best - row * classes
        guard prediction != label else { continue }
        let sum = scores.reduce(0.0) { $0 + exp(Double($1 - top)) }
        mistakes.append(
          Mistake(path: data.dataset.paths[indices[row]], label: label, prediction: prediction, score: 1 / sum))
      }
    }
    mistakes.sort { $0.score > $1.score }
    mistakes.removeLast(max(mistakes.count - mistakeLimit, 0))
  }
}

/// A duration in seconds.
func seconds(_ duration: Duration) -> Double {
  Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
}
