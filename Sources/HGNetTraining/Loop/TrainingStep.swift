import HGNet
import HGNetCore
import HGNetProgram

/// Forward, loss, backward and update of one batch after another: the inner loop of training.
///
/// Gradients of `accumulatedSteps` batches are averaged before each update, as `Global.update_freq` asks for. The
/// schedule advances after each update, or with the epochs if it goes by epoch.
///
/// Several ranks may run a step together, each on its part of the pictures: losses and gradients are then those of all
/// pictures, gradients are added while the others are still computed, and all ranks end with the same parameters.
///
/// Threads: one task.
package struct TrainingStep: ~Copyable {
  /// What a batch gave.
  package struct Outcome: Sendable {
    /// The loss and its terms.
    package let loss: CombinedLoss.Evaluation
    /// The logits before the update, `[N, K]`.
    package let logits: Tensor
    /// The learning rate that the update used; nil for a batch that was only accumulated.
    package let learningRate: Double?
  }

  /// The networks, and what they minimise.
  let networks: StepNetworks
  /// The parameters that are trained.
  package let parameters: any TrainingState
  /// The number of batches whose gradients make one update.
  package let accumulatedSteps: Int
  /// The formula of the update and its state.
  package internal(set) var optimizer: Optimizer
  /// The learning rate.
  package internal(set) var schedule: Schedule
  /// The average of the parameters, if one is kept.
  package internal(set) var average: ExponentialMovingAverage?
  /// The number of batches so far.
  package internal(set) var batchCount = 0
  /// The batches since the last update, those that were left out included, below `accumulatedSteps`.
  private var accumulatedCount = 0
  /// Whether gradients wait for an update.
  package private(set) var hasGradients = false
  /// The network; in a distillation the one that is evaluated.
  package var graph: Graph { networks.graph }

  private let seed: UInt64
  /// The ranks that run the step, nil for one.
  private let ranks: StepRanks?
  var random: RandomGenerator

  /// Puts the parts together for one network.
  ///
  /// - Parameters:
  ///   - graph: the network; its first output is the logits.
  ///   - parameters: a state of the device, with those of the graph.
  ///   - loss: the loss.
  ///   - optimizer: the formula of the update.
  ///   - schedule: the learning rate, at its beginning or restored.
  ///   - averageDecay: nil for no average of the parameters.
  ///   - accumulatedSteps: at least 1.
  ///   - seed: of the dropout masks.
  ///   - device: what the network runs on.
  ///   - communicator: the ranks that run the step together.
  ///   - synchronizesNormalization: whether ranks normalise with the statistics of all their pictures, so that they
  ///     compute what one rank with all of them would; else the running statistics are averaged over ranks.
  ///   - mixedPrecision: the level of mixed precision; nil for float32.
  /// - Throws: `HGNetError.Code.invalidConfiguration` for numbers outside their range.
  package init(
    graph: Graph, parameters: any TrainingState, loss: CombinedLoss, optimizer: Optimizer.Settings,
    schedule: Schedule, averageDecay: Double? = nil, accumulatedSteps: Int = 1, seed: UInt64 = 0, device: Device,
    communicator: any Communicator = SingleProcess(), synchronizesNormalization: Bool = false,
    sumsInHalves: Bool = false,
    mixedPrecision: MixedPrecision? = nil
  ) throws(HGNetError) {
    try self.init(
      StepNetworks(graph, parameters: parameters, loss: loss, device: device, mixedPrecision: mixedPrecision),
      optimizer: optimizer, schedule: schedule,
      averageDecay: averageDecay, accumulatedSteps: accumulatedSteps, seed: seed,
      communicator: communicator, synchronizesNormalization: synchronizesNormalization, sumsInHalves: sumsInHalves)
  }

  /// Puts the parts together for any networks.
  ///
  /// - Parameters:
  ///   - networks: the networks, and what they minimise.
  ///   - optimizer: the formula of the update.
  ///   - schedule: the learning rate, at its beginning or restored.
  ///   - averageDecay: nil for no average of the parameters.
  ///   - accumulatedSteps: at least 1.
  ///   - seed: of the dropout masks.
  ///   - communicator: the ranks that train together.
  ///   - synchronizesNormalization: whether batch statistics are those of all ranks.
  ///   - sumsInHalves: whether gradients travel between ranks in bfloat16.
  /// - Throws: as for one network.
  package init(
    _ networks: consuming StepNetworks, optimizer: Optimizer.Settings, schedule: Schedule, averageDecay: Double? = nil,
    accumulatedSteps: Int = 1, seed: UInt64 = 0, communicator: any Communicator = SingleProcess(),
    synchronizesNormalization: Bool = false, sumsInHalves: Bool = false
  ) throws(HGNetError) {
    guard accumulatedSteps >= 1 else {
      throw HGNetError(
        .invalidConfiguration, "expected an update after at least 1 batch, found \(accumulatedSteps)",
        key: "Global.update_freq")
    }
    let parameters = networks.parameters
    let rule = try Optimizer(optimizer, for: parameters)
    var ranks: StepRanks?
    if communicator.rankCount > 1 {
      let made = try StepRanks(
        communicator, parameters: parameters, synchronizesNormalization: synchronizesNormalization,
        sumsInHalves: sumsInHalves)
      if let statistics = made.statistics { networks.synchronizeNormalization(over: statistics) }
      ranks = made
    }
    let average = try averageDecay.map { (decay) throws(HGNetError) in
      try ExponentialMovingAverage(of: parameters, decay: decay)
    }
    self.networks = networks
    self.parameters = parameters
    self.accumulatedSteps = accumulatedSteps
    self.optimizer = rule
    self.schedule = schedule
    self.average = average
    self.seed = seed
    self.ranks = ranks
    random = RandomGenerator(seed: seed, stream: "dropout")
  }

  /// Trains on one batch.
  ///
  /// - Parameters:
  ///   - pictures: `[N, H, W, 3]`, N of at least 1, as the transforms make them.
  ///   - targets: what the N pictures show.
  ///   - samples: which pictures of the data set they are; only for logits that a teacher's cache keeps.
  ///   - allRows: the pictures of all ranks; nil asks them.
  /// - Returns: the loss of all ranks' pictures, the logits of this rank's.
  /// - Throws: `HGNetError.Code.shapeMismatch` for shapes that do not fit, `invalidArgument` for a label outside the
  ///   classes, and `malformedData` at the first loss that is no number: the parameters are then as before the batch,
  ///   but for the running statistics.
  package mutating func run(
    _ pictures: Tensor, targets: Targets, samples: [Int] = [], of allRows: Int? = nil
  ) throws(HGNetError) -> Outcome {
    guard pictures.shape.rank == 4, pictures.shape[0] >= 1 else {
      throw HGNetError(.shapeMismatch, "expected pictures [N, H, W, 3], found \(pictures.shape)")
    }
    var rows = allRows
    if rows == nil, let ranks { rows = try ranks.rowCount(pictures.shape[0]) }
    if let rank = ranks?.communicator.rank, rank > 0 {
      // Only the generator of rank 0 is kept in checkpoints; those of others begin anew with each batch.
      random = RandomGenerator(seed: seed, stream: "dropout rank \(rank) batch \(batchCount)")
    }
    let forward = try networks.forward(pictures, targets: targets, samples: samples, random: &random, of: rows)
    let logits = forward.logits
    var evaluation = forward.loss
    try ranks?.add(&evaluation)
    guard evaluation.value.isFinite else {
      throw HGNetError(
        .malformedData,
        "the loss is no longer a number at batch \(batchCount + 1), with a learning rate of \(schedule.learningRate); "
          + "use a smaller learning rate or a longer warm-up, and look at the pictures of this batch")
    }
    if !hasGradients { try parameters.zeroGradients() }
    batchCount += 1
    accumulatedCount += 1
    let isUpdate = accumulatedCount == accumulatedSteps
    try networks.backward(forward.gradients, ended: isUpdate ? ranks?.gradients.begin() : nil)
    try ranks?.finish(isUpdate: isUpdate)
    hasGradients = true
    return Outcome(loss: evaluation, logits: logits, learningRate: isUpdate ? try update() : nil)
  }

  /// Passes over a batch of which no picture could be read; to be called by all ranks together.
  ///
  /// - Returns: the learning rate if it was the last one before an update, which happens without it.
  /// - Throws: `HGNetError.Code.networkFailure`.
  package mutating func skip() throws(HGNetError) -> Double? {
    accumulatedCount += 1
    guard accumulatedCount == accumulatedSteps else { return nil }
    if hasGradients, let ranks {
      let ended = ranks.gradients.begin()
      for index in parameters.declarations.indices { ended(index) }
      try ranks.finish(isUpdate: true)
    }
    return try update()
  }

  /// Says where in an epoch the next batch lies, so that updates come after every `accumulatedSteps` batches of it.
  package mutating func beginEpoch(at batch: Int) {
    accumulatedCount = max(batch, 0) % accumulatedSteps
  }

  /// Changes the parameters by the gradients that wait, if there are any, and moves the schedule on.
  private mutating func update() throws(HGNetError) -> Double {
    let rate = schedule.learningRate
    if hasGradients {
      try optimizer.step(learningRate: rate, gradientScale: 1 / Float(accumulatedSteps))
      try average?.update()
    }
    (accumulatedCount, hasGradients) = (0, false)
    if !schedule.isByEpoch { schedule.advance() }
    return rate
  }

  /// Makes running statistics the same in all ranks, where steps since the last update have moved them apart; to be
  /// called by all ranks before the parameters are looked at.
  ///
  /// - Throws: `HGNetError.Code.networkFailure`.
  func align() throws(HGNetError) {
    if hasGradients { try ranks?.align() }
  }

  /// Tells a schedule that goes by epoch that one has ended.
  package mutating func endEpoch() {
    if schedule.isByEpoch { schedule.advance() }
  }
}
