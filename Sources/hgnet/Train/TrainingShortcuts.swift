import ArgumentParser
import HGNetTraining

/// Options of `train` that stand for keys of the configuration, for both of its forms.
struct TrainingShortcuts: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Go on with the run of this output folder: its config.yaml, and Global.checkpoints=FOLDER/latest; with -c, from this checkpoint.",
      valueName: "folder"), completion: .directory)
  var resume: String?

  @Option(
    name: .customLong("freeze-at"),
    help: ArgumentHelp(
      "Keep the stem (0) or the stem and the first N stages (1 to 4) as they are: Arch.freeze_at.", valueName: "n"))
  var freezeAt: Int?

  @Option(
    help: ArgumentHelp(
      "End after N evaluations in a row without a better one: Global.early_stop_patience.", valueName: "n"))
  var patience: Int?

  func validate() throws {
    if let freezeAt, !(0...4).contains(freezeAt) {
      throw ValidationError("expected --freeze-at of 0 to 4, found \(freezeAt)")
    }
    if let patience, !(1...1_000_000).contains(patience) {
      throw ValidationError("expected --patience of 1 to 1000000, found \(patience)")
    }
    if let resume, resume.isEmpty { throw ValidationError("expected the folder of a run with --resume, found \"\"") }
  }

  /// The configuration to run with its overrides: those of the shortcuts first, so that `-o` may say otherwise.
  ///
  /// - Parameters:
  ///   - options: what the command line says.
  ///   - epochs: the number of epochs for a run that goes on.
  func applied(to options: ConfigurationOptions, epochs: Int?) -> ConfigurationOptions {
    var options = options
    var overrides: [String] = []
    if let resume {
      let name = Checkpoint.prefix(of: resume)
      if options.file == nil {
        // `output` or `output/`, or a checkpoint in it such as `output/epoch_5`.
        let isCheckpoint = Checkpoint.exists(at: name)
        let trimmed = String(name.reversed().drop { $0 == "/" }.reversed())
        let slash = trimmed.lastIndex(of: "/")
        let parent = slash.map { $0 == trimmed.startIndex ? "/" : String(trimmed[..<$0]) } ?? "."
        let folder = isCheckpoint ? parent : trimmed.isEmpty ? "/" : trimmed
        options.file = "\(folder)/config.yaml"
        overrides += ["Global.checkpoints=\(isCheckpoint ? name : "\(folder)/latest")", "Global.output_dir=\(folder)"]
        if let epochs { overrides.append("Global.epochs=\(epochs)") }
      } else {
        overrides.append("Global.checkpoints=\(name)")
      }
    }
    if let freezeAt { overrides.append("Arch.freeze_at=\(freezeAt)") }
    if let patience { overrides.append("Global.early_stop_patience=\(patience)") }
    options.overrides = overrides + options.overrides
    return options
  }
}

/// `full`, `light` or `none`.
extension FolderConfiguration.Augmentation: ExpressibleByArgument {}
