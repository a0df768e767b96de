/// The zero border that a window sees around its input, in pixels; maximum pooling sees minus infinity instead.
public struct Padding: Hashable, Sendable {
  /// Pixels above, left of, below and right of the input.
  public var top, left, bottom, right: Int

  /// Makes a padding from its four sides.
  public init(top: Int, left: Int, bottom: Int, right: Int) {
    self.top = top
    self.left = left
    self.bottom = bottom
    self.right = right
  }

  /// The same padding on all four sides.
  public init(_ all: Int) { self.init(top: all, left: all, bottom: all, right: all) }

  /// PaddlePaddle's `SAME` for a 2×2 window with stride 1: nothing above and left, one pixel below and right.
  public static let sameForTwoByTwo = Padding(top: 0, left: 0, bottom: 1, right: 1)
}

/// A 2-D convolution without activation.
public struct Convolution: Hashable, Sendable {
  /// The parameter of shape `[outputChannels, inputChannels / groups, kernel height, kernel width]`.
  public var weight: String
  /// The parameter of shape `[outputChannels]`, if any.
  public var bias: String?
  /// The number of input channels.
  public var inputChannels: Int
  /// The number of output channels.
  public var outputChannels: Int
  /// The window.
  public var kernel: Size
  /// The step of the window.
  public var stride: Size
  /// The zero border around the input.
  public var padding: Padding
  /// The number of groups; `inputChannels` for a depthwise convolution.
  public var groups: Int

  /// Makes a convolution.
  public init(
    weight: String, bias: String? = nil, inputChannels: Int, outputChannels: Int, kernel: Size, stride: Size,
    padding: Padding, groups: Int
  ) {
    self.weight = weight
    self.bias = bias
    self.inputChannels = inputChannels
    self.outputChannels = outputChannels
    self.kernel = kernel
    self.stride = stride
    self.padding = padding
    self.groups = groups
  }

  /// Whether every channel is convolved on its own.
  public var isDepthwise: Bool { groups == inputChannels && groups == outputChannels && groups > 1 }
}

/// Batch normalisation over N, H and W: `(x - mean) / sqrt(variance + epsilon) * weight + bias`.
public struct BatchNormalization: Hashable, Sendable {
  /// The parameters of shape `[channels]`.
  public var weight, bias, mean, variance: String
  /// Added to the variance.
  public var epsilon: Float
  /// The share of the old running statistics that is kept at each step of training (PaddlePaddle's convention).
  public var momentum: Float

  /// Makes a batch normalisation.
  public init(
    weight: String, bias: String, mean: String, variance: String, epsilon: Float = 1e-5, momentum: Float = 0.9
  ) {
    self.weight = weight
    self.bias = bias
    self.mean = mean
    self.variance = variance
    self.epsilon = epsilon
    self.momentum = momentum
  }
}

/// What a node of a graph computes.
///
/// Inputs and outputs are `[N, H, W, C]`. What holds of an operator for every reader of a graph stands in this file:
/// its parameters, its name, the number of its inputs, the extents of its result and its arithmetic.
public enum Operator: Hashable, Sendable {
  /// The pictures that enter the network.
  case input(channels: Int)
  /// A convolution.
  case convolution(Convolution)
  /// A batch normalisation.
  case batchNormalization(BatchNormalization)
  /// `max(x, 0)`.
  case relu
  /// A function of each value by itself.
  case pointwise(Pointwise)
  /// `exp(x) / sum(exp(x))` over the channels.
  case softmax
  /// The learnable affine block: `scale * x + bias` with two parameters of shape `[1]`.
  case affine(scale: String, bias: String)
  /// The maximum over a window; the border never wins.
  case maxPool(kernel: Size, stride: Size, padding: Padding)
  /// The mean over H and W, giving 1×1.
  case globalAveragePool
  /// The inputs one after the other along the channels.
  case concatenate
  /// The sum of two inputs of the same shape.
  case add
  /// The first input times the second, whose H and W are 1: one factor per channel.
  case multiplyPerChannel
  /// Drops values in training without rescaling the rest; in inference multiplies by `1 - probability`
  /// (PaddlePaddle's `downscale_in_infer`).
  case dropout(probability: Float)
  /// H, W and C as one axis; only for H = W = 1.
  case flatten
  /// `x · weight + bias` for each pixel, with the weight of shape `[inputFeatures, outputFeatures]`.
  case linear(weight: String, bias: String?, inputFeatures: Int, outputFeatures: Int)
  /// What a transformer decoder is made of.
  case decoder(DecoderOperator)
}

