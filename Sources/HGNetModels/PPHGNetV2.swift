import HGNetCore

/// The PP-HGNetV2 family, B0 to B6.
///
/// Each network is a row of the table below; `Model` turns rows into graphs.
public enum PPHGNetV2 {
  /// B0 to B6, with what is known about them beside the table.
  public static let family = NetworkFamily(
    name: "PP-HGNetV2", models: [.b0, .b1, .b2, .b3, .b4, .b5, .b6], firstParameter: "stem.stem1.conv.weight",
    aliases: NetworkFamily.shortNames,
    otherNames: [
      .timm(firstParameter: "stem.stem1.conv.weight", aggregation: aggregation, hasNestedStem: false),
      .huggingFace(firstParameter: "embedder.stem1.convolution.weight", aggregation: aggregation),
    ],
    published: [
      (Model.b0, (77.77, 93.91)), (.b1, (79.18, 94.57)), (.b2, (81.74, 95.88)), (.b3, (82.98, 96.43)),
      (.b4, (83.57, 96.72)), (.b5, (84.75, 97.32)), (.b6, (86.30, 97.84)),
    ].flatMap { model, accuracy in PublishedWeights.files(of: model, [(.stage1, nil), (.stage2, accuracy)]) })

  /// The two convolutions that join the layers of a block.
  private static let aggregation = ["aggregation_squeeze_conv", "aggregation_excitation_conv"]

  /// The channels of the stem, which reduces a picture to a quarter of its side.
  public struct StemConfiguration: Sendable, Hashable {
    /// The channels of the first convolutions.
    public var middleChannels: Int
    /// The channels that enter the first stage.
    public var outputChannels: Int

    /// Makes a row.
    public init(middle: Int, output: Int) {
      middleChannels = middle
      outputChannels = output
    }
  }

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
    /// Whether a layer is a 1×1 convolution followed by a depthwise one, instead of one full convolution.
    public var isLight: Bool
    /// The side of the layers' windows.
    public var kernel: Int
    /// The number of layers in each block.
    public var layerCount: Int

