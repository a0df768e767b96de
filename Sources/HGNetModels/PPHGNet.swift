import HGNetCore

/// The PP-HGNet family (tiny, small, base): the first version, and the teachers that PP-HGNetV2 was distilled from.
public enum PPHGNet {
  /// tiny, small and base, with what is known about them beside the table.
  public static let family = NetworkFamily(
    name: "PP-HGNet", models: [.tiny, .small, .base], firstParameter: "stem.0.conv.weight",
    aliases: NetworkFamily.shortNames,
    otherNames: [
      .timm(
        firstParameter: "stem.stem.0.conv.weight", aggregation: ["aggregation_conv", "att"], hasNestedStem: true)
    ],
    published: PublishedWeights.files(
      of: .tiny, [(.supervised, (79.83, 95.04)), (.distilled, (81.95, 96.12))])
      + PublishedWeights.files(
        of: .small, evaluationShortSide: 236, [(.supervised, (81.51, 95.82)), (.distilled, (83.82, 96.81))])
      + PublishedWeights.files(of: .base, evaluationShortSide: 236, [(.distilled, (85.00, 97.35))]))

  /// One of the four stages.
  public struct StageConfiguration: Sendable, Hashable {
    /// The channels that enter the stage.
    public var inputChannels: Int
    /// The channels of each layer inside a block.
    public var middleChannels: Int
    /// The channels that leave the stage.
    public var outputChannels: Int
    /// The number of blocks.
    public var blockCount: Int
    /// Whether a depthwise convolution first halves height and width.
    public var hasDownsample: Bool

    /// Makes a row.
    public init(_ inputChannels: Int, _ middleChannels: Int, _ outputChannels: Int, blocks: Int, downsample: Bool) {
      self.inputChannels = inputChannels
      self.middleChannels = middleChannels
      self.outputChannels = outputChannels
      blockCount = blocks
      hasDownsample = downsample
    }
  }

  /// A network of the family.
  public struct Configuration: Sendable, Hashable {
    /// The channels of the three convolutions of the stem.
    public var stemChannels: [Int]
    /// The stages, at strides 4, 8, 16 and 32.
    public var stages: [StageConfiguration]
    /// The number of 3×3 layers in each block.
    public var layerCount: Int
    /// The probability of dropout before the classifier.
    public var dropoutProbability: Float

    /// Makes a network from its rows.
    public init(stemChannels: [Int], layers: Int, dropoutProbability: Float, stages: [StageConfiguration]) {
      self.stemChannels = stemChannels
      self.stages = stages
      layerCount = layers
      self.dropoutProbability = dropoutProbability
    }

    /// PPHGNet_tiny: 14.74 million parameters, 4.53 billion multiply-adds at 224×224.
    public static let tiny = Configuration(
      stemChannels: [48, 48, 96], layers: 5, dropoutProbability: 0,
      stages: [
        StageConfiguration(96, 96, 224, blocks: 1, downsample: false),
        StageConfiguration(224, 128, 448, blocks: 1, downsample: true),
        StageConfiguration(448, 160, 512, blocks: 2, downsample: true),
        StageConfiguration(512, 192, 768, blocks: 1, downsample: true),
      ])

    /// PPHGNet_small: 24.36 million parameters, 8.51 billion multiply-adds at 224×224.
    public static let small = Configuration(
      stemChannels: [64, 64, 128], layers: 6, dropoutProbability: 0,
      stages: [
        StageConfiguration(128, 128, 256, blocks: 1, downsample: false),
        StageConfiguration(256, 160, 512, blocks: 1, downsample: true),
        StageConfiguration(512, 192, 768, blocks: 2, downsample: true),
        StageConfiguration(768, 224, 1024, blocks: 1, downsample: true),
      ])

    /// PPHGNet_base: 71.58 million parameters, 25.11 billion multiply-adds at 224×224.
    public static let base = Configuration(
      stemChannels: [96, 96, 160], layers: 7, dropoutProbability: 0.2,
      stages: [
        StageConfiguration(160, 192, 320, blocks: 1, downsample: false),
        StageConfiguration(320, 224, 640, blocks: 2, downsample: true),
        StageConfiguration(640, 256, 960, blocks: 3, downsample: true),
        StageConfiguration(960, 288, 1280, blocks: 2, downsample: true),
      ])
  }
}

extension Model {
  /// PPHGNet_tiny.
  public static let tiny = Model(name: "PPHGNet_tiny", configuration: PPHGNet.Configuration.tiny)
  /// PPHGNet_small.
  public static let small = Model(name: "PPHGNet_small", configuration: PPHGNet.Configuration.small)
  /// PPHGNet_base.
  public static let base = Model(name: "PPHGNet_base", configuration: PPHGNet.Configuration.base)

