import CHGNetKernels
import HGNetCore

/// Training of a transformer decoder's operators.
extension TrainingPlan {
  /// What an operator keeps for the way back.
  struct DecoderMemory {
    /// The weights of an attention, or the statistics of a layer normalisation.
    var kept: Int?
    /// The dropout mask.
    var mask: Int?
  }

  private var decoder: hg_decoder_kernels { instructionSet.kernels.pointee.decoder.pointee }

  private mutating func newMask(_ count: Int, probability: Float) -> Int? {
    guard probability > 0 else { return nil }
    let mask = newBuffer(count)
    masks.append((mask, count, probability, 1 / (1 - probability)))
    touch(buffer: mask, at: -1)
    return mask
  }

  /// Appends the way forward of a node.
  mutating func addDecoder(_ index: Int, _ node: FusedGraph.Node, _ operation: DecoderOperator) throws(HGNetError) {
    guard !node.isRectified, node.affine.isEmpty, node.residual == nil else {
      throw HGNetError(.unsupported, "training an activation after this operator", layer: node.name)
    }
    let output = try location(index)
    let inputs = try node.inputs.map { (input) throws(HGNetError) in try location(input) }
    let rows = batch * output.shape.height * output.shape.width
    let decoder = decoder
    switch operation {
    case .queries(let weight, let count, let features):
      let value = try parameters.valueAddress(weight, layer: node.name)
      add(node.name, tasks: batch, uses: [output.buffer]) { addresses, memory in
        memory.initializeMemory(
          as: hg_repeat.self,
          to: hg_repeat(
            rows: value, count: Int32(count), channels: Int32(features), output: addresses.pointer(output),
            output_stride: output.stride))
        return decoder.repeat
      }
    case .dropout(let probability):
      let input = inputs[0]
      let mask = newMask(rows * output.shape.channels, probability: probability)
      decoderMemory[index] = DecoderMemory(kept: nil, mask: mask)
      add(
        cutter.elementwise(
          HG_COPY, node: node, input: input, other: nil, residual: nil, output: output, epilogue: .none))
      if let mask {
        addElementwise(
          HG_GRADIENT_MASK, node.name + " mask", target: output, gradient: nil, factor: maskLocation(mask, output))
      }
    case .layerNormalization(_, _, let features, _):
      let statistics = newBuffer(2 * rows)
      decoderMemory[index] = DecoderMemory(kept: statistics, mask: nil)
      let tasks =
        (rows + DecoderWork.rowsPerTask(rows, features: features) - 1)
        / DecoderWork.rowsPerTask(rows, features: features)
      let describe = try layerNormalization(operation, index, node, output: output)
      add(node.name, tasks: tasks, uses: [inputs[0].buffer, output.buffer, statistics]) { addresses, memory in
        memory.initializeMemory(as: hg_layer_normalization.self, to: describe(addresses))
        return decoder.layer_normalization
      }
    case .attention(let heads, let probability):
      let tokens = inputs[1].shape.height * inputs[1].shape.width
      let count = batch * heads * output.shape.height * output.shape.width * tokens
      let weights = newBuffer(count)
      decoderMemory[index] = DecoderMemory(kept: weights, mask: newMask(count, probability: probability))
      let describe = attention(heads, index, inputs: inputs, output: output)
      add(
        node.name, algorithm: "attention", multiplyAdds: 2 * count * output.shape.channels / heads,
        tasks: batch * heads, scratch: tokens,
        uses: inputs.map(\.buffer) + [output.buffer, weights] + [decoderMemory[index]?.mask].compactMap { $0 }
      ) { addresses, memory in
        memory.initializeMemory(as: hg_attention.self, to: describe(addresses))
        return decoder.attention
      }
    case .groupedLinear:
      let describe = try groupProduct(operation, node, input: inputs[0], output: output)
      add(node.name, tasks: batch, uses: [inputs[0].buffer, output.buffer]) { addresses, memory in
        memory.initializeMemory(as: hg_group_product.self, to: describe(addresses))
        return decoder.group_product
      }
    }
  }

