import CHGNetVulkan
import HGNetCore
import HGNetProgram

/// Convolutions and linear layers with what follows them, forward and backward.
extension TrainingSteps {
  // MARK: - Products

  mutating func addConvolution(_ number: Int, input: Location) throws(HGNetError) {
    let unit = program.units[number]
    let (convolution, output) = (unit.convolution, unit.convolved)
    // The pictures have a channel of zeros.
    var source = input
    let isPicture = try input.buffer == program.location(program.program.input).buffer
    if isPicture, input.stride % 4 == 0, convolution.groups == 1, output.isAligned {
      source.shape.channels = input.stride
    }
    try addProduct(
      unit, source, output, isGradient: false, padding: convolution.padding, stride: convolution.stride, isAdded: false)
  }

  mutating func addDataGradient(_ number: Int, _ target: Location, isAdded: Bool) throws(HGNetError) {
    let unit = program.units[number]
    let (convolution, gradient) = (unit.convolution, unit.convolvedGradient)
    let (kernel, padding) = (convolution.kernel, convolution.padding)
    let turned = Padding(
      top: kernel.height - 1 - padding.top, left: kernel.width - 1 - padding.left,
      bottom: kernel.height - 1 - padding.bottom, right: kernel.width - 1 - padding.right)
    let isProduct =
      (convolution.groups == 1 || convolution.isDepthwise) && convolution.stride == Size(1) && turned.top >= 0
      && turned.left >= 0 && gradient.isAligned && target.isAligned
    if isProduct {
      return try addProduct(
        unit, gradient, target, isGradient: true, padding: turned, stride: Size(1), isAdded: isAdded)
    }
    let distances = unit.weightDistances
    var numbers = hgv_step(gradient, target, batch: batch)
    numbers.setWindow(kernel, convolution.stride, padding)
    numbers.group = UInt32(convolution.inputChannels / convolution.groups)
    (numbers.r_offset, numbers.r_stride) = (UInt32(distances.channel), UInt32(distances.column))
    if isAdded { numbers.flags = TrainingSteps.residual }
    try add(
      "training/gather", first: place(gradient),
      second: .values(layout.range(convolution.weight, layer: unit.layer.name)), fourth: place(target),
      numbers: numbers, groups: flat(numbers))
  }

  /// Packs the weights as they are now, and multiplies.
  private mutating func addProduct(
    _ unit: TrainingUnit, _ input: Location, _ output: Location, isGradient: Bool, padding: Padding, stride: Size,
    isAdded: Bool
  ) throws(HGNetError) {
    let convolution = unit.convolution
    let (isDense, isDepthwise) = (convolution.groups == 1, convolution.isDepthwise)
    let values = (isDense || isDepthwise) && input.isAligned && output.isAligned ? 4 : 1
    let taps = convolution.kernel.height * convolution.kernel.width
    // The channels that one output channel sees, with and without those of zeros.
    let own = isGradient ? (isDense ? convolution.outputChannels : 1) : convolution.inputChannels / convolution.groups
    let channels = isDense ? input.shape.channels : own
    let distances = unit.weightDistances
    var packing = hgv_step()
    (packing.rows, packing.columns) = (UInt32(taps * channels), UInt32(output.shape.channels))
    (packing.channels, packing.group) = (UInt32(channels), UInt32(own))
    packing.x_stride = UInt32(isGradient ? distances.column : distances.channel)
    packing.r_stride = UInt32(isGradient && isDense ? distances.channel : distances.column)
    (packing.kernel_height, packing.kernel_width) = (
      UInt32(convolution.kernel.height), UInt32(convolution.kernel.width)
    )
    packing.kind = isGradient ? 1 : 0
    let packed = scratch(taps * channels * output.shape.channels)
    try add(
      "training/pack", first: .values(layout.range(convolution.weight, layer: unit.layer.name)), fourth: packed,
      numbers: packing, groups: flat(packing))

    var numbers = hgv_step(input, output, batch: batch, values: values)
    numbers.setWindow(convolution.kernel, stride, padding)
    numbers.group = UInt32(isDense ? input.shape.channels : values == 4 ? 1 : own)
    if isAdded {
      numbers.flags = TrainingSteps.residual
      numbers.setOther(output, values: values)
    }
    needZeros(output.shape.channels)
    guard isDense, values == 4 else {
      return try add(
        "direct", values: values, first: place(input), second: packed, third: .zeros, fourth: place(output),
        fifth: isAdded ? place(output) : nil, numbers: numbers, groups: flat(numbers))
    }
    let rows = batch * output.pixels
    let constants = tiles.constants(rows: rows, columns: output.shape.channels, isSoftware: device.isSoftware)
    try add(
      "convolution", values: 4, constants: constants, first: place(input), second: packed, third: .zeros,
      fourth: place(output), fifth: isAdded ? place(output) : nil, numbers: numbers,
      groups: grid(
        rows.divided(by: Int(constants[1])), beside: output.shape.channels.divided(by: Int(constants[2]))))
  }

