import CHGNetKernels
import HGNetCore

extension TrainingPlan {
  /// Appends the steps that compute the network with batch statistics.
  mutating func addForward() throws(HGNetError) {
    for index in fused.nodes.indices {
      guard let node = fused.nodes[index] else { continue }
      switch node.kind {
      case .input, .concatenate: continue
      case .convolution(let convolution, let normalization):
        guard !convolution.isIdentity else {
          throw HGNetError(.unsupported, "training a batch normalisation without a convolution", layer: node.name)
        }
        try addUnit(index, node, convolution, isLinear: false, normalization)
      case .linear(let weight, let bias, let inputFeatures, let outputFeatures):
        let convolution = Convolution(
          weight: weight, bias: bias, inputChannels: inputFeatures, outputChannels: outputFeatures, kernel: Size(1),
          stride: Size(1), padding: Padding(0), groups: 1)
        try addUnit(index, node, convolution, isLinear: true, nil)
      case .maxPool, .globalAveragePool, .gate, .sigmoid, .add:
        guard !node.isRectified, node.affine.isEmpty else {
          throw HGNetError(.unsupported, "training an activation after this operator", layer: node.name)
        }
        let step = try cutter.step(
          node, input: location(node.inputs[0]), other: node.inputs.count > 1 ? location(node.inputs[1]) : nil,
          residual: node.residual.map { (residual) throws(HGNetError) in try location(residual) },
          output: location(index), weights: nil, epilogue: .none, multiplyAdds: 0)
        add(step)
      case .decoder(let operation): try addDecoder(index, node, operation)
      case .copy, .softmax:
        throw HGNetError(.unsupported, "training a network with this operator here", layer: node.name)
      }
    }
  }

  private mutating func addUnit(
    _ index: Int, _ node: FusedGraph.Node, _ convolution: Convolution, isLinear: Bool,
    _ normalization: BatchNormalization?
  ) throws(HGNetError) {
    let output = try location(index)
    let input = try location(node.inputs[0])
    let channels = convolution.outputChannels
    let padded = (channels + 15) / 16 * 16
    let rows = batch * output.shape.height * output.shape.width
    let rowsPerChunk = max(256, (rows + 63) / 64)
    let z = Location(buffer: newBuffer(rows * channels), offset: 0, stride: channels, shape: output.shape)
    var unit = Unit(
      node: index, convolution: convolution, isLinear: isLinear, normalization: normalization, affine: nil, mask: nil,
      z: z, sums: newBuffer((rows + rowsPerChunk - 1) / rowsPerChunk * 4 * padded * 2),
      coefficients: newBuffer(6 * padded), total: nil, rows: rows, rowsPerChunk: rowsPerChunk)
    if reduction != nil, normalization != nil, !isFixed(normalization) {
      unit.total = newBuffer((2 * padded + 1) * 2)
    }
    for step in node.affine {
      switch step {
      case .affine(let scale, let bias):
        guard unit.affine == nil, unit.mask == nil else {
          throw HGNetError(.unsupported, "training two affine blocks in a row", layer: node.name)
        }
        unit.affine = (scale, bias)
      case .dropout(let probability):
        guard probability > 0 else { continue }
        let mask = newBuffer(rows * channels)
        masks.append((mask, rows * channels, probability, 1))
        touch(buffer: mask, at: -1)
        unit.mask = mask
      }
    }
    try addConvolution(
      convolution, isLinear: isLinear, isGradient: false, input: input, output: z, residual: nil, layer: node.name)

    let residual = try node.residual.map { (residual) throws(HGNetError) in try location(residual) }
    let uses =
      [z.buffer, unit.sums, unit.coefficients, output.buffer] + [residual?.buffer, unit.total].compactMap { $0 }
    let rowTask = rowsPerTask(rows, channels: channels)
    let descriptor = try unitDescriptor(unit, result: output, residual: residual, rowsPerTask: rowTask)
    let training = training
    if normalization != nil, !isFixed(normalization) {
      add(node.name + " sums", tasks: (rows + rowsPerChunk - 1) / rowsPerChunk, uses: uses) { addresses, memory in
        descriptor(addresses, memory)
        return training.sums
      }
      addReduction(unit, node.name + " statistics")
    }
    add(node.name + " statistics", tasks: 1, uses: uses) { addresses, memory in
      descriptor(addresses, memory)
      return training.statistics
    }
    add(node.name + " apply", tasks: (rows + rowTask - 1) / rowTask, uses: uses) { addresses, memory in
      descriptor(addresses, memory)
      return training.apply
    }
    if let mask = unit.mask {
      addElementwise(
        HG_GRADIENT_MASK, node.name + " dropout", target: output, gradient: nil,
        factor: Location(buffer: mask, offset: 0, stride: channels, shape: output.shape))
    }
    units.append(unit)
  }

