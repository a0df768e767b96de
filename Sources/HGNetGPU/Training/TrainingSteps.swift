import CHGNetVulkan
import HGNetCore
import HGNetProgram

/// A training program as dispatches, before anything of it has a place on a device.
///
/// Threads: a value.
struct TrainingSteps: Sendable {
  let program: TrainingProgram
  let layout: ParameterLayout
  let device: GPUDescription
  let tiles: TileChoice
  /// The program's buffers and those of sums, coefficients and packed weights, with their lifetimes in operations.
  private(set) var buffers: [Buffer]
  private(set) var steps: [TrainingDispatch] = []
  /// How many of them are the forward pass.
  private(set) var forwardCount = 0
  /// The longest bias of zeros that a product reads.
  private(set) var zeroCount = 4
  /// The coefficients of each unit, and the weights of each attention by its result.
  var coefficients: [Int: Int] = [:]
  var attentions: [Int: Int] = [:]
  private var operation = 0

  static let relu: UInt32 = 1, affine: UInt32 = 2, residual: UInt32 = 4
  /// Sums are made of at most this many slices, each of at least some rows.
  private static let sliceCount = 64, sliceRows = 256

  /// Makes the dispatches of a step.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` for a parameter that is not in the layout, `unsupported` naming a layer
  ///   that cannot be trained, `limitExceeded` for a result that is larger than the device binds at once.
  init(
    _ program: TrainingProgram, layout: ParameterLayout, tiles: TileChoice, device: GPUDescription
  ) throws(HGNetError) {
    (self.program, self.layout, self.tiles, self.device) = (program, layout, tiles, device)
    buffers = program.buffers
    // Numbers of rows and values have 32 bits.
    try check(buffers.map(\.byteCount).max() ?? 0)
    for index in buffers.indices {
      buffers[index].byteCount = buffers[index].byteCount.roundedUp(to: max(device.rangeAlignment, 64))
    }
    let (input, output) = (try program.location(program.program.input), try program.location(program.output))
    try addEntry(0, of: input)
    for (index, operation) in program.operations.enumerated() {
      self.operation = index
      if index == program.forwardCount { try addExit(output) }
      try add(operation)
    }
    // What has nothing to learn has no backward pass.
    if forwardCount == 0 { try addExit(output) }
  }

  var batch: Int { program.batch }
  /// Bytes of the pictures, of the gradient of the logits and of these on their way.
  var pictureByteCount: Int { 4 * batch * program.program.shapes[program.program.input].count }
  var logitByteCount: Int { 4 * batch * program.program.shapes[program.output].count }

  // MARK: - Parts of dispatches

  /// All bytes of a result, with those that other results have between its pixels.
  func place(_ location: Location) -> TrainingDispatch.Place {
    .buffer(location.buffer, byteCount: batch * location.pixels * location.stride * 4)
  }

  /// Memory of some floats for this operation.
  mutating func scratch(_ count: Int) -> TrainingDispatch.Place {
    var buffer = Buffer(byteCount: 0)
    buffer.byteCount = (4 * max(count, 1)).roundedUp(to: max(device.rangeAlignment, 64))
    buffer.touch(operation)
    buffers.append(buffer)
    return .buffer(buffers.count - 1, byteCount: 4 * max(count, 1))
  }

  /// Memory that an earlier operation took, which must last until this one.
  mutating func kept(_ buffer: Int?, count: Int) throws(HGNetError) -> TrainingDispatch.Place {
    guard let buffer else { throw HGNetError(.internalInconsistency, "a gradient before its forward pass") }
    buffers[buffer].touch(operation)
    return .buffer(buffer, byteCount: 4 * count)
  }

  /// Memory for this operation and later ones.
  mutating func keep(_ count: Int) -> (buffer: Int, place: TrainingDispatch.Place) {
    let place = scratch(count)
    return (buffers.count - 1, place)
  }

  func slices(_ rows: Int) -> Int { min(TrainingSteps.sliceCount, rows.divided(by: TrainingSteps.sliceRows)) }

