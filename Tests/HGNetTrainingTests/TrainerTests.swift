import Foundation
import HGNetConfiguration
import HGNetCore
import HGNetModels
import HGNetTraining
import HGNetVision
import Testing

/// Whole runs on real picture files.
@Suite struct TrainerTests {
  /// A folder of its own with PNG pictures of three classes and a configuration, removed at the end.
  final class Workspace: Sendable {
    let path: String

    init() throws {
      path = FileManager.default.temporaryDirectory.appendingPathComponent("hgnet-\(UUID().uuidString)").path
      var random = RandomGenerator(seed: 3)
      let side = 48
      for number in 0..<3 {
        let folder = "\(path)/data/class\(number)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        for picture in 0..<7 {
          let phase = Int(random.uniform() * 8)
          var pixels = [UInt8](repeating: 0, count: side * side * 3)
          for index in pixels.indices {
            let (y, x) = (index / 3 / side, index / 3 % side)
            let across = (y + phase) / 4 % 2 == 0
            let down = (x + phase) / 4 % 2 == 0
            let isLight = number == 0 ? across : number == 1 ? down : across != down
            pixels[index] = UInt8((isLight ? 150 : 60) + random.uniform() * 50)
          }
          try Image(size: Size(side), pixels: pixels).write(to: "\(folder)/\(picture).png", as: .png)
        }
      }
      try """
      Global: {epochs: 3, eval_during_train: True, eval_interval: 1, save_interval: 2, print_batch_step: 2, seed: 7}
      Arch: {name: PPHGNetV2_B0, class_num: 3}
      Loss:
        Train: [{CELoss: {weight: 1.0, epsilon: 0.1}}]
        Eval: [{CELoss: {weight: 1.0}}]
      EMA: {decay: 0.9}
      Optimizer:
        name: Momentum
        momentum: 0.9
        lr: {name: Cosine, learning_rate: 0.05, warmup_epoch: 1}
        regularizer: {name: L2, coeff: 0.00002}
      Metric:
        Train: [{TopkAcc: {topk: [1, 2]}}]
        Eval: [{TopkAcc: {topk: [1, 2]}}]
      """.write(toFile: "\(path)/run.yaml", atomically: true, encoding: .utf8)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func trainer(
      saving folder: String?, threads: Int = 2, overrides: [String] = [], precision: Precision? = nil
    ) throws -> Trainer {
      var configuration = try TrainingConfiguration(
        Configuration(contentsOf: "\(path)/run.yaml", overrides: overrides))
      configuration.precision = precision
      let dataset = try Dataset(folder: "\(path)/data")
      let normalization = TrainingTransforms.Step.fixed(
        .normalize(scale: 1 / 255, mean: [0.45, 0.45, 0.45], standardDeviation: [0.25, 0.25, 0.25]))
      let flip = TrainingTransforms.Step.random(.randomFlip(.horizontal))
      return try Trainer(
        configuration: configuration,
        training: TrainingData(
          dataset: dataset, batchSize: 5, shuffles: true, transforms: TrainingTransforms(steps: [flip, normalization])),
        evaluation: TrainingData(
          dataset: dataset, batchSize: 8, shuffles: false, transforms: TrainingTransforms(steps: [normalization])),
        folder: folder.map { (name) throws(HGNetError) in try CheckpointFolder(path: "\(path)/\(name)", saveInterval: 2)
        },
        device: .cpu(threads: threads))
    }

    func initial(_ trainer: Trainer) throws(HGNetError) -> ParameterStore {
      try Model.initialParameters(for: trainer.graph, seed: 1)
    }
  }

  func values(_ store: ParameterStore) -> [Float] { store.names.flatMap { store[$0]?.tensor().values ?? [] } }

