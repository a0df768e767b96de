import ArgumentParser
import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetModels
import HGNetPlatform
import HGNetTraining
import HGNetVision

/// Trains and fine-tunes: the work of `tools/train.py`, and the short form for a folder of pictures.
struct Train: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train or fine-tune a network.",
    discussion: """
      Short form, for a folder with one folder per class (or train and val with one folder per class each):
        hgnet train --data photos --model PPHGNetV2_B0 --weights best_model.pdparams
      With a training configuration, as tools/train.py:
        hgnet train -c Configs/PPHGNetV2_B4.yaml -o DataLoader.Train.sampler.batch_size=16
      Resuming a run that was stopped:
        hgnet train --resume output
      Quantisation-aware fine-tuning from float weights; best_model.safetensors then has int8 weights:
        hgnet train -c output/config.yaml -o Slim.quant.name=pact -o Global.epochs=2 \\
          -o Global.pretrained_model=output/best_model -o Global.output_dir=output_int8

      On several machines or processors (a build with MPI, Documentation/Clusters.md):
        mpirun -n 4 hgnet train -c Configs/PPHGNetV2_B4.yaml

      Writes best_model, latest and epoch_N (.pdparams, .pdopt, .pdstates, .yaml), train.log, config.yaml and report.html \
      into the output folder; with --data also train_list.txt, val_list.txt (the pictures held out) and labels.txt. The \
      files of an earlier run there are moved into earlier-1 inside; its best_model also stays until it is replaced.

      SIGTERM, SIGINT (Ctrl-C), SIGHUP (a closed terminal; ignored under nohup) and SIGUSR1 save the run and end it (status \
      143, 130, 129, 138); resuming gives the same bits as a run without the stop. A second signal ends it \
      at once. If pictures or the output folder disappear, the run ends with an error and replaces no file.
      """)

  @OptionGroup var folder: FolderOptions

  @Flag(name: .customLong("from-scratch"), help: "Start from random weights instead of the published ones.")
  var isFromScratch = false

  @Option(
    help: ArgumentHelp(
      "A folder with the pictures to evaluate on, one folder per class, with --data (default: val or test in the folder, else one picture in ten).",
      valueName: "folder"), completion: .directory)
  var val: String?

  @Option(
    help: ArgumentHelp(
      "What happens to pictures before they are trained on, with --data: full (crops, flips, RandAugment, erasing; the default), light (crops and flips) or none.",
      valueName: "name"))
  var augmentation: FolderConfiguration.Augmentation?

  @Option(name: .customLong("output"), help: ArgumentHelp("The output folder.", valueName: "folder"))
  var output: String?

  @Option(help: ArgumentHelp("Epochs, with --data (default: 20, from scratch 60) or --resume.", valueName: "n"))
  var epochs: Int?

  @Option(
    name: .customLong("learning-rate"),
    help: ArgumentHelp(
      "The peak learning rate, with --data (default: depends on the batch size and on the initial weights).",
      valueName: "rate"))
  var learningRate: Double?

  @Option(help: ArgumentHelp("The seed of all random numbers (default: 0).", valueName: "n"))
  var seed: Int?

  @Flag(help: "Do not use the network; published weights must be in the cache.")
  var offline = false

  @OptionGroup var shortcuts: TrainingShortcuts
  @OptionGroup var options: ConfigurationOptions
  @OptionGroup var compute: TrainingDeviceOptions

  func validate() throws {
    if folder.data != nil, shortcuts.resume != nil {
      throw ValidationError("--resume takes the pictures from the run's config.yaml; leave out --data")
    }
    let resumesFolder = shortcuts.resume != nil && options.file == nil
    try folder.check(
      configuration: options.file ?? shortcuts.resume,
      others: [
        ("--from-scratch", isFromScratch), ("--output", output != nil), ("--epochs", epochs != nil && !resumesFolder),
        ("--learning-rate", learningRate != nil), ("--seed", seed != nil), ("--val", val != nil),
        ("--augmentation", augmentation != nil),
      ])
    if folder.weights != nil, isFromScratch {
      throw ValidationError("expected --weights or --from-scratch, found both")
    }
    if let epochs, !(1...1_000_000).contains(epochs) {
      throw ValidationError("expected --epochs of 1 to 1000000, found \(epochs)")
    }
    if let learningRate, !(learningRate > 0 && learningRate.isFinite) {
      throw ValidationError("expected a --learning-rate above 0, found \(learningRate)")
    }
  }

  func run() async throws { try await RankedCommand.run(run) }

  private func run(_ communicator: any Communicator) async throws {
    let options = shortcuts.applied(to: options, epochs: epochs)
    let prepared = try folder.data.map { data in try self.prepared(data, isFirst: communicator.isFirst) }
    let configuration =
      try prepared.map { prepared in
        try Configuration(
          prepared.value, path: "\(output ?? "output")/config.yaml", overrides: options.overrides)
      } ?? options.require(honoringDevice: true)
    if let prepared, ["Train", "Eval"].contains(where: { prepared.dataset($0, of: configuration) == nil }) {
      // Overrides may read the lists in another way; then they must be there.
      if communicator.isFirst {
        _ = try EarlierRun.setAside(in: output ?? "output")
        try prepared.write()
      }
      try communicator.barrier()
    }
    let device = try compute.training(configured: try configuration.precision(), gpu: configuration.gpu)
    let run = try TrainingRun(
      configuration, prepared: prepared, device: device, precision: compute.precision(on: device), isOffline: offline,
      communicator: communicator)
    let outcome = try await run.run()
    guard communicator.isFirst else { return try end(outcome) }
    if let best = outcome.history.best {
      let metrics = best.result.metrics.map { name, value in
        "\(name) \(FixedPoint.text(value * 100, digits: 2)) %"
      }
      StandardError.write("hgnet: best epoch \(best.epoch): \(metrics.joined(separator: ", "))")
    }
    StandardError.write("hgnet: report: \(outcome.report)")
    try end(outcome)
  }

  /// The status of a run that a signal has stopped.
  private func end(_ outcome: TrainingRun.Outcome) throws {
    guard let signal = outcome.signal, outcome.training.wasStopped else { return }
    throw ExitCode(128 + signal)
  }

  /// The short form, after saying what was found.
  private func prepared(_ data: String, isFirst: Bool) throws -> FolderConfiguration.Prepared {
    let model = try Model.named(folder.model ?? "PPHGNetV2_B0")
    var settings = FolderConfiguration(folder: data, output: output ?? "output", model: model, weights: folder.weights)
    settings.isFromScratch = isFromScratch
    settings.epochs = epochs
    settings.learningRate = learningRate
    if let inputSize = folder.inputSize { settings.size = inputSize.size }
    if let batch = folder.batch { settings.batchSize = batch }
    if let seed { settings.seed = seed }
    if let augmentation { settings.augmentation = augmentation }
    settings.evaluationFolder = val
    let prepared = try settings.prepared()
    guard isFirst else { return prepared }
    for note in prepared.notes { StandardError.write("hgnet: note: \(note)") }
    let (training, evaluation) = (prepared.training, prepared.evaluation)
    StandardError.write(
      "hgnet: \(data): \(training.classCount) classes, \(training.count) pictures to train on, \(evaluation.count) to "
        + "evaluate on")
    return prepared
  }
}
