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
/// Inputs and outputs are `[N, H, W, C]`.
public enum Operator: Hashable, Sendable {
  /// The pictures that enter the network.
  case input(channels: Int)
  /// A convolution.
  case convolution(Convolution)
  /// A batch normalisation.
  case batchNormalization(BatchNormalization)
  /// `max(x, 0)`.
  case relu
  /// `1 / (1 + exp(-x))`.
  case sigmoid
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