    /// Makes a row.
    public init(
      _ inputChannels: Int, _ middleChannels: Int, _ outputChannels: Int, blocks: Int, downsample: Bool, light: Bool,
      kernel: Int, layers: Int
    ) {
      self.inputChannels = inputChannels
      self.middleChannels = middleChannels
      self.outputChannels = outputChannels
      blockCount = blocks
      hasDownsample = downsample
      isLight = light
      self.kernel = kernel
      layerCount = layers
    }
  }

  /// A network of the family.
  public struct Configuration: Sendable, Hashable {
    /// The stem.
    public var stem: StemConfiguration
    /// The stages, at strides 4, 8, 16 and 32.
    public var stages: [StageConfiguration]
    /// Whether a learnable affine block follows each ReLU.
    public var hasAffineBlocks: Bool
    /// The probability of dropout before the classifier.
    public var dropoutProbability: Float = 0

    /// Makes a network from its rows.
    public init(stem: StemConfiguration, hasAffineBlocks: Bool, stages: [StageConfiguration]) {
      self.stem = stem
      self.stages = stages
      self.hasAffineBlocks = hasAffineBlocks
    }

    /// PPHGNetV2_B0: 6.00 million parameters, 0.32 billion multiply-adds at 224×224.
    public static let b0 = Configuration(
      stem: StemConfiguration(middle: 16, output: 16), hasAffineBlocks: true,
      stages: [
        StageConfiguration(16, 16, 64, blocks: 1, downsample: false, light: false, kernel: 3, layers: 3),
        StageConfiguration(64, 32, 256, blocks: 1, downsample: true, light: false, kernel: 3, layers: 3),
        StageConfiguration(256, 64, 512, blocks: 2, downsample: true, light: true, kernel: 5, layers: 3),
        StageConfiguration(512, 128, 1024, blocks: 1, downsample: true, light: true, kernel: 5, layers: 3),
      ])

    /// PPHGNetV2_B1: 6.34 million parameters, 0.49 billion multiply-adds at 224×224.
    public static let b1 = Configuration(
      stem: StemConfiguration(middle: 24, output: 32), hasAffineBlocks: true,
      stages: [
        StageConfiguration(32, 32, 64, blocks: 1, downsample: false, light: false, kernel: 3, layers: 3),
        StageConfiguration(64, 48, 256, blocks: 1, downsample: true, light: false, kernel: 3, layers: 3),
        StageConfiguration(256, 96, 512, blocks: 2, downsample: true, light: true, kernel: 5, layers: 3),
        StageConfiguration(512, 192, 1024, blocks: 1, downsample: true, light: true, kernel: 5, layers: 3),
      ])

    /// PPHGNetV2_B2: 11.22 million parameters, 1.14 billion multiply-adds at 224×224.
    public static let b2 = Configuration(
      stem: StemConfiguration(middle: 24, output: 32), hasAffineBlocks: true,
      stages: [
        StageConfiguration(32, 32, 96, blocks: 1, downsample: false, light: false, kernel: 3, layers: 4),
        StageConfiguration(96, 64, 384, blocks: 1, downsample: true, light: false, kernel: 3, layers: 4),
        StageConfiguration(384, 128, 768, blocks: 3, downsample: true, light: true, kernel: 5, layers: 4),
        StageConfiguration(768, 256, 1536, blocks: 1, downsample: true, light: true, kernel: 5, layers: 4),
      ])

    /// PPHGNetV2_B3: 16.29 million parameters, 1.77 billion multiply-adds at 224×224.
    public static let b3 = Configuration(
      stem: StemConfiguration(middle: 24, output: 32), hasAffineBlocks: true,
      stages: [
        StageConfiguration(32, 32, 128, blocks: 1, downsample: false, light: false, kernel: 3, layers: 5),
        StageConfiguration(128, 64, 512, blocks: 1, downsample: true, light: false, kernel: 3, layers: 5),
        StageConfiguration(512, 128, 1024, blocks: 3, downsample: true, light: true, kernel: 5, layers: 5),
        StageConfiguration(1024, 256, 2048, blocks: 1, downsample: true, light: true, kernel: 5, layers: 5),
      ])

    /// PPHGNetV2_B4: 19.80 million parameters, 2.73 billion multiply-adds at 224×224.
    public static let b4 = Configuration(
      stem: StemConfiguration(middle: 32, output: 48), hasAffineBlocks: false,
      stages: [
        StageConfiguration(48, 48, 128, blocks: 1, downsample: false, light: false, kernel: 3, layers: 6),
        StageConfiguration(128, 96, 512, blocks: 1, downsample: true, light: false, kernel: 3, layers: 6),
        StageConfiguration(512, 192, 1024, blocks: 3, downsample: true, light: true, kernel: 5, layers: 6),
        StageConfiguration(1024, 384, 2048, blocks: 1, downsample: true, light: true, kernel: 5, layers: 6),
      ])

    /// PPHGNetV2_B5: 39.57 million parameters, 6.54 billion multiply-adds at 224×224.
    public static let b5 = Configuration(
      stem: StemConfiguration(middle: 32, output: 64), hasAffineBlocks: false,
      stages: [
        StageConfiguration(64, 64, 128, blocks: 1, downsample: false, light: false, kernel: 3, layers: 6),
        StageConfiguration(128, 128, 512, blocks: 2, downsample: true, light: false, kernel: 3, layers: 6),
        StageConfiguration(512, 256, 1024, blocks: 5, downsample: true, light: true, kernel: 5, layers: 6),
        StageConfiguration(1024, 512, 2048, blocks: 2, downsample: true, light: true, kernel: 5, layers: 6),
      ])

    /// PPHGNetV2_B6: 75.26 million parameters, 16.84 billion multiply-adds at 224×224.
    public static let b6 = Configuration(
      stem: StemConfiguration(middle: 48, output: 96), hasAffineBlocks: false,
      stages: [
        StageConfiguration(96, 96, 192, blocks: 2, downsample: false, light: false, kernel: 3, layers: 6),
        StageConfiguration(192, 192, 512, blocks: 3, downsample: true, light: false, kernel: 3, layers: 6),
        StageConfiguration(512, 384, 1024, blocks: 6, downsample: true, light: true, kernel: 5, layers: 6),
        StageConfiguration(1024, 768, 2048, blocks: 3, downsample: true, light: true, kernel: 5, layers: 6),
      ])
  }
}

