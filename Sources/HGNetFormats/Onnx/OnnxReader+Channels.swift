import HGNetCore

/// Values that have a scale for each channel, as NNCF has them between a convolution and a depthwise one.
///
/// The difference of the scales goes into the weights on both sides: the bytes stay what they are, and one scale is left.
extension OnnxReader {
  /// Moves the difference of the scales into the weights and gives the one that is left; nil where that is not possible.
  ///
  /// - Parameters:
  ///   - node: the QuantizeLinear.
  ///   - grids: of its channels.
  /// - Throws: `HGNetError.Code.limitExceeded`.
  mutating func mergingChannels(
    _ node: OnnxNode, _ grids: [OnnxQuantization.Grid]
  ) throws(HGNetError) -> OnnxQuantization.Grid? {
    guard let scale = grids.map(\.scale).max(), let first = grids.first,
      grids.allSatisfy({ $0.zeroPoint == first.zeroPoint }), let producer = producer(of: node),
      let consumers = consumers(of: node, channels: grids.count)
    else { return nil }
    let factors = grids.map { scale / $0.scale }
    let names = [producer.inputs[1]] + consumers
    guard Set(names).count == names.count,
      names.allSatisfy({ weights[$0]?.scales?.count == grids.count && original.readers[$0]?.count == 1 })
    else { return nil }
    let bias = producer.inputs.count > 2 ? producer.inputs[2] : nil
    if let bias {
      guard original.readers[bias]?.count == 1, let values = try weights[bias]?.allocatedTensor().values,
        values.count == grids.count
      else { return nil }
      let scaled = Parameter(Tensor(shape: [values.count], values: zip(values, factors).map { $0 * $1 }))
      weights[bias] = scaled
      try use(bias, shape: [values.count])
    }
    try rescale(producer.inputs[1], by: factors)
    try use(producer.inputs[1])
    for name in consumers { try rescale(name, by: factors.map { 1 / $0 }) }
    return OnnxQuantization.Grid(scale: scale, zeroPoint: first.zeroPoint, isSigned: first.isSigned)
  }

  /// Multiplies each channel so that one scale is left, and takes that back in the depthwise convolutions behind.
  ///
  /// - Returns: the product and its grid; nil where something else reads the value.
  mutating func scalingChannels(
    _ node: OnnxNode, _ grids: [OnnxQuantization.Grid]
  ) throws(HGNetError) -> (value: String, grid: OnnxQuantization.Grid)? {
    guard let scale = grids.map(\.scale).max(), let first = grids.first,
      grids.allSatisfy({ $0.zeroPoint == first.zeroPoint }),
      let consumers = consumers(of: node, channels: grids.count), Set(consumers).count == consumers.count,
      consumers.allSatisfy({ weights[$0]?.scales?.count == grids.count && original.readers[$0]?.count == 1 })
    else { return nil }
    let factors = grids.map { scale / $0.scale }
    let name = "\(node.inputs[0])#channels"
    guard weights[name] == nil else { return nil }
    try budget.spend(4 * grids.count)
    weights[name] = Parameter(Tensor(shape: [grids.count, 1, 1, 1], values: factors))
    try use(name)
    perChannel(node, node.inputs[0], name, grids.count, "\(name)#scaled")
    for name in consumers { try rescale(name, by: factors.map { 1 / $0 }) }
    return (
      "\(name)#scaled",
      OnnxQuantization.Grid(scale: scale, zeroPoint: first.zeroPoint, isSigned: first.isSigned)
    )
  }

  private mutating func rescale(_ name: String, by factors: [Float]) throws(HGNetError) {
    guard let weight = weights[name], let scales = weight.scales else { return }
    let integers = try Parameter(shape: weight.shape, elementType: weight.elementType, bytes: weight.bytes)
    weights[name] = try Parameter(integers, scales: zip(scales, factors).map { max($0 * $1, .leastNormalMagnitude) })
    parameters[name] = nil
  }

  /// The convolution whose result, or what a ReLU makes of it, nothing else reads.
  private func producer(of node: OnnxNode) -> OnnxNode? {
    var name = node.inputs[0]
    for _ in 0..<2 {
      guard original.readers[name]?.count == 1, let maker = original.makers[name].map({ nodes[$0] }) else { return nil }
      if maker.type == "Conv" { return maker }
      guard maker.type == "Relu", let input = maker.inputs.first else { return nil }
      name = input
    }
    return nil
  }

  /// The weights of the depthwise convolutions that are all that reads a value; nil if there is anything else.
  private func consumers(of node: OnnxNode, channels: Int) -> [String]? {
    let values = node.outputs.flatMap { original.readers[$0] ?? [] }.flatMap { nodes[$0].outputs }
    let readers = values.flatMap { original.readers[$0] ?? [] }.map { nodes[$0] }
    guard !readers.isEmpty, readers.allSatisfy({ $0.type == "Conv" && $0.integer("group", 1) == channels }) else {
      return nil
    }
    return readers.compactMap { $0.inputs.count > 1 ? $0.inputs[1] : nil }
  }
}
