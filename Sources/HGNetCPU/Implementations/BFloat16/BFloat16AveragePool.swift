import CHGNetKernels
import HGNetCore
import HGNetProgram

/// The mean of each channel of a picture in bfloat16, summed in float32.
enum BFloat16AveragePool: BFloat16Implementation {
  static let name = "bfloat16-average-pool"

  static func computes(_ kind: Layer.Kind) -> Bool { AveragePool.computes(kind) }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    let channels = problem.input.shape.channels
    let channelsPerTask = AveragePool.channelsPerTask(problem)
    let work = BFloat16AveragePoolWork(
      input: problem.input, output: problem.output, pictures: problem.pictures, channelsPerTask: channelsPerTask)
    return problem.step(work, tasks: problem.pictures * channels.divided(by: channelsPerTask))
  }
}

private struct BFloat16AveragePoolWork: Work {
  var input: Location
  var output: Location
  var pictures: Int
  var channelsPerTask: Int

  var algorithm: String { BFloat16AveragePool.name }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    try descriptor.set(
      hg_bfloat16_average_pool(
        input: UnsafePointer(addresses.halves(input)), input_stride: input.stride, batch: Int32(pictures),
        pixels: Int32(input.pixels), channels: Int32(input.shape.channels), output: addresses.bytes(output),
        output_stride: output.stride, is_float_output: output.isFloat, channels_per_task: Int32(channelsPerTask)))
    return addresses.bfloat16.average_pool
  }
}
