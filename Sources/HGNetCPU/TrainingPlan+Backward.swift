import CHGNetKernels
import HGNetCore

extension TrainingPlan {
  /// Appends the steps from the gradient of the logits to those of the parameters.
  mutating func addBackward() throws(HGNetError) {
    isGradientWritten[outputNode] = true
    var remaining = units
    for index in fused.nodes.indices.reversed() {
      guard let node = fused.nodes[index], node.kind != .input, node.kind != .concatenate else { continue }
      guard needsGradient[index] else {
        if remaining.last?.node == index { remaining.removeLast() }
        continue
      }
      let own = try gradient(index)
      if !isGradientWritten[index] {
        addElementwise(HG_GRADIENT_ZERO, node.name + " gradient", target: own, gradient: nil, factor: nil)
        isGradientWritten[index] = true
      }
      if let residual = node.residual { try accumulate(HG_GRADIENT_ADD, node.name, into: residual, gradient: own) }
      switch node.kind {
      case .convolution, .linear:
        guard let unit = remaining.popLast(), unit.node == index else {
          throw HGNetError(.internalInconsistency, "units out of order", layer: node.name)
        }
        try addUnitGradient(unit, node, gradient: own)
      case .maxPool(let kernel, let stride, let padding):
        try addPoolGradient(node, kernel, stride, padding, gradient: own)
      case .globalAveragePool: try accumulate(HG_GRADIENT_MEAN, node.name, into: node.inputs[0], gradient: own)
      case .decoder(let operation): try addDecoderGradient(index, node, operation, gradient: own)
      case .add: for input in node.inputs { try accumulate(HG_GRADIENT_ADD, node.name, into: input, gradient: own) }
      case .sigmoid:
        try accumulate(HG_GRADIENT_SIGMOID, node.name, into: node.inputs[0], gradient: own, factor: location(index))
      case .gate:
        try accumulate(
          HG_GRADIENT_GATED, node.name, into: node.inputs[0], gradient: own, factor: location(node.inputs[1]))
        try addGateGradient(node, gradient: own)
      default: throw HGNetError(.internalInconsistency, "no gradient of this operator", layer: node.name)
      }
      for name in node.learnedParameters {
        if let parameter = parameters.index(of: name) { gradientEnds[steps.count - 1, default: []].append(parameter) }
      }
    }
  }

  /// The nodes whose gradients make up that of a node: the parts of a concatenation.
  private func parts(of node: Int) -> [Int] {
    guard let concatenation = fused.nodes[node], concatenation.kind == .concatenate else { return [node] }
    return concatenation.inputs.flatMap { parts(of: $0) }
  }

  /// Makes a gradient ready for one more contribution; true if that must be added to what is there.
  mutating func prepare(_ node: Int) throws(HGNetError) -> Bool {
    let parts = parts(of: node)
    let open = parts.filter { !isGradientWritten[$0] }
    for part in open { isGradientWritten[part] = true }
    if open.count == parts.count { return false }
    for part in open {
      addElementwise(HG_GRADIENT_ZERO, "zero gradient", target: try gradient(part), gradient: nil, factor: nil)
    }
    return true
  }

  mutating func accumulate(
    _ kind: Int, _ name: String, into node: Int, gradient own: Location, factor: Location? = nil
  ) throws(HGNetError) {
    guard needsGradient[node] else { return }
    let target = try gradient(node)
    if try !prepare(node) {
      addElementwise(HG_GRADIENT_ZERO, name + " gradient", target: target, gradient: nil, factor: nil)
    }
    addElementwise(kind, name + " gradient", target: target, gradient: own, factor: factor)
  }

  private mutating func addUnitGradient(
    _ unit: Unit, _ node: FusedGraph.Node, gradient own: Location
  ) throws(HGNetError) {
    let channels = unit.convolution.outputChannels
    if let mask = unit.mask {
      addElementwise(
        HG_GRADIENT_MASK, node.name + " dropout gradient", target: own, gradient: nil,
        factor: Location(buffer: mask, offset: 0, stride: channels, shape: own.shape))
    }
    let rowTask = rowsPerTask(unit.rows, channels: channels)
    let descriptor = try unitDescriptor(unit, result: own, residual: nil, rowsPerTask: rowTask)
    let uses = [unit.z.buffer, unit.sums, unit.coefficients, own.buffer] + (unit.total.map { [$0] } ?? [])
    let training = training
    let chunks = (unit.rows + unit.rowsPerChunk - 1) / unit.rowsPerChunk
    add(node.name + " gradient sums", tasks: chunks, uses: uses) { addresses, memory in
      descriptor(addresses, memory)
      return training.gradient_sums
    }
    addReduction(unit, node.name + " gradient sums")
    add(node.name + " gradient finish", tasks: 1, uses: uses) { addresses, memory in
      descriptor(addresses, memory)
      return training.gradient_finish
    }
    add(node.name + " gradient apply", tasks: (unit.rows + rowTask - 1) / rowTask, uses: uses) { addresses, memory in
      descriptor(addresses, memory)
      return training.gradient_apply
    }
    if !parameters.isFrozen(named: unit.convolution.weight) {
      try addWeightGradient(unit, node, input: location(node.inputs[0]))
    }
    guard needsGradient[node.inputs[0]] else { return }
    let target = try gradient(node.inputs[0])
    let isAdded = try prepare(node.inputs[0])
    let stride = unit.convolution.stride
    let source = stride == Size(1) ? unit.z : addDilation(unit, stride)
    try addConvolution(
      unit.convolution, isLinear: unit.isLinear, isGradient: true, input: source, output: target,
      residual: isAdded ? target : nil, layer: node.name)
  }