  mutating func addWeightGradient(_ number: Int, input: Location) throws(HGNetError) {
    let unit = program.units[number]
    let (convolution, gradient) = (unit.convolution, unit.convolvedGradient)
    var numbers = hgv_step(input, gradient, batch: batch)
    numbers.setWindow(convolution.kernel, convolution.stride, convolution.padding)
    numbers.setOther(gradient)
    let taps = convolution.kernel.height * convolution.kernel.width, columns = convolution.outputChannels
    let own = convolution.inputChannels / convolution.groups, count = taps * own * columns
    let slices: Int, partial: TrainingDispatch.Place
    if convolution.isDepthwise {
      slices = self.slices(unit.rows)
      partial = scratch(slices * count)
      try add(
        "training/sums", constants: [2], first: place(input), second: place(gradient), fourth: partial,
        numbers: numbers, groups: (UInt32(slices), UInt32(columns.divided(by: 16)), UInt32(taps)))
    } else {
      // Partial sums take 64 MiB at most, or one slice.
      slices = min(self.slices(unit.rows), max(1, (16 << 20) / max(count, 1)))
      partial = scratch(slices * count)
      try add(
        "training/weights", first: place(input), fourth: partial, fifth: place(gradient), numbers: numbers,
        groups: (UInt32((taps * own).divided(by: 64)), UInt32(columns.divided(by: 32)), UInt32(slices)))
    }
    let distances = unit.weightDistances
    var joining = hgv_step()
    (joining.rows, joining.columns, joining.channels) = (UInt32(taps * own), UInt32(columns), UInt32(own))
    (joining.group, joining.x_stride) = (UInt32(slices), UInt32(count))
    (joining.r_offset, joining.r_stride) = (UInt32(distances.channel), UInt32(distances.column))
    try add(
      "training/join", first: partial,
      fourth: .gradients(layout.range(convolution.weight, layer: unit.layer.name)), numbers: joining,
      groups: flat(joining))
  }

  // MARK: - What follows

  private func coefficientCount(_ unit: TrainingUnit) -> Int { 8 * unit.convolution.outputChannels + 2 }

  /// The names of a unit's small parameters.
  private func smallParameters(_ unit: TrainingUnit) -> [String] {
    let normalization = unit.normalization
    return [
      normalization?.weight, normalization?.bias ?? unit.convolution.bias, normalization?.mean, normalization?.variance,
      unit.affine?.scale, unit.affine?.bias,
    ].compactMap { $0 }
  }

  /// What the shader `finish` is told about a unit whose small parameters are in a span.
  private func finishing(
    _ unit: TrainingUnit, _ span: Range<Int>, slices: Int
  ) throws(HGNetError) -> hgv_step {
    func place(_ name: String?) throws(HGNetError) -> UInt32 {
      guard let name else { return .max }
      return UInt32((try layout.range(name, layer: unit.layer.name).lowerBound - span.lowerBound) / 4)
    }
    var numbers = hgv_step()
    let normalization = unit.normalization
    numbers.height = try place(normalization?.weight)
    numbers.width = try place(normalization?.bias ?? unit.convolution.bias)
    (numbers.top, numbers.left) = (try place(normalization?.mean), try place(normalization?.variance))
    numbers.kernel_height = try place(unit.affine?.scale)
    numbers.kernel_width = try place(unit.affine?.bias)
    (numbers.scale, numbers.shift) = (normalization?.epsilon ?? 0, normalization?.momentum ?? 0)
    (numbers.columns, numbers.rows) = (UInt32(unit.convolution.outputChannels), UInt32(unit.rows))
    numbers.group = UInt32(slices)
    numbers.flags = unit.usesRunningStatistics ? 8 : 0
    return numbers
  }

