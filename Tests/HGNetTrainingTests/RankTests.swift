import Foundation
import HGNetConfiguration
import HGNetCore
import HGNetModels
import HGNetTraining
import HGNetVision
import Testing

/// Whole runs over several ranks, as threads of one process.
@Suite struct RankTests {
  /// A trainer of one rank; only rank 0 saves.
  static func trainer(
    _ workspace: TrainerTests.Workspace, _ communicator: any Communicator, batchSize: Int, saving folder: String? = nil,
    overrides: [String] = [], pictures: [Int]? = nil
  ) throws -> Trainer {
    var dataset = try Dataset(folder: "\(workspace.path)/data")
    if let pictures {
      let list = "\(workspace.path)/list\(communicator.rank).txt"
      let lines = pictures.map { "\(dataset.paths[$0].dropFirst(workspace.path.utf8.count + 1)) \($0 / 7)\n" }
      try lines.joined().write(toFile: list, atomically: true, encoding: .utf8)
      dataset = try Dataset(listFile: list, folder: workspace.path, classCount: 3)
    }
    let normalization = TrainingTransforms.Step.fixed(
      .normalize(scale: 1 / 255, mean: [0.45, 0.45, 0.45], standardDeviation: [0.25, 0.25, 0.25]))
    let transforms = TrainingTransforms(steps: [normalization])
    return try Trainer(
      configuration: TrainingConfiguration(
        Configuration(contentsOf: "\(workspace.path)/run.yaml", overrides: overrides)),
      training: TrainingData(dataset: dataset, batchSize: batchSize, shuffles: true, transforms: transforms),
      evaluation: TrainingData(dataset: dataset, batchSize: 4, shuffles: false, transforms: transforms),
      folder: communicator.rank == 0
        ? folder.map { (name) throws(HGNetError) in
          try CheckpointFolder(path: "\(workspace.path)/\(name)", saveInterval: 1)
        } : nil,
      device: .cpu(threads: 1), communicator: communicator)
  }

  // A few small steps: a network of many layers on few pixels soon makes much of a difference in rounding.
  static let gentle = [
    "Optimizer.lr.learning_rate=0.0003", "Global.epochs=2", "Global.iter_per_epoch=2", "Global.use_sync_bn=True",
    "Global.print_batch_step=1",
  ]

  /// What a rank came to.
  struct End: Sendable {
    var outcome: Trainer.Outcome
    var lines: [String]
  }

  static func run(
    _ ranks: Int, _ workspace: TrainerTests.Workspace, batchSize: Int, overrides: [String],
    saving folder: String? = nil,
    stoppingAt stop: (rank: Int, step: Int)? = nil, resumes: Bool = false
  ) throws -> [End] {
    try onRanks(ranks) { communicator in
      let trainer = try trainer(
        workspace, communicator, batchSize: batchSize, saving: folder, overrides: overrides)
      let checkpoint = resumes ? try Checkpoint.read("\(workspace.path)/output/latest") : nil
      var lines: [String] = []
      var steps = 0
      let outcome = try trainer.run(
        from: try Model.initialParameters(for: trainer.graph, seed: 1), checkpoint: checkpoint,
        log: { lines.append($0) }
      ) { event in
        guard case .step = event else { return }
        steps += 1
        if let stop, stop.rank == communicator.rank, stop.step == steps { trainer.stop() }
      }
      return End(outcome: outcome, lines: lines)
    }
  }

