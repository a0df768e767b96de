import CHGNetVulkan
import HGNetCore
import HGNetProgram

/// Makes the steps of a program for its places.
struct StepBuilder {
  let places: GPUPlaces
  let weights: WeightPlan
  let tiles: TileChoice
  let device: GPUDescription

  private static let relu: UInt32 = 1, affine: UInt32 = 2, residual: UInt32 = 4

  private var program: Program { places.inference.program }
  private var batch: Int { places.inference.batch }
  private var isHalf: Bool { program.elements[program.input] == .float16 }

  private func shader(_ name: String, _ values: Int) throws(HGNetError) -> PipelineKey {
    PipelineKey(shader: try Shader(name, values: values, isHalf: isHalf))
  }

  private func location(_ result: Int) throws(HGNetError) -> Location {
    guard let location = places.inference.placement.location(of: result) else {
      throw HGNetError(.internalInconsistency, "result \(result) has no place")
    }
    return location
  }

  /// All bytes of a result, with those that other results have between its pixels.
  private func place(_ location: Location) -> GPUStep.Place {
    .arena(
      offset: places.offsets[location.buffer],
      byteCount: batch * location.pixels * location.stride * location.element.byteCount)
  }

  private func check(_ count: Int, _ layer: String) throws(HGNetError) {
    guard count < 1 << 32 else {
      throw HGNetError(
        .limitExceeded, "a batch of \(batch) pictures of \(program.inputSize) has more values than shaders count",
        layer: layer)
    }
  }

  /// A grid of some number of workgroups in rows that every device has, times some beside each other.
  private func grid(_ count: Int, beside: Int = 1, _ layer: String) throws(HGNetError) -> (UInt32, UInt32, UInt32) {
    let row = min(max(count, 1), 32768)
    let rows = max(count, 1).divided(by: row)
    guard rows <= 65535, beside <= 65535 else {
      throw HGNetError(
        .limitExceeded, "a batch of \(batch) pictures of \(program.inputSize) has more parts than a device counts",
        layer: layer)
    }
    return (UInt32(row), UInt32(beside), UInt32(rows))
  }

  /// Pictures of the host.
  func enter() throws(HGNetError) -> GPUStep {
    let location = try location(program.input)
    let rows = batch * location.pixels
    try check(rows * location.stride, Program.inputName)
    var numbers = hgv_step()
    (numbers.channels, numbers.y_stride) = (UInt32(location.shape.channels), UInt32(location.stride))
    numbers.rows = UInt32(rows)
    return GPUStep(
      pipeline: try shader("enter", 1), input: .upload, output: place(location), numbers: numbers,
      groups: try grid((rows * location.stride).divided(by: 64), Program.inputName))
  }

  /// A result for the host.
  func leave(_ output: Int) throws(HGNetError) -> GPUStep {
    let location = try location(program.outputs[output].result)
    let rows = batch * location.pixels, columns = location.shape.channels
    let name = program.outputs[output].role.name
    try check(rows * location.stride, name)
    var numbers = hgv_step()
    (numbers.x_offset, numbers.x_stride) = (UInt32(location.offset), UInt32(location.stride))
    (numbers.rows, numbers.columns) = (UInt32(rows), UInt32(columns))
    return GPUStep(
      pipeline: try shader("leave", 1), input: place(location),
      output: .download(offset: places.downloads[output], byteCount: 4 * rows * columns), numbers: numbers,
      groups: try grid((rows * columns).divided(by: 64), name))
  }

  /// A copy into a concatenation.
  func copy(_ copy: Placement.Copy) throws(HGNetError) -> GPUStep {
    let source = try location(copy.source)
    var target = try location(copy.target)
    target.byteOffset += copy.channel * target.element.byteCount
    target.shape = source.shape
    let name = program.layer(computing: copy.target)?.name ?? ""
    let values = source.isAligned && target.isAligned ? 4 : 1
    var step = try self.step("elementwise", values, source, target, name)
    step.groups = try flat(step.numbers, name)
    return step
  }

  /// A layer.
  func layer(_ index: Int) throws(HGNetError) -> GPUStep {
    let layer = program.layers[index], values = weights.forms.values[index]
    let output = try location(layer.result)
    let input = try layer.inputs.first.map { (first) throws(HGNetError) in try location(first) } ?? output
    var step = try begin(layer, values, input, output)
    step.weights = weights.layout.weights[index].map { .weights($0) } ?? step.weights
    step.biases = weights.layout.biases[index].map { .weights($0) }
    try addEpilogue(weights.epilogues[index], layer, values, to: &step)
    let graph = program.graph
    step.description = LayerDescription(
      name: layer.name, algorithm: step.pipeline.shader.name, inputShape: input.shape, outputShape: output.shape,
      operations: 2 * batch * graph.multiplyAdds(of: graph.nodes[min(layer.result, graph.nodes.count - 1)]),
      byteCount: input.element.byteCount
        * (batch * (input.shape.count + output.shape.count) + (weights.forms.weights[index]?.count ?? 0)))
    return step
  }

