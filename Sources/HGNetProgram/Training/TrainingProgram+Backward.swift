import HGNetCore

extension TrainingProgram {
  /// Appends the operations from the gradient of the logits to those of the parameters.
  mutating func addBackward() throws(HGNetError) {
    isGradientWritten[output] = true
    var remaining = units.count
    for layer in program.layers.reversed() where layer.kind != .concatenate {
      if remaining > 0, units[remaining - 1].layer.result == layer.result { remaining -= 1 }
      guard needsGradient[layer.result] else { continue }
      let own = try gradient(layer.result)
      if !isGradientWritten[layer.result] {
        add(layer.name + " gradient", .elementwise(.zero, target: own, gradient: nil, factor: nil))
        isGradientWritten[layer.result] = true
      }
      if let range = layer.quantization?.range, let outside = outside[layer.result] {
        add(
          layer.name + " range gradient", .quantizationGradient(range: range, target: own, outside: outside))
      }
      if let residual = layer.residual { try accumulate(.add, layer, into: residual, gradient: own) }
      try addGradient(of: layer, unit: remaining, gradient: own)
      gradientEnds[operations.count - 1, default: []] += layer.learnedParameters
    }
  }

  private mutating func addGradient(of layer: Layer, unit: Int, gradient own: Location) throws(HGNetError) {
    switch layer.kind {
    case .convolution, .linear:
      guard unit < units.count, units[unit].layer.result == layer.result else {
        throw HGNetError(.internalInconsistency, "units out of order", layer: layer.name)
      }
      try addUnitGradient(unit, layer, gradient: own)
    case .maxPool(let kernel, let stride, let padding):
      guard let target = try prepared(layer.inputs[0], layer) else { return }
      add(
        layer.name + " gradient",
        .maxPoolGradient(
          kernel: kernel, stride: stride, padding: padding, input: try again(layer.inputs[0]), gradient: own,
          target: target))
    case .globalAveragePool: try accumulate(.mean, layer, into: layer.inputs[0], gradient: own)
    case .add: for input in layer.inputs { try accumulate(.add, layer, into: input, gradient: own) }
    case .pointwise(let function):
      try accumulate(
        .pointwise(function), layer, into: layer.inputs[0], gradient: own,
        factor: again(function.kept == .result ? layer.result : layer.inputs[0]))
    case .gate:
      try accumulate(.gated, layer, into: layer.inputs[0], gradient: own, factor: again(layer.inputs[1]))
      guard let target = try prepared(layer.inputs[1], layer, named: " gate gradient") else { return }
      add(
        layer.name + " gate gradient",
        .gateGradient(input: try again(layer.inputs[0]), gradient: own, target: target))
    case .decoder(let operation): try addDecoderGradient(layer, operation, gradient: own)
    case .copy where program.isConversion(layer): try accumulate(.add, layer, into: layer.inputs[0], gradient: own)
    case .concatenate, .copy, .softmax:
      throw HGNetError(.internalInconsistency, "no gradient of this operator", layer: layer.name)
    }
  }

  private mutating func addUnitGradient(_ unit: Int, _ layer: Layer, gradient own: Location) throws(HGNetError) {
    if let mask = units[unit].mask {
      add(layer.name + " dropout gradient", .elementwise(.mask, target: own, gradient: nil, factor: mask))
    }
    add(layer.name + " gradient", .normalizationGradient(unit: unit, gradient: own))
    if !frozen.contains(units[unit].convolution.weight) {
      add(
        layer.name + " weight gradient", .weightGradient(unit: unit, input: try again(layer.inputs[0])))
    }
    guard needsGradient[layer.inputs[0]] else { return }
    let target = try gradient(layer.inputs[0])
    let isAdded = try prepare(layer.inputs[0])
    add(layer.name + " data gradient", .dataGradient(unit: unit, target: target, isAdded: isAdded))
  }

  private mutating func addDecoderGradient(
    _ layer: Layer, _ operation: DecoderOperator, gradient own: Location
  ) throws(HGNetError) {
    let mask = decoderMasks[layer.result]
    switch operation {
    case .queries: return
    case .dropout:
      if let mask {
        add(layer.name + " gradient", .elementwise(.mask, target: own, gradient: nil, factor: mask))
      }
      try accumulate(.add, layer, into: layer.inputs[0], gradient: own)
    case .layerNormalization, .attention, .groupedLinear:
      var targets: [Location?] = []
      for input in layer.inputs { targets.append(try prepared(input, layer)) }
      add(
        layer.name + " gradient",
        .decoderGradient(
          layer, operation, inputs: try layer.inputs.map { (input) throws(HGNetError) in try again(input) },
          mask: mask, gradient: own, targets: targets))
    }
  }

  /// The results whose gradients make up that of a result: the parts of a concatenation.
  func parts(of result: Int) -> [Int] {
    guard let layer = program.layer(computing: result), layer.kind == .concatenate else { return [result] }
    return layer.inputs.flatMap { parts(of: $0) }
  }

  /// Makes a gradient ready for one more contribution; true if that must be added to what is there.
  private mutating func prepare(_ result: Int) throws(HGNetError) -> Bool {
    let parts = parts(of: result)
    let open = parts.filter { !isGradientWritten[$0] }
    for part in open { isGradientWritten[part] = true }
    if open.count == parts.count { return false }
    for part in open {
      add("zero gradient", .elementwise(.zero, target: try gradient(part), gradient: nil, factor: nil))
    }
    return true
  }

  /// The gradient of a result, ready to be added to; nil if none is wanted.
  private mutating func prepared(
    _ result: Int, _ layer: Layer, named suffix: String = " gradient"
  ) throws(HGNetError) -> Location? {
    guard needsGradient[result] else { return nil }
    let target = try gradient(result)
    if try !prepare(result) {
      add(layer.name + suffix, .elementwise(.zero, target: target, gradient: nil, factor: nil))
    }
    return target
  }

  private mutating func accumulate(
    _ kind: TrainingOperation.Elementwise, _ layer: Layer, into result: Int, gradient own: Location,
    factor: Location? = nil
  ) throws(HGNetError) {
    guard let target = try prepared(result, layer) else { return }
    add(layer.name + " gradient", .elementwise(kind, target: target, gradient: own, factor: factor))
  }
}