extension Model {
  /// PPHGNetV2_B0.
  public static let b0 = Model(name: "PPHGNetV2_B0", configuration: PPHGNetV2.Configuration.b0)
  /// PPHGNetV2_B1.
  public static let b1 = Model(name: "PPHGNetV2_B1", configuration: PPHGNetV2.Configuration.b1)
  /// PPHGNetV2_B2.
  public static let b2 = Model(name: "PPHGNetV2_B2", configuration: PPHGNetV2.Configuration.b2)
  /// PPHGNetV2_B3.
  public static let b3 = Model(name: "PPHGNetV2_B3", configuration: PPHGNetV2.Configuration.b3)
  /// PPHGNetV2_B4.
  public static let b4 = Model(name: "PPHGNetV2_B4", configuration: PPHGNetV2.Configuration.b4)
  /// PPHGNetV2_B5.
  public static let b5 = Model(name: "PPHGNetV2_B5", configuration: PPHGNetV2.Configuration.b5)
  /// PPHGNetV2_B6.
  public static let b6 = Model(name: "PPHGNetV2_B6", configuration: PPHGNetV2.Configuration.b6)

  /// Makes a PP-HGNetV2 of one's own from a row.
  public init(name: String, configuration: PPHGNetV2.Configuration) {
    self.init(name: name, architecture: configuration)
  }
}

extension PPHGNetV2.Configuration: NetworkArchitecture {
  package static var family: NetworkFamily { PPHGNetV2.family }

  package var stageCount: Int { stages.count }

  package var landmarks: [(name: String, shape: Shape)] {
    [("stem.stem1.conv.weight", [stem.middleChannels, 3, 3, 3])]
      + stages.enumerated().map { index, row in
        (
          "stages.\(index).blocks.0.aggregation_squeeze_conv.conv.weight",
          [row.outputChannels / 2, row.inputChannels + row.layerCount * row.middleChannels, 1, 1]
        )
      }
  }

  // It may be built with or without affine blocks.
  package func check(_ options: ModelOptions, of model: String) {}

  package func options(_ options: ModelOptions, hasAffineBlocks: Bool) -> ModelOptions {
    var options = options
    if hasAffineBlocks != self.hasAffineBlocks { options.useLearnableAffineBlock = hasAffineBlocks }
    return options
  }

  package func appendBackbone(
    to builder: inout GraphBuilder, input: Graph.NodeID, options: ModelOptions
  ) -> (node: Graph.NodeID, channels: Int) {
    func style(_ part: Int) -> PartStyle {
      PartStyle(
        hasAffineBlocks: options.useLearnableAffineBlock ?? hasAffineBlocks,
        learningRateMultiplier: options.learningRateMultipliers[part])
    }
    builder.part = .stem
    var node = builder.stem(stem, input: input, style: style(0))
    for (index, row) in stages.enumerated() {
      builder.part = .stage(index)
      node = builder.stage(row, name: "stages.\(index)", input: node, style: style(index + 1))
      builder.markOutput(.stage(index), node)
    }
    return (node, stages.last?.outputChannels ?? stem.outputChannels)
  }
}

