import CHGNetVulkan
import HGNetCore
import HGNetPlatform
import HGNetProgram

/// A part of one of the buffers that hold weights.
struct WeightSlice: Hashable, Sendable {
  var piece: Int
  var offset: Int
  var byteCount: Int
}

/// Where the weights of each layer lie, in buffers none of which is larger than a device binds at once.
struct WeightLayout: Sendable {
  /// By the number of the layer.
  private(set) var weights: [WeightSlice?] = []
  /// Addends of each output channel in float32, by the number of the layer.
  private(set) var biases: [WeightSlice?] = []
  /// Bytes of each buffer.
  private(set) var pieces: [Int] = []

  /// Finds the places.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` naming a layer whose weights are larger than the device binds at once.
  init(_ program: Program, forms: LayerForms, on device: GPUDescription, element: ElementType) throws(HGNetError) {
    let largest = min(device.largestRange, 128 << 20)
    func place(_ byteCount: Int, _ layer: Layer) throws(HGNetError) -> WeightSlice? {
      guard byteCount > 0 else { return nil }
      let length = byteCount.roundedUp(to: max(device.rangeAlignment, 16))
      guard length <= device.largestRange else {
        throw HGNetError(
          .limitExceeded,
          "the weights take \(MemoryNeed.text(length)), and \(device.name) binds at most "
            + "\(MemoryNeed.text(device.largestRange)) at once", layer: layer.name)
      }
      if pieces.isEmpty || pieces[pieces.count - 1] + length > largest { pieces.append(0) }
      defer { pieces[pieces.count - 1] += length }
      // Float16 comes in pairs.
      return WeightSlice(
        piece: pieces.count - 1, offset: pieces[pieces.count - 1], byteCount: byteCount.roundedUp(to: 4))
    }
    for (layer, shape) in zip(program.layers, forms.weights) {
      weights.append(try place((shape?.count ?? 0) * element.byteCount, layer))
      biases.append(try place((shape?.biases ?? 0) * 4, layer))
    }
  }

  /// Bytes of all buffers.
  var byteCount: Int { pieces.reduce(0, +) }
}

/// What steps know of the parameters of a program before these are in the memory of a device.
///
/// Threads: a value.
struct WeightPlan: Sendable {
  let layout: WeightLayout
  let forms: LayerForms
  /// By the number of the layer.
  let epilogues: [EpilogueValues]

  /// - Throws: as `WeightLayout`, and `HGNetError.Code.parameterMismatch`.
  init(
    _ program: Program, parameters: some ParameterSource, on device: GPUDescription, element: ElementType
  ) throws(HGNetError) {
    forms = try LayerForms(program)
    layout = try WeightLayout(program, forms: forms, on: device, element: element)
    var epilogues: [EpilogueValues] = []
    for layer in program.layers { epilogues.append(try parameters.epilogue(of: layer)) }
    self.epilogues = epilogues
  }
}

/// The folded parameters of a program in the memory of a device.
///
/// Threads: safe to share.
final class GPUWeights: Sendable {
  let plan: WeightPlan
  let pieces: [DeviceBuffer]

  /// Folds, packs and sends the parameters, layer by layer.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` naming parameter and layer, `limitExceeded` without memory,
  ///   `deviceFailure`.
  init(
    _ plan: WeightPlan, of program: Program, parameters: some ParameterSource, on device: GPUDevice,
    element: ElementType
  ) throws(HGNetError) {
    self.plan = plan
    let layout = plan.layout
    var need = MemoryNeed("the weights of the network")
    need.add("the packed weights", bytes: layout.byteCount)
    need.add("their way", bytes: Uploader.byteCount)
    need.limit = device.memoryLimit
    try need.check()
    var pieces: [DeviceBuffer] = []
    for byteCount in layout.pieces {
      pieces.append(try DeviceBuffer(byteCount, .ofDevice, on: device, for: "the weights of the network"))
    }
    self.pieces = pieces
    let uploader = try Uploader(on: device)
    for (index, layer) in program.layers.enumerated() {
      guard let shape = plan.forms.weights[index] else { continue }
      let packed = try PackedLayer(layer, shape: shape, parameters: parameters)
      if let slice = layout.weights[index] {
        try packed.withBytes(as: element) { (bytes) throws(HGNetError) in
          try uploader.send(bytes, to: pieces[slice.piece], at: slice.offset)
        }
      }
      if let slice = layout.biases[index] {
        try packed.withBiases { (bytes) throws(HGNetError) in
          try uploader.send(bytes, to: pieces[slice.piece], at: slice.offset)
        }
      }
    }
    try uploader.finish()
  }
}

