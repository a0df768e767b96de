import ArgumentParser
import Foundation
import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetModels
import HGNetTraining

/// Trains and fine-tunes: the work of `tools/train.py`, and the short form for a folder of pictures.
struct Train: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train or fine-tune a network.",
    discussion: """
      Short form, for a folder with one folder per class (or train and val with one folder per class each):
        hgnet train --data photos --model PPHGNetV2_B0 --weights best_model.pdparams
      With a training configuration, as tools/train.py:
        hgnet train -c Configs/PPHGNetV2_B4.yaml -o DataLoader.Train.sampler.batch_size=16
      Going on after a stop:
        hgnet train -c output/config.yaml -o Global.checkpoints=output/latest

      Writes best_model, latest and epoch_N (.pdparams, .pdopt, .pdstates), train.log, config.yaml and report.html into \
      the output folder. SIGTERM and Ctrl-C save the run and end it (status 143 and 130); it goes on from there with the \
      same bits as if it had not been stopped.
      """)

  @Option(help: ArgumentHelp("A folder of pictures, instead of a configuration.", valueName: "folder"))
  var data: String?

  @Option(help: ArgumentHelp("The model, with --data (default: PPHGNetV2_B0).", valueName: "name"))
  var model: String?

  @Option(
    help: ArgumentHelp(
      "Weights to begin with, in any format; their classifier is replaced where the number of classes differs.",
      valueName: "file"))
  var weights: String?

  @Flag(name: .customLong("from-scratch"), help: "Begin with random weights instead of the published ones.")
  var isFromScratch = false

  @Option(name: .customLong("output"), help: ArgumentHelp("The folder for results.", valueName: "folder"))
  var output: String?

  @Option(help: ArgumentHelp("Epochs, with --data (default: 20, from scratch 60).", valueName: "n"))
  var epochs: Int?

  @Option(help: ArgumentHelp("Pictures of a batch, with --data (default: 32).", valueName: "n"))
  var batch: Int?

  @Option(
    name: .customLong("input-size"),
    help: ArgumentHelp("Height and width that the network sees, with --data (default: 224).", valueName: "HxW"))
  var inputSize: SizeArgument?

  @Option(
    name: .customLong("learning-rate"),
    help: ArgumentHelp("The highest learning rate, with --data (default: by batch and start).", valueName: "rate"))
  var learningRate: Double?

  @Option(help: ArgumentHelp("Decides the order and all chance (default: 0).", valueName: "n"))
  var seed: Int?

  @Flag(help: "Never touch the network; published weights must have been fetched before.")
  var offline = false

  @OptionGroup var options: ConfigurationOptions
  @OptionGroup var compute: ThreadOptions

  func validate() throws {
    guard (data == nil) != (options.file == nil) else {
      throw ValidationError(
        data == nil
          ? "expected a folder of pictures with --data FOLDER, or a configuration with -c FILE"
          : "expected --data FOLDER or -c FILE, found both")
    }
    if data == nil {
      let given = [
        ("--model", model != nil), ("--weights", weights != nil), ("--from-scratch", isFromScratch),
        ("--output", output != nil), ("--epochs", epochs != nil), ("--batch", batch != nil),
        ("--input-size", inputSize != nil), ("--learning-rate", learningRate != nil), ("--seed", seed != nil),
      ]
      if let wrong = given.first(where: \.1) {
        throw ValidationError("\(wrong.0) goes with --data; with -c FILE use -o Key=value")
      }
    }
    if weights != nil, isFromScratch { throw ValidationError("expected --weights or --from-scratch, found both") }
    if let epochs, !(1...1_000_000).contains(epochs) {
      throw ValidationError("expected --epochs of 1 to 1000000, found \(epochs)")
    }
    if let batch, !(1...65536).contains(batch) {
      throw ValidationError("expected --batch of 1 to 65536, found \(batch)")
    }
    if let inputSize, inputSize.size.height < 32 || inputSize.size.width < 32 {
      throw ValidationError("expected an --input-size of at least 32, found \(inputSize.size)")
    }
    if let learningRate, !(learningRate > 0 && learningRate.isFinite) {
      throw ValidationError("expected a --learning-rate above 0, found \(learningRate)")
    }
  }

  func run() async throws {
    let configuration = try data.map { folder in try self.configuration(of: folder) } ?? options.require()
    let run = try TrainingRun(configuration, pool: compute.pool(), isOffline: offline)
    let outcome = try await run.run()
    if let best = outcome.history.best {
      let metrics = best.result.metrics.map { name, value in
        "\(name) \(FixedPoint.text(value * 100, digits: 2)) %"
      }
      StandardError.write("hgnet: best epoch \(best.epoch): \(metrics.joined(separator: ", "))")
    }
    StandardError.write("hgnet: report: \(outcome.report)")
    guard let signal = outcome.signal, outcome.training.wasStopped else { return }
    throw ExitCode(128 + signal)
  }

  /// The configuration of the short form, after saying what was found.
  private func configuration(of folder: String) throws -> Configuration {
    let model = try Model.named(self.model ?? "PPHGNetV2_B0")
    let target = output ?? "output"
    // Makes the folder.
    _ = try CheckpointFolder(path: target)
    var standard = FolderConfiguration(folder: folder, output: target, model: model, weights: weights)
    standard.isFromScratch = isFromScratch
    standard.epochs = epochs
    standard.learningRate = learningRate
    if let inputSize { standard.size = inputSize.size }
    if let batch { standard.batchSize = batch }
    if let seed { standard.seed = seed }
    let (value, training, evaluation) = try standard.written()
    StandardError.write(
      "hgnet: \(folder): \(training.classCount) classes, \(training.count) pictures to train on, \(evaluation.count) to "
        + "evaluate on")
    return try Configuration(value, path: "\(target)/config.yaml", overrides: options.overrides)
  }
}