  /// Appends the way back of a node; `own` is the gradient of its result.
  mutating func addDecoderGradient(
    _ index: Int, _ node: FusedGraph.Node, _ operation: DecoderOperator, gradient own: Location
  ) throws(HGNetError) {
    let inputs = try node.inputs.map { (input) throws(HGNetError) in try location(input) }
    let decoder = decoder
    let memory = decoderMemory[index] ?? DecoderMemory()
    let name = node.name + " gradient"
    switch operation {
    case .queries: return
    case .dropout:
      if let mask = memory.mask {
        addElementwise(HG_GRADIENT_MASK, name, target: own, gradient: nil, factor: maskLocation(mask, own))
      }
      try accumulate(HG_GRADIENT_ADD, node.name, into: node.inputs[0], gradient: own)
    case .layerNormalization(_, _, let features, _):
      let rows = batch * own.shape.height * own.shape.width
      let rowsPerTask = DecoderWork.rowsPerTask(rows, features: features)
      let target = try zeroed(node.inputs[0], name)
      let describe = try layerNormalization(operation, index, node, output: own, target: target)
      let uses = [inputs[0].buffer, own.buffer, memory.kept ?? own.buffer] + (target.map { [$0.buffer] } ?? [])
      add(name + " of parameters", tasks: (features + 15) / 16, uses: uses) { addresses, memory in
        memory.initializeMemory(as: hg_layer_normalization.self, to: describe(addresses))
        return decoder.layer_normalization_parameter_gradient
      }
      guard target != nil else { return }
      add(name, tasks: (rows + rowsPerTask - 1) / rowsPerTask, uses: uses) { addresses, memory in
        memory.initializeMemory(as: hg_layer_normalization.self, to: describe(addresses))
        return decoder.layer_normalization_gradient
      }
    case .attention(let heads, _):
      var targets: [Location?] = []
      for input in node.inputs { targets.append(try zeroed(input, name)) }
      let tokens = inputs[1].shape.height * inputs[1].shape.width
      let forward = attention(heads, index, inputs: inputs, output: own)
      let uses = (inputs + targets.compactMap { $0 }).map(\.buffer) + [own.buffer]
      add(
        name, algorithm: "attention", tasks: batch * heads, scratch: tokens,
        uses: uses + [memory.kept, memory.mask].compactMap { $0 }
      ) { addresses, memory in
        var describe = forward(addresses)
        (describe.query_gradient, describe.query_gradient_stride) = place(targets[0], addresses)
        (describe.key_gradient, describe.key_gradient_stride) = place(targets[1], addresses)
        (describe.value_gradient, describe.value_gradient_stride) = place(targets[2], addresses)
        memory.initializeMemory(as: hg_attention.self, to: describe)
        return decoder.attention_gradient
      }
    case .groupedLinear(_, _, _, _, _, let classes):
      let target = try zeroed(node.inputs[0], name)
      let describe = try groupProduct(operation, node, input: inputs[0], output: own, target: target)
      let uses = [inputs[0].buffer, own.buffer] + (target.map { [$0.buffer] } ?? [])
      add(name + " of parameters", tasks: classes, uses: uses) { addresses, memory in
        memory.initializeMemory(as: hg_group_product.self, to: describe(addresses))
        return decoder.group_product_parameter_gradient
      }
      guard target != nil else { return }
      add(name, tasks: batch, uses: uses) { addresses, memory in
        memory.initializeMemory(as: hg_group_product.self, to: describe(addresses))
        return decoder.group_product_gradient
      }
    }
  }

  /// The gradient of a node, ready to be added to; nil if none is wanted.
  private mutating func zeroed(_ node: Int, _ name: String) throws(HGNetError) -> Location? {
    guard needsGradient[node] else { return nil }
    let target = try gradient(node)
    if try !prepare(node) {
      addElementwise(HG_GRADIENT_ZERO, name, target: target, gradient: nil, factor: nil)
    }
    return target
  }

  private func maskLocation(_ mask: Int, _ result: Location) -> Location {
    Location(buffer: mask, offset: 0, stride: result.shape.channels, shape: result.shape)
  }

