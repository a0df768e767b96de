import CHGNetKernels
import HGNetCore

extension Plan.Step {
  /// Writes the kernel's descriptor with real addresses and returns the kernel.
  func resolve(
    into descriptor: UnsafeMutableRawPointer, memory: UnsafeMutablePointer<Float>, zeros: UnsafeMutablePointer<Float>,
    kernels: hg_kernels
  ) -> hg_task {
    let batch = pictures
    let source = UnsafePointer(memory + input.offset)
    let target = memory + output.offset
    let finish = hg_epilogue(
      lower: epilogue.lower, scale: epilogue.scale, shift: epilogue.shift,
      residual: residual.map { UnsafePointer(memory + $0.offset) }, residual_stride: residual?.stride ?? 0)
    // Partial sums of products pass through the output, so that adding to it means to start from it.
    let isAdded = residual == output
    var productFinish = finish
    if isAdded { productFinish.residual = nil }
    let packed = UnsafePointer(weights?.weights ?? zeros)
    let bias = UnsafePointer(weights?.bias ?? zeros)
    func window(_ window: Window) -> hg_geometry {
      hg_geometry(
        input: source, input_stride: input.stride, batch: Int32(batch), height: Int32(input.shape.height),
        width: Int32(input.shape.width), channels: Int32(input.shape.channels), output: target,
        output_stride: output.stride, output_height: Int32(output.shape.height),
        output_width: Int32(output.shape.width), kernel_height: Int32(window.kernel.height),
        kernel_width: Int32(window.kernel.width), stride_height: Int32(window.stride.height),
        stride_width: Int32(window.stride.width), padding_top: Int32(window.padding.top),
        padding_left: Int32(window.padding.left))
    }
    func write<Descriptor>(_ value: Descriptor) {
      descriptor.initializeMemory(as: Descriptor.self, to: value)
    }
    switch work {
    case .product(let rows, let inputFeatures, let columns, let rowsPerTask, let panelsPerTask, let channelsPerBlock):
      let panels = (columns + 15) / 16
      write(
        hg_product(
          input: source, input_stride: input.stride, rows: Int64(rows), channels: Int32(inputFeatures),
          columns: Int32(columns), weights: packed, bias: bias, output: target, output_stride: output.stride,
          epilogue: productFinish, rows_per_task: Int32(rowsPerTask), panels_per_task: Int32(panelsPerTask),
          column_tasks: Int32((panels + panelsPerTask - 1) / panelsPerTask),
          channels_per_block: Int32(channelsPerBlock), is_added: isAdded ? 1 : 0))
      return kernels.product
    case .strassen(
      let pixels, let inputFeatures, let columns, let tasksPerImage, let panelsPerTask, let channelsPerBlock):
      write(
        hg_strassen(
          input: source, input_stride: input.stride, pixels: Int64(pixels), channels: Int32(inputFeatures),
          columns: Int32(columns), weights: packed, bias: bias, output: target, output_stride: output.stride,
          epilogue: productFinish, tasks_per_image: Int32(tasksPerImage), panels_per_task: Int32(panelsPerTask),
          column_tasks: Int32((columns / 32 + panelsPerTask - 1) / panelsPerTask),
          channels_per_block: Int32(channelsPerBlock), is_added: isAdded ? 1 : 0))
      return kernels.strassen
    case .convolution(let geometry, let columns, let pixelsPerTask):
      write(
        hg_convolution(
          window: window(geometry), columns: Int32(columns), weights: packed, bias: bias,
          epilogue: finish, pixels_per_task: Int32(pixelsPerTask)))
      return kernels.convolution
    case .winograd(let geometry, let tile, let columns, let tilesPerTask):
      write(
        hg_winograd(
          window: window(geometry), columns: Int32(columns), weights: packed, bias: bias, zeros: zeros,
          epilogue: finish, tile: Int32(tile), tiles_per_task: Int32(tilesPerTask),
          panels_per_task: Int32((columns + 15) / 16),
          column_tasks: 1))
      return kernels.winograd
    case .depthwise(let geometry, let rowsPerTask, let channelsPerTask):
      write(
        hg_depthwise(
          window: window(geometry), weights: packed, bias: bias, epilogue: finish, rows_per_task: Int32(rowsPerTask),
          channels_per_task: Int32(channelsPerTask)))
      return kernels.depthwise
    case .maximumPool(let geometry, let rowsPerTask):
      write(hg_maximum_pool(window: window(geometry), rows_per_task: Int32(rowsPerTask)))
      return kernels.maximum_pool
    case .averagePool(let channelsPerTask):
      write(
        hg_average_pool(
          input: source, input_stride: input.stride, batch: Int32(batch),
          pixels: Int32(input.shape.height * input.shape.width), channels: Int32(input.shape.channels), output: target,
          output_stride: output.stride, channels_per_task: Int32(channelsPerTask)))
      return kernels.average_pool
    case .decoder(let work):
      return work.resolve(
        self, into: descriptor, memory: memory, weights: packed, bias: bias, batch: batch, kernels: kernels)
    case .elementwise(let kind, let rowsPerTask):
      let pixels = output.shape.height * output.shape.width
      write(
        hg_elementwise(
          kind: Int32(kind), rows: Int64(batch * pixels), rows_per_image: Int64(pixels),
          channels: Int32(output.shape.channels), input: source, input_stride: input.stride,
          other: other.map { UnsafePointer(memory + $0.offset) }, other_stride: other?.stride ?? 0, output: target,
          output_stride: output.stride, epilogue: finish, rows_per_task: Int32(rowsPerTask)))
      return kernels.elementwise
    }
  }
}
