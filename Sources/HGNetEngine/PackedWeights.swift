import CHGNetKernels
import HGNetCore

/// How a step computes its result, as shown by `HGNET_VERBOSE=1`.
enum Algorithm: String, Sendable {
  case product, direct, winograd, depthwise
}

/// The weights of one step in the layout that its kernel streams; made once, shared by all plans.
final class PackedWeights: Sendable {
  let algorithm: Algorithm
  nonisolated(unsafe) let weights: UnsafeMutablePointer<Float>
  nonisolated(unsafe) let bias: UnsafeMutablePointer<Float>
  let weightCount: Int
  let paddedColumns: Int

  init(algorithm: Algorithm, weightCount: Int, columns: Int) {
    self.algorithm = algorithm
    self.weightCount = weightCount
    paddedColumns = (columns + 15) / 16 * 16
    weights = UnsafeMutablePointer.alignedFloats(weightCount)
    bias = UnsafeMutablePointer.alignedFloats(paddedColumns)
    bias.update(repeating: 0, count: paddedColumns)
  }

  deinit {
    UnsafeMutableRawPointer(weights).deallocate()
    UnsafeMutableRawPointer(bias).deallocate()
  }
}

extension UnsafeMutablePointer where Pointee == Float {
  /// An allocation of at least one value on a cache line of its own.
  static func alignedFloats(_ count: Int) -> UnsafeMutablePointer<Float> {
    UnsafeMutableRawPointer.allocate(byteCount: Swift.max(count, 1) * 4, alignment: 64)
      .bindMemory(to: Float.self, capacity: Swift.max(count, 1))
  }
}

/// The numbers of an epilogue; the residual's place is the plan's business.
struct EpilogueValues: Hashable, Sendable {
  var lower: Float
  var scale: Float
  var shift: Float
}

/// Reads parameters by name with their shapes checked.
struct ParameterReader {
  let store: ParameterStore

  func tensor(_ name: String, shape: Shape, layer: String) throws(HGNetError) -> Tensor {
    guard let parameter = store[name] else {
      throw HGNetError(.parameterMismatch, "the parameter is missing from the weights", key: name, layer: layer)
    }
    guard parameter.shape == shape else {
      throw HGNetError(
        .parameterMismatch, "expected shape \(shape), found \(parameter.shape)", key: name, layer: layer)
    }
    let tensor = parameter.tensor()
    parameter.discardPages()
    return tensor
  }

  func scalar(_ name: String, layer: String) throws(HGNetError) -> Float {
    guard let parameter = store[name], parameter.shape.count == 1 else {
      throw HGNetError(.parameterMismatch, "expected one value in the weights", key: name, layer: layer)
    }
    return parameter.tensor()[0]
  }

  /// The whole affine part of a node's epilogue as one factor and one addend.
  func epilogue(of node: FusedGraph.Node) throws(HGNetError) -> EpilogueValues {
    var scale: Float = 1
    var shift: Float = 0
    for step in node.affine {
      switch step {
      case .affine(let scaleName, let biasName):
        let factor = try scalar(scaleName, layer: node.name)
        scale *= factor
        shift = shift * factor + (try scalar(biasName, layer: node.name))
      case .factor(let factor):
        scale *= factor
        shift *= factor
      }
    }
    return EpilogueValues(lower: node.isRectified ? 0 : -.infinity, scale: scale, shift: shift)
  }

  func packed(_ node: FusedGraph.Node) throws(HGNetError) -> PackedWeights? {
    switch node.kind {
    case .convolution(let convolution, let normalization):
      return try packed(convolution, normalization, layer: node.name)
    case .linear(let weight, let bias, let inputFeatures, let outputFeatures):
      let packed = PackedWeights(
        algorithm: .product, weightCount: (outputFeatures + 15) / 16 * 16 * inputFeatures, columns: outputFeatures)
      try tensor(weight, shape: [inputFeatures, outputFeatures], layer: node.name).withUnsafeBufferPointer {
        guard let base = $0.baseAddress else { return }
        hg_pack_linear(base, Int32(outputFeatures), Int32(inputFeatures), packed.weights)
      }
      if let bias {
        let values = try tensor(bias, shape: [outputFeatures], layer: node.name)
        for column in 0..<outputFeatures { packed.bias[column] = values[column] }
      }
      return packed
    default: return nil
    }
  }

