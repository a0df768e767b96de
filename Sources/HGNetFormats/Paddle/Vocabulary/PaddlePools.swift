import HGNetCore

/// Pools and borders of zeros.
enum PaddlePools: PaddleVocabulary {
  static let names = [
    PaddleName("pool2d", newer: ["pool2d"], constants: [1: "ksize"]),
    // A border of an ONNX model.
    PaddleName("pad", newer: []),
  ]

  static func read(
    _ operation: PaddleProgram.Operation, into translator: inout PaddleTranslator
  ) throws(HGNetError) -> Bool {
    switch operation.kind {
    case "pool2d": try translator.pool(operation)
    case "pad": try translator.pad(operation)
    default: return false
    }
    return true
  }

  static func write(_ node: Graph.Node, to program: inout PaddleOperations) -> PaddleOperations.Result? {
    let kind: PaddleOperation.Kind
    switch node.operation {
    case .maxPool(let kernel, let stride, let padding):
      kind = .maxPool(kernel: kernel, stride: stride, padding: padding)
    case .globalAveragePool: kind = .averagePool
    default: return nil
    }
    return .init(
      program.append(kind, "pool2d", program.inputs(of: node), program.extents(of: node)),
      isFlat: program.isFlat(node))
  }
}

// MARK: - Reading

extension PaddleTranslator {
  private static let widestBorder = 8

  /// A border of zeros, which goes into the windows that read it.
  fileprivate mutating func pad(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    let (input, border) = try bordered(operation, "X")
    let sides = try operation.integers("paddings", default: [])
    guard sides.count == 4, sides.allSatisfy({ 0...PaddleTranslator.widestBorder ~= $0 }), !input.isFlat,
      border == Padding(0)
    else { throw HGNetError(.unsupported, "expected one border of at most \(PaddleTranslator.widestBorder) pixels") }
    values[try operation.output("Out")] = .padded(
      input, Padding(top: sides[0], left: sides[2], bottom: sides[1], right: sides[3]))
  }

  /// The result of an earlier operator that a slot reads, with the border around it.
  func bordered(
    _ operation: PaddleProgram.Operation, _ slot: String
  ) throws(HGNetError) -> (Activation, Padding) {
    if case .padded(let activation, let border) = try value(operation, slot) { return (activation, border) }
    return (try activation(operation, slot), Padding(0))
  }

  /// A map with its border of zeros as a map of its own: what a convolution by one makes.
  ///
  /// A maximum pool leaves its own border out, where zeros win over negative values.
  private mutating func materialized(_ input: Activation, _ border: Padding) throws(HGNetError) -> Activation {
    let channels = input.shape.channels
    let name = numbered("pad")
    let ones = Tensor(shape: [channels, 1, 1, 1], values: [Float](repeating: 1, count: channels))
    added["\(name).one"] = Parameter(ones)
    declare("\(name).one", .convolutionWeight)
    let layer = Convolution(
      weight: "\(name).one", inputChannels: channels, outputChannels: channels, kernel: Size(1), stride: Size(1),
      padding: border, groups: channels)
    var shape = input.shape
    shape.height += border.top + border.bottom
    shape.width += border.left + border.right
    return try append(
      .convolution(layer), name: name, inputs: [try node(of: input)], shape: shape, stride: input.stride)
  }

