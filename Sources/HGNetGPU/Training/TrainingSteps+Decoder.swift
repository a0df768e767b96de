import CHGNetVulkan
import HGNetCore
import HGNetProgram

/// The operators of a transformer decoder, whose tokens are pixels.
extension TrainingSteps {
  mutating func addDecoder(
    _ layer: Layer, _ operation: DecoderOperator, inputs: [Location], mask: Location?, output: Location
  ) throws(HGNetError) {
    func values(_ name: String) throws(HGNetError) -> TrainingDispatch.Place {
      .values(try layout.range(name, layer: layer.name))
    }
    var numbers = hgv_step(inputs.first ?? output, output, batch: batch)
    switch operation {
    case .dropout: throw HGNetError(.internalInconsistency, "dropout is a copy and a mask", layer: layer.name)
    case .queries(let weight, _, _):
      numbers.out_height = UInt32(output.pixels)
      try add(
        "tokens", first: place(output), second: values(weight), fourth: place(output), numbers: numbers,
        groups: flat(numbers))
    case .layerNormalization(let weight, let bias, _, let epsilon):
      numbers.scale = epsilon
      try add(
        "normalize", first: place(inputs[0]), second: values(weight), third: values(bias), fourth: place(output),
        numbers: numbers, groups: grid(Int(numbers.rows)))
    case .groupedLinear(let weight, let bias, let tokens, _, let classesPerToken, _):
      numbers.kind = 1
      (numbers.height, numbers.group) = (UInt32(tokens), UInt32(classesPerToken))
      try add(
        "tokens", first: place(inputs[0]), second: values(weight), third: values(bias), fourth: place(output),
        numbers: numbers, groups: flat(numbers))
    case .attention(let heads, _):
      let own = Attention(heads: heads, inputs: inputs, result: output, batch: batch)
      let (buffer, weights) = keep(own.count)
      attentions[layer.result] = buffer
      try add(
        "training/attend", first: place(inputs[0]), fourth: weights, fifth: place(inputs[1]),
        numbers: own.numbers(0, from: inputs[0], to: output, other: inputs[1], mask: nil), groups: flat(own.rows))
      let step = own.numbers(1, from: inputs[0], to: output, other: inputs[2], mask: mask)
      try add(
        "training/attend", first: place(inputs[0]), second: weights, third: mask.map(place), fourth: place(output),
        fifth: place(inputs[2]), numbers: step, groups: flat(step))
    }
  }

  mutating func addDecoderGradient(
    _ layer: Layer, _ operation: DecoderOperator, inputs: [Location], mask: Location?, gradient: Location,
    targets: [Location?]
  ) throws(HGNetError) {
    switch operation {
    case .queries, .dropout: throw HGNetError(.internalInconsistency, "no gradient of this operator", layer: layer.name)
    case .layerNormalization(let weight, let bias, let features, let epsilon):
      try addLayerGradient(
        layer, (weight, bias), features, epsilon, input: inputs[0], gradient: gradient, target: targets[0])
    case .groupedLinear(let weight, let bias, let tokens, let features, let classesPerToken, _):
      var numbers = hgv_step(inputs[0], targets[0] ?? inputs[0], batch: batch)
      (numbers.rows, numbers.height, numbers.channels) = (UInt32(batch), UInt32(tokens), UInt32(features))
      (numbers.columns, numbers.group) = (UInt32(gradient.shape.channels), UInt32(classesPerToken))
      numbers.setOther(gradient)
      let classes = gradient.shape.channels
      if let target = targets[0] {
        try add(
          "training/groups", first: place(inputs[0]), second: .values(layout.range(weight, layer: layer.name)),
          fourth: place(target), fifth: place(gradient), numbers: numbers, groups: flat(batch * tokens * features))
      }
      for (kind, name, count) in [(1, weight, classes * features), (2, bias, classes)] {
        numbers.kind = UInt32(kind)
        try add(
          "training/groups", first: place(inputs[0]), fourth: .gradients(layout.range(name, layer: layer.name)),
          fifth: place(gradient), numbers: numbers, groups: flat(count))
      }
    case .attention(let heads, _):
      let own = Attention(heads: heads, inputs: inputs, result: gradient, batch: batch)
      let weights = try kept(attentions[layer.result], count: own.count), scores = scratch(own.count)
      try add(
        "training/attend", first: place(gradient), second: weights, third: mask.map(place), fourth: scores,
        fifth: place(inputs[2]), numbers: own.numbers(2, from: gradient, to: gradient, other: inputs[2], mask: mask),
        groups: flat(own.rows))
      for (kind, target) in targets.enumerated() {
        guard let target else { continue }
        let other = [inputs[1], inputs[0], gradient][kind]
        let numbers = own.numbers(UInt32(3 + kind), from: gradient, to: target, other: other, mask: mask)
        try add(
          "training/attend", first: place(gradient), second: kind == 2 ? weights : scores, third: mask.map(place),
          fourth: place(target), fifth: place(other), numbers: numbers, groups: flat(numbers))
      }
    }
  }

