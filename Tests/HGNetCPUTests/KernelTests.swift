import CHGNetKernels
import HGNetCore
import HGNetCPU
import Testing

/// Memory with an address that holds until `free`.
final class TestMemory {
  private var blocks: [UnsafeMutablePointer<Float>] = []

  func keep(_ values: [Float]) -> UnsafeMutablePointer<Float> {
    let block = UnsafeMutablePointer<Float>.allocate(capacity: values.count + 1)
    block.initialize(from: values, count: values.count)
    blocks.append(block)
    return block
  }

  func free() {
    for block in blocks { block.deallocate() }
    blocks = []
  }
}

/// Every implementation of every kernel against the scalar reference, over awkward shapes.
@Suite struct KernelTests {
  typealias Kernel = KeyPath<hg_kernels, hg_task>

  static var implementations: [(name: String, kernels: hg_kernels)] {
    (0..<hg_kernels_count() - 1).map { (String(cString: hg_kernels_at($0).pointee.name), hg_kernels_at($0).pointee) }
  }
  static var reference: hg_kernels { hg_kernels_at(hg_kernels_count() - 1).pointee }

  /// Runs all tasks of a descriptor twice, with the reference and with `kernels`, into fresh outputs full of a guard
  /// value, and expects equal results and an untouched guard between pixels and behind the end.
  func compare<Descriptor: BitwiseCopyable>(
    _ label: String, tasks: Int, outputCount: Int, outputStride: Int, columns: Int, kernels: hg_kernels,
    run: KeyPath<hg_kernels, hg_task>, scratch: Int = 0, tolerance: Float = 2e-5,
    _ make: (UnsafeMutablePointer<Float>) -> Descriptor
  ) {
    func result(_ kernels: hg_kernels) -> [Float] {
      var output = [Float](repeating: -777, count: outputCount)
      var space = [Float](repeating: .nan, count: scratch + 64)
      output.withUnsafeMutableBufferPointer { output in
        space.withUnsafeMutableBufferPointer { space in
          guard let base = output.baseAddress else { return }
          var descriptor = make(base)
          // Backwards, since the order of tasks must not matter.
          for task in (0..<tasks).reversed() { kernels[keyPath: run](&descriptor, Int32(task), space.baseAddress) }
        }
      }
      return output
    }
    let expected = result(Self.reference)
    let found = result(kernels)
    let largest = expected.reduce(1) { max($0, abs($1)) }
    var worst: Float = 0
    for index in expected.indices {
      if index % outputStride >= columns {
        #expect(found[index] == -777, "\(label): wrote outside its columns at \(index)")
      } else if !(abs(expected[index] - found[index]) <= tolerance * largest) {
        worst = max(worst, abs(expected[index] - found[index]).isNaN ? .infinity : abs(expected[index] - found[index]))
      }
    }
    #expect(worst == 0, "\(label): off by \(worst) of \(largest)")
  }

  func epilogue(_ residual: UnsafePointer<Float>?, stride: Int, rectified: Bool, affine: Bool) -> hg_epilogue {
    hg_epilogue(
      lower: rectified ? 0 : -.infinity, scale: affine ? -0.7 : 1, shift: affine ? 0.3 : 0, residual: residual,
      residual_stride: stride)
  }

  @Test(arguments: [
    // rows, channels, columns, rows per task, panels per task, channels per block
    [1, 1, 1, 1, 1, 1], [1, 2048, 10, 1, 1, 128], [3, 17, 15, 2, 1, 5], [7, 16, 16, 7, 1, 16], [8, 33, 48, 8, 3, 33],
    [13, 40, 100, 5, 3, 16], [49, 65, 64, 49, 4, 64], [50, 7, 130, 16, 2, 7], [29, 12, 33, 29, 9, 4],
    [6, 5, 80, 6, 5, 2],
  ]) func product(_ shape: [Int]) {
    var random = TestRandom(seed: 1)
    let memory = TestMemory()
    defer { memory.free() }
    let (rows, channels, columns) = (shape[0], shape[1], shape[2])
    let panels = (columns + 15) / 16
    let inputStride = channels + 3
    let outputStride = columns + 5
    let input = memory.keep(random.values(rows * inputStride))
    let weights = memory.keep(random.values(panels * channels * 16))
    let bias = memory.keep(random.values(panels * 16))
    let residual = memory.keep(random.values(rows * (columns + 1)))
    for (name, kernels) in Self.implementations {
      for (useResidual, rectified, affine) in [
        (false, false, false), (true, true, false), (true, false, true), (false, true, true),
      ] {
        let columnTasks = (panels + shape[4] - 1) / shape[4]
        compare(
          "\(name) product \(shape)", tasks: (rows + shape[3] - 1) / shape[3] * columnTasks,
          outputCount: rows * outputStride, outputStride: outputStride, columns: columns, kernels: kernels,
          run: \.product
        ) { output in
          hg_product(
            input: input, input_stride: inputStride, rows: Int64(rows), channels: Int32(channels),
            columns: Int32(columns), weights: weights, bias: bias, output: output,
            output_stride: outputStride,
            epilogue: epilogue(
              useResidual ? residual : nil, stride: columns + 1, rectified: rectified, affine: affine),
            rows_per_task: Int32(shape[3]), panels_per_task: Int32(shape[4]), column_tasks: Int32(columnTasks),
            channels_per_block: Int32(shape[5]), is_added: 0)
        }
      }
    }
  }

