import HGNetCore

/// A convolution, its batch normalisation, and where asked for a ReLU and a learnable affine block after it.
///
/// The unit that both families are made of; the checkpoint calls its parts `conv`, `bn` and `lab`.
struct ConvolutionUnit {
  var inputChannels: Int
  var outputChannels: Int
  /// The side of the window.
  var kernel: Int
  var stride = 1
  /// Nil stands for `(kernel - 1) / 2` on every side.
  var padding: Padding?
  var groups = 1
  /// Whether a ReLU follows; an affine block only ever stands after a ReLU.
  var hasActivation = true

  /// The 3×3 convolution of every channel on its own that halves a stage's input; nothing follows its normalisation.
  static func downsample(channels: Int) -> ConvolutionUnit {
    ConvolutionUnit(
      inputChannels: channels, outputChannels: channels, kernel: 3, stride: 2, groups: channels, hasActivation: false)
  }
}

/// What the units of one part of a network have in common.
struct PartStyle {
  /// Whether a learnable affine block follows each ReLU.
  var hasAffineBlocks: Bool
  /// The factor on the learning rate of the part, an entry of `lr_mult_list`.
  var learningRateMultiplier: Float

  /// The further factor on the learning rate of the two scalars of an affine block.
  static let affineBlockFactor: Float = 0.01
}

extension GraphBuilder {
  /// Appends a unit: `NAME.conv`, `NAME.bn`, then `NAME.relu` and `NAME.lab` where it has them.
  mutating func convolutionUnit(
    _ unit: ConvolutionUnit, name: String, input: Graph.NodeID, style: PartStyle
  ) -> Graph.NodeID {
    let factor = style.learningRateMultiplier
    var node = convolution(
      Convolution(
        weight: "\(name).conv.weight", inputChannels: unit.inputChannels, outputChannels: unit.outputChannels,
        kernel: Size(unit.kernel), stride: Size(unit.stride), padding: unit.padding ?? Padding((unit.kernel - 1) / 2),
        groups: unit.groups),
      name: "\(name).conv", input: input, learningRateMultiplier: factor)
    node = batchNormalization(
      name: "\(name).bn", channels: unit.outputChannels, input: node, learningRateMultiplier: factor)
    guard unit.hasActivation else { return node }
    node = append(.relu, name: "\(name).relu", inputs: [node])
    guard style.hasAffineBlocks else { return node }
    return affineBlock(name: "\(name).lab", input: node, learningRateMultiplier: factor)
  }

  /// Appends a convolution and declares `weight` and, where named, `bias`.
  mutating func convolution(
    _ convolution: Convolution, name: String, input: Graph.NodeID, learningRateMultiplier: Float
  ) -> Graph.NodeID {
    let inputsPerGroup = convolution.inputChannels / convolution.groups
    let shape = Shape([
      convolution.outputChannels, inputsPerGroup, convolution.kernel.height, convolution.kernel.width,
    ])
    declare(
      ParameterDeclaration(
        name: convolution.weight, shape: shape, role: .convolutionWeight,
        learningRateMultiplier: learningRateMultiplier))
    if let bias = convolution.bias {
      declare(
        ParameterDeclaration(
          name: bias, shape: [convolution.outputChannels], role: .convolutionBias,
          learningRateMultiplier: learningRateMultiplier))
    }
    return append(.convolution(convolution), name: name, inputs: [input])
  }

  /// Appends a batch normalisation and declares `NAME.weight`, `.bias`, `._mean` and `._variance`.
  private mutating func batchNormalization(
    name: String, channels: Int, input: Graph.NodeID, learningRateMultiplier: Float
  ) -> Graph.NodeID {
    let normalization = BatchNormalization(
      weight: "\(name).weight", bias: "\(name).bias", mean: "\(name)._mean", variance: "\(name)._variance")
    let declarations: [(String, ParameterRole)] = [
      (normalization.weight, .normalizationWeight), (normalization.bias, .normalizationBias),
      (normalization.mean, .runningMean), (normalization.variance, .runningVariance),
    ]
    for (parameter, role) in declarations {
      declare(
        ParameterDeclaration(
          name: parameter, shape: [channels], role: role, learningRateMultiplier: learningRateMultiplier))
    }
    return append(.batchNormalization(normalization), name: name, inputs: [input])
  }

  /// Appends a learnable affine block and declares `NAME.scale` and `NAME.bias`, which learn a hundred times slower.
  private mutating func affineBlock(
    name: String, input: Graph.NodeID, learningRateMultiplier: Float
  ) -> Graph.NodeID {
    let factor = learningRateMultiplier * PartStyle.affineBlockFactor
    let parameters = (scale: "\(name).scale", bias: "\(name).bias")
    declare(
      ParameterDeclaration(
        name: parameters.scale, shape: [1], role: .affineScale, learningRateMultiplier: factor))
    declare(
      ParameterDeclaration(name: parameters.bias, shape: [1], role: .affineBias, learningRateMultiplier: factor))
    return append(.affine(scale: parameters.scale, bias: parameters.bias), name: name, inputs: [input])
  }

  /// Appends the classifier: the decoder where the options have one, otherwise the linear layer `fc`.
  ///
  /// The multipliers of `lr_mult_list` do not reach the head.
  mutating func classifier(input: Graph.NodeID, features: Int, options: ModelOptions) -> Graph.NodeID {
    part = .classifier
    if let decoder = options.decoder {
      return self.decoder(decoder, input: input, inputChannels: features, classCount: options.classCount)
    }
    let flat = append(.flatten, name: "flatten", inputs: [input])
    declare(ParameterDeclaration(name: "fc.weight", shape: [features, options.classCount], role: .linearWeight))
    declare(ParameterDeclaration(name: "fc.bias", shape: [options.classCount], role: .linearBias))
    return append(
      .linear(
        weight: "fc.weight", bias: "fc.bias", inputFeatures: features, outputFeatures: options.classCount),
      name: "fc", inputs: [flat])
  }

  /// Appends what the classifier reads: the mean over the picture, then `last_conv` with its ReLU, affine block and dropout.
  ///
  /// Without the last convolution the classifier reads the channels of the last stage, and nothing is dropped.
  mutating func embedding(
    input: Graph.NodeID, inputChannels: Int, options: ModelOptions, hasAffineBlock: Bool, dropoutProbability: Float
  ) -> (node: Graph.NodeID, channels: Int) {
    // A decoder looks at the whole map.
    var node = options.decoder != nil ? input : append(.globalAveragePool, name: "avg_pool", inputs: [input])
    guard options.useLastConvolution else { return (node, inputChannels) }
    part = .embedding
    let features = options.classExpand
    let lastConvolution = Convolution(
      weight: "last_conv.weight", inputChannels: inputChannels, outputChannels: features, kernel: Size(1),
      stride: Size(1), padding: Padding(0), groups: 1)
    node = convolution(lastConvolution, name: "last_conv", input: node, learningRateMultiplier: 1)
    node = append(.relu, name: "act", inputs: [node])
    if hasAffineBlock { node = affineBlock(name: "lab", input: node, learningRateMultiplier: 1) }
    return (append(.dropout(probability: dropoutProbability), name: "dropout", inputs: [node]), features)
  }
}
