import CHGNetKernels
import HGNetCore

/// What a step of a transformer decoder does; see `DecoderOperator`.
enum DecoderWork: Hashable, Sendable {
  case queries(count: Int)
  case layerNormalization(epsilon: Float, rowsPerTask: Int)
  /// The step's input are the queries and its other one the keys.
  case attention(heads: Int, values: Location)
  case groupedLinear(tokens: Int, features: Int, classesPerToken: Int)

  /// The algorithm in one word.
  var name: String {
    switch self {
    case .queries: "copy"
    case .layerNormalization: "layer-normalization"
    case .attention: "attention"
    case .groupedLinear: "grouped-product"
    }
  }

  /// Writes the kernel's descriptor with real addresses and returns the kernel.
  func resolve(
    _ step: Plan.Step, into descriptor: UnsafeMutableRawPointer, memory: UnsafeMutablePointer<Float>,
    weights: UnsafePointer<Float>, bias: UnsafePointer<Float>, batch: Int, kernels: hg_kernels
  ) -> hg_task {
    let (input, output) = (step.input, step.output)
    let (source, target) = (UnsafePointer(memory + input.offset), memory + output.offset)
    let decoder = kernels.decoder.pointee
    switch self {
    case .queries(let count):
      descriptor.initializeMemory(
        as: hg_repeat.self,
        to: hg_repeat(
          rows: weights, count: Int32(count), channels: Int32(output.shape.channels), output: target,
          output_stride: output.stride))
      return decoder.repeat
    case .layerNormalization(let epsilon, let rowsPerTask):
      descriptor.initializeMemory(
        as: hg_layer_normalization.self,
        to: hg_layer_normalization(
          input: source, input_stride: input.stride, rows: Int64(batch * output.shape.height * output.shape.width),
          channels: Int32(output.shape.channels), weight: weights, bias: bias, epsilon: epsilon, output: target,
          output_stride: output.stride, statistics: nil, input_gradient: nil, input_gradient_stride: 0,
          weight_gradient: nil, bias_gradient: nil, rows_per_task: Int32(rowsPerTask)))
      return decoder.layer_normalization
    case .attention(let heads, let values):
      let keys = step.other ?? values
      var attention = hg_attention(
        heads: heads, queries: input, keys: keys, values: values, output: output, batch: batch,
        addresses: { memory + $0.offset })
      attention.weights = nil
      descriptor.initializeMemory(as: hg_attention.self, to: attention)
      return decoder.attention
    case .groupedLinear(let tokens, let features, let classesPerToken):
      descriptor.initializeMemory(
        as: hg_group_product.self,
        to: hg_group_product(
          input: source, input_stride: input.stride, batch: Int32(batch), groups: Int32(tokens),
          channels: Int32(features), columns: Int32(output.shape.channels),
          columns_per_group: Int32(classesPerToken), weight: weights, bias: bias, output: target,
          output_stride: output.stride, input_gradient: nil, input_gradient_stride: 0, weight_gradient: nil,
          bias_gradient: nil))
      return decoder.group_product
    }
  }
}

extension hg_attention {
  /// A way forward without weights that are kept and without mask.
  init(
    heads: Int, queries: Location, keys: Location, values: Location, output: Location, batch: Int,
    addresses: (Location) -> UnsafeMutablePointer<Float>
  ) {
    let size = queries.shape.channels / heads
    self.init(
      queries: addresses(queries), keys: addresses(keys), values: addresses(values), query_stride: queries.stride,
      key_stride: keys.stride, value_stride: values.stride, batch: Int32(batch),
      query_count: Int32(queries.shape.height * queries.shape.width),
      token_count: Int32(keys.shape.height * keys.shape.width), heads: Int32(heads), head_size: Int32(size),
      scale: 1 / Float(size).squareRoot(), weights: nil, mask: nil, output: addresses(output),
      output_stride: output.stride, query_gradient: nil, key_gradient: nil, value_gradient: nil,
      query_gradient_stride: 0, key_gradient_stride: 0, value_gradient_stride: 0)
  }
}

extension TaskCutter {
  /// The step of a decoder's operator in inference.
  func step(
    _ operation: DecoderOperator, _ node: FusedGraph.Node, inputs: [Location], output: Location,
    weights: PackedWeights?, multiplyAdds: Int
  ) throws(HGNetError) -> Plan.Step {
    let rows = batch * output.shape.height * output.shape.width
    let work: DecoderWork
    var (taskCount, scratchCount) = (batch, 0)
    switch operation {
    case .queries(_, let count, _): work = .queries(count: count)
    case .layerNormalization(_, _, let features, let epsilon):
      let rowsPerTask = DecoderWork.rowsPerTask(rows, features: features)
      work = .layerNormalization(epsilon: epsilon, rowsPerTask: rowsPerTask)
      taskCount = (rows + rowsPerTask - 1) / rowsPerTask
    case .attention(let heads, _):
      work = .attention(heads: heads, values: inputs[2])
      taskCount = batch * heads
      scratchCount = inputs[1].shape.height * inputs[1].shape.width
    case .groupedLinear(_, _, let tokens, let features, let classesPerToken, _):
      work = .groupedLinear(tokens: tokens, features: features, classesPerToken: classesPerToken)
    case .dropout: throw HGNetError(.internalInconsistency, "nothing is dropped in inference", layer: node.name)
    }
    return Plan.Step(
      name: node.name, pictures: batch, work: .decoder(work), input: inputs.first ?? output,
      other: inputs.count > 1 ? inputs[1] : nil, residual: nil, output: output, weights: weights, epilogue: .none,
      taskCount: taskCount, multiplyAdds: multiplyAdds, scratchCount: scratchCount)
  }
}

extension DecoderWork {
  /// Rows of a task of elementwise work.
  static func rowsPerTask(_ rows: Int, features: Int) -> Int { min(rows, max(1, 8 * 1024 / max(features, 1))) }
}

extension DecoderOperator {
  /// The room for the parameters of the operator, which are used as they are.
  var packedExtent: PackedExtent? {
    switch self {
    case .queries(_, let count, let features):
      PackedExtent(algorithm: .product, weightCount: count * features, columns: 0)
    case .layerNormalization(_, _, let features, _):
      PackedExtent(algorithm: .product, weightCount: features, columns: features)
    case .groupedLinear(_, _, _, let features, _, let classes):
      PackedExtent(algorithm: .product, weightCount: classes * features, columns: classes)
    case .attention, .dropout: nil
    }
  }
}

extension ParameterReader {
  /// Reads the parameters of a decoder's operator into its place in the arena.
  func pack(_ operation: DecoderOperator, layer: String, into packed: PackedWeights) throws(HGNetError) {
    func copy(
      _ name: String, _ shape: Shape, to target: UnsafeMutablePointer<Float>, count: Int? = nil
    ) throws(HGNetError) {
      try tensor(name, shape: shape, layer: layer).withUnsafeBufferPointer { source in
        if let base = source.baseAddress { target.update(from: base, count: min(count ?? source.count, source.count)) }
      }
    }
    switch operation {
    case .queries(let weight, let count, let features): try copy(weight, [count, features], to: packed.weights)
    case .layerNormalization(let weight, let bias, let features, _):
      try copy(weight, [features], to: packed.weights)
      try copy(bias, [features], to: packed.bias)
    case .groupedLinear(let weight, let bias, let tokens, let features, let classesPerToken, let classes):
      let rows = tokens * classesPerToken
      try copy(weight, [rows, features, 1, 1], to: packed.weights, count: classes * features)
      try copy(bias, [rows], to: packed.bias, count: classes)
    case .attention, .dropout: return
    }
  }
}