  /// A grid of some number of workgroups in rows that every device has, times some beside each other.
  func grid(_ count: Int, beside: Int = 1) -> (UInt32, UInt32, UInt32) {
    let row = min(max(count, 1), 32768)
    return (UInt32(row), UInt32(beside), UInt32(max(count, 1).divided(by: row)))
  }

  /// A grid of a thread for each of some values.
  func flat(_ count: Int) -> (UInt32, UInt32, UInt32) { grid(count.divided(by: 64)) }

  func flat(_ numbers: hgv_step) -> (UInt32, UInt32, UInt32) { flat(Int(numbers.rows) * Int(numbers.columns)) }

  /// Appends a dispatch; what a shader does not look at is bound to the first place.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` for a range that the device does not bind.
  mutating func add(
    _ shader: String, values: Int = 1, constants: [UInt32] = [], first: TrainingDispatch.Place,
    second: TrainingDispatch.Place? = nil, third: TrainingDispatch.Place? = nil, fourth: TrainingDispatch.Place? = nil,
    fifth: TrainingDispatch.Place? = nil, numbers: hgv_step, groups: (UInt32, UInt32, UInt32)
  ) throws(HGNetError) {
    let places = [first, second ?? first, third ?? first, fourth ?? first, fifth ?? first]
    try check(places.map(\.byteCount).max() ?? 0)
    steps.append(
      TrainingDispatch(
        pipeline: PipelineKey(shader: try Shader(shader, values: values, isHalf: false), constants: constants),
        places: places, numbers: numbers, groups: groups))
  }

  private func check(_ byteCount: Int) throws(HGNetError) {
    guard byteCount > device.largestRange else { return }
    let size = program.program.inputSize
    throw HGNetError(
      .limitExceeded,
      "a result of a training step on \(batch) pictures of \(size) takes \(MemoryNeed.text(byteCount)), and "
        + "\(device.name) binds at most \(MemoryNeed.text(device.largestRange)) at once; "
        + MemoryNeed.fittingPictures(batch, of: size)(Double(device.largestRange) / Double(byteCount)))
  }

  // MARK: - What comes in and goes out

  /// What the host sends: pictures, or the gradient of the logits.
  private mutating func addEntry(_ upload: Int, of location: Location) throws(HGNetError) {
    let rows = batch * location.pixels
    var numbers = hgv_step()
    (numbers.channels, numbers.y_stride) = (UInt32(location.shape.channels), UInt32(location.stride))
    numbers.rows = UInt32(rows)
    try add(
      "enter", first: .upload(upload, byteCount: 4 * batch * location.shape.count), fourth: place(location),
      numbers: numbers, groups: flat(rows * location.stride))
  }

  /// The logits go out, their gradient comes in.
  private mutating func addExit(_ output: Location) throws(HGNetError) {
    buffers[output.buffer].touch(operation)
    var numbers = hgv_step(output, output, batch: batch)
    numbers.columns = UInt32(output.shape.channels)
    try add(
      "leave", first: place(output), fourth: .download(byteCount: logitByteCount), numbers: numbers,
      groups: flat(numbers))
    forwardCount = steps.count
    try addEntry(1, of: try program.gradient(program.output))
  }

  // MARK: - Operations