  /// What all shaders are told about two results.
  private func step(
    _ name: String, _ values: Int, _ input: Location, _ output: Location, _ layer: String
  ) throws(HGNetError) -> GPUStep {
    let rows = batch * output.pixels
    try check(batch * input.pixels * input.stride, layer)
    try check(rows * max(output.stride, output.shape.channels), layer)
    func count(_ channels: Int) -> UInt32 { UInt32(channels.divided(by: values)) }
    var numbers = hgv_step()
    (numbers.x_offset, numbers.x_stride) = (count(input.offset), count(input.stride))
    (numbers.height, numbers.width) = (UInt32(input.shape.height), UInt32(input.shape.width))
    numbers.channels = count(input.shape.channels)
    (numbers.y_offset, numbers.y_stride) = (count(output.offset), count(output.stride))
    (numbers.out_height, numbers.out_width) = (UInt32(output.shape.height), UInt32(output.shape.width))
    numbers.columns = count(output.shape.channels)
    numbers.rows = UInt32(rows)
    (numbers.kernel_height, numbers.kernel_width) = (1, 1)
    (numbers.stride_height, numbers.stride_width) = (1, 1)
    return GPUStep(
      pipeline: try shader(name, values), input: place(input), output: place(output), numbers: numbers,
      groups: (1, 1, 1))
  }

  /// A grid of a thread for each value.
  private func flat(_ numbers: hgv_step, _ layer: String) throws(HGNetError) -> (UInt32, UInt32, UInt32) {
    try grid((Int(numbers.rows) * Int(numbers.columns)).divided(by: 64), layer)
  }

  private func begin(
    _ layer: Layer, _ values: Int, _ input: Location, _ output: Location
  ) throws(HGNetError) -> GPUStep {
    switch layer.kind {
    case .convolution(let convolution, _):
      let isDepthwise = convolution.isDepthwise || convolution.isIdentity
      if isDepthwise || values == 1 {
        var step = try step("direct", values, input, output, layer.name)
        step.numbers.setWindow(convolution.kernel, convolution.stride, convolution.padding)
        step.numbers.group = UInt32(isDepthwise ? 1 : convolution.inputChannels / convolution.groups)
        step.groups = try flat(step.numbers, layer.name)
        return step
      }
      return try product(layer, input, output, convolution.kernel, convolution.stride, convolution.padding)
    case .linear(_, _, let inputs, _):
      guard values == 1 else { return try product(layer, input, output, Size(1), Size(1), Padding(0)) }
      var step = try step("direct", 1, input, output, layer.name)
      step.numbers.group = UInt32(inputs)
      step.groups = try flat(step.numbers, layer.name)
      return step
    case .maxPool(let kernel, let stride, let padding):
      var step = try step("maximum", values, input, output, layer.name)
      step.numbers.setWindow(kernel, stride, padding)
      step.groups = try flat(step.numbers, layer.name)
      return step
    case .globalAveragePool:
      var step = try step("average", values, input, output, layer.name)
      step.groups = try grid(batch, beside: Int(step.numbers.columns).divided(by: 8), layer.name)
      return step
    case .copy, .decoder(.dropout): return try elementwise(layer, 0, values, input, output)
    case .gate: return try elementwise(layer, 1, values, input, output)
    case .pointwise(.sigmoid): return try elementwise(layer, 2, values, input, output)
    case .add: return try elementwise(layer, 3, values, input, output)
    case .softmax:
      var step = try step("softmax", 1, input, output, layer.name)
      step.groups = try grid(Int(step.numbers.rows), layer.name)
      return step
    case .decoder(let operation): return try decoder(operation, layer, input, output)
    case .concatenate: throw HGNetError(.internalInconsistency, "a concatenation is no step", layer: layer.name)
    }
  }

