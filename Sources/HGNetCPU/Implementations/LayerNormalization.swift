import CHGNetKernels
import HGNetCore
import HGNetProgram

/// Normalises each token over its channels.
enum LayerNormalization: Implementation {
  static let name = "layer-normalization"

  static func computes(_ kind: Layer.Kind) -> Bool {
    if case .decoder(.layerNormalization) = kind { true } else { false }
  }

  static func extent(of layer: Layer) -> PackedExtent? {
    guard case .decoder(.layerNormalization(_, _, let features, _)) = layer.kind else { return nil }
    return PackedExtent(layout: layout, weightCount: features, columns: features)
  }

  static func pack(_ layer: Layer, _ reader: ParameterReader, into packed: PackedWeights) throws(HGNetError) {
    guard case .decoder(.layerNormalization(let weight, let bias, let features, _)) = layer.kind else { return }
    try reader.copy(weight, [features], layer: layer.name, to: packed.floats)
    try reader.copy(bias, [features], layer: layer.name, to: packed.bias)
  }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    guard case .decoder(let operation) = problem.layer.kind,
      let work = LayerNormalizationWork(
        operation, weights: problem.weights, input: problem.input, output: problem.output, rows: problem.rows)
    else { throw HGNetError(.internalInconsistency, "expected a layer normalisation", layer: problem.layer.name) }
    return problem.step(work, tasks: problem.rows.divided(by: work.rowsPerTask))
  }
}

/// Layer normalisation of some rows, or a part of its gradient.
struct LayerNormalizationWork: Work {
  enum Pass: Hashable, Sendable { case forward, gradient, parameterGradient }

  var weights: Weights
  var weight: String
  var bias: String
  var features: Int
  var epsilon: Float
  var input: Location
  /// The result, or in the backward pass its gradient.
  var output: Location
  var rows: Int
  var pass = Pass.forward
  /// The buffer of what training keeps for the backward pass.
  var statistics: Int?
  var target: Location?

  init?(_ operation: DecoderOperator, weights: Weights, input: Location, output: Location, rows: Int) {
    guard case .layerNormalization(let weight, let bias, let features, let epsilon) = operation else { return nil }
    (self.weights, self.weight, self.bias, self.features, self.epsilon) = (weights, weight, bias, features, epsilon)
    (self.input, self.output, self.rows) = (input, output, rows)
  }

  var algorithm: String { weights.isPacked ? LayerNormalization.name : "" }
  var rowsPerTask: Int { min(rows, max(1, 8 * 1024 / max(features, 1))) }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let packed = addresses.values(of: weights)
    let isPacked = weights.isPacked
    try descriptor.set(
      hg_layer_normalization(
        input: addresses.pointer(input), input_stride: input.stride, rows: Int64(rows), channels: Int32(features),
        weight: isPacked ? packed.weights : addresses.read(weight),
        bias: isPacked ? packed.bias : addresses.read(bias), epsilon: epsilon, output: addresses.pointer(output),
        output_stride: output.stride, statistics: statistics.map { addresses.floats($0) },
        input_gradient: target.map { addresses.pointer($0) }, input_gradient_stride: target?.stride ?? 0,
        weight_gradient: isPacked ? nil : addresses.wantedGradient(weight),
        bias_gradient: isPacked ? nil : addresses.wantedGradient(bias), rows_per_task: Int32(rowsPerTask)))
    let decoder = addresses.kernels.decoder.pointee
    return switch pass {
    case .forward: decoder.layer_normalization
    case .gradient: decoder.layer_normalization_gradient
    case .parameterGradient: decoder.layer_normalization_parameter_gradient
    }
  }
}

// MARK: - Training

extension LayerNormalization: DecoderTraining {
  static func addForward(_ pass: DecoderPass, to plan: inout TrainingPlan) throws(HGNetError) {
    let (output, result) = (pass.output, pass.layer.result)
    let statistics = plan.newBuffer(2 * plan.batch * output.pixels)
    plan.kept[result] = statistics
    let work = try work(pass, plan)
    plan.add(
      pass.name, work, tasks: work.rows.divided(by: work.rowsPerTask),
      uses: [pass.inputs[0].buffer, output.buffer, statistics])
  }

  static func addGradient(_ pass: DecoderPass, to plan: inout TrainingPlan) throws(HGNetError) {
    var work = try work(pass, plan)
    work.target = pass.targets[0]
    let uses =
      [pass.inputs[0].buffer, pass.output.buffer] + [work.statistics, work.target?.buffer].compactMap { $0 }
    work.pass = .parameterGradient
    plan.add(pass.name + " of parameters", work, tasks: work.features.divided(by: 16), uses: uses)
    guard work.target != nil else { return }
    work.pass = .gradient
    plan.add(pass.name, work, tasks: work.rows.divided(by: work.rowsPerTask), uses: uses)
  }

  private static func work(_ pass: DecoderPass, _ plan: TrainingPlan) throws(HGNetError) -> LayerNormalizationWork {
    guard
      var work = LayerNormalizationWork(
        pass.operation, weights: .none, input: pass.inputs[0], output: pass.output,
        rows: plan.batch * pass.output.pixels)
    else { throw HGNetError(.internalInconsistency, "expected a layer normalisation", layer: pass.name) }
    work.statistics = plan.kept[pass.layer.result]
    return work
  }
}
