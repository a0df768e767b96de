import HGNetCore

/// A graph on its way to a program: each layer may have taken over the cheap operators that follow it.
///
/// Layers are numbered as the nodes of the graph; one that was taken over is nil and `alias` says who computes its result.
struct Fusion {
  var layers: [Layer?]
  /// The outputs of the graph.
  var outputs: [Graph.Output]
  private var alias: [Int]
  /// The names of affine blocks and sums that no other layer takes over.
  var apart: Set<String> = []

  /// One layer per graph node, nothing fused yet.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for a second input.
  init(_ graph: Graph, isTraining: Bool) throws(HGNetError) {
    layers = []
    for (index, node) in graph.nodes.enumerated() {
      if case .input = node.operation {
        guard index == 0 else {
          throw HGNetError(.unsupported, "expected one input, found a second one", layer: node.name)
        }
        layers.append(nil)
      } else {
        layers.append(Fusion.layer(node, number: index, isTraining: isTraining))
      }
    }
    outputs = graph.outputs
    alias = Array(layers.indices)
  }

  private static func layer(_ node: Graph.Node, number: Int, isTraining: Bool) -> Layer {
    var layer = Layer(name: node.name, kind: .copy, inputs: node.inputs.map(\.index), result: number)
    switch node.operation {
    case .input, .flatten: break
    case .convolution(let convolution): layer.kind = .convolution(convolution, nil)
    case .batchNormalization(let normalization): layer.kind = .convolution(.identity(node), normalization)
    case .relu: layer.hasReLU = true
    case .affine(let scale, let bias): layer.affine = [.affine(scale: scale, bias: bias)]
    case .dropout(let probability): layer.affine = [.dropout(probability: probability)]
    case .pointwise(let function): layer.kind = .pointwise(function)
    case .softmax: layer.kind = .softmax
    case .maxPool(let kernel, let stride, let padding):
      layer.kind = .maxPool(kernel: kernel, stride: stride, padding: padding)
    case .globalAveragePool: layer.kind = .globalAveragePool
    case .concatenate: layer.kind = .concatenate
    case .add: layer.kind = .add
    case .multiplyPerChannel: layer.kind = .gate
    case .decoder(.dropout(let probability)) where !isTraining || probability == 0: break
    case .decoder(let operation): layer.kind = .decoder(operation)
    case .linear(let weight, let bias, let inputFeatures, let outputFeatures):
      layer.kind = .linear(weight: weight, bias: bias, inputFeatures: inputFeatures, outputFeatures: outputFeatures)
    }
    return layer
  }

  /// Runs all passes in their order.
  mutating func runPasses() {
    foldBatchNormalization()
    fuseReLU()
    foldAffine()
    fuseResidual()
  }

  /// The layer that computes the result of a graph node.
  func producer(of index: Int) -> Int {
    var index = index
    while alias[index] != index { index = alias[index] }
    return index
  }

  /// The readers of each layer's result; an output of the graph counts as a reader.
  func readerCounts() -> [Int] {
    var counts = [Int](repeating: 0, count: layers.count)
    for layer in layers.compactMap({ $0 }) {
      for input in layer.inputs { counts[producer(of: input)] += 1 }
      if let residual = layer.residual { counts[producer(of: residual)] += 1 }
    }
    for output in outputs { counts[producer(of: output.node.index)] += 1 }
    return counts
  }

  /// Lets one layer do another's work.
  mutating func absorb(_ index: Int, into producer: Int) {
    layers[index] = nil
    alias[index] = producer
  }

  /// Points every reader at the layer that computes what it reads.
  mutating func resolveAliases() {
    for index in layers.indices {
      guard var layer = layers[index] else { continue }
      layer.inputs = layer.inputs.map { producer(of: $0) }
      layer.residual = layer.residual.map { producer(of: $0) }
      layers[index] = layer
    }
    outputs = outputs.map { $0.moved(to: Graph.NodeID(producer(of: $0.node.index))) }
  }
}
