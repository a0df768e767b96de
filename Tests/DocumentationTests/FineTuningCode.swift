import HGNetTraining
import Testing

func fineTuned(folder: String, weights: String?, output: String) async throws -> Classifier {
  var tuning = FineTuning(folder: folder, output: output, model: .b0, weights: weights)
  tuning.settings.epochs = 1
  let result = try await tuning.run { event in
    if case .evaluated(let epoch, let result) = event { print("epoch \(epoch): \(result.decisive)") }
  }
  print("\(result.accuracy) after epoch \(result.epoch); \(result.report)")
  return result.classifier
}

func makeTrainer(folder: String, weights: String, output: String) throws -> (Trainer, ParameterStore)? {
  let short = FolderConfiguration(folder: folder, output: output, model: .b0, weights: weights)
  let configuration = try Configuration(
    short.written(), path: "\(output)/config.yaml", overrides: ["Global.epochs=1", "Arch.freeze_at=2"])
  try configuration.write(to: "\(output)/config.yaml")
  let settings = try TrainingConfiguration(configuration)
  let classCount = settings.options.classCount
  guard let training = try TrainingData(configuration, part: "Train", classCount: classCount) else { return nil }
  let trainer = try Trainer(
    configuration: settings, training: training,
    evaluation: try TrainingData(configuration, part: "Eval", classCount: classCount),
    folder: CheckpointFolder(path: output, configuration: configuration), device: .cpu())
  // A head for other classes is left out and begins anew.
  let start = try WeightsFile(
    contentsOf: weights, model: settings.model, options: settings.options, allowsNewHead: true)
  print(start.report.summary)
  return (trainer, start.parameters)
}

func trained(_ output: String) throws -> Classifier {
  let weights = try WeightsFile(contentsOf: "\(output)/best_model.pdparams")
  return try Classifier(weights)
}

func followed(_ trainer: Trainer, from weights: ParameterStore) async throws -> Trainer.Outcome {
  let job = trainer.start(from: weights)
  for await event in job.events {
    switch event {
    case .step(let step): print(step.fraction, step.loss)
    case .epochEnded(let epoch, let averages, _, let took): print(epoch, averages, took)
    case .evaluated(let epoch, let result): print(epoch, result.metricText)
    case .saved(let paths): print(paths)
    default: break
    }
  }
  return try await job.outcome
}

func resumed(_ trainer: Trainer, output: String) async throws -> Trainer.Outcome {
  let checkpoint = try Checkpoint.read("\(output)/latest")
  return try await trainer.run(from: checkpoint.parameters, checkpoint: checkpoint)
}

@Suite("Article: fine-tuning")
struct FineTuningCode {
  private func pictures(_ material: Material) throws -> String {
    for index in 0..<3 {
      _ = try material.picture("photos/cat/\(index).png", seed: index)
      _ = try material.picture("photos/dog/\(index).png", seed: index + 10)
    }
    return "\(material.folder)/photos"
  }

  @Test("A folder of two classes, in one call")
  func oneCall() async throws {
    let material = Material()
    let (folder, output) = (try pictures(material), "\(material.folder)/output")
    let classifier = try await fineTuned(folder: folder, weights: material.weights(classCount: 5), output: output)
    let classes = try classifier.classify(contentsOf: "\(folder)/cat/0.png")
    #expect(Set(classes.map(\.label)) == ["cat", "dog"])
    #expect(try trained(output).classify(contentsOf: "\(folder)/cat/0.png") == classes)
  }

  @Test("Step by step, and on from the end")
  func steps() async throws {
    let material = Material()
    let (folder, output) = (try pictures(material), "\(material.folder)/output")
    let weights = try material.weights(classCount: 5)
    let (trainer, start) = try #require(try makeTrainer(folder: folder, weights: weights, output: output))
    let outcome = try await followed(trainer, from: start)
    #expect(outcome.progress.epoch == 1 && !outcome.wasStopped)
    let again = try await resumed(trainer, output: output)
    #expect(again.progress.globalStep == outcome.progress.globalStep)
  }
}
