import CHGNetKernels
import HGNetCore
import HGNetProgram

/// Spreads the gradient of a strided convolution over the grid of its input, with zeros between.
struct DilationWork: Work {
  var input: Location
  var stride: Size
  var output: Location
  var batch: Int

  /// The extents that a gradient gets.
  static func shape(of gradient: ActivationShape, stride: Size) -> ActivationShape {
    ActivationShape(
      channels: gradient.channels, height: (gradient.height - 1) * stride.height + 1,
      width: (gradient.width - 1) * stride.width + 1)
  }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let shape = input.shape
    try descriptor.set(
      hg_bfloat16_dilate(
        dilate: hg_dilate(
          input: addresses.pointer(input), batch: Int32(batch), height: Int32(shape.height),
          width: Int32(shape.width), channels: Int32(shape.channels), stride_height: Int32(stride.height),
          stride_width: Int32(stride.width), output: addresses.pointer(output)), input_stride: input.stride))
    return input.element == .bfloat16 ? addresses.bfloat16Training.dilate : addresses.training.dilate
  }
}