extension Operator {
  /// The operator with every name of a parameter replaced.
  ///
  /// - Parameter name: given each name in the order of `parameterNames`.
  public func mapParameters(_ name: (String) -> String) -> Operator {
    switch self {
    case .convolution(var convolution):
      convolution.weight = name(convolution.weight)
      convolution.bias = convolution.bias.map(name)
      return .convolution(convolution)
    case .batchNormalization(var norm):
      norm.weight = name(norm.weight)
      norm.bias = name(norm.bias)
      norm.mean = name(norm.mean)
      norm.variance = name(norm.variance)
      return .batchNormalization(norm)
    case .affine(let scale, let bias): return .affine(scale: name(scale), bias: name(bias))
    case .linear(let weight, let bias, let inputs, let outputs):
      return .linear(weight: name(weight), bias: bias.map(name), inputFeatures: inputs, outputFeatures: outputs)
    case .decoder(let operation): return .decoder(operation.mapParameters(name))
    case .input, .relu, .pointwise, .softmax, .maxPool, .globalAveragePool, .concatenate, .add, .multiplyPerChannel,
      .dropout, .flatten:
      return self
    }
  }

  /// The parameters that the operator reads.
  public var parameterNames: [String] {
    var names: [String] = []
    _ = mapParameters { name in
      names.append(name)
      return name
    }
    return names
  }

  /// What a person calls it, with what tells it from others of its kind, such as `convolution 3×3 stride 2`.
  package var title: String {
    switch self {
    case .input: "input"
    case .convolution(let convolution):
      (convolution.isDepthwise ? "depthwise" : "convolution") + " \(convolution.kernel)"
        + (convolution.stride == Size(1) ? "" : " stride \(convolution.stride.height)")
    case .batchNormalization: "batch norm"
    case .relu: "ReLU"
    case .pointwise(let function): function.rawValue
    case .softmax: "softmax"
    case .affine: "affine block"
    case .maxPool(let kernel, let stride, _):
      "max pool \(kernel)" + (stride == Size(1) ? "" : " stride \(stride.height)")
    case .globalAveragePool: "average pool"
    case .concatenate: "concatenate"
    case .add: "add"
    case .multiplyPerChannel: "multiply"
    case .dropout(let probability): "dropout \(probability)"
    case .flatten: "flatten"
    case .linear: "linear"
    case .decoder(let operation): operation.title
    }
  }

  /// How many inputs it takes.
  package var arity: ClosedRange<Int> {
    switch self {
    case .input: 0...0
    case .concatenate: 1...Int.max
    case .add, .multiplyPerChannel: 2...2
    case .decoder(let operation): operation.arity
    case .convolution, .batchNormalization, .relu, .pointwise, .softmax, .affine, .maxPool, .globalAveragePool,
      .dropout,
      .flatten, .linear:
      1...1
    }
  }

