import HGNetCore

/// One operation of a training step.
package struct TrainingOperation: Hashable, Sendable {
  /// What it is, after the layer's name.
  package var name: String
  /// What it does.
  package var kind: Kind

  /// What an operation does.
  package enum Kind: Hashable, Sendable {
    /// A layer without state, as in inference.
    case layer(Layer, inputs: [Location], residual: Location?, output: Location)
    /// The convolution of a unit with the weights as they are now.
    case convolution(unit: Int, input: Location)
    /// Mean and variance of a unit, from the batch where these are used; running statistics move.
    case statistics(unit: Int)
    /// Rounds the weights of a unit to 8 bits, for what follows.
    case weightQuantization(unit: Int)
    /// Rounds values to the steps of a range and notes in `outside`, where it is wanted, which lay below (1) or above (2).
    case quantization(range: String, target: Location, outside: Location?)
    /// Where a value lay outside of its range, its gradient goes to that end of the range.
    case quantizationGradient(range: String, target: Location, outside: Location)
    /// Normalises, rectifies, scales and adds.
    case normalization(unit: Int, residual: Location?, output: Location)
    /// An operator of a decoder; `mask` is that of an attention's weights.
    case decoder(Layer, DecoderOperator, inputs: [Location], mask: Location?, output: Location)
    /// `target` becomes or gains something, value by value.
    case elementwise(Elementwise, target: Location, gradient: Location?, factor: Location?)
    /// From the gradient of a unit's result to that of the convolution's, and to those of its small parameters.
    case normalizationGradient(unit: Int, gradient: Location)
    /// The gradient of a unit's weights.
    case weightGradient(unit: Int, input: Location)
    /// The gradient of a unit's input, added to `target` where something is there.
    case dataGradient(unit: Int, target: Location, isAdded: Bool)
    /// Adds to `target` at the first largest pixel of each window.
    case maxPoolGradient(
      kernel: Size, stride: Size, padding: Padding, input: Location, gradient: Location, target: Location)
    /// Adds to `target`, the gradient of a gate, the sum over pixels of gradient × input.
    case gateGradient(input: Location, gradient: Location, target: Location)
    /// Adds to the gradients of a decoder's operator: of its parameters and, where wanted, of its inputs.
    case decoderGradient(
      Layer, DecoderOperator, inputs: [Location], mask: Location?, gradient: Location, targets: [Location?])
  }

  /// What happens to each value of a target.
  package enum Elementwise: Hashable, Sendable {
    /// It becomes 0.
    case zero
    /// It gains the gradient.
    case add
    /// It gains the gradient of its picture, divided by the number of pixels.
    case mean
    /// It gains the gradient times the factor of its picture.
    case gated
    /// It gains gradient × derivative, of which the factor is what is kept.
    case pointwise(Pointwise)
    /// It is multiplied by the factor.
    case mask

    /// The kind in a word.
    var title: String {
      switch self {
      case .zero: "zero"
      case .add: "add"
      case .mean: "mean"
      case .gated: "gated"
      case .pointwise(let function): function.rawValue
      case .mask: "mask"
      }
    }
  }
}

extension TrainingOperation.Kind {
  /// All arrays that it reads or writes.
  func locations(_ units: [TrainingUnit]) -> [Location] {
    switch self {
    case .layer(_, let inputs, let residual, let output): inputs + [residual, output].compactMap { $0 }
    case .convolution(let unit, let input): [units[unit].convolved, input] + units[unit].rounded
    case .statistics(let unit): [units[unit].convolved]
    case .weightQuantization(let unit): units[unit].rounded
    case .quantization(_, let target, let outside): [target] + [outside].compactMap { $0 }
    case .quantizationGradient(_, let target, let outside): [target, outside]
    case .normalization(let unit, let residual, let output):
      [units[unit].convolved, output] + [residual].compactMap { $0 }
    case .decoder(_, _, let inputs, let mask, let output): inputs + [mask, output].compactMap { $0 }
    case .elementwise(_, let target, let gradient, let factor): [target] + [gradient, factor].compactMap { $0 }
    case .normalizationGradient(let unit, let gradient): [units[unit].convolved, gradient]
    case .weightGradient(let unit, let input): [units[unit].convolved, input]
    case .dataGradient(let unit, let target, _): [units[unit].convolved, target] + units[unit].rounded
    case .maxPoolGradient(_, _, _, let input, let gradient, let target): [input, gradient, target]
    case .gateGradient(let input, let gradient, let target): [input, gradient, target]
    case .decoderGradient(_, _, let inputs, let mask, let gradient, let targets):
      inputs + targets.compactMap { $0 } + [mask, gradient].compactMap { $0 }
    }
  }
}
