import Foundation
import HGNetConfiguration
import HGNetCore
import HGNetModels
import HGNetTraining
import Testing

/// One run of PaddleClas in runs.json: what its log says.
struct LoggedRun: Decodable, CustomTestStringConvertible {
  var name: String
  var overrides: [String]
  var iterations: Int
  var rates: [String]
  var schedule: String

  var testDescription: String { name }

  static let all: [LoggedRun] = (try? Fixture.decode("runs.json")) ?? []
}

@Suite("Epochs of whole updates")
struct EpochPlanTests {
  @Test("Epochs and learning rates are those that PaddleClas logs", arguments: LoggedRun.all)
  func golden(_ run: LoggedRun) throws {
    let configuration = try TrainingConfiguration(
      Configuration(
        ConfigurationValue(
          yaml: """
            Global: {epochs: 4}
            Arch: {name: PPHGNetV2_B0, class_num: 3}
            Loss: {Train: [{CELoss: {weight: 1.0}}]}
            Optimizer: {name: Momentum, momentum: 0.9, lr: {name: Cosine, learning_rate: 0.1}}
            """), path: "run.yaml", overrides: run.overrides))
    let plan = EpochPlan(
      batches: 3, iterationsPerEpoch: configuration.iterationsPerEpoch, updateFrequency: configuration.updateFrequency)
    #expect(plan.iterations == run.iterations)
    var schedule = try configuration.schedule(iterationsPerEpoch: plan.iterations)
    #expect(schedule.name == run.schedule)
    var logged: [String] = []
    for iteration in 0..<4 * plan.iterations {
      if (iteration % plan.iterations + 1) % plan.updateFrequency == 0 { schedule.advance() }
      var rate = schedule.learningRate
      // PaddleClas logs `get_lr()`, which for a cosine without warm-up applies the factor of the last step once more.
      if schedule.name == "CosineAnnealingDecay", schedule.state.step > 0 {
        let (step, length) = (Double(schedule.state.step), Double(4 * plan.updates))
        rate *= (1 + cos(.pi * step / length)) / (1 + cos(.pi * (step - 1) / length))
      }
      logged.append(String(format: "%.8f", abs(rate)))
    }
    #expect(logged == run.rates)
    #expect(run.name == "cosw5" ? plan.warning?.contains("counts as 1") == true : true)
  }

  @Test("There are goldens") func goldens() { #expect(LoggedRun.all.count == 11) }

  @Test("Epochs follow each other through the data without a gap")
  func segments() {
    let plan = EpochPlan(batches: 5, updateFrequency: 2)
    #expect(plan.iterations == 4 && plan.updates == 2 && plan.warning?.contains("does not divide") == true)
    #expect(plan.segment(epoch: 0, iteration: 0) == .init(pass: 0, batches: 0..<4))
    #expect(plan.segment(epoch: 1, iteration: 0) == .init(pass: 0, batches: 4..<5))
    #expect(plan.segment(epoch: 1, iteration: 1) == .init(pass: 1, batches: 0..<3))
    #expect(plan.segment(epoch: 1, iteration: 3) == .init(pass: 1, batches: 2..<3))
    let long = EpochPlan(batches: 3, iterationsPerEpoch: 7)
    #expect(long.iterations == 7 && long.warning == nil)
    #expect(long.segment(epoch: 0, iteration: 6) == .init(pass: 2, batches: 0..<1))
    #expect(long.segment(epoch: 1, iteration: 0) == .init(pass: 2, batches: 1..<3))
    #expect(EpochPlan(batches: 4, updateFrequency: 2).segment(epoch: 7, iteration: 2) == .init(pass: 7, batches: 2..<4))
  }

  /// A trainer over 21 pictures in 5 batches, whose updates take two of them.
  private func trainer(_ workspace: TrainerTests.Workspace, _ folder: String?) throws -> Trainer {
    var text = try String(contentsOfFile: "\(workspace.path)/run.yaml", encoding: .utf8)
    text = text.replacingOccurrences(of: "{epochs: 3, eval", with: "{epochs: 3, update_freq: 2, eval")
    try text.write(toFile: "\(workspace.path)/run.yaml", atomically: true, encoding: .utf8)
    return try workspace.trainer(saving: folder, threads: 1)
  }

  @Test("An epoch ends with an update, a stop waits for one, and a run that goes on has the same bits")
  func accumulation() throws {
    let workspace = try TrainerTests.Workspace()
    let whole = try trainer(workspace, nil)
    var lines: [String] = []
    var warnings: [String] = []
    let expected = try whole.run(from: workspace.initial(whole), log: { lines.append($0) }) { event in
      if case .warning(let text) = event { warnings.append(text) }
    }
    // Five batches a pass, four an epoch, two updates each.
    #expect(expected.progress.globalStep == 6)
    #expect(lines.contains { $0.hasPrefix("[Train][Epoch 3/3][Iter: 2/4]") })
    #expect(warnings.contains { $0.contains("update_freq: 2 does not divide the 5 iterations") })

    let first = try trainer(workspace, "cut")
    let stopped = try first.run(from: workspace.initial(first), log: { _ in }) { event in
      if case .step(let step) = event, step.position.epoch == 2, step.position.iteration == 0 { first.stop() }
    }
    #expect(stopped.wasStopped && stopped.progress.stepInEpoch == 2 && stopped.progress.globalStep == 3)
    let second = try trainer(workspace, "cut")
    let resumed = try second.run(
      from: workspace.initial(second), checkpoint: Checkpoint.read("\(workspace.path)/cut/latest"), log: { _ in })
    let values = TrainerTests().values
    let isSame = values(resumed.parameters) == values(expected.parameters)
    #expect(isSame, "the resumed run has other parameters")
  }

  @Test("A batch of which nothing can be read does not move the updates")
  func emptyBatches() throws {
    let workspace = try TrainerTests.Workspace()
    // All pictures of one batch of the first pass, whichever these are.
    let data = try trainer(workspace, nil)
    _ = data
    for number in 0..<3 {
      for picture in 0..<7 where number == 1 && picture < 6 {
        try Data("x".utf8).write(to: URL(fileURLWithPath: "\(workspace.path)/data/class\(number)/\(picture).png"))
      }
    }
    let trainer = try trainer(workspace, nil)
    let outcome = try trainer.run(from: workspace.initial(trainer), log: { _ in })
    #expect(outcome.progress.globalStep == 6)
  }
}

@Suite("Learning rates of runs that go on")
struct ResumedRateTests {
  private func schedule(_ rule: Schedule.Rule, rate: Double, epochs: Int, warmup: Double = 0) throws -> Schedule {
    try Schedule(rule, learningRate: rate, epochs: epochs, stepsPerEpoch: 3, warmupEpochs: warmup)
  }

