import HGNetCore

extension TrainingProgram {
  /// Appends the operations that compute the network with batch statistics.
  mutating func addForward() throws(HGNetError) {
    if let quantization = program.quantization {
      add(
        "input quantised",
        .quantization(range: quantization.input, target: try location(program.input), outside: nil))
    }
    for layer in program.layers {
      if program.isConversion(layer) {
        try addPlain(layer)
        continue
      }
      if let reason = TrainingProgram.refusal(of: layer) { throw HGNetError(.unsupported, reason, layer: layer.name) }
      switch layer.kind {
      case .concatenate, .copy, .softmax: continue
      case .convolution(let convolution, let normalization):
        try addUnit(layer, convolution, isLinear: false, normalization)
      case .linear(let weight, let bias, let inputFeatures, let outputFeatures):
        let convolution = Convolution(
          weight: weight, bias: bias, inputChannels: inputFeatures, outputChannels: outputFeatures, kernel: Size(1),
          stride: Size(1), padding: Padding(0), groups: 1)
        try addUnit(layer, convolution, isLinear: true, nil)
      case .maxPool, .globalAveragePool, .gate, .pointwise, .add: try addPlain(layer)
      case .decoder(let operation): try addDecoder(layer, operation)
      }
      try addQuantization(layer)
    }
  }

  /// A layer without state.
  private mutating func addPlain(_ layer: Layer) throws(HGNetError) {
    add(
      layer.name,
      .layer(
        layer, inputs: try layer.inputs.map { (input) throws(HGNetError) in try location(input) },
        residual: try layer.residual.map { (residual) throws(HGNetError) in try location(residual) },
        output: try location(layer.result)))
  }

  private mutating func addQuantization(_ layer: Layer) throws(HGNetError) {
    guard let range = layer.quantization?.range else { return }
    let target = try location(layer.result)
    if needsGradient[layer.result] {
      outside[layer.result] = newArray(target.shape, batch: batch, element: .uint8)
    }
    add(layer.name + " quantised", .quantization(range: range, target: target, outside: outside[layer.result]))
  }

  private mutating func addUnit(
    _ layer: Layer, _ convolution: Convolution, isLinear: Bool, _ normalization: BatchNormalization?
  ) throws(HGNetError) {
    let output = try location(layer.result)
    let input = try location(layer.inputs[0])
    let residual = try layer.residual.map { (residual) throws(HGNetError) in try location(residual) }
    var unit = TrainingUnit(
      layer: layer, convolution: convolution, isLinear: isLinear, normalization: normalization,
      usesRunningStatistics: normalization.map { frozen.contains($0.mean) && frozen.contains($0.variance) } ?? false,
      convolved: newArray(
        output.shape, batch: batch,
        element: program.mixedPrecision == .o2 && input.element == .bfloat16 ? .bfloat16 : .float32),
      gradientElement: input.element, rows: batch * output.pixels)
    for step in layer.affine {
      switch step {
      case .affine(let scale, let bias): unit.affine = TrainingUnit.Affine(scale: scale, bias: bias)
      case .dropout(let probability):
        guard probability > 0 else { continue }
        unit.mask = newMask(output.shape, probability: probability, kept: 1)
      }
    }
    if layer.quantization != nil {
      let count = convolution.inputChannels / max(convolution.groups, 1)
      let kernel = convolution.kernel
      unit.roundedWeights = newArray(
        ActivationShape(
          channels: convolution.outputChannels * count, height: kernel.height, width: kernel.width), batch: 1)
    }
    units.append(unit)
    let number = units.count - 1
    if layer.quantization != nil { add(layer.name + " weights quantised", .weightQuantization(unit: number)) }
    add(layer.name, .convolution(unit: number, input: input))
    add(layer.name + " statistics", .statistics(unit: number))
    add(layer.name + " apply", .normalization(unit: number, residual: residual, output: output))
    if let mask = unit.mask {
      add(layer.name + " dropout", .elementwise(.mask, target: output, gradient: nil, factor: mask))
    }
  }

  private mutating func addDecoder(_ layer: Layer, _ operation: DecoderOperator) throws(HGNetError) {
    let output = try location(layer.result)
    let inputs = try layer.inputs.map { (input) throws(HGNetError) in try location(input) }
    var mask: Location?
    switch operation {
    case .dropout(let probability) where probability > 0:
      mask = newMask(output.shape, probability: probability, kept: 1 / (1 - probability))
    case .attention(let heads, let probability) where probability > 0:
      // A weight for each head, query and token.
      let shape = ActivationShape(channels: inputs[1].pixels, height: heads, width: output.pixels)
      mask = newMask(shape, probability: probability, kept: 1 / (1 - probability))
    default: break
    }
    decoderMasks[layer.result] = mask
    if case .dropout = operation {
      var copy = layer
      copy.kind = .copy
      add(layer.name, .layer(copy, inputs: inputs, residual: nil, output: output))
      if let mask {
        add(layer.name + " mask", .elementwise(.mask, target: output, gradient: nil, factor: mask))
      }
    } else {
      add(layer.name, .decoder(layer, operation, inputs: inputs, mask: mask, output: output))
    }
  }
}
