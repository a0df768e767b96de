import CHGNetKernels
import HGNetCore
import HGNetPlatform

/// How a step computes its result, as shown by `HGNET_VERBOSE=1`.
enum Algorithm: String, Sendable {
  case product, direct, depthwise
  /// Winograd with tiles of 2×2 or 4×4 results: 2.25 and 4 times fewer products than direct, and the latter with ten
  /// times the rounding.
  case winogradF2 = "winograd-f2"
  case winogradF4 = "winograd-f4"

  /// The side of a tile of results; nil for other algorithms.
  var winogradTile: Int? {
    switch self {
    case .winogradF2: 2
    case .winogradF4: 4
    case .product, .direct, .depthwise: nil
    }
  }
}

/// The weights of one step in the layout that its kernel streams, and its bias.
struct PackedWeights: Sendable {
  let algorithm: Algorithm
  let weightCount: Int
  let paddedColumns: Int
  nonisolated(unsafe) let weights: UnsafeMutablePointer<Float>
  nonisolated(unsafe) let bias: UnsafeMutablePointer<Float>
}

/// What `PackedWeights` will need, known before any parameter is read.
struct PackedExtent {
  let algorithm: Algorithm
  let weightCount: Int
  let columns: Int

  var paddedColumns: Int { (columns + 15) / 16 * 16 }
  /// The floats of all, `Int.max` where they do not fit.
  static func sum(_ extents: [PackedExtent?]) -> Int {
    extents.reduce(0) { sum, extent in
      let (result, overflow) = sum.addingReportingOverflow(extent?.count ?? 0)
      return overflow ? .max : result
    }
  }

  /// Floats in the arena, each part on a cache line of its own.
  var count: Int { (weightCount + 15) / 16 * 16 + paddedColumns }
}

/// All packed weights of a model in one block.
final class WeightArena: Sendable {
  nonisolated(unsafe) let base: UnsafeMutablePointer<Float>
  let count: Int

  /// - Throws: `HGNetError.Code.limitExceeded` when there is not enough memory.
  init(count: Int) throws(HGNetError) {
    self.count = count
    base = try UnsafeMutablePointer.pages(count: count, isLarge: false, for: "the weights of the network")
  }

  deinit { free(base) }
}

extension UnsafeMutablePointer where Pointee == Float {
  /// Uninitialised memory for large data; give it back with `free`.
  ///
  /// - Parameters:
  ///   - count: the number of floats.
  ///   - isLarge: whether to ask for pages of 2 MB where the system has them. A training step gains 2 % from
  ///     them. A model that is loaded to run does not gain, and waits for them: a virtual machine that hands free memory
  ///     back to its host takes a millisecond or two for each (`Benchmarks/NOTES.md`).
  ///   - subject: what it is for, in the words of an error.
  ///   - advice: what would fit, as for `MemoryNeed.check`.
  /// - Throws: `HGNetError.Code.limitExceeded` when the process may not have that much.
  static func pages(
    count: Int, isLarge: Bool, for subject: @autoclosure () -> String,
    advice: (_ share: Double) -> String = { _ in "" }
  ) throws(HGNetError) -> UnsafeMutablePointer<Float> {
    let large = 1 << 21
    let (bytes, overflow) = Swift.max(count, 16).multipliedReportingOverflow(by: 4)
    let byteCount = overflow ? Int.max : bytes
    let isLarge = isLarge && byteCount >= large
    let raw = try MemoryBlock.allocate(
      byteCount: byteCount, alignment: isLarge ? large : 64, for: subject(), advice: advice)
    #if os(Linux)
      if isLarge { madvise(raw, byteCount, MADV_HUGEPAGE) }
    #endif
    return raw.bindMemory(to: Float.self, capacity: Swift.max(count, 16))
  }
}

/// The numbers of an epilogue; the residual's place is the plan's business.
struct EpilogueValues: Hashable, Sendable {
  var lower: Float
  var scale: Float
  var shift: Float

  /// Leaves a result as it is.
  static let none = EpilogueValues(lower: -.infinity, scale: 1, shift: 0)
}

/// Reads parameters by name with their shapes checked.
struct ParameterReader {
  let store: any ParameterSource

  private func parameter(_ name: String, shape: Shape, layer: String) throws(HGNetError) -> Parameter {
    guard let parameter = store[name] else {
      throw HGNetError(.parameterMismatch, "the parameter is missing from the weights", key: name, layer: layer)
    }
    guard parameter.shape == shape else {
      throw HGNetError(
        .parameterMismatch, "expected shape \(shape), found \(parameter.shape)", key: name, layer: layer)
    }
    return parameter
  }