  /// A dense convolution or a linear layer, four channels at a time.
  private func product(
    _ layer: Layer, _ input: Location, _ output: Location, _ kernel: Size, _ stride: Size, _ padding: Padding
  ) throws(HGNetError) -> GPUStep {
    let isRow = kernel == Size(1) && stride == Size(1) && padding == Padding(0) && output.pixels == 1
    var step = try step(isRow ? "linear" : "convolution", 4, input, output, layer.name)
    step.numbers.setWindow(kernel, stride, padding)
    let rows = Int(step.numbers.rows), columns = output.shape.channels
    if isRow {
      step.groups = try grid(rows, beside: Int(step.numbers.columns).divided(by: 8), layer.name)
    } else if isHalf, tiles.usesMatrices, let shape = device.matrixShape {
      step.pipeline = try shader("matrices", 4)
      step.pipeline.constants = tiles.matrixConstants(rows: rows, columns: columns, device: device, shape: shape)
      step.pipeline.subgroup = device.info.largest_subgroup
      step.groups = try grid(
        rows.divided(by: Int(step.pipeline.constants[1])),
        beside: columns.divided(by: Int(step.pipeline.constants[2])), layer.name)
    } else {
      step.pipeline.constants = tiles.constants(rows: rows, columns: columns, isSoftware: device.isSoftware)
      step.groups = try grid(
        rows.divided(by: Int(step.pipeline.constants[1])),
        beside: columns.divided(by: Int(step.pipeline.constants[2])), layer.name)
    }
    return step
  }

  private func elementwise(
    _ layer: Layer, _ kind: UInt32, _ values: Int, _ input: Location, _ output: Location
  ) throws(HGNetError) -> GPUStep {
    var step = try step("elementwise", values, input, output, layer.name)
    step.numbers.kind = kind
    step.groups = try flat(step.numbers, layer.name)
    if layer.inputs.count > 1 {
      let second = try location(layer.inputs[1])
      step.weights = place(second)
      step.numbers.group = UInt32(second.offset / values)
      step.numbers.channels = UInt32(second.stride / values)
    }
    return step
  }

  private func decoder(
    _ operation: DecoderOperator, _ layer: Layer, _ input: Location, _ output: Location
  ) throws(HGNetError) -> GPUStep {
    let name: String =
      switch operation {
      case .layerNormalization: "normalize"
      case .attention: "attention"
      default: "tokens"
      }
    var step = try step(name, 1, input, output, layer.name)
    switch operation {
    case .layerNormalization(_, _, _, let epsilon):
      step.numbers.scale = epsilon
      step.groups = try grid(Int(step.numbers.rows), layer.name)
      return step
    case .attention(let heads, _):
      let keys = try location(layer.inputs[1]), values = try location(layer.inputs[2])
      step.weights = place(keys)
      step.other = place(values)
      step.numbers.height = UInt32(keys.pixels)
      step.numbers.out_height = UInt32(output.pixels)
      (step.numbers.kind, step.numbers.channels) = (UInt32(keys.offset), UInt32(keys.stride))
      (step.numbers.r_offset, step.numbers.r_stride) = (UInt32(values.offset), UInt32(values.stride))
      step.numbers.group = UInt32(output.shape.channels / heads)
    case .queries: step.numbers.out_height = UInt32(output.pixels)
    case .groupedLinear(_, _, let tokens, _, let classesPerToken, _):
      step.numbers.kind = 1
      step.numbers.height = UInt32(tokens)
      step.numbers.group = UInt32(classesPerToken)
    case .dropout: break
    }
    step.groups = try flat(step.numbers, layer.name)
    return step
  }

  private func addEpilogue(
    _ epilogue: EpilogueValues, _ layer: Layer, _ values: Int, to step: inout GPUStep
  ) throws(HGNetError) {
    guard layer.canHaveEpilogue else { return }
    if epilogue.lower == 0 { step.numbers.flags |= StepBuilder.relu }
    if epilogue.scale != 1 || epilogue.shift != 0 { step.numbers.flags |= StepBuilder.affine }
    (step.numbers.scale, step.numbers.shift) = (epilogue.scale, epilogue.shift)
    guard let residual = layer.residual else { return }
    let other = try location(residual)
    step.numbers.flags |= StepBuilder.residual
    step.other = place(other)
    (step.numbers.r_offset, step.numbers.r_stride) = (UInt32(other.offset / values), UInt32(other.stride / values))
  }
}

extension hgv_step {
  /// The window of a convolution or a pooling.
  mutating func setWindow(_ kernel: Size, _ stride: Size, _ padding: Padding) {
    (kernel_height, kernel_width) = (UInt32(kernel.height), UInt32(kernel.width))
    (stride_height, stride_width) = (UInt32(stride.height), UInt32(stride.width))
    (top, left) = (UInt32(padding.top), UInt32(padding.left))
  }
}
