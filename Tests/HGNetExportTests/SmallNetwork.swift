import HGNet
import HGNetCore
import HGNetExport

/// A network with every operator of both families, small enough for a golden file.
enum SmallNetwork {
  /// The network at 8×10 pixels, with weights that are exact in any arithmetic that reads them.
  static func make(_ activation: Activation = .softmax) throws -> ExportedNetwork {
    var builder = GraphBuilder()
    var node = builder.append(.input(channels: 3), name: "input", inputs: [])
    let stem = unit(&builder, "stem", node, 3, 4, kernel: 3, stride: 2, padding: Padding(1))
    let left = unit(&builder, "left", stem, 4, 4, kernel: 2, padding: .sameForTwoByTwo)
    let right = builder.append(
      .maxPool(kernel: Size(2), stride: Size(1), padding: .sameForTwoByTwo), name: "pool", inputs: [stem])
    node = builder.append(.concatenate, name: "concat", inputs: [right, left])
    let depthwise = Convolution(
      weight: "depthwise.conv.weight", inputChannels: 8, outputChannels: 8, kernel: Size(3), stride: Size(1),
      padding: Padding(1), groups: 8)
    declare(&builder, "depthwise.conv.weight", [8, 1, 3, 3], .convolutionWeight)
    let separate = builder.append(.convolution(depthwise), name: "depthwise.conv", inputs: [node])
    node = builder.append(.add, name: "add", inputs: [separate, node])
    let pooled = builder.append(.globalAveragePool, name: "squeeze", inputs: [node])
    let attention = Convolution(
      weight: "attention.conv.weight", bias: "attention.conv.bias", inputChannels: 8, outputChannels: 8,
      kernel: Size(1), stride: Size(1), padding: Padding(0), groups: 1)
    declare(&builder, "attention.conv.weight", [8, 8, 1, 1], .convolutionWeight)
    declare(&builder, "attention.conv.bias", [8], .convolutionBias)
    let excited = builder.append(.convolution(attention), name: "attention.conv", inputs: [pooled])
    let gate = builder.append(.sigmoid, name: "attention.sigmoid", inputs: [excited])
    node = builder.append(.multiplyPerChannel, name: "attention", inputs: [node, gate])
    node = builder.append(.globalAveragePool, name: "avg_pool", inputs: [node])
    node = builder.append(.dropout(probability: 0.25), name: "dropout", inputs: [node])
    node = builder.append(.flatten, name: "flatten", inputs: [node])
    declare(&builder, "fc.weight", [8, 5], .linearWeight)
    declare(&builder, "fc.bias", [5], .linearBias)
    node = builder.append(
      .linear(weight: "fc.weight", bias: "fc.bias", inputFeatures: 8, outputFeatures: 5), name: "fc", inputs: [node])
    builder.markOutput(.logits, node)
    let graph = try builder.graph(output: .logits, inputSize: Size(height: 8, width: 10))
    return try ExportedNetwork(graph: graph, parameters: parameters(of: graph), activation: activation)
  }

  private static func unit(
    _ builder: inout GraphBuilder, _ name: String, _ input: Graph.NodeID, _ inputs: Int, _ outputs: Int, kernel: Int,
    stride: Int = 1, padding: Padding
  ) -> Graph.NodeID {
    let convolution = Convolution(
      weight: "\(name).conv.weight", inputChannels: inputs, outputChannels: outputs, kernel: Size(kernel),
      stride: Size(stride), padding: padding, groups: 1)
    declare(&builder, convolution.weight, [outputs, inputs, kernel, kernel], .convolutionWeight)
    var node = builder.append(.convolution(convolution), name: "\(name).conv", inputs: [input])
    let norm = BatchNormalization(
      weight: "\(name).bn.weight", bias: "\(name).bn.bias", mean: "\(name).bn._mean", variance: "\(name).bn._variance")
    declare(&builder, norm.weight, [outputs], .normalizationWeight)
    declare(&builder, norm.bias, [outputs], .normalizationBias)
    declare(&builder, norm.mean, [outputs], .runningMean)
    declare(&builder, norm.variance, [outputs], .runningVariance)
    node = builder.append(.batchNormalization(norm), name: "\(name).bn", inputs: [node])
    node = builder.append(.relu, name: "\(name).relu", inputs: [node])
    declare(&builder, "\(name).lab.scale", [1], .affineScale)
    declare(&builder, "\(name).lab.bias", [1], .affineBias)
    return builder.append(
      .affine(scale: "\(name).lab.scale", bias: "\(name).lab.bias"), name: "\(name).lab", inputs: [node])
  }

  private static func declare(_ builder: inout GraphBuilder, _ name: String, _ shape: Shape, _ role: ParameterRole) {
    builder.declare(ParameterDeclaration(name: name, shape: shape, role: role))
  }

  /// Sixteenths between −1 and 1, variances between 1 and 2.
  private static func parameters(of graph: Graph) -> ParameterStore {
    var store = ParameterStore()
    for (number, declaration) in graph.parameters.enumerated() {
      let values = (0..<declaration.shape.count).map { index in
        Float((index * 7 + number * 5) % 33 - 16) / 16
      }
      let isVariance = declaration.role == .runningVariance
      store[declaration.name] = Parameter(
        Tensor(shape: declaration.shape, values: isVariance ? values.map { $0 / 2 + 1.5 } : values))
    }
    return store
  }
}
