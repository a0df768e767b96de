import HGNetCore
import HGNetEngine

/// Forward, loss, backward and update of one batch after another: the inner loop of training.
///
/// Gradients of `accumulatedSteps` batches are averaged before each update, as `Global.update_freq` asks for. The
/// schedule advances after each update, or with the epochs if it goes by epoch. A session is kept for the last batch
/// size, so that an epoch plans once, and once more where its last batch is smaller.
///
/// Threads: one task.
public struct TrainingStep: ~Copyable {
  /// What a batch gave.
  public struct Outcome: Sendable {
    /// The loss and its terms.
    public let loss: CombinedLoss.Evaluation
    /// The logits before the update, `[N, K]`.
    public let logits: Tensor
    /// The learning rate that the update used; nil for a batch that was only accumulated.
    public let learningRate: Double?
  }

  /// The network.
  public let graph: Graph
  /// The parameters that are trained.
  public let parameters: TrainingParameters
  /// The loss.
  public let loss: CombinedLoss
  /// The number of batches whose gradients make one update.
  public let accumulatedSteps: Int
  /// The formula of the update and its state.
  public internal(set) var optimizer: Optimizer
  /// The learning rate.
  public internal(set) var schedule: Schedule
  /// The average of the parameters, if one is kept.
  public internal(set) var average: ExponentialMovingAverage?
  /// The number of batches so far.
  public internal(set) var batchCount = 0

  private let pool: ThreadPool
  var random: RandomGenerator
  private var session: TrainingSession?

  /// Puts the parts together.
  ///
  /// - Parameters:
  ///   - graph: the network; its first output is the logits.
  ///   - parameters: made from the same graph.
  ///   - loss: the loss.
  ///   - optimizer: the formula of the update.
  ///   - schedule: the learning rate, at its beginning or restored.
  ///   - averageDecay: nil for no average of the parameters.
  ///   - accumulatedSteps: at least 1.
  ///   - seed: of the dropout masks.
  ///   - pool: the threads.
  /// - Throws: `HGNetError.Code.invalidConfiguration` for numbers outside their range.
  public init(
    graph: Graph, parameters: TrainingParameters, loss: CombinedLoss, optimizer: Optimizer.Settings,
    schedule: Schedule, averageDecay: Double? = nil, accumulatedSteps: Int = 1, seed: UInt64 = 0, pool: ThreadPool
  ) throws(HGNetError) {
    guard accumulatedSteps >= 1 else {
      throw HGNetError(
        .invalidConfiguration, "expected an update after at least 1 batch, found \(accumulatedSteps)",
        key: "Global.update_freq")
    }
    let rule = try Optimizer(optimizer, for: parameters)
    let average = try averageDecay.map { (decay) throws(HGNetError) in
      try ExponentialMovingAverage(of: parameters, decay: decay)
    }
    self.graph = graph
    self.parameters = parameters
    self.loss = loss
    self.accumulatedSteps = accumulatedSteps
    self.optimizer = rule
    self.schedule = schedule
    self.average = average
    self.pool = pool
    random = RandomGenerator(seed: seed, stream: "dropout")
    session = nil
  }

  /// Trains on one batch.
  ///
  /// - Parameters:
  ///   - pictures: `[N, H, W, 3]`, N of at least 1, as the transforms make them.
  ///   - targets: what the N pictures show.
  /// - Throws: `HGNetError.Code.shapeMismatch` for shapes that do not fit, `invalidArgument` for a label outside the
  ///   classes, and `malformedData` at the first loss that is no number: the parameters are then as before the batch,
  ///   but for the running statistics.
  public mutating func run(_ pictures: Tensor, targets: Targets) throws(HGNetError) -> Outcome {
    guard pictures.shape.rank == 4, pictures.shape[0] >= 1 else {
      throw HGNetError(.shapeMismatch, "expected pictures [N, H, W, 3], found \(pictures.shape)")
    }
    let batch = pictures.shape[0]
    let size = Size(height: pictures.shape[1], width: pictures.shape[2])
    var active = try takeSession(batch: batch, size: size)
    let logits = try active.forward(pictures, random: &random)
    let evaluation = try loss.evaluate(logits: logits, targets: targets)
    guard evaluation.value.isFinite else {
      throw HGNetError(
        .malformedData,
        "the loss is no longer a number at batch \(batchCount + 1), with a learning rate of \(schedule.learningRate); "
          + "use a smaller learning rate or a longer warm-up, and look at the pictures of this batch")
    }
    if batchCount % accumulatedSteps == 0 { parameters.zeroGradients(pool: pool) }
    try active.backward(evaluation.gradient)
    session = consume active
    batchCount += 1
    guard batchCount % accumulatedSteps == 0 else {
      return Outcome(loss: evaluation, logits: logits, learningRate: nil)
    }
    let rate = schedule.learningRate
    try optimizer.step(
      parameters, learningRate: rate, gradientScale: 1 / Float(accumulatedSteps), pool: pool)
    average?.update(parameters, pool: pool)
    if !schedule.isByEpoch { schedule.advance() }
    return Outcome(loss: evaluation, logits: logits, learningRate: rate)
  }

  /// The session of the last batch where it fits, else a new one; it must be put back.
  private mutating func takeSession(batch: Int, size: Size) throws(HGNetError) -> TrainingSession {
    if let kept = session.take() {
      if kept.batch == batch, kept.inputSize == size { return kept }
    }
    return try TrainingSession(graph: graph, parameters: parameters, batch: batch, inputSize: size, pool: pool)
  }

  /// Tells a schedule that goes by epoch that one has ended.
  public mutating func endEpoch() {
    if schedule.isByEpoch { schedule.advance() }
  }
}
