import ArgumentParser
import HGNet
import HGNetCore
import HGNetEngine
import HGNetFormats
import HGNetModels

/// Runs the bare network on a tensor: no pictures, no softmax.
struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run the bare network on a NumPy tensor.",
    discussion:
      "Takes float32 [N, 3, H, W] and writes the logits, float32 [N, K]. With --features also the results of the "
      + "four stages, [N, C, H, W], as OUTPUT.stages.0.npy to OUTPUT.stages.3.npy (where OUTPUT is the name without .npy). "
      + "Of a backbone without a classifier, as detectors use it, --features writes the mean over its last stage, float32 "
      + "[N, C], in place of the logits."
  )

  @Argument(
    help: ArgumentHelp("A file of weights in any format, or the folder of an inference model.", valueName: "weights"))
  var weights: String

  @Option(help: ArgumentHelp("The model; otherwise it is recognised.", valueName: "name"))
  var model: String?

  @Option(help: ArgumentHelp("The tensor, .npy.", valueName: "file"))
  var input: String

  @Option(help: ArgumentHelp("Where the logits go, .npy.", valueName: "file"))
  var output: String

  @Flag(help: "Write the results of the four stages, too.")
  var features = false

  @OptionGroup var compute: ThreadOptions

  /// Pictures per run of the network: bounds the memory, and the results do not depend on it.
  private static let batchLimit = 16

  func run() throws {
    try FileOutput.check(path: output)
    let model = try self.model.map { name throws(HGNetError) in try Model.named(name) }
    let tensor = try NumpyArray.read(Blob(mapping: input))
    guard tensor.shape.rank == 4, tensor.shape[1] == 3, tensor.shape.count > 0 else {
      throw HGNetError(.shapeMismatch, "expected a tensor [N, 3, H, W], found \(tensor.shape)", path: input)
    }
    let file = try WeightsFile(contentsOf: weights, model: model).told()
    if !features { try file.requireClassifier() }
    let names = [file.hasClassifier ? "logits" : "embedding"] + (features ? file.stageNames : [])
    let graph = try file.graph.selecting(outputs: names)
    let pool = compute.pool()
    let engine = try InferenceModel(graph: graph, parameters: file.parameters, pool: pool)
    let count = tensor.shape[0]
    let size = Size(height: tensor.shape[2], width: tensor.shape[3])

    var collected: [[Tensor]] = []
    var start = 0
    while start < count {
      let batch = min(Run.batchLimit, count - start)
      let part = Layout.channelsLast(tensor, from: start, count: batch)
      var session = try engine.session(batch: batch, inputSize: size, pool: pool)
      collected.append(try session.run(part))
      start += batch
    }
    if !file.hasClassifier {
      StandardError.write(
        "hgnet: note: a backbone without a classifier: \(output) is the mean over the last of its "
          + "\(file.stageNames.count) stages")
    }
    let stem = output.hasSuffix(".npy") ? String(output.dropLast(4)) : output
    for (index, name) in names.enumerated() {
      let result = Layout.channelsFirst(joining: collected.map { $0[index] })
      try NumpyArray.write(result, to: index == 0 ? output : "\(stem).\(name).npy")
    }
  }
}

/// The two orders of axes: `[N, H, W, C]` inside, `[N, C, H, W]` in files.
enum Layout {
  /// Some pictures of `[N, C, H, W]` as `[count, H, W, C]`.
  static func channelsLast(_ tensor: Tensor, from first: Int, count: Int) -> Tensor {
    let (channels, pixels) = (tensor.shape[1], tensor.shape[2] * tensor.shape[3])
    return Tensor(shape: [count, tensor.shape[2], tensor.shape[3], channels]) { target in
      tensor.withUnsafeBufferPointer { source in
        for picture in 0..<count {
          for channel in 0..<channels {
            let from = ((first + picture) * channels + channel) * pixels
            for pixel in 0..<pixels { target[(picture * pixels + pixel) * channels + channel] = source[from + pixel] }
          }
        }
      }
    }
  }

  /// Batches `[n, H, W, C]` as one `[N, C, H, W]`; batches `[n, K]` as one `[N, K]`.
  static func channelsFirst(joining parts: [Tensor]) -> Tensor {
    guard let first = parts.first else { return Tensor(shape: [0]) }
    let total = parts.reduce(0) { $0 + $1.shape[0] }
    let isFlat = first.shape.rank == 2
    let channels = first.shape[first.shape.rank - 1]
    let pixels = isFlat ? 1 : first.shape[1] * first.shape[2]
    let shape: Shape = isFlat ? [total, channels] : [total, channels, first.shape[1], first.shape[2]]
    return Tensor(shape: shape) { target in
      var picture = 0
      for part in parts {
        part.withUnsafeBufferPointer { source in
          for index in 0..<part.shape[0] {
            for pixel in 0..<pixels {
              for channel in 0..<channels {
                target[(picture * channels + channel) * pixels + pixel] =
                  source[(index * pixels + pixel) * channels + channel]
              }
            }
            picture += 1
          }
        }
      }
    }
  }
}
