import HGNetCore
import HGNetProgram

/// Makes the channels between a convolution and the depthwise one behind it equally large.
///
/// A result has one scale for all its channels, so that small channels have few steps. Where nothing but a depthwise
/// convolution reads a result, each of its channels can be made larger by the normalisation before and smaller again by the
/// depthwise weights behind. In float nothing changes, and since weights have a scale for each channel, they lose nothing.
///
/// Source: Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction (2019), where both
/// weights share a scale.
package struct Equalization {
  /// A result between two layers, and the parameters around it.
  package struct Pair {
    /// Its number.
    package var result: Int
    var normalization: BatchNormalization
    var weight: String
  }

  /// The largest factor on a channel, so that one that was hardly ever used keeps a sensible size.
  private static let mostGain: Float = 1024

  /// The results that only a depthwise convolution reads.
  package let pairs: [Pair]

  /// Finds the pairs of a network.
  package init(_ program: Program) {
    var readers: [Int: [Layer]] = [:]
    for layer in program.layers {
      for input in layer.inputs + [layer.residual].compactMap({ $0 }) { readers[input, default: []].append(layer) }
    }
    let outputs = Set(program.outputs.map(\.result))
    pairs = program.layers.compactMap { layer in
      guard case .convolution(let convolution, let normalization?) = layer.kind, !convolution.isIdentity,
        !layer.hasReLU, layer.affine.isEmpty, layer.residual == nil, !outputs.contains(layer.result),
        let found = readers[layer.result], found.count == 1, let reader = found.first,
        case .convolution(let depthwise, _) = reader.kind, !depthwise.isIdentity,
        depthwise.groups == depthwise.inputChannels, depthwise.outputChannels == depthwise.inputChannels
      else { return nil }
      return Pair(result: layer.result, normalization: normalization, weight: depthwise.weight)
    }
  }

  /// The parameters with equally large channels.
  ///
  /// - Parameters:
  ///   - parameters: in float.
  ///   - limits: the largest absolute value of each channel of a result.
  /// - Throws: `HGNetError.Code.limitExceeded` without memory.
  package func applied(
    to parameters: ParameterStore, limits: (_ result: Int) -> [Float]?
  ) throws(HGNetError) -> ParameterStore {
    var store = parameters
    for pair in pairs {
      guard let limits = limits(pair.result), let most = limits.max(), most > 0 else { continue }
      let gains = limits.map { $0 > 0 ? min(most / $0, Equalization.mostGain) : 1 }
      try store.scale(pair.normalization.weight, by: gains)
      try store.scale(pair.normalization.bias, by: gains)
      try store.scale(pair.weight, by: gains.map { 1 / $0 })
    }
    return store
  }
}

extension ParameterStore {
  /// Multiplies a parameter by a factor for each place of its first axis.
  fileprivate mutating func scale(_ name: String, by factors: [Float]) throws(HGNetError) {
    guard let parameter = self[name] else { return }
    let tensor = try parameter.allocatedTensor()
    let run = tensor.count / max(factors.count, 1)
    guard run > 0 else { return }
    self[name] = try Parameter(allocating: tensor.shape, for: name) { target in
      tensor.withUnsafeBufferPointer { values in
        for index in target.indices { target[index] = values[index] * factors[index / run % factors.count] }
      }
    }
  }
}