  /// Spreads the gradient of a strided convolution over the grid of its input.
  private mutating func addDilation(_ unit: Unit, _ stride: Size) -> Location {
    let shape = unit.z.shape
    let wide = ActivationShape(
      channels: shape.channels, height: (shape.height - 1) * stride.height + 1,
      width: (shape.width - 1) * stride.width + 1)
    let output = Location(
      buffer: newBuffer(batch * wide.count), offset: 0, stride: shape.channels, shape: wide)
    let (batch, training) = (batch, training)
    add("spread gradient", tasks: batch * wide.height, uses: [unit.z.buffer, output.buffer]) { addresses, memory in
      memory.initializeMemory(
        as: hg_dilate.self,
        to: hg_dilate(
          input: addresses.pointer(unit.z), batch: Int32(batch), height: Int32(shape.height), width: Int32(shape.width),
          channels: Int32(shape.channels), stride_height: Int32(stride.height), stride_width: Int32(stride.width),
          output: addresses.pointer(output)))
      return training.dilate
    }
    return output
  }

  private mutating func addPoolGradient(
    _ node: FusedGraph.Node, _ kernel: Size, _ stride: Size, _ padding: Padding, gradient own: Location
  ) throws(HGNetError) {
    let input = try location(node.inputs[0])
    let target = try gradient(node.inputs[0])
    if try !prepare(node.inputs[0]) {
      addElementwise(HG_GRADIENT_ZERO, node.name + " gradient", target: target, gradient: nil, factor: nil)
    }
    let (batch, training) = (batch, training)
    add(
      node.name + " gradient", tasks: batch * ((input.shape.channels + 15) / 16),
      uses: [input.buffer, own.buffer, target.buffer]
    ) { addresses, memory in
      memory.initializeMemory(
        as: hg_maximum_pool_gradient.self,
        to: hg_maximum_pool_gradient(
          input: addresses.pointer(input), input_stride: input.stride, batch: Int32(batch),
          height: Int32(input.shape.height), width: Int32(input.shape.width), channels: Int32(input.shape.channels),
          gradient: addresses.pointer(own), gradient_stride: own.stride, output_height: Int32(own.shape.height),
          output_width: Int32(own.shape.width), kernel_height: Int32(kernel.height),
          kernel_width: Int32(kernel.width), stride_height: Int32(stride.height), stride_width: Int32(stride.width),
          padding_top: Int32(padding.top), padding_left: Int32(padding.left),
          input_gradient: addresses.pointer(target), input_gradient_stride: target.stride))
      return training.maximum_pool_gradient
    }
  }

  private mutating func addGateGradient(_ node: FusedGraph.Node, gradient own: Location) throws(HGNetError) {
    guard needsGradient[node.inputs[1]] else { return }
    let input = try location(node.inputs[0])
    let target = try gradient(node.inputs[1])
    if try !prepare(node.inputs[1]) {
      addElementwise(HG_GRADIENT_ZERO, node.name + " gate gradient", target: target, gradient: nil, factor: nil)
    }
    let (batch, training) = (batch, training)
    add(node.name + " gate gradient", tasks: batch, uses: [input.buffer, own.buffer, target.buffer]) {
      addresses, memory in
      memory.initializeMemory(
        as: hg_gate_gradient.self,
        to: hg_gate_gradient(
          input: addresses.pointer(input), input_stride: input.stride, gradient: addresses.pointer(own),
          gradient_stride: own.stride, batch: Int32(batch), pixels: Int32(input.shape.height * input.shape.width),
          channels: Int32(input.shape.channels), target: addresses.pointer(target), target_stride: target.stride))
      return training.gate_gradient
    }
  }
}
