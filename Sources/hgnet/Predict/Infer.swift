import ArgumentParser
import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetVision

/// Classifies pictures with a checkpoint and a training configuration: the work of `tools/infer.py`.
struct Infer: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Classify pictures with a checkpoint and a training configuration.",
    discussion: """
      Reads Arch, Infer and Global.pretrained_model of a PaddleClas configuration and prints one line per batch, as \
      tools/infer.py does. Example:

        hgnet infer -c Configs/PPHGNetV2_B4.yaml -o Infer.infer_imgs=photos \\
          -o Global.pretrained_model=best_model
      """)

  @OptionGroup var options: ConfigurationOptions
  @OptionGroup var compute: DeviceOptions

  @Flag(help: "Do not use the network; published weights must be in the cache.")
  var offline = false

  @Flag(
    name: .customLong("new-head"),
    help: "Allow another class_num than that of the weights; the classifier then has random values.")
  var newHead = false

  @OptionGroup var output: PredictionOutputOptions

  func run() async throws {
    let configuration = try options.require(honoringDevice: true)
    let input = try configuration.input()
    guard let pictures = input.pictures else {
      throw HGNetError(
        .invalidConfiguration, "expected a picture or a folder; add -o Infer.infer_imgs=PATH", path: configuration.path,
        key: "Infer.infer_imgs")
    }
    guard let (model, modelOptions) = try configuration.model() else {
      throw HGNetError(
        .invalidConfiguration, "expected the name of a model, such as PPHGNetV2_B4", path: configuration.path,
        key: "Arch.name")
    }
    let warn = { (text: String) in StandardError.write("hgnet: warning: \(text)") }
    guard var recipe = try configuration.recipe(warn: warn) else {
      throw HGNetError(
        .invalidConfiguration, "expected the transforms of the pictures", path: configuration.path,
        key: "Infer.transforms")
    }
    let paths =
      try input.list.map { list throws(HGNetError) in try PictureFolder.pictures(listedIn: list, under: pictures) }
      ?? PictureFolder.pictures(at: pictures, note: StandardError.note)
    // A place that cannot be written to is refused before the work, not after it.
    if let saveFile = input.saveFile { try FileOutput.check(path: saveFile) }
    let weights = try await weights(of: configuration, model, modelOptions)
    recipe.labels = weights.fittingLabels(recipe.labels, warn: warn)
    // The configuration is that of the training: it says what the head is.
    recipe.activation = recipe.activation ?? weights.activation ?? recipe.postProcessing.activation
    let classifier = try Classifier(
      weights, recipe: recipe,
      device: try compute.device(
        configured: configuration.precision(), gpu: configuration.gpu, for: weights.parameters))

    let hasLabels = recipe.labels != nil
    var file = try input.saveFile.map { path throws(HGNetError) in try FileOutput(path: path) }
    var saved = 0
    var output =
      file == nil
      ? try self.output.form.map { form in
        try PredictionOutput(form, hasLabels: hasLabels, rounding: PaddleClasText.rounded)
      } : nil
    let run = PictureRun(classifier: classifier, batchSize: input.batchSize, total: paths.count)
    do {
      try run.classify(batchesOf: paths) { results in
        var dictionaries: [String] = []
        for (path, result) in results {
          if let text = output?.text(path, result) {
            try output?.add(text)
            continue
          }
          guard case .success(let classes) = result else { continue }
          if file == nil {
            dictionaries.append(
              PaddleClasText.dictionary(
                classes, fileName: path, postProcessing: recipe.postProcessing, hasLabels: hasLabels))
          } else {
            let result = JSONText.prediction(
              classes, fileName: path, hasLabels: hasLabels, rounding: PaddleClasText.rounded)
            try file?.write((saved == 0 ? "[" : ", ") + result.line)
            saved += 1
          }
        }
        if !dictionaries.isEmpty { try StandardOutput.write(PaddleClasText.logLine(dictionaries)) }
      }
    } catch {
      // What has been written stays readable.
      try? output?.end()
      throw error
    }
    try output?.end()
    if let saveFile = input.saveFile {
      try file?.write(saved == 0 ? "[]" : "]")
      try file?.commit()
      StandardError.write("hgnet: \(saved) result\(saved == 1 ? "" : "s") saved in \(saveFile)")
    }
    try run.finish(total: paths.count)
  }
  /// Opens the weights that a configuration names, and tells what was found.
  private func weights(
    of configuration: Configuration, _ model: Model, _ modelOptions: ModelOptions
  ) async throws -> WeightsFile {
    let path = try ModelSource.file(of: configuration.weightsSource(), isOffline: offline)
    let weights = try WeightsFile(
      contentsOf: path, model: model, options: modelOptions, allowsNewHead: newHead,
      part: configuration.inferredModelName()
    ).told()
    if !weights.report.fresh.isEmpty {
      StandardError.write("hgnet: warning: the classifier is new and untrained: \(weights.report.summary)")
    }
    if options.verbose {
      StandardError.write("hgnet: \(weights.path): \(weights.format.title): \(weights.report.summary)")
    }
    return weights
  }
}
