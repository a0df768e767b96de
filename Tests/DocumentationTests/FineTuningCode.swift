import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetTraining
import HGNetVision
import Testing

func fineTune(folder: String, weights: String, output: String, epochs: Int) throws -> Double? {
  var short = FolderConfiguration(folder: folder, output: output, model: .b0, weights: weights)
  short.epochs = epochs
  short.size = Size(224)
  let configuration = try Configuration(short.written(), path: "\(output)/config.yaml")
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
  let outcome = try trainer.run(from: start.parameters, log: { line in print(line) })
  return outcome.evaluation?.decisive
}

func trained(_ output: String) throws -> Classifier {
  let weights = try WeightsFile(contentsOf: "\(output)/best_model.pdparams")
  return try Classifier(weights)
}

func resumed(_ trainer: Trainer, output: String) throws -> Trainer.Outcome {
  let checkpoint = try Checkpoint.read("\(output)/latest")
  return try trainer.run(from: checkpoint.parameters, checkpoint: checkpoint, log: { _ in }) { event in
    if case .step(let step) = event { print(step.fraction, step.loss) }
  }
}

@Suite("Article: fine-tuning")
struct FineTuningCode {
  @Test("A folder of two classes")
  func folder() throws {
    let material = Material()
    for index in 0..<3 {
      _ = try material.picture("photos/cat/\(index).png", seed: index)
      _ = try material.picture("photos/dog/\(index).png", seed: index + 10)
    }
    let output = "\(material.folder)/output"
    let accuracy = try fineTune(
      folder: "\(material.folder)/photos", weights: material.weights(classCount: 5), output: output, epochs: 1)
    #expect(accuracy.map { (0...1).contains($0) } == true)
    let classes = try trained(output).classify(contentsOf: "\(material.folder)/photos/cat/0.png")
    #expect(Set(classes.map(\.label)) == ["cat", "dog"])
  }
}
