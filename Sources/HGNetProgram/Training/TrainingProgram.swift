import HGNetCore

/// A training step on one batch as data: the forward pass with batch statistics, then the backward pass.
///
/// The layers are those of inference, so that a unit is a convolution with its normalisation, ReLU, affine block and
/// residual. Of a unit two arrays are kept for the backward pass, the convolution's result and the unit's result, which at
/// the level O2 is computed again instead; the gradient of the first takes its place.
/// A value without addresses, kernels or threads; an engine turns each operation
/// into its own steps and may keep more. Threads: safe to share.
package struct TrainingProgram: Sendable {
  /// The network.
  package let program: Program
  /// The number of pictures of a step.
  package let batch: Int
  /// The operations, those of the forward pass first.
  package internal(set) var operations: [TrainingOperation] = []
  /// The number of operations of the forward pass.
  package internal(set) var forwardCount = 0
  /// The buffers of results, gradients, kept arrays and masks, with their lifetimes in operations.
  package internal(set) var buffers: [Buffer]
  /// Where each result lies, by its number.
  package let results: [Location?]
  /// Where the gradient of each result lies: as the result, in buffers of their own.
  package let gradients: [Location?]
  /// The convolutions and linear layers in the order of the forward pass.
  package internal(set) var units: [TrainingUnit] = []
  /// Dropout masks, to be drawn in this order before the forward pass.
  package internal(set) var masks: [DropoutMask] = []
  /// The parameters whose gradients are complete after an operation, by the number of the operation.
  package internal(set) var gradientEnds: [Int: [String]] = [:]

  /// The names of the parameters that are kept as they are.
  package let frozen: Set<String>
  /// What tells which values of a result lay outside of its range, by the number of the result.
  var outside: [Int: Location] = [:]
  /// The mask of a decoder's operator, by the number of its result.
  var decoderMasks: [Int: Location] = [:]
  /// Whether the results of a buffer are computed again for the backward pass, by the number of the buffer.
  var isRecomputable: [Bool] = []
  /// The number of buffers that results lie in.
  let placedBufferCount: Int
  /// Whether a result has been computed again.
  var recomputed: [Bool]
  var isGradientWritten: [Bool]
  /// Whether anything that is learned lies before or in the layer of a result; where nothing does, no gradient is computed.
  var needsGradient: [Bool]

  /// Plans a step.
  ///
  /// - Parameters:
  ///   - program: made for training; its first output is what the loss sees.
  ///   - batch: the number of pictures, 1 … 65536.
  ///   - frozen: the names of the parameters that are kept as they are. A normalisation whose running statistics are kept
  ///     normalises with them.
  ///   - channelUnit: as for `Placement`.
  /// - Throws: `HGNetError.Code.unsupported` naming a layer that cannot be trained, `limitExceeded` for a batch beyond any
  ///   memory.
  package init(
    _ program: Program, batch: Int, frozen: Set<String> = [], channelUnit: Int = 1
  ) throws(HGNetError) {
    guard batch >= 1, batch <= 1 << 16 else {
      throw HGNetError(.invalidArgument, "expected a batch of 1 to 65536, found \(batch)")
    }
    try program.graph.checkCounts(batch: batch)
    self.program = program
    self.batch = batch
    self.frozen = frozen
    let placement = Placement(program, batch: batch, channelUnit: channelUnit)
    guard placement.copies.isEmpty else {
      throw HGNetError(.unsupported, "training a network in which two concatenations share an input")
    }
    let count = placement.buffers.count
    placedBufferCount = count
    results = placement.locations
    gradients = placement.locations.map { location in
      location.map { location in
        var gradient = location
        gradient.buffer += count
        return gradient
      }
    }
    buffers = placement.buffers + placement.buffers + placement.buffers
    recomputed = [Bool](repeating: false, count: placement.locations.count)
    isGradientWritten = [Bool](repeating: false, count: placement.locations.count)
    needsGradient = isGradientWritten
    for layer in program.layers {
      needsGradient[layer.result] =
        (layer.inputs + [layer.residual].compactMap { $0 }).contains { needsGradient[$0] }
        || layer.learnedParameters.contains { !frozen.contains($0) }
    }
    findRecomputable()
    try addForward()
    forwardCount = operations.count
    try addBackward()
    buffers[try location(program.input).buffer].touch(-1)
    buffers[try gradient(output).buffer].touch(forwardCount - 1)
  }

  /// The number of the result that the loss sees.
  package var output: Int { program.outputs.first?.result ?? program.input }

  /// Where a result lies.
  package func location(_ result: Int) throws(HGNetError) -> Location {
    guard let location = results[result] else { throw HGNetError(.internalInconsistency, "a result without a place") }
    return location
  }

  /// Where the gradient of a result lies.
  package func gradient(_ result: Int) throws(HGNetError) -> Location {
    guard let location = gradients[result] else {
      throw HGNetError(.internalInconsistency, "a gradient without a place")
    }
    return location
  }

  /// A dense array in a buffer of its own.
  mutating func newArray(_ shape: ActivationShape, batch: Int, element: ElementType = .float32) -> Location {
    buffers.append(Buffer(byteCount: batch * shape.count * element.byteCount))
    return Location(buffer: buffers.count - 1, stride: shape.channels, shape: shape, element: element)
  }

  mutating func add(_ name: String, _ kind: TrainingOperation.Kind) {
    for location in kind.locations(units) { buffers[location.buffer].touch(operations.count) }
    operations.append(TrainingOperation(name: name, kind: kind))
  }

  mutating func newMask(_ shape: ActivationShape, probability: Float, kept: Float) -> Location {
    let values = newArray(shape, batch: batch)
    buffers[values.buffer].touch(-1)
    masks.append(DropoutMask(values: values, count: batch * shape.count, probability: probability, kept: kept))
    return values
  }
}

