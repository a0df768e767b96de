import ArgumentParser
import HGNet
import HGNetCore
import HGNetExport
import HGNetFormats
import HGNetModels

/// Turns weights of one format into another.
struct Convert: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Convert weights from one format to another.",
    discussion: """
      The name of OUT decides: NAME.pdparams, NAME.safetensors, NAME.onnx, NAME.pdmodel or NAME.json (with
      NAME.pdiparams), or a folder for a Paddle inference model. IN is of any format that is read: also PyTorch
      checkpoints and the .tar of published models, and of a detector's checkpoint the backbone. Head, size, transforms
      and names of classes go along where the format has a place for them: NAME.yml beside a program, texts inside ONNX
      and safetensors. What was written is read back from the file alone and run before it gets its name. transformers
      has no last convolution: with --names huggingface a classifier with one is written as a backbone, and a line says so.

        hgnet convert PPHGNetV2_B0_ssld_infer.tar b0.safetensors --names timm
      """)

  @Argument(
    help: ArgumentHelp(
      "A file of weights, the folder of an inference model, or the name of published weights.",
      valueName: "in"))
  var input: String

  @Argument(help: ArgumentHelp("The file or folder to write.", valueName: "out"))
  var output: String

  @Option(
    help: ArgumentHelp("The model (default: recognised from the weights).", valueName: "name"), completion: .modelNames)
  var model: String?

  @Option(help: ArgumentHelp("safetensors: the naming scheme, paddle, timm or huggingface.", valueName: "system"))
  var names = TensorNames.paddle

  @Flag(help: "Do not use the network; published weights must be in the cache.")
  var offline = false

  func run() async throws {
    let (folder, stem, target) = try target()
    let model = try self.model.map { name throws(HGNetError) in try Model.named(name) }
    let path = try ModelSource.file(named: input, isOffline: offline)
    let weights = try WeightsFile(contentsOf: path, model: model).told()
    let found = try weights.findRecipe()
    let plan = try ExportPlan(weights, recipe: found)
    for note in plan.notes { StandardError.write("hgnet: warning: \(note)") }
    let format = self.format(target, plan: found.assumption == nil ? plan : nil)
    var export = try ModelExport(weights, as: plan.network, format: format)
    carry(plan, isFound: found.assumption == nil, in: &export, stem: stem)
    let result = try export.write(into: folder, stem: stem)
    // A detector around its backbone, or a network beside its average, is not in what was written.
    if !weights.report.ignored.isEmpty { StandardError.write("hgnet: note: \(weights.report.summary)") }
    if weights.hasClassifier { names.warnOfDifferences(weights.graph) }
    names.warn(ofLeftOut: result.leftOut)
    let isHeadless = !weights.hasClassifier || !result.leftOut.isEmpty
    StandardError.write(
      "hgnet: \(weights.format.title)\(weights.hasClassifier ? "" : ", a backbone without a classifier,") to "
        + "\(result.files.joined(separator: ", "))"
        + "; largest difference\(isHeadless ? " of the stages" : "") on a picture \(result.difference)")
  }

  /// The format with the texts that a file has a place for; a recipe that is assumed stays unsaid.
  private func format(_ format: ModelExport.Format, plan: ExportPlan?) -> ModelExport.Format {
    guard let plan else { return format }
    switch format {
    case .onnx(var options):
      options.metadata = plan.metadata
      return .onnx(options)
    case .safetensors(let convention, _):
      return .safetensors(convention, metadata: Dictionary(plan.metadataOfWeights) { first, _ in first })
    case .paddle, .paddleParameters: return format
    }
  }

  /// Lets the recipe go along, or says that the format has no place for it.
  private func carry(_ plan: ExportPlan, isFound: Bool, in export: inout ModelExport, stem: String) {
    guard isFound, names != .huggingface else { return }
    switch export.format {
    case .paddle: export.texts = [("\(stem).yml", plan.description)]
    case .paddleParameters:
      StandardError.write(
        "hgnet: note: .pdparams has no place for the recipe (transforms, head, names of classes); a config.yaml beside it "
          + "is read")
      return
    case .onnx, .safetensors: break
    }
    export.recipe = plan.recipe
  }

  private func target() throws(HGNetError) -> (folder: String, stem: String, format: ModelExport.Format) {
    let formats = [
      ModelExport.Format.paddleParameters, .safetensors(names.convention, metadata: [:]), .onnx(OnnxExport.Options()),
      .paddle(.description), .paddle(.intermediate),
    ].map { (suffix: $0.endings.first ?? "", format: $0) }
    let parts = output.split(separator: "/", omittingEmptySubsequences: false)
    let name = parts.last.map(String.init) ?? ""
    guard let (suffix, format) = formats.first(where: { name.hasSuffix($0.suffix) }), name.count > suffix.count else {
      guard name.isEmpty || !name.dropFirst().contains(".") else {
        throw HGNetError(
          .invalidArgument,
          "expected a folder or a name that ends in \(formats.map(\.suffix).joined(separator: ", ")), found \"\(name)\"",
          path: output)
      }
      let whole = ModelExport.Format.paddle(.both)
      return (name.isEmpty && output.count > 1 ? String(output.dropLast()) : output, whole.stemInFolder, whole)
    }
    if names != .paddle, format.weightsFormat != .safetensors {
      throw HGNetError(.invalidArgument, "--names belongs to .safetensors", path: output, key: "--names")
    }
    let folder = parts.dropLast().joined(separator: "/")
    return (folder.isEmpty ? (output.hasPrefix("/") ? "/" : ".") : folder, String(name.dropLast(suffix.count)), format)
  }
}