  /// The extents of the result from those of the inputs.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` naming the layer.
  func outputShape(of inputs: [ActivationShape], inputSize: Size, layer: String) throws(HGNetError) -> ActivationShape {
    func mismatch(_ message: String) -> HGNetError { HGNetError(.shapeMismatch, message, layer: layer) }
    guard arity.contains(inputs.count) else { throw mismatch("wrong number of inputs: \(inputs.count)") }
    if case .decoder(let operation) = self {
      guard let shape = operation.outputShape(of: inputs) else {
        throw mismatch("these inputs do not fit: " + inputs.map(\.description).joined(separator: ", "))
      }
      return shape
    }
    guard let first = inputs.first else {
      guard case .input(let channels) = self else { throw mismatch("a node without inputs") }
      return ActivationShape(channels: channels, height: inputSize.height, width: inputSize.width)
    }
    switch self {
    case .input: throw mismatch("an input node cannot have inputs")
    case .convolution(let convolution):
      guard first.channels == convolution.inputChannels else {
        throw mismatch("expected \(convolution.inputChannels) channels, found \(first.channels)")
      }
      guard convolution.groups > 0, convolution.inputChannels % convolution.groups == 0,
        convolution.outputChannels % convolution.groups == 0
      else { throw mismatch("\(convolution.groups) groups do not divide the channels") }
      return try first.windowed(
        convolution.kernel, convolution.stride, convolution.padding, channels: convolution.outputChannels, layer: layer)
    case .maxPool(let kernel, let stride, let padding):
      return try first.windowed(kernel, stride, padding, channels: first.channels, layer: layer)
    case .globalAveragePool: return ActivationShape(channels: first.channels, height: 1, width: 1)
    case .concatenate:
      var channels = 0
      for input in inputs {
        guard input.height == first.height, input.width == first.width else {
          throw mismatch("cannot concatenate \(first) and \(input)")
        }
        let (sum, overflow) = channels.addingReportingOverflow(input.channels)
        guard !overflow else { throw mismatch("too many channels to concatenate") }
        channels = sum
      }
      return ActivationShape(channels: channels, height: first.height, width: first.width)
    case .add:
      guard inputs[1] == first else { throw mismatch("cannot add \(first) and \(inputs[1])") }
      return first
    case .multiplyPerChannel:
      guard inputs[1] == ActivationShape(channels: first.channels, height: 1, width: 1) else {
        throw mismatch("cannot multiply \(first) by \(inputs[1]) per channel")
      }
      return first
    case .flatten:
      guard first.height == 1, first.width == 1 else { throw mismatch("cannot flatten \(first): expected 1×1 pixels") }
      return first
    case .linear(_, _, let inputFeatures, let outputFeatures):
      guard first.channels == inputFeatures else {
        throw mismatch("expected \(inputFeatures) features, found \(first)")
      }
      return ActivationShape(channels: outputFeatures, height: first.height, width: first.width)
    case .decoder: throw mismatch("a decoder is done above")
    case .batchNormalization, .relu, .pointwise, .softmax, .affine, .dropout: return first
    }
  }

  /// The multiply-accumulates of products for one picture; nil beyond 2^56, which no machine computes.
  ///
  /// - Parameters:
  ///   - shape: the extents of the result.
  ///   - inputs: those of the inputs.
  func multiplyAdds(of shape: ActivationShape, inputs: [ActivationShape]) -> Int? {
    func product(_ factors: Int...) -> Int? { ActivationShape.product(factors).flatMap { $0 <= 1 << 56 ? $0 : nil } }
    let (channels, height, width) = (shape.channels, shape.height, shape.width)
    switch self {
    case .convolution(let convolution):
      return product(
        channels, height, width, convolution.inputChannels, convolution.kernel.height, convolution.kernel.width
      ).map { $0 / convolution.groups }
    case .linear(_, _, let inputFeatures, _): return product(inputFeatures, channels, height, width)
    case .decoder(.attention):
      return product(2, channels, height, width, inputs[1].height, inputs[1].width)
    case .decoder(.groupedLinear(_, _, _, let features, _, let classes)): return product(features, classes)
    case .input, .batchNormalization, .relu, .pointwise, .softmax, .affine, .maxPool, .globalAveragePool, .concatenate,
      .add, .multiplyPerChannel, .dropout, .flatten, .decoder:
      return 0
    }
  }
}

extension ActivationShape {
  /// The extents behind a window that slides over these.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` naming the layer.
  fileprivate func windowed(
    _ kernel: Size, _ stride: Size, _ padding: Padding, channels: Int, layer: String
  ) throws(HGNetError) -> ActivationShape {
    func mismatch(_ message: String) -> HGNetError { HGNetError(.shapeMismatch, message, layer: layer) }
    // Beyond these the sums could overflow, and no network of this family has them.
    let bounds = 0...(1 << 20)
    let numbers = [
      kernel.height, kernel.width, stride.height, stride.width, padding.top, padding.bottom, padding.left,
      padding.right,
    ]
    guard numbers.allSatisfy(bounds.contains) else {
      throw mismatch("expected a window, stride and padding of at most \(bounds.upperBound), found \(numbers)")
    }
    let rows = height + padding.top + padding.bottom - kernel.height
    let columns = width + padding.left + padding.right - kernel.width
    guard rows >= 0, columns >= 0, stride.height > 0, stride.width > 0 else {
      throw mismatch("a \(kernel) window does not fit an input of \(self); use larger pictures")
    }
    return ActivationShape(channels: channels, height: rows / stride.height + 1, width: columns / stride.width + 1)
  }
}
