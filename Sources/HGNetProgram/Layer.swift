import HGNetCore

/// A layer of a program: an operator with the cheap ones that follow it.
///
/// Its result is `y = max(x, 0)` where it has a ReLU, then the affine steps, then the residual, in this order.
package struct Layer: Hashable, Sendable {
  /// What a layer does before its epilogue.
  package enum Kind: Hashable, Sendable {
    case convolution(Convolution, BatchNormalization?)
    case linear(weight: String, bias: String?, inputFeatures: Int, outputFeatures: Int)
    case maxPool(kernel: Size, stride: Size, padding: Padding)
    case globalAveragePool
    case concatenate
    case copy, add, gate, softmax
    case pointwise(Pointwise)
    case decoder(DecoderOperator)
  }

  /// A step of the affine part of an epilogue.
  package enum AffineStep: Hashable, Sendable {
    case affine(scale: String, bias: String)
    case dropout(probability: Float)
  }

  /// The name, as in the parameters.
  package var name: String
  /// What it does.
  package var kind: Kind
  /// The results that it reads, by their numbers.
  package var inputs: [Int]
  /// The number of its result: that of the first graph node whose work it does.
  package var result: Int
  /// Whether negative values become zero.
  package var hasReLU = false
  /// Factors and addends that follow.
  package var affine: [AffineStep] = []
  /// The result that is added last.
  package var residual: Int?
  /// Whether it is computed in float32 at every precision.
  package var staysFloat = false
  /// Whether a concatenation has a scale of its own, to which what it reads is rounded once more.
  package var hasOwnScale = false
  /// What quantisation-aware training does to it; nil otherwise.
  package var quantization: LayerQuantization?

  /// Makes a layer without an epilogue.
  package init(name: String, kind: Kind, inputs: [Int], result: Int) {
    self.name = name
    self.kind = kind
    self.inputs = inputs
    self.result = result
  }

  /// The names of the parameters in it that can be learned.
  package var learnedParameters: [String] {
    var names: [String] = []
    switch kind {
    case .convolution(let convolution, let normalization):
      names = [convolution.weight] + [convolution.bias].compactMap { $0 }
      if let normalization { names += [normalization.weight, normalization.bias] }
    case .linear(let weight, let bias, _, _): names = [weight] + [bias].compactMap { $0 }
    // Queries are drawn once and stay.
    case .decoder(.queries): break
    case .decoder(let operation): names = operation.parameterNames
    default: break
    }
    for case .affine(let scale, let bias) in affine { names += [scale, bias] }
    if let quantization, quantization.ownsRange, let range = quantization.range { names.append(range) }
    return names
  }

  /// Whether an epilogue can follow.
  package var canHaveEpilogue: Bool {
    switch kind {
    case .convolution, .linear, .copy, .add, .gate: true
    default: false
    }
  }
}

extension Convolution {
  /// Stands for "each channel as it is", so that a lone batch normalisation is a depthwise convolution.
  static func identity(_ node: Graph.Node) -> Convolution {
    let channels = node.shape.channels
    return Convolution(
      weight: "", inputChannels: channels, outputChannels: channels, kernel: Size(1), stride: Size(1),
      padding: Padding(0), groups: channels)
  }

  /// Whether this is the stand-in.
  package var isIdentity: Bool { weight.isEmpty }
}
