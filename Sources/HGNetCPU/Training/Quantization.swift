import CHGNetKernels
import HGNetCore
import HGNetProgram

extension TrainingPlan {
  /// Appends the rounding of a unit's weights.
  mutating func addWeightQuantization(_ unit: TrainingUnit, _ name: String) {
    guard let rounded = unit.roundedWeights else { return }
    add(
      name, WeightQuantizationWork(convolution: unit.convolution, isLinear: unit.isLinear, rounded: rounded),
      tasks: unit.convolution.outputChannels.divided(by: 16), uses: [rounded.buffer])
  }

  /// Appends the gradient of a range, of which the tasks' sums are added in their order.
  mutating func addQuantizationGradient(_ range: String, _ name: String, target: Location, outside: Location) {
    var work = QuantizationGradientWork(target: target, outside: outside, sums: 0, batch: batch)
    work.sums = newBuffer(4 * work.taskCount)
    add(name, work, tasks: work.taskCount, uses: [target.buffer, outside.buffer, work.sums])
    add(
      name + " sum", RangeGradientWork(range: range, sums: work.sums, count: work.taskCount), tasks: 1,
      uses: [work.sums])
  }
}

/// Rounds weights to 8 bits, each output channel with a scale of its own.
private struct WeightQuantizationWork: Work {
  var convolution: Convolution
  var isLinear: Bool
  var rounded: Location

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let columns = convolution.outputChannels
    let count = rounded.shape.count / max(columns, 1)
    // Dense weights are [out][in][taps], linear ones [in][out].
    try descriptor.set(
      hg_quantize_weights(
        weights: addresses.read(convolution.weight), channel_stride: isLinear ? 1 : Int64(count),
        value_stride: isLinear ? Int64(columns) : 1, count: Int64(count), channels: Int32(columns),
        rounded: addresses.pointer(rounded)))
    return addresses.training.quantize_weights
  }
}

/// Rounds values to the bytes of a range, in place.
struct QuantizationWork: Work {
  var range: String
  var target: Location
  var outside: Location?
  var batch: Int

  private var rows: Int { batch * target.pixels }
  private var rowsPerTask: Int { min(rows, max(1, 32 * 1024 / max(target.shape.channels, 1))) }
  var taskCount: Int { rows.divided(by: rowsPerTask) }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    try descriptor.set(
      hg_quantize(
        values: addresses.pointer(target), stride: target.stride, rows: Int64(rows),
        channels: Int32(target.shape.channels), range: addresses.read(range),
        outside: outside.map { addresses.unsignedBytes($0) }, rows_per_task: Int32(rowsPerTask)))
    return addresses.training.quantize
  }
}

/// Takes the gradients of values outside of a range out, and adds them up by task.
private struct QuantizationGradientWork: Work {
  var target: Location
  var outside: Location
  var sums: Int
  var batch: Int

  private var rows: Int { batch * target.pixels }
  private var rowsPerTask: Int { min(rows, max(1, 32 * 1024 / max(target.shape.channels, 1))) }
  var taskCount: Int { rows.divided(by: rowsPerTask) }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    try descriptor.set(
      hg_quantize_gradient(
        gradient: addresses.pointer(target), stride: target.stride, rows: Int64(rows),
        channels: Int32(target.shape.channels), outside: UnsafePointer(addresses.unsignedBytes(outside)),
        sums: addresses.doubles(sums), rows_per_task: Int32(rowsPerTask)))
    return addresses.training.quantize_gradient
  }
}

/// Adds the sums of tasks to the gradient of a range, in their order; nothing where that is kept as it is.
private struct RangeGradientWork: Work {
  var range: String
  var sums: Int
  var count: Int

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    try descriptor.set(
      Call(sums: UnsafePointer(addresses.doubles(sums)), count: count, gradient: addresses.wantedGradient(range)))
    return { descriptor, _, _ in descriptor.assumingMemoryBound(to: Call.self).pointee.run() }
  }

  private struct Call {
    let sums: UnsafePointer<Double>
    let count: Int
    let gradient: UnsafeMutablePointer<Float>?

    func run() {
      guard let gradient else { return }
      var (low, high) = (0.0, 0.0)
      for task in 0..<count {
        low += sums[2 * task]
        high += sums[2 * task + 1]
      }
      gradient[0] += Float(low)
      gradient[1] += Float(high)
    }
  }
}