  /// Makes a PP-HGNet of one's own from a row.
  public init(name: String, configuration: PPHGNet.Configuration) {
    self.init(name: name, architecture: configuration)
  }
}

extension PPHGNet.Configuration: NetworkArchitecture {
  package static var family: NetworkFamily { PPHGNet.family }

  package var stageCount: Int { stages.count }

  package var landmarks: [(name: String, shape: Shape)] {
    [("stem.0.conv.weight", [stemChannels.first ?? 0, 3, 3, 3])]
      + stages.enumerated().map { index, row in
        (
          "stages.\(index).blocks.0.aggregation_conv.conv.weight",
          [row.outputChannels, row.inputChannels + layerCount * row.middleChannels, 1, 1]
        )
      }
  }

  package func appendBackbone(
    to builder: inout GraphBuilder, input: Graph.NodeID, options: ModelOptions
  ) -> (node: Graph.NodeID, channels: Int) {
    func style(_ part: Int) -> PartStyle {
      PartStyle(hasAffineBlocks: false, learningRateMultiplier: options.learningRateMultipliers[part])
    }
    var node = input
    var channels = 3
    builder.part = .stem
    for (index, outputs) in stemChannels.enumerated() {
      let unit = ConvolutionUnit(
        inputChannels: channels, outputChannels: outputs, kernel: 3, stride: index == 0 ? 2 : 1)
      node = builder.convolutionUnit(unit, name: "stem.\(index)", input: node, style: style(0))
      channels = outputs
    }
    node = builder.append(
      .maxPool(kernel: Size(3), stride: Size(2), padding: Padding(1)), name: "pool", inputs: [node])
    for (index, row) in stages.enumerated() {
      let name = "stages.\(index)"
      builder.part = .stage(index)
      if row.hasDownsample {
        node = builder.convolutionUnit(
          .downsample(channels: row.inputChannels), name: "\(name).downsample", input: node,
          style: style(index + 1))
      }
      for block in 0..<row.blockCount {
        node = builder.block(
          row, layers: layerCount, name: "\(name).blocks.\(block)", input: node, isFirst: block == 0,
          style: style(index + 1))
      }
      builder.markOutput(.stage(index), node)
    }
    return (node, stages.last?.outputChannels ?? channels)
  }
}

extension GraphBuilder {
  /// Appends a block: a chain of 3×3 layers, all their results and the input side by side, joined by a 1×1
  /// convolution and weighed per channel; every block but a stage's first adds its input.
  fileprivate mutating func block(
    _ row: PPHGNet.StageConfiguration, layers: Int, name: String, input: Graph.NodeID, isFirst: Bool, style: PartStyle
  ) -> Graph.NodeID {
    let inputChannels = isFirst ? row.inputChannels : row.outputChannels
    var kept = [input]
    var node = input
    for index in 0..<layers {
      let unit = ConvolutionUnit(
        inputChannels: index == 0 ? inputChannels : row.middleChannels, outputChannels: row.middleChannels, kernel: 3)
      node = convolutionUnit(unit, name: "\(name).layers.\(index)", input: node, style: style)
      kept.append(node)
    }
    node = append(.concatenate, name: "\(name).concat", inputs: kept)
    let aggregation = ConvolutionUnit(
      inputChannels: inputChannels + layers * row.middleChannels, outputChannels: row.outputChannels, kernel: 1)
    node = convolutionUnit(aggregation, name: "\(name).aggregation_conv", input: node, style: style)
    node = attention(
      name: "\(name).att", channels: row.outputChannels, input: node,
      learningRateMultiplier: style.learningRateMultiplier)
    return isFirst ? node : append(.add, name: "\(name).add", inputs: [node, input])
  }

  /// Appends effective squeeze-and-excitation: each channel times the sigmoid of a 1×1 convolution of the means.
  private mutating func attention(
    name: String, channels: Int, input: Graph.NodeID, learningRateMultiplier: Float
  ) -> Graph.NodeID {
    let mean = append(.globalAveragePool, name: "\(name).pool", inputs: [input])
    let mix = Convolution(
      weight: "\(name).conv.weight", bias: "\(name).conv.bias", inputChannels: channels, outputChannels: channels,
      kernel: Size(1), stride: Size(1), padding: Padding(0), groups: 1)
    let mixed = convolution(
      mix, name: "\(name).conv", input: mean, learningRateMultiplier: learningRateMultiplier)
    let gate = append(.sigmoid, name: "\(name).sigmoid", inputs: [mixed])
    return append(.multiplyPerChannel, name: "\(name).multiply", inputs: [input, gate])
  }
}