  @Test func aStoppedRunGoesOnAsIfItHadNotBeen() throws {
    let workspace = try Workspace()
    let whole = try workspace.trainer(saving: nil, threads: 1)
    let expected = try whole.run(from: workspace.initial(whole), log: { _ in })
    #expect(!expected.wasStopped)

    // Stops in the middle of the second epoch.
    let first = try workspace.trainer(saving: "output")
    let stopped = try first.run(from: workspace.initial(first), log: { _ in }) { event in
      if case .step(let step) = event, step.position.epoch == 2, step.position.iteration == 1 { first.stop() }
    }
    #expect(stopped.wasStopped && stopped.progress.epoch == 1 && stopped.progress.stepInEpoch == 2)

    let second = try workspace.trainer(saving: "output")
    let checkpoint = try Checkpoint.read("\(workspace.path)/output/latest")
    let resumed = try second.run(from: workspace.initial(second), checkpoint: checkpoint, log: { _ in })
    let isSame = values(resumed.parameters) == values(expected.parameters)
    #expect(isSame, "the resumed run has other parameters")
    #expect(resumed.progress.globalStep == 15)
    #expect(resumed.progress.bestMetric == expected.progress.bestMetric)
    for name in ["latest", "best_model", "epoch_2"] {
      for ending in ["pdparams", "pdopt", "pdstates", "pdema"] {
        #expect(
          FileManager.default.fileExists(atPath: "\(workspace.path)/output/\(name).\(ending)"), "\(name).\(ending)")
      }
    }
  }

  @Test func mistakesComeWorstFirst() throws {
    let workspace = try Workspace()
    let trainer = try workspace.trainer(saving: nil)
    let outcome = try trainer.run(from: workspace.initial(trainer), log: { _ in })
    let result = try #require(outcome.evaluation)
    let wrong = result.confusion.map { Double($0.total) * (1 - $0.accuracy) } ?? 0
    #expect(result.mistakes.count == Int(wrong.rounded()))
    #expect(result.mistakes.count > 1)
    let scores = result.mistakes.map(\.score)
    #expect(scores == scores.sorted(by: >))
    for mistake in result.mistakes { #expect(mistake.label != mistake.prediction && mistake.score > 1 / 3.0 - 1e-6) }
  }

  @Test func theLinesAreThoseOfPaddleClas() throws {
    let workspace = try Workspace()
    let trainer = try workspace.trainer(saving: "output")
    var lines: [String] = []
    _ = try trainer.run(from: workspace.initial(trainer), log: { lines.append($0) })
    #expect(lines[0].hasPrefix("[Train][Epoch 1/3][Iter: 0/5]lr(LinearWarmup): 0.01000000, top1: "))
    #expect(lines.contains { $0.hasPrefix("[Train][Epoch 3/3][Avg]top1: ") })
    #expect(lines.contains { $0.hasPrefix("[Eval][Epoch 1][Iter: 0/3]CELoss: ") })
    #expect(lines.contains { $0.hasPrefix("[Eval][Epoch 2][best metric: ") })
    #expect(lines.contains { $0.hasPrefix("[Eval][Epoch 2][best metric ema: ") })
    #expect(lines.last == "Already save model in \(workspace.path)/output/latest")
  }

  @Test func anEvaluationThatIsNotFiniteDoesNotBecomeTheBest() throws {
    let workspace = try Workspace()
    let first = try workspace.trainer(saving: "output")
    _ = try first.run(from: workspace.initial(first), log: { _ in })
    var checkpoint = try Checkpoint.read("\(workspace.path)/output/latest")
    // As if it had been stopped in its last evaluation, with weights that have become no numbers.
    checkpoint.progress.values["pending evaluation"] = 1
    checkpoint.progress.bestMetric = nil
    checkpoint.averaged = nil
    checkpoint.parameters["fc.bias"] = Parameter(Tensor(shape: [3], values: [.nan, 0, 0]))
    let second = try workspace.trainer(saving: "other")
    var warnings: [String] = []
    var history = TrainingHistory()
    let outcome = try second.run(from: workspace.initial(second), checkpoint: checkpoint, log: { _ in }) { event in
      history.note(event)
      if case .warning(let text) = event { warnings.append(text) }
    }
    #expect(warnings.contains { $0.contains("not finite") && $0.contains("best_model") })
    // The average of the weights counts where it is finite; here it is made anew from what is not.
    #expect(outcome.progress.bestMetric == nil && history.best == nil)
    #expect(!FileManager.default.fileExists(atPath: "\(workspace.path)/other/best_model.pdparams"))
  }

  @Test func aBrokenPictureIsNamedAndLeftOut() throws {
    let workspace = try Workspace()
    try Data("no picture".utf8).write(to: URL(fileURLWithPath: "\(workspace.path)/data/class1/3.png"))
    let trainer = try workspace.trainer(saving: nil)
    var broken: Set<String> = []
    _ = try trainer.run(from: workspace.initial(trainer), log: { _ in }) { event in
      if case .broken(let pictures) = event { broken.formUnion(pictures.map(\.path)) }
    }
    #expect(broken.count == 1 && broken.first?.hasSuffix("class1/3.png") == true)
  }

  @Test func aCheckpointOfAnotherModelIsRefused() throws {
    let workspace = try Workspace()
    let trainer = try workspace.trainer(saving: nil)
    var progress = TrainingProgress(epoch: 1)
    progress.model = "PPHGNetV2_B4"
    do {
      _ = try trainer.run(
        from: workspace.initial(trainer),
        checkpoint: CheckpointContents(
          parameters: workspace.initial(trainer), internalNames: [:], optimizer: OptimizerState(), progress: progress,
          averaged: nil), log: { _ in })
      Issue.record("a checkpoint of another model was taken")
    } catch {
      #expect(error.code == .parameterMismatch)
    }
  }
}