  @Test("A jump arrives where steps do", arguments: [0.0, 2.0])
  func jump(warmup: Double) throws {
    let rules: [Schedule.Rule] = [
      .constant, .cosine(minimum: 0.001), .polynomial(end: 0.01), .step(epochs: 2), .multiStep(epochs: [3, 5]),
      .piecewise(epochs: [2], rates: [0.1, 0.01]),
    ]
    for rule in rules {
      var stepped = try schedule(rule, rate: 0.1, epochs: 8, warmup: warmup)
      for step in 0..<24 {
        var other = try schedule(rule, rate: 0.1, epochs: 8, warmup: warmup)
        other.jump(to: step)
        #expect(abs(other.learningRate - stepped.learningRate) < 1e-12, "\(rule) step \(step)")
        #expect(other.state.step == step)
        stepped.advance()
      }
    }
  }

  @Test("A finished cosine that is made longer is told, and the closed form brings its rate")
  func longer() throws {
    let workspace = try TrainerTests.Workspace()
    let path = "\(workspace.path)/run.yaml"
    let text = try String(contentsOfFile: path, encoding: .utf8)
      .replacingOccurrences(of: ", warmup_epoch: 1", with: "").replacingOccurrences(of: "EMA: {decay: 0.9}\n", with: "")
      .replacingOccurrences(of: "eval_during_train: True", with: "eval_during_train: False")
    func run(_ epochs: Int, _ more: String = "", rate: String = "0.05", from checkpoint: String? = nil) throws
      -> (warnings: [String], rates: [Double])
    {
      try text.replacingOccurrences(of: "{epochs: 3,", with: "{epochs: \(epochs), \(more)")
        .replacingOccurrences(of: "learning_rate: 0.05", with: "learning_rate: \(rate)")
        .write(toFile: path, atomically: true, encoding: .utf8)
      let trainer = try workspace.trainer(saving: "out", threads: 1)
      let contents = try checkpoint.map { try Checkpoint.read($0) }
      var (warnings, rates): ([String], [Double]) = ([], [])
      _ = try trainer.run(from: workspace.initial(trainer), checkpoint: contents, log: { _ in }) { event in
        switch event {
        case .warning(let text): warnings.append(text)
        case .step(let step): rates.append(step.learningRate.value)
        default: break
        }
      }
      return (warnings, rates)
    }
    #expect(try run(1).warnings.isEmpty)
    let latest = "\(workspace.path)/out/latest"
    let kept = latest + "-kept"
    for ending in ["pdparams", "pdopt", "pdstates"] {
      try FileManager.default.copyItem(atPath: "\(latest).\(ending)", toPath: "\(kept).\(ending)")
    }
    let plain = try run(2, rate: "0.2", from: kept)
    #expect(plain.rates.count == 5 && plain.rates.allSatisfy { $0 == 0 })
    let warning = try #require(plain.warnings.first)
    // Half of a cosine of two epochs.
    #expect(warning.contains("goes on from the checkpoint's 0.00000000") && warning.contains("have 0.10000000"))
    #expect(warning.contains("Global.recompute_learning_rate=True") && warning.contains("nothing is learnt"))
    let recomputed = try run(2, "recompute_learning_rate: True,", rate: "0.2", from: kept)
    #expect(recomputed.warnings.isEmpty)
    for (step, rate) in recomputed.rates.enumerated() {
      #expect(abs(rate - 0.1 * (1 + cos(.pi * Double(step + 6) / 10))) < 1e-9, "\(step)")
    }
    // The same configuration goes on without a word.
    #expect(try run(2, rate: "0.05", from: nil).warnings.isEmpty)
  }
}
