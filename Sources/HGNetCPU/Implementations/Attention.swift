import CHGNetKernels
import HGNetCore
import HGNetProgram

/// Attention of a decoder's queries to the tokens of a picture, one task per picture and head.
enum Attention: Implementation {
  static let name = "attention"

  static func computes(_ kind: Layer.Kind) -> Bool { if case .decoder(.attention) = kind { true } else { false } }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    guard case .decoder(.attention(let heads, _)) = problem.layer.kind, problem.inputs.count == 3 else {
      throw HGNetError(.internalInconsistency, "expected an attention", layer: problem.layer.name)
    }
    let work = AttentionWork(
      heads: heads, inputs: problem.inputs, output: problem.output, batch: problem.pictures)
    return problem.step(
      work, tasks: problem.pictures * heads, scratchCount: problem.inputs[1].pixels)
  }
}

private struct AttentionWork: Work {
  var heads: Int
  /// Queries, keys and values.
  var inputs: [Location]
  /// The result, or in the backward pass its gradient.
  var output: Location
  var batch: Int
  /// The buffer of the weights that training keeps.
  var kept: Int?
  var mask: Location?
  /// The gradients of the inputs; empty in the forward pass.
  var targets: [Location?] = []

  var algorithm: String { Attention.name }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let (queries, keys, values) = (inputs[0], inputs[1], inputs[2])
    let size = queries.shape.channels / heads
    func target(_ index: Int) -> UnsafeMutablePointer<Float>? {
      targets.isEmpty ? nil : targets[index].map { addresses.pointer($0) }
    }
    func distance(_ index: Int) -> Int { targets.isEmpty ? 0 : targets[index]?.stride ?? 0 }
    try descriptor.set(
      hg_attention(
        queries: addresses.pointer(queries), keys: addresses.pointer(keys), values: addresses.pointer(values),
        query_stride: queries.stride, key_stride: keys.stride, value_stride: values.stride, batch: Int32(batch),
        query_count: Int32(queries.pixels), token_count: Int32(keys.pixels), heads: Int32(heads),
        head_size: Int32(size), scale: 1 / Float(size).squareRoot(), weights: kept.map { addresses.floats($0) },
        mask: mask.map { UnsafePointer(addresses.pointer($0)) }, output: addresses.pointer(output),
        output_stride: output.stride, query_gradient: target(0), key_gradient: target(1), value_gradient: target(2),
        query_gradient_stride: distance(0), key_gradient_stride: distance(1), value_gradient_stride: distance(2)))
    let decoder = addresses.kernels.decoder.pointee
    return targets.isEmpty ? decoder.attention : decoder.attention_gradient
  }
}

// MARK: - Training

extension Attention: DecoderTraining {
  static func addForward(_ pass: DecoderPass, to plan: inout TrainingPlan) throws(HGNetError) {
    var work = try work(pass, plan)
    let tokens = pass.inputs[1].pixels
    let count = plan.batch * work.heads * pass.output.pixels * tokens
    let weights = plan.newBuffer(count)
    plan.kept[pass.layer.result] = weights
    work.kept = weights
    plan.add(
      pass.name, work, multiplyAdds: 2 * count * pass.output.shape.channels / work.heads,
      tasks: plan.batch * work.heads, scratch: tokens,
      uses: pass.inputs.map(\.buffer) + [pass.output.buffer, weights] + [pass.mask?.buffer].compactMap { $0 })
  }

  static func addGradient(_ pass: DecoderPass, to plan: inout TrainingPlan) throws(HGNetError) {
    var work = try work(pass, plan)
    work.kept = plan.kept[pass.layer.result]
    work.targets = pass.targets
    plan.add(
      pass.name, work, tasks: plan.batch * work.heads, scratch: pass.inputs[1].pixels,
      uses: (pass.inputs + pass.targets.compactMap { $0 }).map(\.buffer) + [pass.output.buffer]
        + [work.kept, pass.mask?.buffer].compactMap { $0 })
  }

  private static func work(_ pass: DecoderPass, _ plan: TrainingPlan) throws(HGNetError) -> AttentionWork {
    guard case .attention(let heads, _) = pass.operation, pass.inputs.count == 3 else {
      throw HGNetError(.internalInconsistency, "expected an attention", layer: pass.name)
    }
    return AttentionWork(heads: heads, inputs: pass.inputs, output: pass.output, batch: plan.batch, mask: pass.mask)
  }
}
