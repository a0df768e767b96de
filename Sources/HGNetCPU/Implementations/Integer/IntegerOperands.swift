import CHGNetKernels
import HGNetCore
import HGNetProgram

/// An implementation in bytes: weights signed, activations unsigned, sums in 32 bits.
protocol IntegerImplementation: Implementation {}

extension IntegerImplementation {
  static var precision: Precision { .int8 }
  static func elements(of layer: Layer) -> LayerElements { LayerElements(reads: [.uint8], writes: [.uint8, .float32]) }
  static func packing(_ weights: TrainedWeights, into buffer: Int) -> WeightPacking? { nil }

  /// Sums of more products might not fit 32 bits.
  static func sumRefusal(_ count: Int) -> String? {
    count <= 1 << 16 ? nil : "a sum of \(count) products may not fit 32 bits"
  }
}

/// What is done with sums, in units of the result: `min(max(sum * gain + shift, lower), upper)`, then the residual.
struct IntegerEpilogue: Hashable, Sendable {
  var gain: Double
  var shift: Double
  var lower: Float
  var upper: Float
  var residualFactor: Float

  /// - Parameters:
  ///   - epilogue: of the layer.
  ///   - output: of the result; nil where it is float32.
  ///   - residual: of the residual; nil for none.
  init(_ epilogue: EpilogueValues, output: ValueScale?, residual: ValueScale?) {
    let unit = output.map { 1 / Double($0.scale) } ?? 1
    gain = Double(epilogue.scale) * unit
    shift = Double(epilogue.shift) * unit + Double(output?.zero ?? 0)
    residualFactor = 0
    if let residual {
      residualFactor = Float(Double(residual.scale) * unit)
      shift -= Double(residual.zero) * Double(residual.scale) * unit
    }
    // ReLU comes before factor and addend: it bounds the result from below, or from above where the factor is negative.
    let isRectified = epilogue.lower == 0
    lower = isRectified && gain >= 0 ? Float(shift) : -.infinity
    upper = isRectified && gain < 0 ? Float(shift) : .infinity
    if output != nil, residual == nil {
      lower = min(max(lower, 0), 255)
      upper = max(min(upper, 255), 0)
    }
  }
}

/// Packed weights in bytes: behind them where sums start, then factors; biases are those of all layers.
extension PackedWeights {
  /// The packed bytes.
  var signedBytes: UnsafeMutablePointer<Int8> { weights.assumingMemoryBound(to: Int8.self) }
  /// What sums start from.
  var starts: UnsafeMutablePointer<Int32> {
    (weights + weightByteCount - 8 * paddedColumns).assumingMemoryBound(to: Int32.self)
  }
  /// What sums are multiplied by.
  var sumFactors: UnsafeMutablePointer<Float> {
    (weights + weightByteCount - 4 * paddedColumns).assumingMemoryBound(to: Float.self)
  }
}

extension PackedExtent {
  /// Weights in bytes with what sums start from and are multiplied by.
  init(integers layout: WeightLayout, byteCount: Int, columns: Int) {
    self.init(
      layout: layout, weightCount: byteCount + 8 * columns.roundedUp(to: 16), element: .int8, columns: columns)
  }
}

extension ParameterReader {
  /// Quantised weights with their folded normalisation.
  private struct Quantised {
    var values: [Int8]
    /// One for each column, with the normalisation.
    var factors: [Double]
    var biases: [Double]
    /// Whether there are weights, rather than a normalisation alone.
    var isSum = true
  }

  /// Packs a layer in bytes; `body` packs the weights, which lie as they are declared.
  func packIntegers(
    _ layer: Layer, into packed: PackedWeights,
    _ body: (_ weights: [Int8], _ target: IntegerTarget, _ zero: Int32) -> Void
  ) throws(HGNetError) {
    guard let integers, let input = layer.inputs.first, let inputScale = integers.scales[input] else {
      throw HGNetError(
        .parameterMismatch, "expected a range of this layer's input among the quantised weights, found none",
        layer: layer.name)
    }
    let quantised = try quantised(layer)
    let epilogue = IntegerEpilogue(
      try self.epilogue(of: layer), output: integers.output(of: layer),
      residual: layer.residual.flatMap { integers.scales[$0] })
    for column in 0..<packed.paddedColumns {
      guard column < quantised.factors.count else {
        (packed.sumFactors[column], packed.bias[column]) = (0, 0)
        continue
      }
      let step = Double(inputScale.scale) * quantised.factors[column]
      let bias =
        quantised.isSum ? IntegerBias.rounded(quantised.biases[column], step: step) : quantised.biases[column]
      packed.sumFactors[column] = Float(step * epilogue.gain)
      packed.bias[column] = Float(bias * epilogue.gain + epilogue.shift)
    }
    body(quantised.values, integers, inputScale.zero)
  }

