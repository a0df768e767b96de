import CHGNetKernels
import HGNetCore
import HGNetProgram

/// The mean of each channel over a picture.
enum AveragePool: Implementation {
  static let name = "average-pool"

  static func computes(_ kind: Layer.Kind) -> Bool { kind == .globalAveragePool }

  /// An equal share of the channels for each thread.
  static func channelsPerTask(_ problem: Problem) -> Int {
    let channels = problem.input.shape.channels
    return problem.threads == 1 ? channels : channels.divided(by: problem.threads).roundedUp(to: 16)
  }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    let channels = problem.input.shape.channels
    let channelsPerTask = channelsPerTask(problem)
    let work = AveragePoolWork(
      input: problem.input, output: problem.output, pictures: problem.pictures, channelsPerTask: channelsPerTask)
    return problem.step(work, tasks: problem.pictures * channels.divided(by: channelsPerTask))
  }
}

private struct AveragePoolWork: Work {
  var input: Location
  var output: Location
  var pictures: Int
  var channelsPerTask: Int

  var algorithm: String { AveragePool.name }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    try descriptor.set(
      hg_average_pool(
        input: UnsafePointer(addresses.pointer(input)), input_stride: input.stride, batch: Int32(pictures),
        pixels: Int32(input.pixels), channels: Int32(input.shape.channels), output: addresses.pointer(output),
        output_stride: output.stride, channels_per_task: Int32(channelsPerTask)))
    return addresses.kernels.average_pool
  }
}