  @Test(arguments: [
    // images, pixels, channels, columns, tasks per image, panels per task, channels per block
    [1, 16, 2, 32, 1, 1, 1], [2, 18, 34, 64, 1, 1, 5], [1, 50, 20, 96, 1, 3, 10], [3, 34, 66, 160, 2, 2, 16],
    [1, 62, 100, 224, 3, 7, 33], [2, 20, 38, 128, 1, 4, 64], [2, 182, 16, 64, 10, 2, 8],
  ]) func strassen(_ shape: [Int]) {
    var random = TestRandom(seed: 2)
    let memory = TestMemory()
    defer { memory.free() }
    let (images, pixels, channels, columns) = (shape[0], shape[1], shape[2], shape[3])
    let rows = images * pixels
    let inputStride = channels + 3
    let outputStride = columns + 5
    let input = memory.keep(random.values(rows * inputStride))
    let weights = memory.keep(random.values(columns * channels))
    let bias = memory.keep(random.values(columns))
    let residual = memory.keep(random.values(rows * (columns + 1)))
    let columnTasks = (columns / 32 + shape[5] - 1) / shape[5]
    let largestPart = (pixels / 2 + shape[4] - 1) / shape[4]
    for (name, kernels) in Self.implementations {
      for (useResidual, rectified, affine, isAdded) in [
        (false, false, false, false), (true, true, false, false), (true, false, true, true), (false, true, true, true),
      ] {
        compare(
          "\(name) strassen \(shape)", tasks: images * shape[4] * columnTasks,
          outputCount: rows * outputStride, outputStride: outputStride, columns: columns, kernels: kernels,
          run: \.strassen, scratch: Int(hg_strassen_scratch(Int32(largestPart), Int32(shape[6])))
        ) { output in
          // What is added to: the guard value would drown the sums.
          if isAdded {
            for row in 0..<rows {
              for column in 0..<columns { output[row * outputStride + column] = Float(column % 5) }
            }
          }
          return hg_strassen(
            input: input, input_stride: inputStride, pixels: Int64(pixels), channels: Int32(channels),
            columns: Int32(columns), weights: weights, bias: bias, output: output, output_stride: outputStride,
            epilogue: epilogue(
              useResidual ? residual : nil, stride: columns + 1, rectified: rectified, affine: affine),
            tasks_per_image: Int32(shape[4]), panels_per_task: Int32(shape[5]), column_tasks: Int32(columnTasks),
            channels_per_block: Int32(shape[6]), is_added: isAdded ? 1 : 0)
        }
      }
    }
  }

  /// A windowed operator over awkward geometry.
  struct Geometry: CustomTestStringConvertible, Sendable {
    var batch = 1, height = 1, width = 1, channels = 1, columns = 1, kernel = 3, stride = 1, top = 1, left = 1
    var bottom = 1, right = 1
    var gap = 0
    var outputHeight: Int { (height + top + bottom - kernel) / stride + 1 }
    var outputWidth: Int { (width + left + right - kernel) / stride + 1 }
    var testDescription: String {
      "\(batch)×\(height)×\(width)×\(channels)->\(columns) k\(kernel) s\(stride) gap \(gap)"
    }

    func window(
      _ input: UnsafePointer<Float>, _ output: UnsafeMutablePointer<Float>, outputStride: Int
    ) -> hg_geometry {
      hg_geometry(
        input: input, input_stride: channels + gap, batch: Int32(batch), height: Int32(height), width: Int32(width),
        channels: Int32(channels), output: output, output_stride: outputStride, output_height: Int32(outputHeight),
        output_width: Int32(outputWidth), kernel_height: Int32(kernel), kernel_width: Int32(kernel),
        stride_height: Int32(stride), stride_width: Int32(stride), padding_top: Int32(top), padding_left: Int32(left))
    }
  }

