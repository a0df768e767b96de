import HGNet
import HGNetTraining
import Synchronization
import Testing

/// Runs that tasks wait for.
@Suite struct TrainingJobTests {
  private func values(_ store: ParameterStore) -> [Float] { store.names.flatMap { store[$0]?.tensor().values ?? [] } }

  @Test func anAwaitedRunHasTheBitsOfTheOther() async throws {
    let workspace = try TrainerTests.Workspace()
    let plain = try workspace.trainer(saving: nil)
    let direct = { (trainer: Trainer) throws in
      try trainer.run(from: workspace.initial(trainer), log: { _ in })
    }
    let expected = try direct(plain)
    let trainer = try workspace.trainer(saving: "output")
    let events = Mutex<[Trainer.Event]>([])
    let outcome = try await trainer.run(from: workspace.initial(trainer)) { event in
      events.withLock { $0.append(event) }
    }
    #expect(!outcome.wasStopped)
    let isSame = values(outcome.parameters) == values(expected.parameters)
    #expect(isSame)
    check(events.withLock { $0 }, output: "\(workspace.path)/output")
  }

  @Test func theEventsAreAllThereInOrder() async throws {
    let workspace = try TrainerTests.Workspace()
    let trainer = try workspace.trainer(saving: "output")
    let job = trainer.start(from: try workspace.initial(trainer))
    var events: [Trainer.Event] = []
    for await event in job.events { events.append(event) }
    #expect(try await !job.outcome.wasStopped)
    check(events, output: "\(workspace.path)/output")
    // There is nothing more, and nobody waits for it.
    for await _ in job.events { Issue.record("an event after the end") }
  }

  @Test func aJobNeedsNoReader() async throws {
    let workspace = try TrainerTests.Workspace()
    let trainer = try workspace.trainer(saving: "output")
    let job = trainer.start(from: try workspace.initial(trainer))
    #expect(try await job.outcome.progress.epoch == 3)
    var events: [Trainer.Event] = []
    for await event in job.events { events.append(event) }
    check(events, output: "\(workspace.path)/output")
  }

  /// Three epochs of five steps, each evaluated and saved.
  private func check(_ events: [Trainer.Event], output: String) {
    var (steps, epochs, evaluated) = ([Int](), [Int](), [Int]())
    var saved: [String] = []
    for event in events {
      switch event {
      case .step(let step): steps.append(step.position.epoch * 10 + step.position.iteration)
      case .epochEnded(let epoch, _, _, _): epochs.append(epoch)
      case .evaluated(let epoch, _): evaluated.append(epoch)
      case .saved(let paths): saved += paths
      default: break
      }
    }
    #expect(steps == [10, 11, 12, 13, 14, 20, 21, 22, 23, 24, 30, 31, 32, 33, 34])
    #expect(epochs == [1, 2, 3] && evaluated == [1, 2, 3])
    #expect(saved.count { $0 == "\(output)/latest" } == 3)
    #expect(saved.count { $0 == "\(output)/epoch_2" } == 1)
    #expect(saved.contains("\(output)/best_model"))
  }

  @Test func aCancelledRunIsSavedAndGoesOn() async throws {
    let workspace = try TrainerTests.Workspace()
    let whole = try workspace.trainer(saving: nil)
    let expected = try await whole.run(from: workspace.initial(whole))
    let first = try workspace.trainer(saving: "output")
    let initial = try workspace.initial(first)
    let stopped = try await withThrowingTaskGroup(of: Trainer.Outcome?.self) { group in
      let (reached, report) = AsyncStream<Void>.makeStream()
      group.addTask {
        try await first.run(from: initial) { event in
          if case .step(let step) = event, step.position.epoch == 2, step.position.iteration == 1 { report.yield() }
        }
      }
      for await _ in reached { break }
      group.cancelAll()
      return try await group.next() ?? nil
    }
    let outcome = try #require(stopped)
    // It may have come some batches further, or even to the end, before it noticed.
    let second = try workspace.trainer(saving: "output")
    let checkpoint = try Checkpoint.read("\(workspace.path)/output/latest")
    #expect(checkpoint.progress.epoch >= 1 && checkpoint.progress.globalStep == outcome.progress.globalStep)
    let resumed = try await second.run(from: initial, checkpoint: checkpoint)
    let isSame = values(resumed.parameters) == values(expected.parameters)
    #expect(isSame)
  }

  @Test func aTaskThatIsCancelledAlreadyTrainsNothing() async throws {
    let workspace = try TrainerTests.Workspace()
    let trainer = try workspace.trainer(saving: nil)
    let initial = try workspace.initial(trainer)
    let task = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      return try await trainer.run(from: initial)
    }
    await #expect(throws: CancellationError.self) { try await task.value }
  }

  @Test func errorsComeOut() async throws {
    let workspace = try TrainerTests.Workspace()
    let trainer = try workspace.trainer(saving: nil, overrides: ["Optimizer.lr.learning_rate=1e30"])
    let job = trainer.start(from: try workspace.initial(trainer))
    for await _ in job.events {}
    await #expect { try await job.outcome } throws: { ($0 as? HGNetError)?.code == .malformedData }
  }

  @Test func trainingEndsWhenNothingGetsBetter() async throws {
    let workspace = try TrainerTests.Workspace()
    // Nothing changes, so nothing gets better after the first epoch.
    let overrides = [
      "Global.epochs=9", "Global.early_stop_patience=2", "Optimizer.lr.learning_rate=1e-30", "Arch.freeze_norm=True",
    ]
    let trainer = try workspace.trainer(saving: "output", overrides: overrides)
    let outcome = try await trainer.run(from: workspace.initial(trainer))
    #expect(outcome.endedEarly && !outcome.wasStopped && outcome.progress.epoch == 3)
    let checkpoint = try Checkpoint.read("\(workspace.path)/output/latest")
    let again = try workspace.trainer(saving: "output", overrides: overrides)
    let ended = try await again.run(from: checkpoint.parameters, checkpoint: checkpoint)
    #expect(ended.endedEarly && ended.progress.epoch == 3)
    // More patience goes on from there.
    let longer = try workspace.trainer(saving: "output", overrides: overrides + ["Global.early_stop_patience=4"])
    #expect(try await longer.run(from: checkpoint.parameters, checkpoint: checkpoint).progress.epoch == 5)
    let whole = try workspace.trainer(saving: nil, overrides: ["Global.epochs=4", "Global.early_stop_patience=4"])
    #expect(try await !whole.run(from: workspace.initial(whole)).endedEarly)
  }
}