  private mutating func add(_ operation: TrainingOperation) throws(HGNetError) {
    switch operation.kind {
    case .layer(let layer, let inputs, let residual, let output):
      try addLayer(layer, inputs: inputs, residual: residual, output: output)
    case .convolution(let unit, let input): try addConvolution(unit, input: input)
    case .statistics(let unit): try addStatistics(unit)
    case .normalization(let unit, let residual, let output): try addApply(unit, residual: residual, output: output)
    case .normalizationGradient(let unit, let gradient): try addNormalizationGradient(unit, gradient)
    case .weightGradient(let unit, let input): try addWeightGradient(unit, input: input)
    case .dataGradient(let unit, let target, let isAdded): try addDataGradient(unit, target, isAdded: isAdded)
    case .elementwise(let kind, let target, let gradient, let factor):
      try addChange(kind, target: target, gradient: gradient, factor: factor)
    case .maxPoolGradient(let kernel, let stride, let padding, let input, let gradient, let target):
      var numbers = hgv_step(input, target, batch: batch)
      (numbers.out_height, numbers.out_width) = (UInt32(gradient.shape.height), UInt32(gradient.shape.width))
      numbers.setWindow(kernel, stride, padding)
      numbers.setOther(gradient)
      try add(
        "training/peak", first: place(input), fourth: place(target), fifth: place(gradient), numbers: numbers,
        groups: flat(numbers))
    case .gateGradient(let input, let gradient, let target):
      var numbers = hgv_step(input, target, batch: batch)
      numbers.rows = UInt32(input.pixels)
      numbers.setOther(gradient)
      try add(
        "training/sums", constants: [3], first: place(input), second: place(gradient), fourth: place(target),
        numbers: numbers, groups: (1, UInt32(target.shape.channels.divided(by: 16)), UInt32(batch)))
    case .decoder(let layer, let operation, let inputs, let mask, let output):
      try addDecoder(layer, operation, inputs: inputs, mask: mask, output: output)
    case .decoderGradient(let layer, let operation, let inputs, let mask, let gradient, let targets):
      try addDecoderGradient(layer, operation, inputs: inputs, mask: mask, gradient: gradient, targets: targets)
    case .weightQuantization, .quantization, .quantizationGradient:
      throw HGNetError(.unsupported, GPUEngine.quantizationRefusal)
    }
  }

  /// A layer without state, as in inference.
  private mutating func addLayer(
    _ layer: Layer, inputs: [Location], residual: Location?, output: Location
  ) throws(HGNetError) {
    let values = (inputs + [residual, output].compactMap { $0 }).allSatisfy(\.isAligned) ? 4 : 1
    guard let input = inputs.first else {
      throw HGNetError(.internalInconsistency, "a layer without inputs", layer: layer.name)
    }
    var numbers = hgv_step(input, output, batch: batch, values: values)
    var (shader, groups) = ("elementwise", flat(numbers))
    switch layer.kind {
    case .maxPool(let kernel, let stride, let padding):
      shader = "maximum"
      numbers.setWindow(kernel, stride, padding)
    case .globalAveragePool:
      shader = "average"
      groups = grid(batch, beside: Int(numbers.columns).divided(by: 8))
    case .copy: numbers.kind = 0
    case .gate: numbers.kind = 1
    case .pointwise(.sigmoid): numbers.kind = 2
    case .add: numbers.kind = 3
    default: throw HGNetError(.internalInconsistency, "no step of this operator", layer: layer.name)
    }
    var second: TrainingDispatch.Place?
    if inputs.count > 1 {
      second = place(inputs[1])
      (numbers.group, numbers.channels) = (UInt32(inputs[1].offset / values), UInt32(inputs[1].stride / values))
    }
    if let residual {
      numbers.flags |= TrainingSteps.residual
      numbers.setOther(residual, values: values)
    }
    try add(
      shader, values: values, first: place(input), second: second, fourth: place(output), fifth: residual.map(place),
      numbers: numbers, groups: groups)
  }

  private mutating func addChange(
    _ kind: TrainingOperation.Elementwise, target: Location, gradient: Location?, factor: Location?
  ) throws(HGNetError) {
    var numbers = hgv_step(gradient ?? target, target, batch: batch)
    if let factor { numbers.setOther(factor) }
    numbers.kind =
      switch kind {
      case .zero: 0
      case .add: 1
      case .mean: 2
      case .gated: 3
      case .pointwise(.sigmoid): 4
      case .mask: 5
      }
    try add(
      "training/change", first: place(gradient ?? target), second: factor.map(place), fourth: place(target),
      numbers: numbers, groups: flat(numbers))
  }

  /// Notes how long a bias of zeros must be.
  mutating func needZeros(_ count: Int) { zeroCount = max(zeroCount, count) }
}