  mutating func addStatistics(_ number: Int) throws(HGNetError) {
    let unit = program.units[number]
    let columns = unit.convolution.outputChannels
    let (buffer, coefficients) = keep(coefficientCount(unit))
    self.coefficients[number] = buffer
    let span = try layout.span(smallParameters(unit), layer: unit.layer.name)
    let slices = self.slices(unit.rows)
    var sums = coefficients
    if unit.usesBatchStatistics {
      sums = scratch(slices * 2 * columns)
      try add(
        "training/sums", constants: [0], first: place(unit.convolved), fourth: sums,
        numbers: hgv_step(unit.convolved, unit.convolved, batch: batch),
        groups: (UInt32(slices), UInt32(columns.divided(by: 16)), 1))
    }
    try add(
      "training/finish", constants: [unit.usesBatchStatistics ? 0 : 1], first: sums, second: .values(span),
      fourth: coefficients, fifth: place(unit.convolved), numbers: finishing(unit, span, slices: slices),
      groups: flat(columns))
  }

  private func flags(_ unit: TrainingUnit) -> UInt32 {
    (unit.layer.hasReLU ? TrainingSteps.relu : 0) | (unit.affine == nil ? 0 : TrainingSteps.affine)
  }

  mutating func addApply(_ number: Int, residual: Location?, output: Location) throws(HGNetError) {
    let unit = program.units[number]
    var numbers = hgv_step(unit.convolved, output, batch: batch)
    numbers.flags = flags(unit)
    if let residual {
      numbers.flags |= TrainingSteps.residual
      numbers.setOther(residual)
    }
    try add(
      "training/apply", first: place(unit.convolved), third: kept(coefficients[number], count: coefficientCount(unit)),
      fourth: place(output), fifth: residual.map(place), numbers: numbers, groups: flat(numbers))
  }

  mutating func addNormalizationGradient(_ number: Int, _ gradient: Location) throws(HGNetError) {
    let unit = program.units[number]
    let columns = unit.convolution.outputChannels, slices = self.slices(unit.rows)
    let coefficients = try kept(coefficients[number], count: coefficientCount(unit))
    var numbers = hgv_step(unit.convolved, unit.convolved, batch: batch)
    numbers.flags = flags(unit)
    numbers.setOther(gradient)
    let sums = scratch(slices * 4 * columns)
    try add(
      "training/sums", constants: [1], first: place(unit.convolved), third: coefficients, fourth: sums,
      fifth: place(gradient), numbers: numbers, groups: (UInt32(slices), UInt32(columns.divided(by: 16)), 1))
    let span = try layout.span(smallParameters(unit), layer: unit.layer.name)
    let finishing = try finishing(unit, span, slices: slices)
    for kind in unit.affine == nil ? [2] : [2, 3] as [UInt32] {
      try add(
        "training/finish", constants: [kind], first: sums, fourth: coefficients, fifth: .gradients(span),
        numbers: finishing, groups: kind == 2 ? flat(columns) : (1, 1, 1))
    }
    numbers.kind = 1
    try add(
      "training/apply", first: place(unit.convolved), third: coefficients, fifth: place(gradient), numbers: numbers,
      groups: flat(numbers))
  }
}

extension TrainingUnit {
  /// How far apart the input and the output channels of its weights are: dense weights are [out][in][taps], linear ones
  /// [in][out].
  var weightDistances: (channel: Int, column: Int) {
    if isLinear { return (convolution.outputChannels, 1) }
    let taps = convolution.kernel.height * convolution.kernel.width
    return (taps, convolution.inputChannels / convolution.groups * taps)
  }
}
