import ArgumentParser
import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetModels
import HGNetTraining

/// The first run of a newcomer: pictures are drawn, a network learns them, new ones are classified.
///
/// Everything but the drawing is what `hgnet train` and `hgnet predict` do.
struct Demo: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Draw pictures, train PPHGNetV2_B0 on them, classify new ones: a first run without network.",
    discussion: """
      Draws pictures of ten shapes (rotated, stretched, partly hidden, on textured backgrounds) and trains from random weights, \
      in about two minutes on two cores. All files stay in the output folder, so that the other commands can be tried on them.
      """)

  @Option(help: ArgumentHelp("The number of training pictures; a sixth more is drawn for evaluation.", valueName: "n"))
  var pictures = 6000

  @Option(help: ArgumentHelp("The number of epochs.", valueName: "n"))
  var epochs = 8

  @Option(name: [.short, .customLong("output")], help: ArgumentHelp("The output folder.", valueName: "folder"))
  var output = "hgnet-demo"

  @Option(help: ArgumentHelp("The seed of the pictures, the weights and all other random numbers.", valueName: "n"))
  var seed: UInt32 = 1

  @OptionGroup var compute: ThreadOptions

  func validate() throws {
    guard (20...100_000).contains(pictures) else {
      throw ValidationError("expected 20 to 100000 --pictures, found \(pictures)")
    }
    guard (1...1000).contains(epochs) else { throw ValidationError("expected 1 to 1000 --epochs, found \(epochs)") }
    if output.isEmpty { throw ValidationError("expected a folder after --output, found nothing") }
  }

  func run() async throws {
    let clock = ContinuousClock()
    let pool = compute.pool()
    let device = Device.cpu(pool)
    try StandardOutput.write(
      "Ten shapes, learned from nothing on \(pool.count) thread\(pool.count == 1 ? "" : "s") without network.\n")

    let dataset = DemoDataset(
      folder: output + "/pictures", seed: UInt64(seed),
      counts: [.training: pictures, .evaluation: max(pictures / 6, 10), .fresh: 12])
    let beginOfDrawing = clock.now
    try dataset.write(pool: pool)
    let drawing = clock.now - beginOfDrawing
    try StandardOutput.write(
      phase(1, "draw", "\(Grouped.text(dataset.count)) pictures into \(dataset.folder)", took: drawing))

    let beginOfTraining = clock.now
    let run = try TrainingRun(configuration(dataset), device: device)
    let model = run.settings.model
    try StandardOutput.write(
      phase(
        2, "train",
        "\(model) from random weights, \(epochs) epoch\(epochs == 1 ? "" : "s") of \(Grouped.text(pictures)) pictures"))
    var progress = DemoProgress()
    let outcome = try await run.run(echoesLog: false) { progress.show($0) }
    if outcome.training.wasStopped {
      StandardError.write("hgnet: stopped; everything so far is in \(folder)")
      throw ExitCode(128 + (outcome.signal ?? 0))
    }
    let training = clock.now - beginOfTraining

    guard let best = outcome.history.best, let confusion = best.result.confusion else {
      throw HGNetError(.internalInconsistency, "the run ended without an evaluation; please report this", path: folder)
    }
    let percent = FixedPoint.text(best.result.decisive * 100, digits: 1)
    try StandardOutput.write(
      "\n"
        + phase(3, "evaluate", "\(percent) % of \(Grouped.text(best.result.pictures)) held-out pictures are right")
        + "\n" + indented(DemoTables.classes(confusion, names: DemoShape.allCases.map(\.rawValue))))

    let beginOfPrediction = clock.now
    let fresh = try classified(dataset, device: device)
    let prediction = clock.now - beginOfPrediction
    try StandardOutput.write(
      "\n" + phase(4, "predict", "\(fresh.count) new pictures of \(dataset.folder)/new", took: prediction) + "\n"
        + indented(DemoTables.predictions(fresh)))
    try StandardOutput.write("\n" + ending(report: outcome.report, drawing, training, prediction))
  }

  /// Where the results of the training go.
  private var folder: String { output + "/training" }

  /// What `hgnet train --data` would write, for short work on small pictures.
  private func configuration(_ dataset: DemoDataset) throws -> Configuration {
    var settings = FolderConfiguration(folder: dataset.folder, output: folder, model: .b0, weights: nil)
    settings.isFromScratch = true
    settings.augmentation = .light
    settings.size = Size(64)
    settings.batchSize = 16
    settings.learningRate = 0.03
    settings.epochs = epochs
    settings.seed = Int(seed)
    return try Configuration(
      settings.written(), path: folder + "/config.yaml", overrides: ["Global.save_safetensors=True"])
  }

  /// The new pictures with what the trained network says, as `hgnet predict` does it.
  private func classified(_ dataset: DemoDataset, device: Device) throws -> [DemoTables.Prediction] {
    let paths = dataset.paths(of: .fresh)
    let results = try ["pdparams", "safetensors"].map { format in
      let weights = try WeightsFile(contentsOf: "\(folder)/best_model.\(format)")
      return try Classifier(weights, device: device).classify(contentsOf: paths).map { try $0.get() }
    }
    guard results[0] == results[1] else {
      throw HGNetError(
        .internalInconsistency, "the two files of weights gave different scores for a picture; please report this",
        path: folder)
    }
    return paths.indices.map { number in
      DemoTables.Prediction(path: paths[number], truth: DemoDataset.shape(number).rawValue, classes: results[0][number])
    }
  }

  private func phase(_ number: Int, _ name: String, _ text: String, took: Duration? = nil) -> String {
    let space = String(repeating: " ", count: max(1, 10 - name.count))
    let time = took.map { ", \(FixedPoint.text($0.milliseconds / 1000, digits: 1)) s" } ?? ""
    return "\(number)  \(name)\(space)\(text)\(time)"
  }

  private func indented(_ text: String) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false).map { "   \($0)" }.joined(separator: "\n")
  }

  private func ending(report: String, _ drawing: Duration, _ training: Duration, _ prediction: Duration) -> String {
    func seconds(_ time: Duration) -> String { FixedPoint.text(time.milliseconds / 1000, digits: 1) + " s" }
    let tool = CommandLine.arguments.first ?? "hgnet"
    return """
      time     \(seconds(drawing)) drawing, \(seconds(training)) training, \(seconds(prediction)) predicting
      report   \(report): curves, confusion matrix, the worst mistakes
      weights  \(folder)/best_model.pdparams and .safetensors, which give the same scores

      Next, with these pictures or with your own, one folder for each class:
        \(tool) predict \(output)/pictures/new --weights \(folder)/best_model
        \(tool) eval -c \(folder)/config.yaml -o Global.pretrained_model=\(folder)/best_model
        \(tool) train --data MY_PICTURES --output my-run
        \(tool) predict MY_PICTURE.jpg --weights my-run/best_model
      """
  }
}

/// One line for each epoch of the demonstration.
private struct DemoProgress {
  private var training: (loss: Double, accuracy: Double, rate: Double) = (0, 0, 0)
  private var pictures = 0

  mutating func show(_ event: Trainer.Event) {
    switch event {
    case .step(let step): pictures += step.pictures
    case .epochEnded(_, let averages, _, let took):
      func average(_ name: String) -> Double { averages.first { $0.name == name }?.value ?? 0 }
      training = (average("loss"), average("top1"), Double(pictures) / max(took, 1e-9))
      pictures = 0
    case .evaluated(let epoch, let result):
      if epoch == 1 { write("epoch    loss   right in training   right of held-out   pictures/s") }
      let cells = [
        "\(epoch)".padded(to: 5), FixedPoint.text(training.loss, digits: 3, width: 8),
        FixedPoint.text(training.accuracy * 100, digits: 1, width: 18) + " %",
        FixedPoint.text(result.decisive * 100, digits: 1, width: 18) + " %",
        FixedPoint.text(training.rate, digits: 0, width: 13),
      ]
      write(cells.joined())
    default: break
    }
  }

  /// A reader that has gone away must not end the run.
  private func write(_ line: String) { try? StandardOutput.write("   " + line) }
}