  private func quantised(_ layer: Layer) throws(HGNetError) -> Quantised {
    switch layer.kind {
    case .linear(let weight, let bias, let inputFeatures, let outputFeatures):
      let (values, scales) = try integerValues(weight, [inputFeatures, outputFeatures], layer)
      var biases = [Double](repeating: 0, count: outputFeatures)
      if let bias { biases = try tensor(bias, shape: [outputFeatures], layer: layer.name).values.map { Double($0) } }
      return Quantised(values: values, factors: scales.map { Double($0) }, biases: biases)
    case .convolution(let convolution, let normalization):
      let columns = convolution.outputChannels
      func floats(_ name: String) throws(HGNetError) -> [Float] {
        try tensor(name, shape: [columns], layer: layer.name).values
      }
      var factors = [Double](repeating: 1, count: columns)
      var biases = [Double](repeating: 0, count: columns)
      if let normalization {
        let folding = try normalization.folding(into: convolution.bias, values: floats)
        factors = folding.factors
        biases = folding.biases.map { Double($0) }
      } else if let name = convolution.bias {
        biases = try floats(name).map { Double($0) }
      }
      if convolution.isIdentity {
        return Quantised(
          values: [Int8](repeating: 1, count: columns), factors: factors, biases: biases, isSum: false)
      }
      let (values, scales) = try integerValues(
        convolution.weight,
        [columns, convolution.inputChannels / convolution.groups, convolution.kernel.height, convolution.kernel.width],
        layer)
      // As a file has it that holds the folded weights: both then compute the same bytes.
      for column in 0..<columns { factors[column] = Double(Float(factors[column] * Double(scales[column]))) }
      return Quantised(values: values, factors: factors, biases: biases)
    default: throw HGNetError(.internalInconsistency, "expected a layer with weights", layer: layer.name)
    }
  }

  private func integerValues(
    _ name: String, _ shape: Shape, _ layer: Layer
  ) throws(HGNetError) -> (values: [Int8], scales: [Float]) {
    let parameter = try store.parameter(name, shape: shape, layer: layer.name)
    guard let scales = parameter.scales else {
      throw HGNetError(
        .parameterMismatch, "expected quantised weights, found \(parameter.elementType.rawValue)", key: name,
        layer: layer.name)
    }
    let values = parameter.withUnsafeBytes { Array($0.bindMemory(to: Int8.self)) }
    parameter.discardPages()
    return (values, scales)
  }
}

extension Problem {
  /// The numbers of the epilogue in units of the result.
  var integerEpilogue: IntegerEpilogue {
    IntegerEpilogue(
      epilogue, output: output.element == .uint8 ? scales.output : nil,
      residual: residual == nil ? nil : scales.residual)
  }

  /// What the kernels of products and convolutions in bytes are told.
  var integerOperands: IntegerOperands {
    IntegerOperands(operands: operands, epilogue: integerEpilogue, input: scales.inputs.first ?? nil)
  }
}

/// What products and convolutions in bytes share.
struct IntegerOperands: Sendable {
  var operands: Operands
  var epilogue: IntegerEpilogue
  /// What the bytes of the input mean.
  var input: ValueScale?

  /// Where the pixels around a picture lie.
  var zero: Int32 { input?.zero ?? 0 }

  /// The packed weights.
  func packed() throws(HGNetError) -> PackedWeights {
    guard case .packed(let packed) = operands.weights else {
      throw HGNetError(.internalInconsistency, "expected packed weights in bytes")
    }
    return packed
  }

  /// The work on sums.
  func finish(_ packed: PackedWeights, _ addresses: Addresses) -> hg_integer_finish {
    hg_integer_finish(
      factor: UnsafePointer(packed.sumFactors), bias: UnsafePointer(packed.bias), lower: epilogue.lower,
      upper: epilogue.upper, residual: operands.residual.map { UnsafePointer(addresses.unsignedBytes($0)) },
      residual_stride: operands.residual?.stride ?? 0, residual_factor: epilogue.residualFactor,
      is_float: operands.output.isFloat)
  }

  /// The window of a convolution.
  func geometry(_ window: Window, _ addresses: Addresses) -> hg_integer_geometry {
    operands.integerGeometry(window, addresses)
  }
}

extension Operands {
  /// The window of a convolution or pool in bytes.
  func integerGeometry(_ window: Window, _ addresses: Addresses) -> hg_integer_geometry {
    hg_integer_geometry(
      input: UnsafeRawPointer(addresses.bytes(input)), input_stride: input.stride, batch: Int32(pictures),
      height: Int32(input.shape.height), width: Int32(input.shape.width), channels: Int32(input.shape.channels),
      output: addresses.bytes(output), output_stride: output.stride, output_height: Int32(output.shape.height),
      output_width: Int32(output.shape.width), kernel_height: Int32(window.kernel.height),
      kernel_width: Int32(window.kernel.width), stride_height: Int32(window.stride.height),
      stride_width: Int32(window.stride.width), padding_top: Int32(window.padding.top),
      padding_left: Int32(window.padding.left))
  }
}

extension Addresses {
  /// The first value of a location of bytes.
  func unsignedBytes(_ location: Location) -> UnsafeMutablePointer<UInt8> {
    bytes(location).assumingMemoryBound(to: UInt8.self)
  }
}

extension InstructionSet {
  /// The kernels in 8 bits that belong to it.
  var integerKernels: UnsafePointer<hg_integer_kernels> { hg_integer_kernels_beside(index) }
}

extension Addresses {
  /// The kernels in 8 bits.
  var integers: hg_integer_kernels { instructionSet.integerKernels.pointee }
}