  fileprivate mutating func pool(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    var (input, border) = try bordered(operation, "X")
    try operation.expectChannelsFirst("data_format")
    let kind = try operation.text("pooling_type", default: "max")
    let extents = try operation.integers("ksize", default: [])
    let isAdaptive = try operation.flag("adaptive", default: false)
    let isGlobal = try operation.flag("global_pooling", default: false) || isAdaptive && extents == [1, 1]
    let result = try operation.output("Out")
    if kind == "avg", isGlobal {
      // A border of zeros would count in the mean.
      guard border == Padding(0) else { throw HGNetError(.unsupported, "expected a mean without a border") }
      values[result] = .activation(
        try append(
          .globalAveragePool, name: numbered("pool2d"), inputs: [try node(of: input)],
          shape: ActivationShape(channels: input.shape.channels, height: 1, width: 1), stride: nil))
      return
    }
    guard kind == "max", !isGlobal, !isAdaptive, extents.count == 2 else {
      throw HGNetError(.unsupported, "expected a maximum pool or a global mean, found a pool \(kind) of \(extents)")
    }
    if border != Padding(0), !hasNoNegative(input) {
      input = try materialized(input, border)
      border = Padding(0)
    }
    var window = try Window(operation, kernel: Size(height: extents[0], width: extents[1]), input: input.shape)
    try window.widen(by: border)
    if try operation.flag("ceil_mode", default: false) { window.coverRest(of: input.shape) }
    let padding = window.padding
    guard max(padding.top, padding.bottom) < window.kernel.height,
      max(padding.left, padding.right) < window.kernel.width
    else { throw HGNetError(.unsupported, "a border as wide as the window of a maximum pool has no maximum") }
    values[result] = .activation(
      try append(
        .maxPool(kernel: window.kernel, stride: window.stride, padding: padding), name: numbered("pool2d"),
        inputs: [try node(of: input)], shape: try window.result(of: input.shape, channels: input.shape.channels),
        stride: window.stride(after: input.stride)))
  }
}

// MARK: - Writing

extension PaddleOperation.Kind {
  static func maxPool(kernel: Size, stride: Size, padding: Padding) -> PaddleOperation.Kind {
    pool("max", kernel, stride, PaddlePadding(padding, kernel: kernel, stride: stride), isAdaptive: false)
  }

  static let averagePool = pool(
    "avg", Size(1), Size(1), PaddlePadding(Padding(0), kernel: Size(1), stride: Size(1)), isAdaptive: true)

  private static func pool(
    _ type: String, _ kernel: Size, _ stride: Size, _ padding: PaddlePadding, isAdaptive: Bool
  ) -> PaddleOperation.Kind {
    PaddleOperation.Kind { step, program in
      program.unary(
        "pool2d", step,
        [
          ("adaptive", .flag(isAdaptive)), ("ceil_mode", .flag(false)), ("data_format", .text("NCHW")),
          ("exclusive", .flag(true)), ("global_pooling", .flag(false)),
          ("ksize", .integers([kernel.height, kernel.width])), ("padding_algorithm", .text(padding.rule)),
          ("paddings", .integers(padding.extents)), ("pooling_type", .text(type)),
          ("strides", .integers([stride.height, stride.width])),
        ])
    } newer: { step, program in
      let window = program.constantIntegers([kernel.height, kernel.width])
      program.append(
        "1.pool2d",
        [
          ("strides", program.longs([stride.height, stride.width])), ("paddings", program.longs(padding.extents)),
          ("ceil_mode", program.flag(false)), ("exclusive", program.flag(true)),
          ("data_format", program.text("NCHW")), ("pooling_type", program.text(type)),
          ("global_pooling", program.flag(false)), ("adaptive", program.flag(isAdaptive)),
          ("padding_algorithm", program.text(padding.rule)),
        ], inputs: [program.ids(step)[0], window], step)
    }
  }
}

/// How PaddlePaddle writes the border of a window.
struct PaddlePadding {
  /// `EXPLICIT` or `SAME`.
  let rule: String
  /// Height and width, or above, below, left, right.
  let extents: [Int]

  init(_ padding: Padding, kernel: Size, stride: Size) {
    if padding == .sameForTwoByTwo, kernel == Size(2), stride == Size(1) {
      (rule, extents) = ("SAME", [0, 0])
    } else if padding.top == padding.bottom, padding.left == padding.right {
      (rule, extents) = ("EXPLICIT", [padding.top, padding.left])
    } else {
      (rule, extents) = ("EXPLICIT", [padding.top, padding.bottom, padding.left, padding.right])
    }
  }
}