  @Test("A run of 3 ranks learns, measures and logs what a run of one rank with 3 times the batch does")
  func wholeRun() throws {
    let workspace = try TrainerTests.Workspace()
    let single = try Self.run(1, workspace, batchSize: 6, overrides: Self.gentle)[0]
    let several = try Self.run(3, workspace, batchSize: 2, overrides: Self.gentle)
    for end in several {
      let difference = DataParallelTests.difference(single.outcome.parameters, end.outcome.parameters)
      #expect(difference.value < 2e-3, "\(difference)")
      #expect(end.outcome.progress.globalStep == single.outcome.progress.globalStep)
      let (one, other) = (try #require(single.outcome.evaluation), try #require(end.outcome.evaluation))
      #expect(one.pictures == other.pictures && one.mistakes.count == other.mistakes.count)
      #expect(abs(one.losses[0].value - other.losses[0].value) < 1e-3)
      // Lines are alike up to times and the last digits.
      #expect(end.lines.count == several[0].lines.count)
    }
    let first = { (lines: [String]) in lines.first { $0.hasPrefix("[Train][Epoch 1/2][Iter: 0/") }?.prefix(70) }
    #expect(first(single.lines) == first(several[0].lines))
  }

  @Test("Ranks that evaluate the same parameters come to the bits of one rank, whatever is measured")
  func evaluation() throws {
    let workspace = try TrainerTests.Workspace()
    try Data("no picture".utf8).write(to: URL(fileURLWithPath: "\(workspace.path)/data/class1/3.png"))
    let dataset = try Dataset(folder: "\(workspace.path)/data", checksPictures: false)
    let lines = dataset.paths.indices.map { index in
      "\(dataset.paths[index].dropFirst(workspace.path.utf8.count + 1))\t\(index % 2),\((index + 1) % 2),\(index % 2)\n"
    }
    let list = "\(workspace.path)/labels.txt"
    try lines.joined().write(toFile: list, atomically: true, encoding: .utf8)
    for isMultiple in [false, true] {
      let data = TrainingData(
        dataset: isMultiple
          ? try Dataset(multiLabelListFile: list, folder: workspace.path, delimiter: "\t", classCount: 3) : dataset,
        batchSize: 4, shuffles: false,
        transforms: TrainingTransforms(steps: [
          .fixed(.normalize(scale: 1 / 255, mean: [0.5, 0.5, 0.5], standardDeviation: [0.2, 0.2, 0.2]))
        ]))
      let results: [[Evaluator.Result?]] = try [1, 2, 5].map { ranks in
        try onRanks(ranks) { communicator -> Evaluator.Result? in
          let graph = try Model.named("PPHGNetV2_B0").graph(options: ModelOptions(classCount: 3), inputSize: Size(48))
          let evaluator = try Evaluator(
            data: data, loss: isMultiple ? CombinedLoss(MultiLabelLoss()) : CombinedLoss(CrossEntropyLoss()),
            metrics: [isMultiple ? .meanAveragePrecision(.integral) : .topK([1, 2])], device: .cpu(threads: 1),
            communicator: communicator)
          return try evaluator.evaluate(
            graph: graph, parameters: try Model.initialParameters(for: graph, seed: 4), epoch: 1, log: { _ in })
        }
      }
      let one = try #require(results[0][0])
      #expect(one.pictures == 20 && one.broken.count == 1)
      for case let other? in results.dropFirst().joined() {
        #expect(other.losses.map(\.value) == one.losses.map(\.value))
        #expect(other.metrics.map(\.value) == one.metrics.map(\.value) && other.metricText == one.metricText)
        #expect(other.confusion == one.confusion && other.mistakes == one.mistakes && other.pictures == one.pictures)
        #expect(other.broken.map(\.path) == one.broken.map(\.path))
      }
    }
  }

  @Test("A stop that one rank is asked for ends all at the same batch; the run goes on with the same bits")
  func stop() throws {
    let workspace = try TrainerTests.Workspace()
    for synchronizes in ["True", "False"] {
      let overrides = ["Optimizer.lr.learning_rate=0.02", "Global.use_sync_bn=\(synchronizes)"]
      let whole = try Self.run(2, workspace, batchSize: 3, overrides: overrides)
      let stopped = try Self.run(
        2, workspace, batchSize: 3, overrides: overrides, saving: "output", stoppingAt: (rank: 1, step: 6))
      #expect(stopped.map(\.outcome.wasStopped) == [true, true])
      #expect(stopped.map(\.outcome.progress.epoch) == [1, 1])
      #expect(stopped.map(\.outcome.progress.stepInEpoch) == [2, 2])
      let resumed = try Self.run(2, workspace, batchSize: 3, overrides: overrides, saving: "output", resumes: true)
      for end in resumed {
        #expect(DataParallelTests.difference(whole[0].outcome.parameters, end.outcome.parameters).value == 0)
      }
    }
  }

  @Test("A run goes on with another number of ranks where the pictures and the rate are") func otherRanks() throws {
    let workspace = try TrainerTests.Workspace()
    let overrides = ["Optimizer.lr.learning_rate=0.02", "Global.epochs=3"]
    _ = try Self.run(
      1, workspace, batchSize: 3, overrides: overrides, saving: "output", stoppingAt: (rank: 0, step: 11))
    // 7 steps of 3 pictures an epoch: the second epoch is stopped after 12 pictures, which are 2 steps of 2 ranks.
    var rates: [Double] = []
    let ends = try onRanks(2) { communicator in
      let trainer = try Self.trainer(workspace, communicator, batchSize: 3, saving: "output", overrides: overrides)
      var (steps, rates) = ([Int](), [Double]())
      let outcome = try trainer.run(
        from: try Model.initialParameters(for: trainer.graph, seed: 1),
        checkpoint: Checkpoint.read("\(workspace.path)/output/latest"), log: { _ in }
      ) { event in
        guard case .step(let step) = event else { return }
        steps.append(step.globalStep)
        rates.append(step.learningRate.value)
      }
      return (steps, rates, outcome.progress)
    }
    // 4 steps an epoch: the first of the second epoch that is left is the third, the seventh of the run.
    #expect(ends.map(\.0) == [Array(7...12), Array(7...12)])
    #expect(ends[0].2.values["ranks"] == 2)
    var schedule = try Schedule(.cosine(), learningRate: 0.02, epochs: 3, stepsPerEpoch: 4, warmupEpochs: 1)
    for _ in 0..<6 { schedule.advance() }
    for _ in 0..<6 {
      schedule.advance()
      rates.append(schedule.learningRate)
    }
    #expect(ends[0].1 == rates)
  }

  @Test("Different starts are found, and named in all ranks") func disagreement() throws {
    let workspace = try TrainerTests.Workspace()
    func errors(_ body: @escaping @Sendable (any Communicator) throws -> Void) throws -> [String] {
      try onRanks(3) { communicator in
        do {
          try body(communicator)
          return ""
        } catch let error as HGNetError { return error.message }
      }
    }
    let lists = try errors { communicator in
      let pictures = communicator.rank == 1 ? Array(0..<20) : Array(1..<21)
      let trainer = try Self.trainer(workspace, communicator, batchSize: 2, pictures: pictures)
      _ = try trainer.run(from: try Model.initialParameters(for: trainer.graph, seed: 1), log: { _ in })
    }
    #expect(Set(lists).count == 1 && lists[0].contains("lists of pictures to train on in all 3 ranks"), "\(lists)")
    #expect(lists[0].contains("rank 1:"))
    let weights = try errors { communicator in
      let trainer = try Self.trainer(workspace, communicator, batchSize: 2)
      let seed = UInt64(communicator.rank + 1)
      _ = try trainer.run(from: try Model.initialParameters(for: trainer.graph, seed: seed), log: { _ in })
    }
    #expect(
      Set(weights).count == 1 && weights[0].contains("weights") && weights[0].contains("ranks 1, 2"), "\(weights)")
    let few = try errors { communicator in
      let trainer = try Self.trainer(workspace, communicator, batchSize: 2, pictures: [0, 8])
      _ = try trainer.run(from: try Model.initialParameters(for: trainer.graph, seed: 1), log: { _ in })
    }
    #expect(Set(few).count == 1 && few[0].contains("each of the 3 ranks, found 2"), "\(few)")
  }

