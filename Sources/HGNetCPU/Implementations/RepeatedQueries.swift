import CHGNetKernels
import HGNetCore
import HGNetProgram

/// A decoder's queries: the same rows for every picture.
enum RepeatedQueries: Implementation {
  static let name = "copy"

  static func computes(_ kind: Layer.Kind) -> Bool { if case .decoder(.queries) = kind { true } else { false } }

  static func extent(of layer: Layer) -> PackedExtent? {
    guard case .decoder(.queries(_, let count, let features)) = layer.kind else { return nil }
    return PackedExtent(layout: layout, weightCount: count * features, columns: 0)
  }

  static func pack(_ layer: Layer, _ reader: ParameterReader, into packed: PackedWeights) throws(HGNetError) {
    guard case .decoder(.queries(let weight, let count, let features)) = layer.kind else { return }
    try reader.copy(weight, [count, features], layer: layer.name, to: packed.floats)
  }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    guard case .decoder(.queries(let weight, let count, _)) = problem.layer.kind else {
      throw HGNetError(.internalInconsistency, "expected queries", layer: problem.layer.name)
    }
    let work = RepeatedQueriesWork(
      count: count, weights: problem.weights, parameter: weight, output: problem.output)
    return problem.step(work, tasks: problem.pictures)
  }
}

private struct RepeatedQueriesWork: Work {
  var count: Int
  var weights: Weights
  /// Where they come from in training.
  var parameter: String
  var output: Location

  var algorithm: String { RepeatedQueries.name }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let rows = try weights.isPacked ? addresses.values(of: weights).weights : addresses.read(parameter)
    try descriptor.set(
      hg_repeat(
        rows: rows, count: Int32(count), channels: Int32(output.shape.channels), output: addresses.pointer(output),
        output_stride: output.stride))
    return addresses.kernels.decoder.pointee.repeat
  }
}

// MARK: - Training

extension RepeatedQueries: DecoderTraining {
  static func addForward(_ pass: DecoderPass, to plan: inout TrainingPlan) throws(HGNetError) {
    guard case .queries(let weight, let count, _) = pass.operation else {
      throw HGNetError(.internalInconsistency, "expected queries", layer: pass.name)
    }
    let work = RepeatedQueriesWork(count: count, weights: .none, parameter: weight, output: pass.output)
    plan.add(pass.name, work, tasks: plan.batch, uses: [pass.output.buffer])
  }

  static func addGradient(_ pass: DecoderPass, to plan: inout TrainingPlan) throws(HGNetError) {}
}
