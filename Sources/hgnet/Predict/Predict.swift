import ArgumentParser
import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetPlatform
import HGNetTraining
import HGNetVision

/// Classifies pictures: the short form for people, and the work of `deploy/python/predict_cls.py` with `-c`.
struct Predict: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Classify pictures or folders of pictures.",
    discussion: """
      Short form:
        hgnet predict photo.jpg --weights best_model.pdparams
        hgnet predict photos/ --model PPHGNetV2_B4 --top-k 3 --json
        hgnet predict photos/ --csv > classes.csv
        find photos -name '*.jpg' | hgnet predict --list - --json-lines
      With a deployment configuration, as deploy/python/predict_cls.py:
        hgnet predict -c Configs/inference_cls.yaml -o Global.infer_imgs=photos
      A large folder on several machines or processors (a build with MPI, Documentation/Clusters.md):
        mpirun -n 4 hgnet predict photos/ --json
      """)

  @OptionGroup var arguments: PictureArguments

  @Option(
    help: ArgumentHelp(
      "A file of weights in any format, the folder of an inference model, or the name of published weights, such as PPHGNetV2_B4_ssld_infer.tar.",
      valueName: "file"))
  var weights: String?

  @Option(
    help: ArgumentHelp(
      "The model, such as PPHGNetV2_B0; without --weights its published weights are fetched once (default: PPHGNetV2_B4).",
      valueName: "name"), completion: .modelNames)
  var model: String?

  @Option(
    name: .customLong("top-k"), help: ArgumentHelp("The number of classes to print (default: 5).", valueName: "k"))
  var topK: Int?

  @Option(
    help: ArgumentHelp(
      "Print every class with at least this score, instead of the top k. Scores are softmax, or sigmoid for models with several labels per picture.",
      valueName: "score"))
  var threshold: Double?

  @Option(help: ArgumentHelp("Class names: lines \"index name\".", valueName: "file"))
  var labels: String?

  @OptionGroup var output: PredictionOutputOptions

  @Flag(help: "Do not use the network; published weights must be in the cache.")
  var offline = false

  @Option(
    name: .customLong("batch"),
    help: ArgumentHelp(
      "The batch size; results do not depend on it (default: 8, less for large pictures).",
      valueName: "n"))
  var batch: Int?

  @OptionGroup var options: ConfigurationOptions
  @OptionGroup var compute: DeviceOptions

  func validate() throws {
    if let topK, topK < 1 { throw ValidationError("expected --top-k of at least 1, found \(topK)") }
    if let threshold, !threshold.isFinite { throw ValidationError("expected a finite --threshold, found \(threshold)") }
    if let batch, !(1...65536).contains(batch) {
      throw ValidationError("expected --batch of 1 to 65536, found \(batch)")
    }
    if topK != nil, threshold != nil { throw ValidationError("expected --top-k or --threshold, found both") }
    if arguments.isEmpty, options.file == nil {
      throw ValidationError("expected pictures or folders, or a deployment configuration with -c FILE")
    }
  }

  func run() async throws { try await RankedCommand.run(run) }

  private func run(_ communicator: any Communicator) async throws {
    let configuration = try options.load(honoringDevice: true)
    let input = try configuration?.input()
    let model = try self.model.map { name throws(HGNetError) in try Model.named(name) }
    let pictures = try pictures(configuration: configuration, input: input)
    let file = try weights ?? modelFolder(of: configuration)
    let opened = try ModelSource.weights(
      file: file, model: model, isOffline: offline, defaultModel: .b4, isFirst: communicator.isFirst)
    if options.verbose {
      StandardError.write("hgnet: \(opened.path): \(opened.format.title): \(opened.report.summary)")
    }
    try opened.requireClassifier()
    let recipe = try recipe(configuration: configuration, weights: opened, isFirst: communicator.isFirst)
    let device = try compute.device(
      defaultCount: try processors(of: configuration), configured: try configuration?.precision(),
      gpu: configuration?.gpu, for: opened.parameters)
    let classifier = try Classifier(opened, recipe: recipe, device: device)

    let defaultBatch = PictureRun.batchSize(for: recipe, pictures: pictures.count, ranks: communicator.rankCount)
    let hasLabels = recipe.labels != nil
    var output = try self.output.form.map { form in
      try PredictionOutput(form, hasLabels: hasLabels, isFirst: communicator.isFirst)
    }
    let run = PictureRun(
      classifier: classifier, batchSize: batch ?? input?.batchSize ?? defaultBatch, total: pictures.count,
      communicator: communicator)
    do {
      try run.classify(pictures) { path, result in
        if let output { return output.text(path, result) }
        switch result {
        case .success(let classes):
          if configuration != nil {
            return PaddleClasText.deploymentLine(classes, fileName: path, hasLabels: hasLabels)
          }
          return PredictionText.lines(classes, path: path, areLogits: recipe.activation == Activation.none)
        case .failure: return nil
        }
      } write: { text in
        if output == nil { try StandardOutput.write(text) } else { try output?.add(text) }
      }
    } catch {
      // What has been written stays readable.
      try? output?.end()
      throw error
    }
    try output?.end()
    try run.finish(total: pictures.count)
  }

  private func pictures(configuration: Configuration?, input: Configuration.Input?) throws -> [String] {
    guard arguments.isEmpty else { return try arguments.pictures() }
    guard let pictures = input?.pictures else {
      throw HGNetError(
        .invalidConfiguration, "expected a picture or a folder; add -o Global.infer_imgs=PATH",
        path: configuration?.path,
        key: "Global.infer_imgs")
    }
    return try PictureFolder.pictures(at: pictures, note: StandardError.note)
  }

  /// The folder of the inference model that a deployment configuration names, or that `inference.yml` lies in.
  private func modelFolder(of configuration: Configuration?) throws -> String? {
    guard let configuration else { return nil }
    if let folder = try configuration.text("Global.inference_model_dir") { return folder }
    guard model == nil else { return nil }
    let parts = configuration.path.split(separator: "/", omittingEmptySubsequences: false)
    if let name = parts.last, name == "inference.yml" || name == "inference.yaml" {
      let folder = parts.dropLast().joined(separator: "/")
      return folder.isEmpty ? (configuration.path.hasPrefix("/") ? "/" : ".") : folder
    }
    let hint =
      configuration["Infer"] == nil
      ? "add -o Global.inference_model_dir=FOLDER, --weights FILE or --model NAME"
      : "this is a training configuration, which belongs to `hgnet infer`; or add --weights FILE"
    throw HGNetError(
      .invalidConfiguration, "expected the folder of an inference model; \(hint)", path: configuration.path,
      key: "Global.inference_model_dir")
  }

  /// What the command line says beats the configuration, which beats what lies beside or belongs to the weights.
  private func recipe(configuration: Configuration?, weights: WeightsFile, isFirst: Bool) throws -> Recipe {
    let warn = { (text: String) in if isFirst { StandardError.write("hgnet: warning: \(text)") } }
    var recipe: Recipe
    if let configuration {
      guard var described = try configuration.recipe(warn: warn) else {
        throw HGNetError(
          .invalidConfiguration, "expected the transforms of the pictures, found none", path: configuration.path,
          key: "PreProcess.transform_ops")
      }
      described.labels = weights.fittingLabels(described.labels, warn: warn)
      recipe = try weights.completing(described)
    } else {
      let found = try weights.findRecipe()
      found.tell(verbose: options.verbose, isFirst: isFirst)
      recipe = found.recipe
    }
    if let labels { recipe.labels = try weights.labels(contentsOf: labels) }
    if let topK { recipe.postProcessing = .topK(topK) }
    if let threshold { recipe.postProcessing = .threshold(threshold) }
    return recipe
  }

  /// `Global.cpu_num_threads`, but never more than there are processors: more only slows down.
  private func processors(of configuration: Configuration?) throws -> Int? {
    try configuration?.integer("Global.cpu_num_threads", in: 1...1024)
  }
}

/// The short form's results for people.
enum PredictionText {
  /// The path, then one line per class: the score in percent, the name, the index; logits as they are.
  static func lines(_ classes: [ScoredClass], path: String, areLogits: Bool = false) -> String {
    var text = path
    if classes.isEmpty { text += "\n     –  no class reaches the threshold" }
    for result in classes {
      let score =
        areLogits
        ? FixedPoint.text(result.score, digits: 3, width: 9)
        : FixedPoint.text(result.score * 100, digits: 2, width: 7) + " %"
      text += "\n  \(score)  " + (result.label.map { "\($0) (\(result.index))" } ?? "class \(result.index)")
    }
    return text
  }
}