extension GraphBuilder {
  /// Appends the stem: a halving, two 2×2 convolutions beside a 2×2 maximum pool, and a second halving.
  ///
  /// The two-by-two windows see their border below and right only.
  fileprivate mutating func stem(
    _ row: PPHGNetV2.StemConfiguration, input: Graph.NodeID, style: PartStyle
  ) -> Graph.NodeID {
    let middle = row.middleChannels
    func unit(_ inputs: Int, _ outputs: Int, kernel: Int, stride: Int = 1) -> ConvolutionUnit {
      ConvolutionUnit(
        inputChannels: inputs, outputChannels: outputs, kernel: kernel, stride: stride,
        padding: kernel == 2 ? .sameForTwoByTwo : nil)
    }
    let stem1 = convolutionUnit(unit(3, middle, kernel: 3, stride: 2), name: "stem.stem1", input: input, style: style)
    let stem2a = convolutionUnit(unit(middle, middle / 2, kernel: 2), name: "stem.stem2a", input: stem1, style: style)
    let stem2b = convolutionUnit(unit(middle / 2, middle, kernel: 2), name: "stem.stem2b", input: stem2a, style: style)
    let pool = append(
      .maxPool(kernel: Size(2), stride: Size(1), padding: .sameForTwoByTwo), name: "stem.pool", inputs: [stem1])
    let both = append(.concatenate, name: "stem.concat", inputs: [pool, stem2b])
    let stem3 = convolutionUnit(
      unit(2 * middle, middle, kernel: 3, stride: 2), name: "stem.stem3", input: both, style: style)
    return convolutionUnit(unit(middle, row.outputChannels, kernel: 1), name: "stem.stem4", input: stem3, style: style)
  }

  /// Appends the downsampling of a stage, if any, and its blocks.
  fileprivate mutating func stage(
    _ row: PPHGNetV2.StageConfiguration, name: String, input: Graph.NodeID, style: PartStyle
  ) -> Graph.NodeID {
    var node = input
    if row.hasDownsample {
      node = convolutionUnit(
        .downsample(channels: row.inputChannels), name: "\(name).downsample", input: node, style: style)
    }
    for index in 0..<row.blockCount {
      node = block(row, name: "\(name).blocks.\(index)", input: node, isFirst: index == 0, style: style)
    }
    return node
  }

  /// Appends a block: a chain of layers, all their results and the input side by side, squeezed and widened by 1×1
  /// convolutions; every block but a stage's first adds its input.
  private mutating func block(
    _ row: PPHGNetV2.StageConfiguration, name: String, input: Graph.NodeID, isFirst: Bool, style: PartStyle
  ) -> Graph.NodeID {
    let inputChannels = isFirst ? row.inputChannels : row.outputChannels
    var kept = [input]
    var node = input
    for index in 0..<row.layerCount {
      node = layer(
        row, name: "\(name).layers.\(index)", input: node,
        inputChannels: index == 0 ? inputChannels : row.middleChannels, style: style)
      kept.append(node)
    }
    node = append(.concatenate, name: "\(name).concat", inputs: kept)
    let squeeze = ConvolutionUnit(
      inputChannels: inputChannels + row.layerCount * row.middleChannels, outputChannels: row.outputChannels / 2,
      kernel: 1)
    let excitation = ConvolutionUnit(
      inputChannels: row.outputChannels / 2, outputChannels: row.outputChannels, kernel: 1)
    node = convolutionUnit(squeeze, name: "\(name).aggregation_squeeze_conv", input: node, style: style)
    node = convolutionUnit(excitation, name: "\(name).aggregation_excitation_conv", input: node, style: style)
    return isFirst ? node : append(.add, name: "\(name).add", inputs: [node, input])
  }

  /// Appends one layer of a block: a full convolution, or a 1×1 one without activation and a depthwise one with it.
  private mutating func layer(
    _ row: PPHGNetV2.StageConfiguration, name: String, input: Graph.NodeID, inputChannels: Int, style: PartStyle
  ) -> Graph.NodeID {
    let middle = row.middleChannels
    guard row.isLight else {
      let full = ConvolutionUnit(inputChannels: inputChannels, outputChannels: middle, kernel: row.kernel)
      return convolutionUnit(full, name: name, input: input, style: style)
    }
    let pointwise = ConvolutionUnit(
      inputChannels: inputChannels, outputChannels: middle, kernel: 1, hasActivation: false)
    let depthwise = ConvolutionUnit(
      inputChannels: middle, outputChannels: middle, kernel: row.kernel, groups: middle)
    let mixed = convolutionUnit(pointwise, name: "\(name).conv1", input: input, style: style)
    return convolutionUnit(depthwise, name: "\(name).conv2", input: mixed, style: style)
  }
}
