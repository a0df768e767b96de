import CHGNetVulkan
import HGNetCore
import HGNetProgram

/// Optimiser steps and the moving average.
///
/// Numeric promise: elementwise float32 as the processor's; norms are summed in a fixed order.
extension GPUTrainingState {
  /// The bytes of the sums behind a norm, and of the factor behind them.
  private static let normByteCount = 256

  /// Changes parameters by their gradients.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for a parameter without the moments that its rule needs; nothing has
  ///   changed then. `limitExceeded` without memory, `deviceFailure`.
  package func update(_ rules: [(parameter: Int, rule: UpdateRule)]) throws(HGNetError) {
    for (parameter, rule) in rules {
      _ = try block(.value, of: parameter)
      for number in 0..<rule.momentCount { _ = try block(.moment(number), of: parameter) }
    }
    guard !rules.isEmpty else { return }
    let clipped = rules.filter { $0.rule.clipNorm != nil }
    let norms: DeviceBuffer? =
      clipped.isEmpty
      ? nil
      : try DeviceBuffer(
        2 * GPUTrainingState.normByteCount * clipped.count, .ofDevice, on: device, for: "the norms of the gradients")
    let norm = try device.pipeline(PipelineKey(shader: Shader("training/norm", values: 1, isHalf: false)))
    var pipelines: [OpaquePointer] = []
    for kind in 0..<3 { pipelines.append(try pipeline(UInt32(kind))) }
    try run("changing the parameters") { (commands) throws(HGNetError) in
      if let norms { recordNorms(commands, norm, clipped, into: norms) }
      var place = 0
      for (parameter, rule) in rules {
        var factor: (DeviceBuffer, Range<Int>)?
        if rule.clipNorm != nil, let norms {
          factor = (norms, normRange(place, isFactor: true))
          place += 1
        }
        let (numbers, kind) = rule.numbers(count: declarations[parameter].shape.count, isClipped: factor != nil)
        let range = layout.ranges[parameter]
        let own = (values, range), first = moments[0].map { ($0, range) }, second = moments[1].map { ($0, range) }
        record(
          commands, pipelines[kind], [(gradients, range), own, first ?? own, second ?? own, factor ?? own], numbers,
          count: Int(numbers.rows))
      }
    }
  }

  private func pipeline(_ kind: UInt32) throws(HGNetError) -> OpaquePointer {
    try device.pipeline(
      PipelineKey(shader: Shader("training/update", values: 1, isHalf: false), constants: [kind]))
  }

  private func normRange(_ place: Int, isFactor: Bool) -> Range<Int> {
    let start = (2 * place + (isFactor ? 1 : 0)) * GPUTrainingState.normByteCount
    return start..<start + GPUTrainingState.normByteCount
  }

  /// Records the factors by which gradients are shortened, with a barrier behind them.
  private func recordNorms(
    _ commands: OpaquePointer, _ pipeline: OpaquePointer, _ rules: [(parameter: Int, rule: UpdateRule)],
    into norms: DeviceBuffer
  ) {
    func slices(_ count: Int) -> Int { min(64, max(count, 1).divided(by: 1024)) }
    for kind in 0..<2 {
      for (place, (parameter, rule)) in rules.enumerated() {
        let count = declarations[parameter].shape.count
        let partial = (norms, normRange(place, isFactor: false)), factor = (norms, normRange(place, isFactor: true))
        var numbers = hgv_step()
        numbers.kind = UInt32(kind)
        numbers.rows = UInt32(kind == 0 ? count : slices(count))
        (numbers.scale, numbers.shift) = (rule.clipNorm ?? 0, rule.gradientScale)
        let source = kind == 0 ? (gradients, layout.ranges[parameter]) : partial
        let target = kind == 0 ? partial : factor
        record(
          commands, pipeline, [source, source, source, target, source], numbers, count: count,
          groups: kind == 0 ? slices(count) : 1)
      }
      hgv_record_barrier(commands)
    }
  }

  /// Moves the averages of all parameters.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` where no average is kept, `deviceFailure`.
  package func moveAverage(decay: Double) throws(HGNetError) {
    guard let averages else { throw HGNetError(.invalidArgument, "no average of the parameters is kept") }
    let pipeline = try pipeline(3)
    try run("moving the average of the parameters") { (commands) throws(HGNetError) in
      forEachPart { range in
        var numbers = hgv_step()
        numbers.rows = UInt32(range.count / 4)
        (numbers.scale, numbers.shift) = (Float(decay), Float(1 - decay))
        let own = (averages, range)
        record(commands, pipeline, [(values, range), own, own, own, own], numbers, count: range.count / 4)
      }
    }
  }
}

extension UpdateRule {
  /// What the shader `update` is told, and its kind.
  fileprivate func numbers(count: Int, isClipped: Bool) -> (numbers: hgv_step, kind: Int) {
    var numbers = hgv_step()
    numbers.rows = UInt32(count)
    (numbers.scale, numbers.shift) = (rate, gradientScale)
    (numbers.height, numbers.width) = (decayL2.bitPattern, decayL1.bitPattern)
    numbers.flags = isClipped ? 2 : 0
    switch formula {
    case .sgd: return (numbers, 0)
    case .momentum(let momentum, let nesterov):
      numbers.top = momentum.bitPattern
      if nesterov { numbers.flags |= 1 }
      return (numbers, 1)
    case .adamW(let own):
      let correction = (1 - own.power2).squareRoot()
      numbers.scale = rate * correction / (1 - own.power1)
      (numbers.top, numbers.left) = (own.beta1.bitPattern, own.beta2.bitPattern)
      numbers.kernel_height = (own.epsilon * correction).bitPattern
      numbers.kernel_width = (1 - rate * own.weightDecay).bitPattern
      return (numbers, 2)
    }
  }
}