/// The folded weights of one layer on their way to a device.
struct PackedLayer {
  private var weights: Tensor
  private var biases: [Float] = []
  private let layer: String

  /// Folds and packs the parameters of a layer.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` naming parameter and layer, `limitExceeded` without memory.
  init(
    _ layer: Layer, shape: LayerForms.WeightShape, parameters: some ParameterSource
  ) throws(HGNetError) {
    self.layer = layer.name
    func values(_ name: String, _ shape: Shape) throws(HGNetError) -> Tensor {
      let parameter = try parameters.parameter(name, shape: shape, layer: layer.name)
      let tensor = try parameter.allocatedTensor()
      parameter.discardPages()
      return tensor
    }
    switch layer.kind {
    case .convolution(let convolution, let normalization):
      let folded = try parameters.folding(convolution, normalization, layer: layer.name)
      biases = folded.biases
      guard !convolution.isIdentity else {
        weights = Tensor(shape: [folded.factors.count], values: folded.factors)
        return
      }
      let kernel = convolution.kernel
      let own = convolution.inputChannels / convolution.groups
      let raw = try values(convolution.weight, [convolution.outputChannels, own, kernel.height, kernel.width])
      weights = try Tensor(
        allocating: [shape.taps, shape.inputs, shape.outputs], for: "the packed weights of a layer"
      ) { (target) throws(HGNetError) in
        if own < shape.inputs { target.update(repeating: 0) }
        raw.withUnsafeBufferPointer { source in
          for output in 0..<shape.outputs {
            let factor = folded.factors[output]
            for input in 0..<own {
              let first = (output * own + input) * shape.taps
              for tap in 0..<shape.taps {
                target[(tap * shape.inputs + input) * shape.outputs + output] = source[first + tap] * factor
              }
            }
          }
        }
      }
    case .linear(let weight, let bias, let inputs, let outputs):
      biases =
        try bias.map { (name) throws(HGNetError) in try values(name, [outputs]).values }
        ?? [Float](repeating: 0, count: outputs)
      let raw = try values(weight, [inputs, outputs])
      weights = raw
      guard inputs < shape.inputs else { return }
      weights = Tensor(shape: [shape.inputs, outputs]) { target in
        target.update(repeating: 0)
        raw.withUnsafeBufferPointer { source in for index in source.indices { target[index] = source[index] } }
      }
    case .decoder(.queries(let weight, let count, let features)): weights = try values(weight, [count, features])
    case .decoder(.layerNormalization(let weight, let bias, let features, _)):
      biases = try values(bias, [features]).values
      weights = try values(weight, [features])
    case .decoder(.groupedLinear(let weight, let bias, let tokens, let features, let perToken, _)):
      biases = try values(bias, [tokens * perToken]).values
      weights = try values(weight, [tokens * perToken, features, 1, 1])
    default: throw HGNetError(.internalInconsistency, "expected a layer with weights", layer: layer.name)
    }
  }

  /// Calls `body` with the weights in the type that shaders read.
  func withBytes(
    as element: ElementType, _ body: (UnsafeRawBufferPointer) throws(HGNetError) -> Void
  ) throws(HGNetError) {
    guard element == .float16 else {
      return try weights.withUnsafeBufferPointer { (source) throws(HGNetError) in
        try body(UnsafeRawBufferPointer(source))
      }
    }
    // In pairs.
    let memory = try MemoryBlock.allocate(
      byteCount: (2 * weights.count).roundedUp(to: 4), for: "the packed weights of a layer")
    defer { free(memory) }
    let halves = memory.bindMemory(to: UInt16.self, capacity: weights.count + weights.count % 2)
    halves[weights.count + weights.count % 2 - 1] = 0
    let isFinite = weights.withUnsafeBufferPointer { hgv_halves($0.baseAddress, halves, $0.count) != 0 }
    guard isFinite else {
      throw HGNetError(
        .unsupported, "float16 has no place for a weight beyond 65504; choose --precision float32", layer: layer)
    }
    try body(UnsafeRawBufferPointer(start: memory, count: (2 * weights.count).roundedUp(to: 4)))
  }

  /// Calls `body` with the addends in float32.
  func withBiases(_ body: (UnsafeRawBufferPointer) throws(HGNetError) -> Void) throws(HGNetError) {
    let tensor = Tensor(shape: [biases.count], values: biases)
    try tensor.withUnsafeBufferPointer { (source) throws(HGNetError) in try body(UnsafeRawBufferPointer(source)) }
  }
}

extension GPUDescription {
  /// The most bytes that can be bound at once.
  var largestRange: Int { Int(clamping: info.largest_range) }
  /// What places of bindings are multiples of, in bytes.
  var rangeAlignment: Int { max(Int(info.range_alignment), 16) }
}