  /// Whether the running statistics are frozen and take the place of the batch's.
  private func isFixed(_ normalization: BatchNormalization?) -> Bool {
    guard let normalization else { return false }
    return parameters.isFrozen(named: normalization.mean) && parameters.isFrozen(named: normalization.variance)
  }

  /// A writer of the unit's descriptor; `result` is the unit's result, or on the way back its gradient.
  func unitDescriptor(
    _ unit: Unit, result: Location, residual: Location?, rowsPerTask: Int
  ) throws(HGNetError) -> (TrainingAddresses, UnsafeMutableRawPointer) -> Void {
    let node = fused.nodes[unit.node]
    let name = node?.name ?? ""
    let padded = (unit.convolution.outputChannels + 15) / 16 * 16
    func value(_ name: String?) throws(HGNetError) -> UnsafeMutablePointer<Float>? {
      guard let name else { return nil }
      return try parameters.valueAddress(name, layer: name)
    }
    func gradient(_ name: String?) throws(HGNetError) -> UnsafeMutablePointer<Float>? {
      guard let name else { return nil }
      return try parameters.gradientAddress(name, layer: name)
    }
    let normalization = unit.normalization
    guard normalization == nil || unit.convolution.bias == nil else {
      throw HGNetError(.unsupported, "training a convolution with a bias and a batch normalisation", layer: name)
    }
    let biasName = normalization?.bias ?? unit.convolution.bias
    let (gamma, bias) = (try value(normalization?.weight), try value(biasName))
    let (mean, variance) = (try value(normalization?.mean), try value(normalization?.variance))
    let (scale, shift) = (try value(unit.affine?.scale), try value(unit.affine?.bias))
    let (gammaGradient, biasGradient) = (try gradient(normalization?.weight), try gradient(biasName))
    let (scaleGradient, shiftGradient) = (try gradient(unit.affine?.scale), try gradient(unit.affine?.bias))
    let isRectified = node?.isRectified ?? false
    let isFixed = isFixed(normalization)
    return { addresses, memory in
      let coefficients = addresses.pointer(unit.coefficients)
      let sums = UnsafeMutableRawPointer(addresses.pointer(unit.sums)).assumingMemoryBound(to: Double.self)
      memory.initializeMemory(
        as: hg_unit.self,
        to: hg_unit(
          z: addresses.pointer(unit.z), rows: Int64(unit.rows), channels: Int32(unit.convolution.outputChannels),
          is_normalized: normalization == nil ? 0 : 1, is_fixed: isFixed ? 1 : 0, is_rectified: isRectified ? 1 : 0,
          rows_per_chunk: Int32(unit.rowsPerChunk), sums: sums,
          total: unit.total.map {
            UnsafePointer(UnsafeMutableRawPointer(addresses.pointer($0)).assumingMemoryBound(to: Double.self))
          }, k: coefficients, o: coefficients + padded,
          mean: coefficients + 2 * padded, deviation: coefficients + 3 * padded, alpha: coefficients + 4 * padded,
          beta: coefficients + 5 * padded, epsilon: normalization?.epsilon ?? 0,
          momentum: normalization?.momentum ?? 0, gamma: UnsafePointer(gamma), bias: UnsafePointer(bias),
          running_mean: mean, running_variance: variance, scale: UnsafePointer(scale), shift: UnsafePointer(shift),
          gamma_gradient: gammaGradient, bias_gradient: biasGradient, scale_gradient: scaleGradient,
          shift_gradient: shiftGradient, output: addresses.pointer(result), output_stride: result.stride,
          residual: residual.map { UnsafePointer(addresses.pointer($0)) }, residual_stride: residual?.stride ?? 0,
          rows_per_task: Int32(rowsPerTask)))
    }
  }

