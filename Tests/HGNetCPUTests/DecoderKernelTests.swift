import CHGNetKernels
import HGNetCPU
import Testing

/// Every kernel of a decoder, of every implementation, against the scalar reference, over awkward shapes.
@Suite struct DecoderKernelTests {
  private func decoder(
    _ path: KeyPath<hg_decoder_kernels, hg_decoder_task>
  ) -> (Int32) -> KernelProblem<hg_attention>.Task {
    { hg_kernels_at($0).pointee.decoder.pointee[keyPath: path] }
  }

  @Test(
    arguments: [
      // batch, queries, tokens, heads, head size
      [1, 1, 1, 1, 1], [2, 3, 5, 2, 7], [1, 80, 49, 8, 16], [3, 4, 9, 3, 33], [1, 2, 196, 1, 96],
    ], [false, true]) func attention(_ shape: [Int], isMasked: Bool)
  {
    var random = TestRandom(seed: 1)
    let memory = TestMemory()
    defer { memory.free() }
    let (batch, queries, tokens, heads) = (shape[0], shape[1], shape[2], shape[3])
    let channels = heads * shape[4]
    let query = memory.keep(random.values(batch * queries * (channels + 1)))
    let key = memory.keep(random.values(batch * tokens * (channels + 2)))
    let value = memory.keep(random.values(batch * tokens * (channels + 3)))
    let mask = memory.keep((0..<batch * heads * queries * tokens).map { _ in random.uniform() < 0.8 ? 1.25 : 0 })
    /// weights, output or its gradient, gradients of query, key and value.
    func descriptor(_ at: [UnsafeMutablePointer<Float>], keepsWeights: Bool, isBackward: Bool) -> hg_attention {
      hg_attention(
        queries: query, keys: key, values: value, query_stride: channels + 1, key_stride: channels + 2,
        value_stride: channels + 3, batch: Int32(batch), query_count: Int32(queries), token_count: Int32(tokens),
        heads: Int32(heads), head_size: Int32(shape[4]), scale: 0.3, weights: keepsWeights ? at[0] : nil,
        mask: isMasked ? UnsafePointer(mask) : nil, output: at[1], output_stride: channels + 4,
        query_gradient: isBackward ? at[2] : nil, key_gradient: isBackward ? at[3] : nil,
        value_gradient: isBackward ? at[4] : nil, query_gradient_stride: channels + 5,
        key_gradient_stride: channels + 6, value_gradient_stride: channels + 7)
    }
    let weights = [Float](repeating: 0, count: batch * heads * queries * tokens)
    let output = rows(batch * queries, channels, stride: channels + 4) { 0 }
    for keepsWeights in [false, true] {
      let forward = KernelProblem(
        label: "attention \(shape) masked \(isMasked) weights kept \(keepsWeights)", tasks: batch * heads,
        outputs: [weights, output], scratch: tokens
      ) { at, _ in descriptor(at, keepsWeights: keepsWeights, isBackward: false) }
      .check(decoder(\.attention))
      guard keepsWeights else { continue }
      KernelProblem(
        label: "attention_gradient \(shape) masked \(isMasked)", tasks: batch * heads,
        outputs: [
          forward.outputs[0], rows(batch * queries, channels, stride: channels + 4) { random.normal() },
          rows(batch * queries, channels, stride: channels + 5) { random.normal() },
          rows(batch * tokens, channels, stride: channels + 6) { random.normal() },
          rows(batch * tokens, channels, stride: channels + 7) { random.normal() },
        ], scratch: tokens
      ) { at, _ in descriptor(at, keepsWeights: true, isBackward: true) }
      .check(decoder(\.attention_gradient))
    }
  }