  static let geometries = [
    Geometry(height: 1, width: 1, channels: 3, columns: 8),
    Geometry(height: 9, width: 7, channels: 3, columns: 16, stride: 2),
    Geometry(batch: 3, height: 6, width: 5, channels: 16, columns: 8, kernel: 2, top: 0, left: 0),
    Geometry(batch: 2, height: 5, width: 11, channels: 12, columns: 24, kernel: 2, top: 0, left: 0, gap: 4),
    Geometry(batch: 2, height: 13, width: 9, channels: 32, columns: 48, stride: 2, gap: 16),
    Geometry(height: 8, width: 8, channels: 16, columns: 16), Geometry(height: 7, width: 3, channels: 32, columns: 20),
    Geometry(batch: 3, height: 10, width: 9, channels: 48, columns: 48, gap: 16),
    Geometry(height: 4, width: 5, channels: 64, columns: 70, kernel: 5, top: 2, left: 2, bottom: 2, right: 2),
    Geometry(height: 2, width: 2, channels: 7, columns: 7, kernel: 1, top: 0, left: 0, bottom: 0, right: 0),
    Geometry(
      height: 11, width: 11, channels: 5, columns: 33, kernel: 7, stride: 3, top: 3, left: 3, bottom: 3, right: 3),
  ]

  @Test(arguments: geometries) func convolution(_ geometry: Geometry) {
    var random = TestRandom(seed: 2)
    let memory = TestMemory()
    defer { memory.free() }
    let panels = (geometry.columns + 15) / 16
    let input = memory.keep(
      random.values(geometry.batch * geometry.height * geometry.width * (geometry.channels + geometry.gap)))
    let weights = memory.keep(random.values(panels * geometry.kernel * geometry.kernel * geometry.channels * 16))
    let bias = memory.keep(random.values(panels * 16))
    let pixels = geometry.batch * geometry.outputHeight * geometry.outputWidth
    let residual = memory.keep(random.values(pixels * geometry.columns))
    let stride = geometry.columns + 2
    for (name, kernels) in Self.implementations {
      for (pixelsPerTask, useResidual) in [(pixels, true), (5, false)] {
        compare(
          "\(name) convolution \(geometry)", tasks: (pixels + pixelsPerTask - 1) / pixelsPerTask,
          outputCount: pixels * stride, outputStride: stride, columns: geometry.columns, kernels: kernels,
          run: \.convolution,
          scratch: Int(kernels.block_rows) * geometry.kernel * geometry.kernel * geometry.channels
        ) { output in
          hg_convolution(
            window: geometry.window(input, output, outputStride: stride),
            columns: Int32(geometry.columns), weights: weights, bias: bias,
            epilogue: epilogue(
              useResidual ? residual : nil, stride: geometry.columns, rectified: true,
              affine: !useResidual), pixels_per_task: Int32(pixelsPerTask))
        }
      }
    }
  }

