import HGNetCore

/// A training run that goes on by itself, with a sequence of what happens.
///
/// ```swift
/// let job = trainer.start(from: weights.parameters)
/// for await event in job.events {
///   if case .evaluated(let epoch, let result) = event { print(epoch, result.decisive) }
/// }
/// let outcome = try await job.outcome
/// ```
///
/// It computes on a thread of its own and on the pool of its device, and holds no thread of Swift's concurrency. It goes on
/// when nobody reads its events, and when the job itself is forgotten.
///
/// Threads: safe to share.
public final class TrainingJob: Sendable {
  /// What happens, in order.
  public let events: TrainingEvents
  private let trainer: Trainer
  private let task: Task<Trainer.Outcome, any Error>

  fileprivate init(_ trainer: Trainer, from initial: ParameterStore, checkpoint: CheckpointContents?) {
    let events = TrainingEvents()
    self.trainer = trainer
    self.events = events
    task = Task {
      defer { events.buffer.end() }
      return try await trainer.run(from: initial, checkpoint: checkpoint) { events.buffer.add($0) }
    }
  }

  /// Asks the run to save and end after the batch that it is at, of training or of evaluation.
  public func stop() { trainer.stop() }

  /// How the run ended, once it has; a task that is cancelled while it waits stops the run.
  ///
  /// - Throws: as `Trainer.run(from:checkpoint:log:report:)`.
  public var outcome: Trainer.Outcome {
    get async throws {
      try await withTaskCancellationHandler {
        try await task.value
      } onCancel: {
        trainer.stop()
      }
    }
  }
}

extension Trainer {
  /// Trains on a thread of its own, without holding one of Swift's concurrency.
  ///
  /// A task that is cancelled asks the run to stop: it is saved after the batch that it is at, and the outcome says
  /// `wasStopped`. Make another trainer to go on from the checkpoint.
  ///
  /// - Parameters:
  ///   - initial: a value for each parameter of the graph.
  ///   - checkpoint: where the run goes on; its parameters replace `initial`.
  ///   - report: receives what happens, on the thread of the run, which waits for it.
  /// - Throws: as the form that is given a log; `CancellationError` before anything has begun;
  ///   `HGNetError.Code.limitExceeded` where the system gives no more threads.
  public func run(
    from initial: ParameterStore, checkpoint: CheckpointContents? = nil,
    report: @escaping @Sendable (Event) -> Void = { _ in }
  ) async throws -> Outcome {
    try Task.checkCancellation()
    return try await withTaskCancellationHandler {
      try await OwnThread.run { () throws(HGNetError) in
        try self.run(from: initial, checkpoint: checkpoint, log: { _ in }, report: report)
      }
    } onCancel: {
      stop()
    }
  }

  /// Starts a run that goes on by itself.
  ///
  /// - Parameters:
  ///   - initial: a value for each parameter of the graph.
  ///   - checkpoint: where the run goes on; its parameters replace `initial`.
  public func start(from initial: ParameterStore, checkpoint: CheckpointContents? = nil) -> TrainingJob {
    TrainingJob(self, from: initial, checkpoint: checkpoint)
  }
}