  private mutating func addLayerGradient(
    _ layer: Layer, _ names: (weight: String, bias: String), _ features: Int, _ epsilon: Float, input: Location,
    gradient: Location, target: Location?
  ) throws(HGNetError) {
    let rows = batch * input.pixels, slices = self.slices(rows)
    var numbers = hgv_step(input, target ?? input, batch: batch)
    numbers.setOther(gradient)
    numbers.scale = epsilon
    numbers.flags = target == nil ? 0 : TrainingSteps.residual
    let statistics = scratch(2 * rows), sums = scratch(slices * 2 * features)
    try add(
      "training/layer", first: place(input), second: place(gradient),
      third: .values(layout.range(names.weight, layer: layer.name)), fourth: place(target ?? input), fifth: statistics,
      numbers: numbers, groups: grid(rows))
    try add(
      "training/sums", constants: [4], first: place(input), second: place(gradient), fourth: sums, fifth: statistics,
      numbers: numbers, groups: (UInt32(slices), UInt32(features.divided(by: 16)), 1))
    for (quantity, name) in [names.weight, names.bias].enumerated() {
      var joining = hgv_step()
      (joining.rows, joining.columns, joining.channels) = (1, UInt32(features), 1)
      (joining.group, joining.r_stride) = (UInt32(slices), 1)
      (joining.x_offset, joining.x_stride) = (UInt32(quantity * features), UInt32(2 * features))
      try add(
        "training/join", first: sums, fourth: .gradients(layout.range(name, layer: layer.name)), numbers: joining,
        groups: flat(features))
    }
  }
}

/// The extents of an attention.
private struct Attention {
  let heads: Int, batch: Int
  let queries: Int, tokens: Int, channels: Int

  init(heads: Int, inputs: [Location], result: Location, batch: Int) {
    (self.heads, self.batch) = (heads, batch)
    (queries, tokens, channels) = (result.pixels, inputs[1].pixels, result.shape.channels)
  }

  /// The rows of weights, and all weights.
  var rows: Int { batch * heads * queries }
  var count: Int { rows * tokens }

  /// What the shader `attend` is told.
  func numbers(_ kind: UInt32, from input: Location, to output: Location, other: Location, mask: Location?) -> hgv_step
  {
    var numbers = hgv_step(input, output, batch: batch)
    numbers.setOther(other)
    (numbers.height, numbers.out_height) = (UInt32(tokens), UInt32(queries))
    (numbers.columns, numbers.group) = (UInt32(channels), UInt32(channels / heads))
    if kind == 0 || kind == 2 { numbers.rows = UInt32(rows) }
    (numbers.kind, numbers.flags) = (kind, mask == nil ? 0 : 1)
    return numbers
  }
}
