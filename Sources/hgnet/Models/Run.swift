import ArgumentParser
import HGNet
import HGNetCore
import HGNetFormats
import HGNetModels

/// Runs the bare network on a tensor: no pictures, no softmax.
struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run the network on a NumPy tensor.",
    discussion:
      "Takes float32 [N, 3, H, W] and writes the logits, float32 [N, K]. With --features also the feature maps of "
      + "the four stages, [N, C, H, W], as OUTPUT.stages.0.npy to OUTPUT.stages.3.npy (where OUTPUT is the name without .npy). "
      + "For a backbone without a classifier, --features writes the mean of its last stage, float32 [N, C], in place of the "
      + "logits."
  )

  @Argument(
    help: ArgumentHelp("A file of weights in any format, or the folder of an inference model.", valueName: "weights"))
  var weights: String

  @Option(
    help: ArgumentHelp("The model (default: recognised from the weights).", valueName: "name"), completion: .modelNames)
  var model: String?

  @Option(help: ArgumentHelp("The input tensor, .npy.", valueName: "file"))
  var input: String

  @Option(help: ArgumentHelp("The file to write, .npy.", valueName: "file"))
  var output: String

  @Flag(help: "Also write the feature maps of the four stages.")
  var features = false

  @OptionGroup var compute: DeviceOptions

  func run() throws {
    try FileOutput.check(path: output)
    let model = try self.model.map { name throws(HGNetError) in try Model.named(name) }
    let tensor = try NumpyArray.read(Blob(mapping: input))
    guard tensor.shape.rank == 4, tensor.shape[1] == 3, tensor.shape.count > 0 else {
      throw HGNetError(.shapeMismatch, "expected a tensor [N, 3, H, W], found \(tensor.shape)", path: input)
    }
    let file = try WeightsFile(contentsOf: weights, model: model).told()
    if !features { try file.requireClassifier() }
    if features { try file.requireStages() }
    let graph = try file.graph.selecting(
      outputs: [file.hasClassifier ? .logits : .embedding] + (features ? file.graph.stages.map(\.role) : []))
    let network = try InferenceModel(
      graph: graph, parameters: file.parameters, device: try compute.device(for: file.parameters))
    let results = try TensorRun(model: network).run(tensor)
    if !file.hasClassifier {
      StandardError.write(
        "hgnet: note: a backbone without a classifier: \(output) is the mean over the last of its "
          + "\(file.graph.stages.count) stages")
    }
    let stem = output.hasSuffix(".npy") ? String(output.dropLast(4)) : output
    for (index, name) in graph.outputs.map(\.name).enumerated() {
      let (result, count) = (results[index], tensor.shape[0])
      // A value for each class, or of each channel: the stages alone are maps.
      let written = index == 0 ? try result.reshaped([count, result.count / count]) : result
      try NumpyArray.write(written, to: index == 0 ? output : "\(stem).\(name).npy")
    }
  }
}