/// What dropout multiplies with: 0 with a probability, else a factor.
package struct DropoutMask: Hashable, Sendable {
  /// Where the factors lie, dense.
  package var values: Location
  /// How many there are.
  package var count: Int
  /// How likely a value is dropped.
  package var probability: Float
  /// The factor of those that are kept.
  package var kept: Float
}

/// A convolution or linear layer in training, with what it took over.
package struct TrainingUnit: Hashable, Sendable {
  /// The layer.
  package var layer: Layer
  /// The convolution; that of a 1×1 window for a linear layer.
  package var convolution: Convolution
  /// Whether the weights lie as those of a linear layer, `[in, out]`.
  package var isLinear: Bool
  /// The normalisation of its result.
  package var normalization: BatchNormalization?
  /// Whether it normalises with the running statistics, which stay.
  package var usesRunningStatistics: Bool
  /// The names of factor and addend of an affine block.
  package var affine: Affine?
  /// Where the dropout mask lies.
  package var mask: Location?
  /// The convolution's result, dense `[N, H, W, C]`; the backward pass puts its gradient in its place.
  package var convolved: Location
  /// The type of the gradient that takes its place: that of what the convolution reads.
  package var gradientElement: ElementType
  /// Pixels of all pictures.
  package var rows: Int
  /// Where its weights lie rounded to 8 bits, as they are declared; nil where they are used as they are.
  package var roundedWeights: Location?

  /// The parameters of an affine block.
  package struct Affine: Hashable, Sendable {
    /// The factor's name.
    package var scale: String
    /// The addend's name.
    package var bias: String
  }

  /// Where the gradient of the convolution's result lies: in its place, in bfloat16 in the first half of each row of float32.
  package var convolvedGradient: Location {
    var location = convolved
    location.element = gradientElement
    location.stride *= convolved.element.byteCount / max(gradientElement.byteCount, 1)
    return location
  }

  /// The array of its rounded weights, if there is one.
  var rounded: [Location] { [roundedWeights].compactMap { $0 } }

  /// Whether its statistics are those of the batch.
  package var usesBatchStatistics: Bool { normalization != nil && !usesRunningStatistics }
}
