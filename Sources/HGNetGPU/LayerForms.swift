import HGNetCore
import HGNetProgram

/// How the layers of a program are computed, for every batch and picture size.
///
/// Threads: a value.
struct LayerForms: Sendable {
  /// The channels that a value of a shader stands for, by the number of the layer.
  let values: [Int]
  /// The weights as `[taps, inputs, outputs]`, by the number of the layer; zero rows stand for inputs of pictures that are
  /// padded to four channels.
  let weights: [WeightShape?]

  /// The extents of packed weights.
  struct WeightShape: Hashable, Sendable {
    var taps, inputs, outputs: Int
    /// Addends, one for each output channel.
    var biases: Int
    /// Weights in the order of the file, without taps.
    var isRaw = false

    var count: Int { taps * inputs * outputs }
  }

  /// Decides for each layer.
  ///
  /// - Throws: as `InferenceProgram`.
  init(_ program: Program) throws(HGNetError) {
    let placement = try InferenceProgram(program, batch: 1, channelUnit: 4).placement
    var (values, weights) = ([Int](), [WeightShape?]())
    for layer in program.layers {
      func isAligned(_ result: Int) -> Bool { placement.locations[result]?.isAligned ?? false }
      let ends = [layer.result] + [layer.residual].compactMap { $0 }
      var own = (ends + layer.inputs).allSatisfy(isAligned) ? 4 : 1
      let isProduct = ends.allSatisfy(isAligned) && layer.inputs.allSatisfy { isAligned($0) || $0 == program.input }
      switch layer.kind {
      case .convolution(let convolution, _):
        let isDepthwise = convolution.isDepthwise || convolution.isIdentity
        if !isDepthwise { own = isProduct && convolution.groups == 1 ? 4 : 1 }
        let inputs = convolution.inputChannels / convolution.groups
        weights.append(
          WeightShape(
            taps: convolution.kernel.height * convolution.kernel.width,
            inputs: isDepthwise || own == 1 ? inputs : inputs.roundedUp(to: 4), outputs: convolution.outputChannels,
            biases: convolution.outputChannels))
      case .linear(_, _, let inputs, let outputs):
        own = isProduct ? 4 : 1
        weights.append(
          WeightShape(taps: 1, inputs: own == 1 ? inputs : inputs.roundedUp(to: 4), outputs: outputs, biases: outputs))
      case .decoder(let operation):
        own = 1
        weights.append(LayerForms.shape(operation))
      case .softmax:
        own = 1
        weights.append(nil)
      default: weights.append(nil)
      }
      values.append(own)
    }
    (self.values, self.weights) = (values, weights)
  }

  private static func shape(_ operation: DecoderOperator) -> WeightShape? {
    switch operation {
    case .queries(_, let count, let features):
      WeightShape(taps: 1, inputs: count, outputs: features, biases: 0, isRaw: true)
    case .layerNormalization(_, _, let features, _):
      WeightShape(taps: 1, inputs: 1, outputs: features, biases: features, isRaw: true)
    case .groupedLinear(_, _, let tokens, let features, let classesPerToken, _):
      WeightShape(
        taps: 1, inputs: tokens * classesPerToken, outputs: features, biases: tokens * classesPerToken, isRaw: true)
    case .attention, .dropout: nil
    }
  }
}

extension Location {
  /// Elements from the start of the buffer.
  var offset: Int { byteOffset / element.byteCount }

  /// Whether shaders can take four channels of it at a time.
  var isAligned: Bool { offset % 4 == 0 && stride % 4 == 0 && shape.channels % 4 == 0 }
}
