import HGNetCore

extension Graph {
  /// Whether places, tasks and rows of a batch can be counted.
  ///
  /// What passes here needs no checked arithmetic in a plan: all results of a batch together have fewer than 2^56 values
  /// and what the kernels count in 32 bits fits them. Memory is judged when it is taken.
  ///
  /// - Parameter batch: the number of pictures, 1 … 65536.
  /// - Throws: `HGNetError.Code.limitExceeded` naming the first layer that is too large.
  package func checkCounts(batch: Int) throws(HGNetError) {
    var sum = 0
    for node in nodes {
      // Rows may be padded by 16 channels.
      let pixels = node.shape.height.multipliedReportingOverflow(by: node.shape.width)
      let values = pixels.partialValue.multipliedReportingOverflow(by: node.shape.channels + 16)
      let all = values.partialValue.multipliedReportingOverflow(by: batch)
      let total = sum.addingReportingOverflow(all.partialValue)
      guard !pixels.overflow, !values.overflow, !all.overflow, !total.overflow, total.partialValue < 1 << 56 else {
        throw HGNetError(
          .limitExceeded, "a batch of \(batch) pictures of \(inputSize) is beyond any memory; use smaller pictures",
          layer: node.name)
      }
      let counted =
        switch node.operation {
        case .globalAveragePool, .decoder: node.inputs.map { self[$0].shape.height * self[$0].shape.width }
        default: [0]
        }
      guard counted.allSatisfy({ $0 <= Int(Int32.max) }), node.shape.channels <= Int(Int32.max) else {
        throw HGNetError(
          .limitExceeded, "expected fewer than 2³¹ pixels and channels, found others for pictures of \(inputSize)",
          layer: node.name)
      }
      sum = total.partialValue
    }
  }

  /// Says whether the process may have the activations of a training step, without planning it.
  ///
  /// Counted is what every plan must keep for the backward pass: of each convolution and linear layer the result before and
  /// after its normalisation. The plan may need more, and its session says so before it takes any.
  ///
  /// - Parameters:
  ///   - batch: the number of pictures.
  ///   - inputSize: their height and width; nil for those of the graph.
  ///   - precision: the level of mixed precision; nil for float32.
  /// - Throws: `HGNetError.Code.limitExceeded` saying how much is needed and what would fit, and as `resized(to:)`.
  package func checkTrainingMemory(
    batch: Int, inputSize: Size? = nil, precision: MixedPrecision? = nil
  ) throws(HGNetError) {
    let graph = try inputSize.map { size throws(HGNetError) in try resized(to: size) } ?? self
    try graph.checkCounts(batch: min(max(batch, 1), 1 << 16))
    var kept = 0
    for node in graph.nodes {
      switch node.operation {
      case .convolution, .linear: kept += node.shape.count
      default: continue
      }
    }
    var need = MemoryNeed("a training step on \(batch) pictures of \(graph.inputSize)")
    need.add("the pictures", bytes: 12, batch, graph.inputSize.height, graph.inputSize.width)
    let bytes =
      switch precision {
      case nil: 8
      case .o1: 6
      case .o2: 2
      }
    need.add("the activations", bytes: bytes, batch, kept)
    try need.check(advice: MemoryNeed.fittingPictures(batch, of: graph.inputSize))
  }
}
