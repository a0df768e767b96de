import CHGNetKernels
import HGNetCore
import HGNetProgram

/// What follows a convolution in training: statistics, normalisation, ReLU, affine block, residual; and their gradients.
struct UnitWork: Work {
  enum Pass: Hashable, Sendable {
    case sums, statistics, apply
    case gradientSums, gradientFinish, gradientApply
  }

  var pass: Pass
  var unit: TrainingUnit
  var memory: Memory
  /// The unit's result, or in the backward pass its gradient.
  var result: Location
  var residual: Location?

  /// What the engine keeps of a unit from the forward to the backward pass, by buffer.
  struct Memory: Hashable, Sendable {
    var sums: Int
    var coefficients: Int
    /// The sums over all processes; nil where batch statistics are those of this one.
    var total: Int?
    var rowsPerChunk: Int

    var all: [Int] { [sums, coefficients] + [total].compactMap { $0 } }
  }

  private var channels: Int { unit.convolution.outputChannels }
  private var padded: Int { channels.roundedUp(to: 16) }
  var rowsPerTask: Int { min(unit.rows, max(1, 32 * 1024 / max(channels, 1))) }

  var taskCount: Int {
    switch pass {
    case .sums, .gradientSums: unit.rows.divided(by: memory.rowsPerChunk)
    case .statistics, .gradientFinish: 1
    case .apply, .gradientApply: unit.rows.divided(by: rowsPerTask)
    }
  }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let normalization = unit.normalization
    let biasName = normalization?.bias ?? unit.convolution.bias
    let coefficients = addresses.floats(memory.coefficients)
    let plain = try hg_unit(
      z: addresses.pointer(unit.convolved), rows: Int64(unit.rows), channels: Int32(channels),
      is_normalized: normalization == nil ? 0 : 1, is_fixed: unit.usesRunningStatistics ? 1 : 0,
      is_rectified: unit.layer.hasReLU ? 1 : 0, rows_per_chunk: Int32(memory.rowsPerChunk),
      sums: addresses.doubles(memory.sums), total: memory.total.map { UnsafePointer(addresses.doubles($0)) },
      k: coefficients, o: coefficients + padded, mean: coefficients + 2 * padded,
      deviation: coefficients + 3 * padded, alpha: coefficients + 4 * padded, beta: coefficients + 5 * padded,
      epsilon: normalization?.epsilon ?? 0, momentum: normalization?.momentum ?? 0,
      gamma: UnsafePointer(addresses.value(normalization?.weight)), bias: UnsafePointer(addresses.value(biasName)),
      running_mean: addresses.value(normalization?.mean), running_variance: addresses.value(normalization?.variance),
      scale: UnsafePointer(addresses.value(unit.affine?.scale)),
      shift: UnsafePointer(addresses.value(unit.affine?.bias)),
      gamma_gradient: addresses.gradient(normalization?.weight), bias_gradient: addresses.gradient(biasName),
      scale_gradient: addresses.gradient(unit.affine?.scale), shift_gradient: addresses.gradient(unit.affine?.bias),
      output: addresses.pointer(result), output_stride: result.stride,
      residual: residual.map { UnsafePointer(addresses.pointer($0)) }, residual_stride: residual?.stride ?? 0,
      rows_per_task: Int32(rowsPerTask))
    try descriptor.set(
      hg_bfloat16_unit(
        unit: plain, is_half_z: unit.convolved.isHalf, is_half_output: result.isHalf,
        is_half_residual: residual?.isHalf ?? 0, is_half_gradient: unit.convolvedGradient.isHalf))
    return task(addresses)
  }

  /// The kernel, which is that of float32 where nothing that it reads or writes is in bfloat16.
  private func task(_ addresses: Addresses) -> hg_task {
    let (plain, mixed) = (addresses.training, addresses.bfloat16Training)
    let isMixed = unit.isMixed([result, residual])
    return switch pass {
    case .sums: unit.convolved.element == .bfloat16 ? mixed.sums : plain.sums
    case .statistics: plain.statistics
    case .apply: isMixed ? mixed.apply : plain.apply
    case .gradientSums: isMixed ? mixed.gradient_sums : plain.gradient_sums
    case .gradientFinish: plain.gradient_finish
    case .gradientApply: isMixed ? mixed.gradient_apply : plain.gradient_apply
    }
  }
}