  private func attention(
    _ heads: Int, _ index: Int, inputs: [Location], output: Location
  ) -> (TrainingAddresses) -> hg_attention {
    let (batch, memory) = (batch, decoderMemory[index] ?? DecoderMemory())
    return { addresses in
      var attention = hg_attention(
        heads: heads, queries: inputs[0], keys: inputs[1], values: inputs[2], output: output, batch: batch,
        addresses: { addresses.pointer($0) })
      attention.weights = memory.kept.map { addresses.pointer($0) }
      attention.mask = memory.mask.map { UnsafePointer(addresses.pointer($0)) }
      return attention
    }
  }

  private func layerNormalization(
    _ operation: DecoderOperator, _ index: Int, _ node: FusedGraph.Node, output: Location, target: Location? = nil
  ) throws(HGNetError) -> (TrainingAddresses) -> hg_layer_normalization {
    guard case .layerNormalization(let weight, let bias, let features, let epsilon) = operation else {
      throw HGNetError(.internalInconsistency, "expected a layer normalisation", layer: node.name)
    }
    let (value, shift) = (
      try parameters.valueAddress(weight, layer: node.name), try parameters.valueAddress(bias, layer: node.name)
    )
    let weightGradient = try gradientAddress(weight, node)
    let biasGradient = try gradientAddress(bias, node)
    let input = try location(node.inputs[0])
    let rows = batch * output.shape.height * output.shape.width
    let statistics = decoderMemory[index]?.kept
    return { addresses in
      let (gradient, stride) = place(target, addresses)
      return hg_layer_normalization(
        input: addresses.pointer(input), input_stride: input.stride, rows: Int64(rows), channels: Int32(features),
        weight: value, bias: shift, epsilon: epsilon, output: addresses.pointer(output), output_stride: output.stride,
        statistics: statistics.map { addresses.pointer($0) }, input_gradient: gradient, input_gradient_stride: stride,
        weight_gradient: weightGradient, bias_gradient: biasGradient,
        rows_per_task: Int32(DecoderWork.rowsPerTask(rows, features: features)))
    }
  }

  private func groupProduct(
    _ operation: DecoderOperator, _ node: FusedGraph.Node, input: Location, output: Location, target: Location? = nil
  ) throws(HGNetError) -> (TrainingAddresses) -> hg_group_product {
    guard case .groupedLinear(let weight, let bias, let tokens, let features, let perToken, let classes) = operation
    else { throw HGNetError(.internalInconsistency, "expected a grouped product", layer: node.name) }
    let (value, shift) = (
      try parameters.valueAddress(weight, layer: node.name), try parameters.valueAddress(bias, layer: node.name)
    )
    let weightGradient = try gradientAddress(weight, node)
    let biasGradient = try gradientAddress(bias, node)
    let batch = batch
    return { addresses in
      let (gradient, stride) = place(target, addresses)
      return hg_group_product(
        input: addresses.pointer(input), input_stride: input.stride, batch: Int32(batch), groups: Int32(tokens),
        channels: Int32(features), columns: Int32(classes), columns_per_group: Int32(perToken), weight: value,
        bias: shift, output: addresses.pointer(output), output_stride: output.stride, input_gradient: gradient,
        input_gradient_stride: stride, weight_gradient: weightGradient, bias_gradient: biasGradient)
    }
  }

  /// The address of a parameter's gradient, nil if it is kept as it is.
  private func gradientAddress(
    _ name: String, _ node: FusedGraph.Node
  ) throws(HGNetError) -> UnsafeMutablePointer<Float>? {
    parameters.isFrozen(named: name) ? nil : try parameters.gradientAddress(name, layer: node.name)
  }
}

/// The address of a location that may be missing, and the distance of its rows.
private func place(_ location: Location?, _ addresses: TrainingAddresses) -> (UnsafeMutablePointer<Float>?, Int) {
  guard let location else { return (nil, 0) }
  return (addresses.pointer(location), location.stride)
}