  func tensor(_ name: String, shape: Shape, layer: String) throws(HGNetError) -> Tensor {
    let parameter = try parameter(name, shape: shape, layer: layer)
    let tensor = try parameter.allocatedTensor()
    parameter.discardPages()
    return tensor
  }

  /// Calls `body` with the values of a large parameter, without a copy where there need be none.
  func withValues(
    _ name: String, shape: Shape, layer: String, _ body: (UnsafePointer<Float>) -> Void
  ) throws(HGNetError) {
    let parameter = try parameter(name, shape: shape, layer: layer)
    parameter.withFloats { values in
      if let base = values.baseAddress { body(base) }
    }
    parameter.discardPages()
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
      case .dropout(let probability):
        scale *= 1 - probability
        shift *= 1 - probability
      }
    }
    return EpilogueValues(lower: node.isRectified ? 0 : -.infinity, scale: scale, shift: shift)
  }

  /// Reads the parameters of a node into its place in the arena.
  func pack(_ node: FusedGraph.Node, into packed: PackedWeights) throws(HGNetError) {
    packed.bias.update(repeating: 0, count: packed.paddedColumns)
    switch node.kind {
    case .convolution(let convolution, let normalization):
      try pack(convolution, normalization, layer: node.name, into: packed)
    case .linear(let weight, let bias, let inputFeatures, let outputFeatures):
      try withValues(weight, shape: [inputFeatures, outputFeatures], layer: node.name) {
        hg_pack_linear($0, Int32(outputFeatures), Int32(inputFeatures), packed.weights)
      }
      if let bias {
        let values = try tensor(bias, shape: [outputFeatures], layer: node.name)
        for column in 0..<outputFeatures { packed.bias[column] = values[column] }
      }
    case .decoder(let operation): try pack(operation, layer: node.name, into: packed)
    default: return
    }
  }

  private func pack(
    _ convolution: Convolution, _ normalization: BatchNormalization?, layer: String, into packed: PackedWeights
  ) throws(HGNetError) {
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
    packed.bias.update(from: biases, count: columns)
    let pack = { (weight: UnsafePointer<Float>) in
      switch packed.algorithm {
      case .product, .direct:
        hg_pack_dense(weight, factors, Int32(columns), Int32(channels), Int32(taps), packed.weights)
      case .winogradF2, .winogradF4:
        let panels = Int32(packed.paddedColumns / 16)
        hg_pack_winograd(
          weight, factors, Int32(packed.algorithm.winogradTile ?? 0), Int32(columns), Int32(channels), 0, panels,
          packed.weights)
      case .depthwise: hg_pack_depthwise(weight, factors, Int32(columns), Int32(taps), packed.weights)
      }
    }
    if convolution.isIdentity { return pack([Float](repeating: 1, count: columns)) }
    try withValues(
      convolution.weight, shape: [columns, channels, convolution.kernel.height, convolution.kernel.width],
      layer: layer, pack)
  }
}

extension FusedGraph.Node {
  /// The room that the packed weights take; nil for a node without weights.
  ///
  /// - Throws: as `Convolution.algorithm`.
  func packedExtent() throws(HGNetError) -> PackedExtent? {
    switch kind {
    case .convolution(let convolution, _):
      let algorithm = try convolution.algorithm(layer: name)
      return PackedExtent(
        algorithm: algorithm, weightCount: convolution.packedCount(algorithm), columns: convolution.outputChannels)
    case .linear(_, _, let inputFeatures, let outputFeatures):
      let padded = (outputFeatures + 15) / 16 * 16
      return PackedExtent(algorithm: .product, weightCount: padded * inputFeatures, columns: outputFeatures)
    case .decoder(let operation): return operation.packedExtent
    default: return nil
    }
  }
}

extension Convolution {
  /// Floats of packed weights for an algorithm.
  func packedCount(_ algorithm: Algorithm) -> Int {
    let padded = (outputChannels + 15) / 16 * 16
    let channels = inputChannels / groups
    let taps = kernel.height * kernel.width
    switch algorithm {
    case .product, .direct: return padded * channels * taps
    case .winogradF2: return padded * channels * 4 * 4
    case .winogradF4: return padded * channels * 6 * 6
    case .depthwise: return padded * taps
    }
  }

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
    if kernel == Size(3), stride == Size(1), inputChannels % 16 == 0, outputChannels % 16 == 0 { return .winogradF4 }
    return .direct
  }
}