  /// Winograd must agree with the direct convolution of the same weights, not only with its own reference.
  @Test(arguments: geometries.filter { $0.kernel == 3 && $0.stride == 1 && $0.channels % 16 == 0 }, [2, 4])
  func winograd(_ geometry: Geometry, tile: Int) {
    var random = TestRandom(seed: 3)
    let memory = TestMemory()
    defer { memory.free() }
    let (columns, channels) = (geometry.columns, geometry.channels)
    let panels = (columns + 15) / 16
    let input = memory.keep(
      random.values(geometry.batch * geometry.height * geometry.width * (channels + geometry.gap)))
    let weights = memory.keep(random.values(columns * channels * 9))
    let factors = memory.keep(random.values(columns))
    let bias = memory.keep(random.values(columns) + [Float](repeating: 0, count: panels * 16 - columns))
    let zeros = memory.keep([Float](repeating: 0, count: 3 * channels + 16))
    let dense = memory.keep([Float](repeating: 0, count: panels * 9 * channels * 16))
    let transformed = memory.keep([Float](repeating: 0, count: panels * (tile + 2) * (tile + 2) * channels * 16))
    hg_pack_dense(weights, factors, Int32(columns), Int32(channels), 9, dense)
    hg_pack_winograd(weights, factors, Int32(tile), Int32(columns), Int32(channels), 0, Int32(panels), transformed)
    let pixels = geometry.batch * geometry.outputHeight * geometry.outputWidth
    let residual = memory.keep(random.values(pixels * columns))
    let stride = columns + 2
    let (down, across) = ((geometry.outputHeight + tile - 1) / tile, (geometry.outputWidth + tile - 1) / tile)
    let tiles = geometry.batch * down * across

    var direct = [Float](repeating: -777, count: pixels * stride)
    direct.withUnsafeMutableBufferPointer { output in
      var descriptor = hg_convolution(
        window: geometry.window(input, output.baseAddress!, outputStride: stride),
        columns: Int32(columns), weights: dense, bias: bias,
        epilogue: epilogue(residual, stride: columns, rectified: true, affine: true),
        pixels_per_task: Int32(pixels))
      Self.reference.convolution(&descriptor, 0, nil)
    }
    for (name, kernels) in Self.implementations + [("reference", Self.reference)] {
      for tilesPerTask in [tiles, 2] {
        for panelsPerTask in [panels, 1] {
          var output = [Float](repeating: -777, count: pixels * stride)
          var scratch = [Float](
            repeating: .nan,
            count: Int(hg_winograd_scratch(Int32(tile), Int32(channels), Int32(columns), Int32(tilesPerTask))))
          output.withUnsafeMutableBufferPointer { output in
            let columnTasks = (panels + panelsPerTask - 1) / panelsPerTask
            var descriptor = hg_winograd(
              window: geometry.window(input, output.baseAddress!, outputStride: stride),
              columns: Int32(columns), weights: transformed, bias: bias,
              zeros: zeros,
              epilogue: epilogue(residual, stride: columns, rectified: true, affine: true),
              tile: Int32(tile), is_bfloat16: 0, tiles_per_task: Int32(tilesPerTask),
              panels_per_task: Int32(panelsPerTask),
              column_tasks: Int32(columnTasks))
            for task in 0..<(tiles + tilesPerTask - 1) / tilesPerTask * columnTasks {
              kernels.winograd(&descriptor, Int32(task), &scratch)
            }
          }
          let largest = direct.filter { $0 != -777 }.reduce(1) { max($0, abs($1)) }
          let worst = zip(direct, output).reduce(0) { max($0, abs($1.0 - $1.1)) }
          // F(4×4, 3×3) in float32 loses about one digit; 3e-5 of the largest value bounds it on normal data.
          #expect(
            worst <= (tile == 4 ? 3e-5 : 3e-6) * largest,
            "\(name) winograd F(\(tile)) \(geometry): off by \(worst) of \(largest)")
        }
      }
    }
  }

  @Test(arguments: [
    Geometry(height: 1, width: 1, channels: 1, columns: 1),
    Geometry(batch: 2, height: 7, width: 9, channels: 20, columns: 20, gap: 3),
    Geometry(height: 14, width: 13, channels: 64, columns: 64, kernel: 5, top: 2, left: 2, bottom: 2, right: 2),
    Geometry(batch: 3, height: 7, width: 7, channels: 37, columns: 37, kernel: 5, top: 2, left: 2, bottom: 2, right: 2),
    Geometry(batch: 2, height: 15, width: 16, channels: 48, columns: 48, stride: 2),
    Geometry(height: 5, width: 6, channels: 9, columns: 9, kernel: 4, stride: 2, top: 1, left: 0),
    Geometry(height: 3, width: 40, channels: 16, columns: 16),
  ]) func depthwise(_ geometry: Geometry) {
    var random = TestRandom(seed: 4)
    let memory = TestMemory()
    defer { memory.free() }
    let channels = geometry.channels
    let padded = (channels + 15) / 16 * 16
    let input = memory.keep(
      random.values(geometry.batch * geometry.height * geometry.width * (channels + geometry.gap)))
    let weights = memory.keep(random.values(padded * geometry.kernel * geometry.kernel))
    let bias = memory.keep(random.values(padded))
    let pixels = geometry.batch * geometry.outputHeight * geometry.outputWidth
    let residual = memory.keep(random.values(pixels * channels))
    let stride = channels + 1
    for (name, kernels) in Self.implementations {
      for (rowsPerTask, channelsPerTask, useResidual) in [(geometry.outputHeight, channels, false), (2, 16, true)] {
        let tasks =
          geometry.batch * ((geometry.outputHeight + rowsPerTask - 1) / rowsPerTask)
          * ((channels + channelsPerTask - 1) / channelsPerTask)
        compare(
          "\(name) depthwise \(geometry)", tasks: tasks, outputCount: pixels * stride, outputStride: stride,
          columns: channels, kernels: kernels, run: \.depthwise
        ) { output in
          hg_depthwise(
            window: geometry.window(input, output, outputStride: stride),
            weights: weights,
            bias: bias,
            epilogue: epilogue(
              useResidual ? residual : nil, stride: channels,
              rectified: !useResidual, affine: useResidual), rows_per_task: Int32(rowsPerTask),
            channels_per_task: Int32(channelsPerTask))
        }
      }
    }
  }

  @Test(arguments: [
    Geometry(height: 1, width: 1, channels: 1, kernel: 2, top: 0, left: 0),
    Geometry(batch: 2, height: 5, width: 7, channels: 16, kernel: 2, top: 0, left: 0),
    Geometry(batch: 3, height: 9, width: 8, channels: 35, kernel: 3, stride: 2, gap: 5),
  ]) func maximumPool(_ geometry: Geometry) {
    var random = TestRandom(seed: 5)
    let memory = TestMemory()
    defer { memory.free() }
    // All negative, so that a border that counted as zero would win.
    let input = memory.keep(
      random.values(geometry.batch * geometry.height * geometry.width * (geometry.channels + geometry.gap))
        .map { -abs($0) - 0.1 })
    let stride = geometry.channels + 4
    let pixels = geometry.batch * geometry.outputHeight * geometry.outputWidth
    for (name, kernels) in Self.implementations {
      for rowsPerTask in [geometry.outputHeight, 2] {
        compare(
          "\(name) maximum pool \(geometry)",
          tasks: geometry.batch * ((geometry.outputHeight + rowsPerTask - 1) / rowsPerTask),
          outputCount: pixels * stride,
          outputStride: stride, columns: geometry.channels, kernels: kernels, run: \.maximum_pool, tolerance: 0
        ) { output in
          hg_maximum_pool(
            window: geometry.window(input, output, outputStride: stride),
            rows_per_task: Int32(rowsPerTask))
        }
      }
    }
  }

  @Test(arguments: [[1, 1, 1, 1], [2, 49, 33, 16], [3, 5, 64, 64], [1, 196, 7, 7]]) func averagePool(_ shape: [Int]) {
    var random = TestRandom(seed: 6)
    let memory = TestMemory()
    defer { memory.free() }
    let (batch, pixels, channels) = (shape[0], shape[1], shape[2])
    let input = memory.keep(random.values(batch * pixels * (channels + 2)))
    for (name, kernels) in Self.implementations {
      compare(
        "\(name) average pool \(shape)", tasks: batch * ((channels + shape[3] - 1) / shape[3]),
        outputCount: batch * (channels + 1), outputStride: channels + 1, columns: channels, kernels: kernels,
        run: \.average_pool
      ) { output in
        hg_average_pool(
          input: input, input_stride: channels + 2, batch: Int32(batch),
          pixels: Int32(pixels), channels: Int32(channels), output: output, output_stride: channels + 1,
          channels_per_task: Int32(shape[3]))
      }
    }
  }

  @Test(arguments: [HG_COPY, HG_ADD, HG_GATE, HG_SOFTMAX, HG_POINTWISE + HG_FUNCTION_SIGMOID]) func elementwise(
    _ kind: Int
  ) {
    var random = TestRandom(seed: 7)
    let memory = TestMemory()
    defer { memory.free() }
    for (images, pixels, channels) in [(1, 1, 1), (2, 3, 17), (3, 5, 48)] {
      let rows = images * pixels
      let input = memory.keep(random.values(rows * (channels + 1)))
      let other = memory.keep(random.values(rows * channels))
      for (name, kernels) in Self.implementations {
        compare(
          "\(name) elementwise \(kind)", tasks: (rows + 1) / 2, outputCount: rows * (channels + 2),
          outputStride: channels + 2, columns: channels, kernels: kernels, run: \.elementwise
        ) { output in
          hg_elementwise(
            kind: Int32(kind), rows: Int64(rows), rows_per_image: Int64(pixels), channels: Int32(channels),
            input: input, input_stride: channels + 1,
            other: other, other_stride: channels, output: output,
            output_stride: channels + 2,
            epilogue: epilogue(
              other, stride: channels, rectified: true, affine: true),
            rows_per_task: 2)
        }
      }
    }
  }
}