  /// Packs the weights as they are now and convolves; with `isGradient` the weights of the data gradient.
  ///
  /// - Parameters:
  ///   - convolution: the layer as the graph has it.
  ///   - input: the picture side, or for a gradient the gradient of the result, spread to stride 1.
  ///   - residual: added to the result.
  mutating func addConvolution(
    _ convolution: Convolution, isLinear: Bool, isGradient: Bool, input: Location, output: Location,
    residual: Location?, layer: String
  ) throws(HGNetError) {
    var used = convolution
    used.bias = nil
    if isGradient {
      swap(&used.inputChannels, &used.outputChannels)
      used.stride = Size(1)
      used.padding = Padding(
        top: convolution.kernel.height - 1 - convolution.padding.top,
        left: convolution.kernel.width - 1 - convolution.padding.left,
        bottom: convolution.kernel.height - 1 - convolution.padding.bottom,
        right: convolution.kernel.width - 1 - convolution.padding.right)
    }
    let placeholder = try packedPlaceholder(used, isGradient: isGradient, layer: layer)
    let packed = newBuffer(placeholder.weightCount)
    let weight = try parameters.valueAddress(convolution.weight, layer: layer)
    let taps = used.kernel.height * used.kernel.width
    let (columns, channels) = (used.outputChannels, used.inputChannels)
    let training = training
    if placeholder.algorithm == .depthwise {
      add(layer + " pack", tasks: 1, uses: [packed]) { addresses, memory in
        memory.initializeMemory(
          as: hg_pack_channels.self,
          to: hg_pack_channels(
            weight: weight, channels: Int32(columns), taps: Int32(taps), is_flipped: isGradient ? 1 : 0,
            packed: addresses.pointer(packed)))
        return training.pack_channels
      }
    } else {
      // Dense weights are [out][in][taps], linear ones [in][out]; the gradient exchanges the two.
      let (outer, inner) = isLinear ? (1, convolution.outputChannels) : (convolution.inputChannels * taps, taps)
      add(layer + " pack", tasks: (columns + 15) / 16, uses: [packed]) { addresses, memory in
        memory.initializeMemory(
          as: hg_pack.self,
          to: hg_pack(
            weight: weight, column_stride: Int64(isGradient ? inner : outer),
            channel_stride: Int64(isGradient ? outer : inner), columns: Int32(columns), channels: Int32(channels),
            taps: Int32(taps), is_flipped: isGradient ? 1 : 0,
            winograd_tile: Int32(placeholder.algorithm.winogradTile ?? 0),
            packed: addresses.pointer(packed)))
        return training.pack
      }
    }
    let node = FusedGraph.Node(
      name: layer + (isGradient ? " data gradient" : ""), kind: .convolution(used, nil), inputs: [])
    zeroCount = max(zeroCount, placeholder.paddedColumns)
    // A strided layer's gradient has been spread with zeros; its work is that of the result.
    let rows = batch * (isGradient ? input : output).shape.height * (isGradient ? input : output).shape.width
    add(
      try cutter.step(
        node, input: input, other: nil, residual: residual, output: output, weights: placeholder, epilogue: .none,
        multiplyAdds: multiplyAdds(of: convolution, rows: rows)),
      packed: packed)
  }

  /// The multiply-adds of a convolution over some rows of results; a data gradient and a weight gradient have as many.
  func multiplyAdds(of convolution: Convolution, rows: Int) -> Int {
    rows * convolution.outputChannels * (convolution.inputChannels / convolution.groups)
      * convolution.kernel.height * convolution.kernel.width
  }

  /// Appends elementwise work on gradients.
  mutating func addElementwise(
    _ kind: Int, _ name: String, target: Location, gradient: Location?, factor: Location?
  ) {
    let pixels = target.shape.height * target.shape.width
    let rows = batch * pixels
    let task = rowsPerTask(rows, channels: target.shape.channels)
    let training = training
    let uses = [target.buffer] + [gradient?.buffer, factor?.buffer].compactMap { $0 }
    add(name, tasks: (rows + task - 1) / task, uses: uses) { addresses, memory in
      memory.initializeMemory(
        as: hg_elementwise_gradient.self,
        to: hg_elementwise_gradient(
          kind: Int32(kind), rows: Int64(rows), rows_per_image: Int64(pixels), channels: Int32(target.shape.channels),
          target: addresses.pointer(target), target_stride: target.stride,
          gradient: gradient.map { UnsafePointer(addresses.pointer($0)) }, gradient_stride: gradient?.stride ?? 0,
          factor: factor.map { UnsafePointer(addresses.pointer($0)) }, factor_stride: factor?.stride ?? 0,
          rows_per_task: Int32(task)))
      return training.elementwise_gradient
    }
  }
}