  private func packed(
    _ convolution: Convolution, _ normalization: BatchNormalization?, layer: String
  ) throws(HGNetError) -> PackedWeights {
    let columns = convolution.outputChannels
    let channels = convolution.inputChannels / convolution.groups
    let taps = convolution.kernel.height * convolution.kernel.width
    // Folded in double: y = (conv(x) + b - mean) * f + beta with f = gamma / sqrt(variance + epsilon).
    var factors = [Float](repeating: 1, count: columns)
    var biases = [Float](repeating: 0, count: columns)
    if let name = convolution.bias {
      biases = try tensor(name, shape: [columns], layer: layer).values
    }
    if let normalization {
      let gamma = try tensor(normalization.weight, shape: [columns], layer: layer)
      let beta = try tensor(normalization.bias, shape: [columns], layer: layer)
      let mean = try tensor(normalization.mean, shape: [columns], layer: layer)
      let variance = try tensor(normalization.variance, shape: [columns], layer: layer)
      for column in 0..<columns {
        let factor = Double(gamma[column]) / (Double(variance[column]) + Double(normalization.epsilon)).squareRoot()
        factors[column] = Float(factor)
        biases[column] = Float((Double(biases[column]) - Double(mean[column])) * factor + Double(beta[column]))
      }
    }
    let weight: Tensor
    if convolution.isIdentity {
      weight = Tensor(shape: [columns, 1, 1, 1], repeating: 1)
    } else {
      weight = try tensor(
        convolution.weight, shape: [columns, channels, convolution.kernel.height, convolution.kernel.width],
        layer: layer)
    }
    let algorithm = try convolution.algorithm(layer: layer)
    let padded = (columns + 15) / 16 * 16
    let count =
      switch algorithm {
      case .product, .direct: padded * channels * taps
      case .winograd: padded * channels * 36
      case .depthwise: padded * taps
      }
    let packed = PackedWeights(algorithm: algorithm, weightCount: count, columns: columns)
    packed.bias.update(from: biases, count: columns)
    weight.withUnsafeBufferPointer {
      guard let base = $0.baseAddress else { return }
      switch algorithm {
      case .product, .direct:
        hg_pack_dense(base, factors, Int32(columns), Int32(channels), Int32(taps), packed.weights)
      case .winograd:
        hg_pack_winograd(base, factors, Int32(columns), Int32(channels), 0, Int32(padded / 16), packed.weights)
      case .depthwise: hg_pack_depthwise(base, factors, Int32(columns), Int32(taps), packed.weights)
      }
    }
    return packed
  }
}

extension Convolution {
  /// The pass that chooses an algorithm, from the layer alone, so that every input size gives the same arithmetic.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for groups other than dense and depthwise, and for windows beyond 64 taps.
  func algorithm(layer: String) throws(HGNetError) -> Algorithm {
    if isDepthwise || isIdentity { return .depthwise }
    guard groups == 1 else {
      throw HGNetError(.unsupported, "a convolution of \(groups) groups is neither dense nor depthwise", layer: layer)
    }
    guard kernel.height * kernel.width <= 64 else {
      throw HGNetError(.unsupported, "a \(kernel) convolution window is larger than 64 pixels", layer: layer)
    }
    if kernel == Size(1), stride == Size(1), padding == Padding(0) { return .product }
    if kernel == Size(3), stride == Size(1), inputChannels % 16 == 0, outputChannels % 16 == 0 { return .winograd }
    return .direct
  }
}
