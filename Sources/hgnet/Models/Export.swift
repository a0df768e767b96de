import ArgumentParser
import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetExport
import HGNetFormats
import HGNetModels
import HGNetVision

/// Writes a model for another system: the work of `tools/export_model.py`, and the short form.
struct Export: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write a model for Paddle Inference, ONNX Runtime or PyTorch.",
    discussion: """
      With a training configuration, as tools/export_model.py:
        hgnet export -c Configs/PPHGNetV2_B4.yaml -o Global.pretrained_model=output/best_model \\
          -o Global.save_inference_dir=inference
      Short form:
        hgnet export --weights output/best_model.pdparams --format onnx --output inference

      Head, size, transforms and class names are those of the configuration, else those that belong to the weights \
      (config.yaml or inference.yml beside or inside them). Both forms write the same files. inference.yml is written beside \
      the model, for `hgnet predict` and PaddleX. Every export is read back and checked on a picture file before the files \
      get their names.

      Weights of `hgnet quantize` become a QDQ model of ONNX, which ONNX Runtime and OpenVINO compute in int8:
        hgnet export --weights best_model_int8.safetensors --format onnx --output exported
      """)

  /// The names of `--format`.
  enum Format: String, ExpressibleByArgument, CaseIterable {
    case paddle
    case paddleJSON = "paddle-json"
    case paddleDescription = "paddle-pdmodel"
    case onnx
    case safetensors
  }

  @Option(
    help: ArgumentHelp(
      "paddle (inference.json of PaddlePaddle 3 and the older inference.pdmodel), paddle-json or paddle-pdmodel (one of "
        + "them), onnx or safetensors (model.safetensors)."
    ))
  var format = Format.paddle

  @Option(
    help: ArgumentHelp(
      "A file of weights in any format, the folder of an inference model, or the name of published weights.",
      valueName: "file"))
  var weights: String?

  @Option(
    help: ArgumentHelp(
      "The model, such as PPHGNetV2_B0; without --weights its published weights are fetched once.", valueName: "name"),
    completion: .modelNames)
  var model: String?

  @Option(
    help: ArgumentHelp(
      "The folder (default: Global.save_inference_dir, or ./inference).", valueName: "folder"))
  var output: String?

  @Option(
    name: .customLong("input-size"),
    help: ArgumentHelp(
      "Height and width of the pictures (default: those of the recipe that belongs to the weights).", valueName: "HxW"))
  var inputSize: SizeArgument?

  @Option(help: ArgumentHelp("Class names: lines \"index name\".", valueName: "file"))
  var labels: String?

  @Flag(
    help:
      "paddle: write serving_client/ and serving_server/ beside the model, with the prototxt files of Paddle Serving.")
  var serving = false

  @Option(help: ArgumentHelp("ONNX: the version of the operator set, 11 to 21 (default: 17).", valueName: "n"))
  var opset: Int?

  @Flag(
    name: .customLong("no-fold"), help: "ONNX: keep batch normalisations instead of folding them into convolutions.")
  var noFold = false

  @Option(
    help: ArgumentHelp(
      "The type of the weights: float32, float16, bfloat16 (onnx, safetensors), or int8 of quantised weights (default: int8 "
        + "for these, else float32).", valueName: "name"))
  var precision: ExportPrecision?

  @Flag(
    name: .customLong("symmetric"),
    help:
      "ONNX of quantised weights: int8 activations with the zero point 0, as TensorRT requires, instead of uint8; coarser."
  )
  var isSymmetric = false

  @Flag(
    name: .customLong("with-preprocessing"),
    help: "ONNX: put resizing, crop and normalisation into the model, which then takes pictures, uint8 [N, H, W, 3].")
  var withPreprocessing = false

  @Option(help: ArgumentHelp("safetensors: the naming scheme, paddle, timm or huggingface.", valueName: "system"))
  var names = TensorNames.paddle

  @Flag(help: "Do not use the network; published weights must be in the cache.")
  var offline = false

  @OptionGroup var options: ConfigurationOptions

  func validate() throws {
    if let opset, !OnnxExport.operatorSets.contains(opset) {
      throw ValidationError("expected --opset from 11 to 21, found \(opset)")
    }
    if format != .onnx, opset != nil || noFold || withPreprocessing || isSymmetric {
      throw ValidationError("--opset, --no-fold, --symmetric and --with-preprocessing belong to --format onnx")
    }
    if isSymmetric, let precision, precision != .int8 {
      throw ValidationError("--symmetric belongs to --precision int8, found \(precision.rawValue)")
    }
    if serving, ![.paddle, .paddleJSON, .paddleDescription].contains(format) {
      throw ValidationError("--serving belongs to --format paddle")
    }
    if format != .safetensors, names != .paddle { throw ValidationError("--names belongs to --format safetensors") }
    if options.file != nil, weights == nil, let model {
      throw ValidationError("--model goes with --weights or alone; with -c FILE use -o Arch.name=\(model)")
    }
    if options.file == nil, weights == nil, model == nil {
      throw ValidationError("expected --weights FILE, --model NAME or a training configuration with -c FILE")
    }
  }

  func run() async throws {
    let configuration = try options.load()
    let settings = try configuration?.export()
    let opened = try await source(configuration)
    if options.verbose {
      StandardError.write("hgnet: \(opened.path): \(opened.format.title): \(opened.report.summary)")
    }
    let plan = try plan(configuration: configuration, settings: settings, weights: opened)
    let written = exportFormat(plan)
    if isSymmetric, !opened.parameters.isQuantized {
      throw ValidationError("--symmetric belongs to quantised weights, found weights in float")
    }
    var export = try ModelExport(opened, as: plan.network, format: written, precision: precision)
    export.texts = [("inference.yml", plan.description)]
    // The backbone that Hugging Face's names leave cannot answer by itself.
    if names != .huggingface { export.recipe = plan.recipe }
    let folder = output ?? settings?.folder ?? "./inference"
    let stem = written.stemInFolder
    let result = try export.write(into: folder, stem: stem)
    warnOfOtherProgram(in: folder)
    names.warnOfDifferences(plan.network.graph)
    names.warn(ofLeftOut: result.leftOut)
    let isHeadless = plan.network.classCount == 0 || !result.leftOut.isEmpty
    let output = isHeadless ? "stages" : plan.network.activation == .none ? "logits" : "probabilities"
    let what = withPreprocessing ? "\(output) behind the preprocessing" : output
    for line in [
      "Export succeeded! The inference model exported has been saved in \"\(folder)/\(stem)\".",
      "Checked: read back and run on a picture file with the recipe that was written, largest difference of the \(what) \(result.difference)",
    ] { try StandardOutput.write(configuration == nil ? line : PaddleClasText.logLine(line)) }
    var files = result.files
    if serving { files += try PaddleServingFolders.write(plan.network, into: folder) }
    for file in files { StandardError.write("hgnet: \(file)") }
  }

  /// Says so when the program of an earlier export lies beside the new one: the parameters are only those of the new one.
  private func warnOfOtherProgram(in folder: String) {
    let others: [Format: String] = [.paddleDescription: "inference.json", .paddleJSON: "inference.pdmodel"]
    guard let other = others[format], (try? Blob(mapping: "\(folder)/\(other)")) != nil else { return }
    StandardError.write(
      "hgnet: warning: \(folder)/\(other) is of an earlier export and shares the new inference.pdiparams; remove it, or "
        + "export to another folder")
  }

  /// The weights: those of the command line, else those of the configuration.
  private func source(_ configuration: Configuration?) async throws -> WeightsFile {
    let model = try self.model.map { name throws(HGNetError) in try Model.named(name) }
    guard let configuration, weights == nil else {
      return try ModelSource.weights(file: weights, model: model, isOffline: offline)
    }
    guard let (described, modelOptions) = try configuration.model() else {
      throw HGNetError(
        .invalidConfiguration, "expected the name of a model, such as PPHGNetV2_B4", path: configuration.path,
        key: "Arch.name")
    }
    let file = try ModelSource.file(of: configuration.weightsSource(), isOffline: offline)
    return try WeightsFile(
      contentsOf: file, model: described, options: modelOptions, part: configuration.inferredModelName()
    ).told()
  }

  /// What leaves with the network: by the configuration, else by the recipe that belongs to the weights.
  private func plan(
    configuration: Configuration?, settings: Configuration.Export?, weights: WeightsFile
  ) throws -> ExportPlan {
    let found =
      try configuration.map { (given) throws(HGNetError) in try weights.recipe(of: given) }
      ?? weights.findRecipe()
    if let assumption = found.assumption { StandardError.write("hgnet: note: \(assumption)") }
    if options.verbose, found.assumption == nil { StandardError.write("hgnet: recipe: \(found.origin)") }
    // On the command line the size of the pictures is an order; in a file it describes them.
    let isOrdered = options.overrides.contains { $0.hasPrefix("Global.image_shape=") }
    let plan = try ExportPlan(
      weights, recipe: found, inputSize: inputSize?.size ?? (isOrdered ? settings?.inputSize : nil),
      labels: labels.map { (path) throws(HGNetError) in try weights.labels(contentsOf: path) })
    for note in plan.notes { StandardError.write("hgnet: warning: \(note)") }
    return plan
  }

  private func exportFormat(_ plan: ExportPlan) -> ModelExport.Format {
    switch format {
    case .paddle: return .paddle(.both)
    case .paddleDescription: return .paddle(.description)
    case .paddleJSON: return .paddle(.intermediate)
    case .onnx:
      return .onnx(
        OnnxExport.Options(
          operatorSet: opset, foldsNormalization: !noFold,
          preprocessing: withPreprocessing ? plan.recipe.transforms : nil, hasSymmetricActivations: isSymmetric,
          metadata: plan.metadata))
    case .safetensors:
      return .safetensors(names.convention, metadata: Dictionary(plan.metadataOfWeights) { first, _ in first })
    }
  }
}

extension ExportPrecision: ExpressibleByArgument {}

/// Whose names the arrays of a file get.
enum TensorNames: String, ExpressibleByArgument, CaseIterable {
  case paddle, timm, huggingface

  /// Says so when the other system gives other numbers for the same weights.
  func warnOfDifferences(_ graph: Graph) {
    guard self == .timm else { return }
    for case .dropout(let probability) in graph.nodes.map(\.operation) where probability > 0 {
      StandardError.write(
        "hgnet: warning: PaddlePaddle multiplies by \(1 - probability) before the classifier, where it drops values in "
          + "training; timm does not, and its scores are further apart")
    }
  }

  /// Says so when a classifier has become a backbone, because the other system's names have no place for its head.
  func warn(ofLeftOut names: [String]) {
    guard !names.isEmpty else { return }
    StandardError.write(
      "hgnet: warning: the names of \(convention.title) have no place for \(names.joined(separator: ", ")): what was "
        + "written is the backbone alone, without a classifier")
  }

  var convention: NameTranslation.Convention {
    switch self {
    case .paddle: .paddle
    case .timm: .timm
    case .huggingface: .huggingFace
    }
  }
}
