import ArgumentParser
import HGNet
import HGNetCore
import HGNetExport
import HGNetModels
import HGNetVision

/// Makes weights in 8 bits for `--precision int8`.
struct Quantize: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make weights in 8 bits for --precision int8.",
    discussion: """
      The network runs in float32 on pictures like those that it will see; where the values of each \
      result lie decides what a step of its bytes is worth. Weights get one scale for each output \
      channel. OUT is a safetensors file with the recipe, which every command reads; without \
      --precision int8 or auto it is computed in float32 with its rounded weights.

        hgnet quantize best_model.pdparams --data photos/ -o best_model_int8.safetensors
        hgnet predict photo.jpg --weights best_model_int8.safetensors --precision int8
      """)

  @Argument(
    help: ArgumentHelp(
      "A file of weights, the name of a model, whose published weights are fetched once, or of published weights.",
      valueName: "model"))
  var input: String

  @Option(
    help: ArgumentHelp(
      "Pictures: a folder, with the folders inside, or a list of lines \"path\" or \"path label\".", valueName: "path"))
  var data: String

  @Option(help: ArgumentHelp("How many of them are run, evenly spread.", valueName: "n"))
  var pictures = 256

  @Option(
    help: ArgumentHelp(
      "minmax: the smallest and the largest value; percentile: without one value in ten thousand at either end.",
      valueName: "rule"))
  var ranges = RangeRule.percentile

  @Option(name: .shortAndLong, help: ArgumentHelp("The file to write, NAME.safetensors.", valueName: "out"))
  var output: String

  @Flag(help: "Never touch the network; published weights must have been fetched before.")
  var offline = false

  @OptionGroup var compute: ThreadOptions

  func validate() throws {
    guard (1...1_000_000).contains(pictures) else {
      throw ValidationError("expected --pictures of 1 to 1000000, found \(pictures)")
    }
    guard output.hasSuffix(".safetensors") else {
      throw ValidationError("expected the name of OUT to end in .safetensors, found \(output)")
    }
  }

  func run() async throws {
    let weights: WeightsFile
    if !ModelSource.isPath(input), let model = try? Model.named(input) {
      weights = try await ModelSource.weights(file: nil, model: model, isOffline: offline)
    } else {
      weights = try await ModelSource.weights(file: input, model: nil, isOffline: offline)
    }
    try weights.requireClassifier()
    try weights.requireFloat(for: "quantising")
    guard !weights.format.isInferenceModel else {
      throw HGNetError(
        .unsupported,
        "expected a state dictionary, found a \(weights.format.title); turn it into one with `hgnet convert \(input) "
          + "NAME.safetensors`", path: weights.path)
    }
    let found = try weights.findRecipe()
    if let assumption = found.assumption { StandardError.write("hgnet: warning: \(assumption)") }
    let plan = try ExportPlan(weights, recipe: found)
    let device = Device.cpu(compute.pool())
    var calibration = try Calibration(graph: weights.graph, parameters: weights.parameters, device: device)
    let count = try calibrate(&calibration, recipe: found.recipe)
    let store = try QuantizedWeights.quantizing(
      weights.graph, weights.parameters, ranges: calibration.ranges(ranges))
    var metadata = Dictionary(plan.metadataOfWeights) { first, _ in first }
    metadata["quantization.ranges"] = "\(ranges.rawValue), \(count) pictures"
    try QuantizedWeights.write(store, metadata: metadata, to: output)
    StandardError.write(
      "hgnet: \(weights.format.title) to \(output) in 8 bits; ranges (\(ranges.rawValue)) of \(count) "
        + "picture\(count == 1 ? "" : "s")")
  }

  /// Runs the pictures; gives how many there were.
  private func calibrate(_ calibration: inout Calibration, recipe: Recipe) throws(HGNetError) -> Int {
    let paths = try chosen()
    var progress = PictureProgress(total: paths.count, isFirst: true)
    var (count, failure) = (0, HGNetError?.none)
    for path in paths {
      do throws(HGNetError) {
        try calibration.add(recipe.picture(decoding: Blob(mapping: path)))
        count += 1
      } catch {
        // A picture that cannot be read is left out; a network that fails on one fails on all.
        guard error.context.layer == nil, error.code != .limitExceeded else { throw error }
        progress.clear()
        StandardError.write("hgnet: warning: \(error.at(path: path))")
        failure = failure ?? error
      }
      progress.add(1)
    }
    progress.clear()
    if count == 0, let failure { throw failure }
    return count
  }

  private func chosen() throws(HGNetError) -> [String] {
    let all: [String]
    if FileKind.isFolder(data) {
      all = try PictureFolder.pictures(at: data, note: StandardError.note)
    } else {
      let parent = data.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
      all = try PictureFolder.pictures(listedIn: data, under: data.hasPrefix("/") && parent.isEmpty ? "/" : parent)
    }
    guard !all.isEmpty else {
      throw HGNetError(.noInput, "expected pictures to read ranges from, found none", path: data)
    }
    guard all.count > pictures else { return all }
    return (0..<pictures).map { all[$0 * all.count / pictures] }
  }
}

extension RangeRule: ExpressibleByArgument {}