  @Test("A rank that fails ends the others") func failure() throws {
    let workspace = try TrainerTests.Workspace()
    #expect(throws: HGNetError.self) {
      try onRanks(3) { communicator in
        let trainer = try Self.trainer(workspace, communicator, batchSize: 2)
        _ = try trainer.run(from: try Model.initialParameters(for: trainer.graph, seed: 1), log: { _ in }) { event in
          if case .step = event, communicator.rank == 2 { communicator.abort(status: 1) }
        }
      }
    }
  }

  @Test("A distillation of 3 ranks is that of one rank with 3 times the batch, also of two networks that learn")
  func distillation() throws {
    let workspace = try TrainerTests.Workspace()
    for (losses, isFrozen) in [
      (nil, true), ("{DistillationDMLLoss: {weight: 1.0, model_name_pairs: [[Student, Teacher]]}}", false),
    ] {
      var run = try DistillationRunTests.Run(workspace, losses: losses, frozen: isFrozen)
      run.configuration.rate.learningRate = 0.0001
      run.configuration.iterationsPerEpoch = 2
      run.configuration.synchronizesNormalization = true
      run.configuration.epochs = 1
      run.configuration.evaluatesDuringTraining = false
      let distillation = run
      func parameters(_ ranks: Int) throws -> [ParameterStore] {
        try onRanks(ranks) { communicator in
          let trainer = try distillation.trainer(saving: nil, batchSize: 6 / ranks, communicator: communicator)
          var initial = ParameterStore()
          for network in distillation.configuration.distillation?.networks ?? [] {
            let graph = try network.model.graph(options: network.options)
            initial.add(try Model.initialParameters(for: graph, seed: 5), prefix: "\(network.name).")
          }
          return try trainer.run(from: initial, log: { _ in }).parameters
        }
      }
      let single = try parameters(1)[0]
      for one in try parameters(3) {
        let difference = DataParallelTests.difference(single, one)
        #expect(difference.value < 2e-3, "\(difference)")
      }
    }
  }

  @Test("Rates are multiplied by the number of ranks on request") func rates() throws {
    let workspace = try TrainerTests.Workspace()
    func rate(_ overrides: [String]) throws -> Double {
      try TrainingConfiguration(Configuration(contentsOf: "\(workspace.path)/run.yaml", overrides: overrides))
        .schedule(iterationsPerEpoch: 4, rankCount: 8).baseRate
    }
    #expect(try rate([]) == 0.05)
    #expect(try rate(["Global.scale_learning_rate=True"]) == 0.4)
  }
}
