import ArgumentParser
import FoundationEssentials
import HGNet
import HGNetCore
import HGNetExport
import HGNetModels
import HGNetPlatform
import HGNetTraining

/// Makes weights in 8 bits for `--precision int8`.
struct Quantize: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Quantise weights to int8 and report the loss of accuracy.",
    discussion: """
      Calibrates the range of every activation in float32 on the given pictures, and rounds weights to int8 with one scale per \
      output channel. Then runs the network in int8 on the same pictures and compares it with float32: the error of each layer, \
      the share of pictures with the same class, and the accuracy if the pictures have labels (a list, or a folder per class). \
      OUT is a safetensors file with the recipe, which every command reads. Without --precision int8 or auto it is computed in \
      float32 with its rounded weights.

        hgnet quantize best_model.pdparams --data photos/ -o best_model_int8.safetensors
        hgnet quantize best_model.pdparams --data val_list.txt --tolerance 0.3 --report report.html \\
          -o best_model_int8.safetensors
        hgnet predict photo.jpg --weights best_model_int8.safetensors --precision int8
      """)

  @Argument(
    help: ArgumentHelp(
      "A weights file, the name of a model (its published weights are fetched once), or the name of published weights.",
      valueName: "model"))
  var input: String

  @Option(
    help: ArgumentHelp(
      "A folder of pictures (with its subfolders), or a list with lines \"path\" or \"path label\".", valueName: "path")
  )
  var data: String

  @Option(help: ArgumentHelp("The number of pictures to use, evenly spaced.", valueName: "n"))
  var pictures = 512

  @Option(
    help: ArgumentHelp(
      "How ranges are chosen. mse: least mean squared error; percentile: without the 0.01 % of values at "
        + "either end; minmax: the smallest and the largest value.", valueName: "rule"))
  var calibration = RangeRule.mse

  @Flag(inversion: .prefixedNo, help: "Scale the channels before depthwise convolutions to equal size.")
  var equalization = true

  @Flag(inversion: .prefixedNo, help: "Subtract the mean rounding error of each channel from its bias.")
  var biasCorrection = true

  @Option(
    help: ArgumentHelp(
      "Points of top-1 that may be lost: of accuracy if the pictures have labels, else of agreement with float32. The "
        + "fewest layers that suffice stay in float32.", valueName: "points"))
  var tolerance: Double?

  @Option(help: ArgumentHelp("Write a page with the error of each layer.", valueName: "file"))
  var report: String?

  @Flag(help: "Print JSON instead of text.")
  var json = false

  @Option(name: .shortAndLong, help: ArgumentHelp("The file to write, NAME.safetensors.", valueName: "out"))
  var output: String

  @Flag(help: "Do not use the network; published weights must be in the cache.")
  var offline = false

  @OptionGroup var compute: ThreadOptions

  func validate() throws {
    guard (1...1_000_000).contains(pictures) else {
      throw ValidationError("expected --pictures of 1 to 1000000, found \(pictures)")
    }
    if let tolerance, !(tolerance >= 0 && tolerance <= 100) {
      throw ValidationError("expected --tolerance of 0 to 100 points, found \(tolerance)")
    }
    guard output.hasSuffix(".safetensors") else {
      throw ValidationError("expected the name of OUT to end in .safetensors, found \(output)")
    }
  }

  func run() async throws {
    let weights = try await opened()
    let found = try weights.findRecipe()
    if let assumption = found.assumption { StandardError.write("hgnet: warning: \(assumption)") }
    let plan = try ExportPlan(weights, recipe: found)
    var line = StageLine()
    var pictures = try CalibrationPictures(data, most: self.pictures, weights: weights, recipe: found.recipe)
    try pictures.read { done, count in
      line.show("reading pictures", done, count)
    } warn: { text in
      line.clear()
      StandardError.write("hgnet: warning: \(text)")
    }
    let read = pictures
    let quantizer = try Quantizer(
      graph: weights.graph, device: .cpu(compute.pool()),
      options: Quantizer.Options(
        rule: calibration, equalizes: equalization, correctsBias: biasCorrection, tolerance: tolerance)
    ) { stage, done, count in line.show(stage.rawValue, done, count) }
    let result = try quantizer.quantize(
      weights.parameters,
      pictures: Quantizer.Pictures(count: read.paths.count, labels: read.labels) { (index) throws(HGNetError) in
        try read.picture(index)
      })
    line.clear()
    var metadata = Dictionary(plan.metadataOfWeights) { first, _ in first }
    metadata.merge(result.report.metadata) { $1 }
    try QuantizedWeights.write(result.parameters, metadata: metadata, to: output)
    try tell(result.report, of: weights)
    guard result.report.isToleranceMet else { throw ExitStatus.dataError }
  }

  private func opened() async throws -> WeightsFile {
    let weights: WeightsFile
    if !ModelSource.isPath(input), let model = try? Model.named(input) {
      weights = try ModelSource.weights(file: nil, model: model, isOffline: offline)
    } else {
      weights = try ModelSource.weights(file: input, model: nil, isOffline: offline)
    }
    try weights.requireClassifier()
    try weights.requireFloat(for: "quantising")
    guard !weights.format.isInferenceModel else {
      throw HGNetError(
        .unsupported,
        "expected a state dictionary, found a \(weights.format.title); turn it into one with `hgnet convert \(input) "
          + "NAME.safetensors`", path: weights.path)
    }
    return weights
  }

  private func tell(_ found: QuantizationReport, of weights: WeightsFile) throws {
    try StandardOutput.write(json ? found.json.indented : found.text)
    for note in found.notes { StandardError.note(note) }
    if let report {
      let name = weights.model.map { "\($0) in int8" } ?? "\(weights.path) in int8"
      try QuantizationPage(title: name, report: found).write(to: report)
      StandardError.write("hgnet: report: \(report)")
    }
    StandardError.write(
      "hgnet: \(weights.format.title) to \(output) in 8 bits; ranges (\(calibration.rawValue)) of \(found.pictures) "
        + "picture\(found.pictures == 1 ? "" : "s")")
    if let line = found.toleranceLine { StandardError.write("hgnet: \(found.isToleranceMet ? "" : "error: ")\(line)") }
  }
}

extension RangeRule: ExpressibleByArgument {}

/// How far a stage of several is, on one line of a terminal.
private struct StageLine {
  private let isShown = isatty(2) == 1
  private var shownAt = Date.distantPast
  private var isOnLine = false

  mutating func show(_ stage: String, _ done: Int, _ count: Int) {
    let now = Date()
    guard isShown, now.timeIntervalSince(shownAt) > 0.2 else { return }
    (shownAt, isOnLine) = (now, true)
    StandardError.write("\r\u{1B}[K\(stage): \(done) of \(count)", terminator: "")
  }

  mutating func clear() {
    if isOnLine { StandardError.write("\r\u{1B}[K", terminator: "") }
    isOnLine = false
  }
}