  @Test(arguments: [
    // rows, channels, rows per task
    [1, 3, 1], [5, 7, 2], [3, 16, 3], [20, 33, 7], [2, 768, 1],
  ]) func layerNormalization(_ shape: [Int]) {
    var random = TestRandom(seed: 2)
    let memory = TestMemory()
    defer { memory.free() }
    let (count, channels, rowsPerTask) = (shape[0], shape[1], shape[2])
    let input = memory.keep(random.values(count * (channels + 1)))
    let weight = memory.keep(random.values(channels))
    let bias = memory.keep(random.values(channels))
    /// statistics, output or its gradient, gradients of input, weight and bias.
    func descriptor(_ at: [UnsafeMutablePointer<Float>]) -> hg_layer_normalization {
      hg_layer_normalization(
        input: input, input_stride: channels + 1, rows: Int64(count), channels: Int32(channels), weight: weight,
        bias: bias, epsilon: 1e-5, output: at[1], output_stride: channels + 2, statistics: at[0],
        input_gradient: at[2], input_gradient_stride: channels + 3, weight_gradient: at[3], bias_gradient: at[4],
        rows_per_task: Int32(rowsPerTask))
    }
    var state = [
      [Float](repeating: 0, count: 2 * count), rows(count, channels, stride: channels + 2) { 0 },
      rows(count, channels, stride: channels + 3) { random.normal() }, random.values(channels),
      random.values(channels),
    ]
    let blocks = (count + rowsPerTask - 1) / rowsPerTask
    state =
      KernelProblem(label: "layer_normalization \(shape)", tasks: blocks, outputs: state) { at, _ in descriptor(at) }
      .check(decoder(\.layer_normalization)).outputs
    state[1] = rows(count, channels, stride: channels + 2) { random.normal() }
    KernelProblem(label: "layer_normalization_gradient \(shape)", tasks: blocks, outputs: state) { at, _ in
      descriptor(at)
    }.check(decoder(\.layer_normalization_gradient))
    KernelProblem(
      label: "layer_normalization_parameter_gradient \(shape)", tasks: (channels + 15) / 16, outputs: state
    ) { at, _ in descriptor(at) }.check(decoder(\.layer_normalization_parameter_gradient))
  }

  @Test(arguments: [
    // batch, groups, channels, columns, columns per group
    [1, 1, 1, 1, 1], [2, 3, 7, 8, 3], [1, 80, 33, 80, 1], [3, 5, 768, 10, 2],
  ]) func groupProduct(_ shape: [Int]) {
    var random = TestRandom(seed: 3)
    let memory = TestMemory()
    defer { memory.free() }
    let (batch, groups, channels, columns) = (shape[0], shape[1], shape[2], shape[3])
    let input = memory.keep(random.values(batch * groups * (channels + 1)))
    let weight = memory.keep(random.values(columns * channels))
    let bias = memory.keep(random.values(columns))
    /// output or its gradient, gradients of input, weight and bias.
    func descriptor(_ at: [UnsafeMutablePointer<Float>]) -> hg_group_product {
      hg_group_product(
        input: input, input_stride: channels + 1, batch: Int32(batch), groups: Int32(groups),
        channels: Int32(channels), columns: Int32(columns), columns_per_group: Int32(shape[4]), weight: weight,
        bias: bias, output: at[0], output_stride: columns + 2, input_gradient: at[1],
        input_gradient_stride: channels + 3, weight_gradient: at[2], bias_gradient: at[3])
    }
    let state = [
      rows(batch, columns, stride: columns + 2) { random.normal() },
      rows(batch * groups, channels, stride: channels + 3) { random.normal() }, random.values(columns * channels),
      random.values(columns),
    ]
    KernelProblem(label: "group_product \(shape)", tasks: batch, outputs: state) { at, _ in descriptor(at) }
      .check(decoder(\.group_product))
    KernelProblem(label: "group_product_gradient \(shape)", tasks: batch, outputs: state) { at, _ in descriptor(at) }
      .check(decoder(\.group_product_gradient))
    KernelProblem(label: "group_product_parameter_gradient \(shape)", tasks: columns, outputs: state) { at, _ in
      descriptor(at)
    }.check(decoder(\.group_product_parameter_gradient))
  }

  @Test(arguments: [[1, 1, 1], [3, 4, 7], [2, 80, 33]]) func `repeat`(_ shape: [Int]) {
    var random = TestRandom(seed: 4)
    let memory = TestMemory()
    defer { memory.free() }
    let source = memory.keep(random.values(shape[1] * shape[2]))
    KernelProblem(
      label: "repeat \(shape)", tasks: shape[0],
      outputs: [rows(shape[0] * shape[1], shape[2], stride: shape[2] + 3) { 0 }], tolerance: 0
    ) { at, _ in
      hg_repeat(
        rows: source, count: Int32(shape[1]), channels: Int32(shape[2]), output: at[0], output_stride: shape[2] + 3)
    }.check(decoder(\.repeat))
  }
}
