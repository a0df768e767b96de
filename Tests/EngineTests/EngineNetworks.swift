import HGNetCore
import HGNetModels
import HGNetProgram

/// Small networks that hold every operator of the two families, with seeded parameters and pictures.
struct EngineNetwork: Sendable {
  let name: String
  let model: Model
  var dropout: Float = 0
  var hasDecoder = false

  static let all: [EngineNetwork] = [
    EngineNetwork(name: "V2 with affine blocks", model: affine),
    EngineNetwork(name: "V2 with dropout", model: plain, dropout: 0.3),
    EngineNetwork(name: "V1 with attention", model: first),
    EngineNetwork(name: "decoder", model: affine, hasDecoder: true),
    EngineNetwork(name: "decoder with dropout", model: plain, dropout: 0.3, hasDecoder: true),
  ]

  private static let affine = Model(
    name: "small V2",
    configuration: PPHGNetV2.Configuration(
      stem: .init(middle: 6, output: 8), hasAffineBlocks: true,
      stages: [
        .init(8, 16, 20, blocks: 1, downsample: false, light: false, kernel: 3, layers: 2),
        .init(20, 8, 24, blocks: 2, downsample: true, light: true, kernel: 5, layers: 2),
        .init(24, 16, 32, blocks: 1, downsample: true, light: false, kernel: 3, layers: 2),
        .init(32, 8, 18, blocks: 2, downsample: true, light: true, kernel: 5, layers: 1),
      ]))

  private static let plain = Model(
    name: "small V2",
    configuration: PPHGNetV2.Configuration(
      stem: .init(middle: 8, output: 16), hasAffineBlocks: false,
      stages: [
        .init(16, 16, 32, blocks: 2, downsample: false, light: false, kernel: 3, layers: 2),
        .init(32, 16, 40, blocks: 1, downsample: true, light: false, kernel: 3, layers: 1),
        .init(40, 12, 24, blocks: 1, downsample: true, light: true, kernel: 5, layers: 1),
        .init(24, 8, 18, blocks: 1, downsample: true, light: true, kernel: 3, layers: 1),
      ]))

  private static let first = Model(
    name: "small V1",
    configuration: PPHGNet.Configuration(
      stemChannels: [6, 8, 16], layers: 2, dropoutProbability: 0,
      stages: [
        .init(16, 16, 24, blocks: 1, downsample: false), .init(24, 8, 20, blocks: 2, downsample: true),
        .init(20, 16, 32, blocks: 1, downsample: true), .init(32, 8, 18, blocks: 1, downsample: true),
      ]))

  /// The head for several labels, with two classes a query of which the last is left out.
  private var decoder: MLDecoder? {
    hasDecoder
      ? MLDecoder(queryCount: 3, features: 20, heads: 2, hiddenFeatures: 24, dropoutProbability: dropout) : nil
  }

  /// The network with its logits, and with the maps of its stages where they are wanted.
  func graph(_ size: Size, hasStages: Bool = false) throws -> Graph {
    var options = ModelOptions(classCount: 5, classExpand: 24, dropoutProbability: dropout)
    options.decoder = decoder
    let graph = try model.graph(options: options, inputSize: size)
    return hasStages ? try graph.selecting(outputs: [.logits] + graph.stages.map(\.role)) : graph
  }
}

/// Numbers of mean 0 and variance 1.
func seededTensor(_ shape: Shape, seed: UInt64) -> Tensor {
  var random = RandomGenerator(seed: seed)
  return Tensor(shape: shape, values: (0..<shape.count).map { _ in random.normal() })
}

/// Pictures `[N, H, W, 3]`.
func seededPictures(_ batch: Int, _ size: Size, seed: UInt64 = 12) -> Tensor {
  seededTensor([batch, size.height, size.width, 3], seed: seed)
}
