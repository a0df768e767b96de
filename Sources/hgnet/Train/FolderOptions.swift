import ArgumentParser

/// The short form of `train` and `eval`: a folder of pictures instead of a configuration.
struct FolderOptions: ParsableArguments {
  @Option(help: ArgumentHelp("A folder of pictures, instead of a configuration.", valueName: "folder"))
  var data: String?

  @Option(
    help: ArgumentHelp(
      "Weights in any format, or the name of published ones, with --data.",
      valueName: "file"))
  var weights: String?

  @Option(
    help: ArgumentHelp(
      "The model, with --data (default: PPHGNetV2_B0 in training, that of the weights in evaluation).",
      valueName: "name"), completion: .modelNames)
  var model: String?

  @Option(
    name: .customLong("input-size"),
    help: ArgumentHelp(
      "Height and width of the network's input, with --data (default: 224 in training, those of the training run in evaluation).",
      valueName: "HxW"))
  var inputSize: SizeArgument?

  @Option(help: ArgumentHelp("The batch size, with --data (default: 32).", valueName: "n"))
  var batch: Int?

  func validate() throws {
    if let batch, !(1...65536).contains(batch) {
      throw ValidationError("expected --batch of 1 to 65536, found \(batch)")
    }
    if let inputSize, inputSize.size.height < 32 || inputSize.size.width < 32 {
      throw ValidationError("expected an --input-size of at least 32, found \(inputSize.size)")
    }
  }

  /// Judges which of the two forms was meant.
  ///
  /// - Parameters:
  ///   - configuration: the file of `-c`.
  ///   - others: further options of the short form, and whether they were given.
  func check(configuration: String?, others: [(name: String, isGiven: Bool)] = []) throws {
    guard (data == nil) != (configuration == nil) else {
      throw ValidationError(
        data == nil
          ? "expected a folder of pictures with --data FOLDER, or a configuration with -c FILE"
          : "expected --data FOLDER or -c FILE, found both")
    }
    let own = [
      ("--model", model != nil), ("--weights", weights != nil), ("--input-size", inputSize != nil),
      ("--batch", batch != nil),
    ]
    if data == nil, let wrong = (own + others).first(where: \.1) {
      throw ValidationError("\(wrong.0) goes with --data; with -c FILE use -o Key=value")
    }
  }
}
