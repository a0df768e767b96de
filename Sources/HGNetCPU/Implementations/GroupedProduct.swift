import CHGNetKernels
import HGNetCore
import HGNetProgram

/// The classes of each group of a decoder: one product per query.
enum GroupedProduct: Implementation {
  static let name = "grouped-product"

  static func computes(_ kind: Layer.Kind) -> Bool {
    if case .decoder(.groupedLinear) = kind { true } else { false }
  }

  static func extent(of layer: Layer) -> PackedExtent? {
    guard case .decoder(.groupedLinear(_, _, _, let features, _, let classes)) = layer.kind else { return nil }
    return PackedExtent(layout: layout, weightCount: classes * features, columns: classes)
  }

  static func pack(_ layer: Layer, _ reader: ParameterReader, into packed: PackedWeights) throws(HGNetError) {
    guard
      case .decoder(.groupedLinear(let weight, let bias, let tokens, let features, let perToken, let classes)) =
        layer.kind
    else { return }
    let rows = tokens * perToken
    try reader.copy(weight, [rows, features, 1, 1], layer: layer.name, to: packed.floats, count: classes * features)
    try reader.copy(bias, [rows], layer: layer.name, to: packed.bias, count: classes)
  }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    guard case .decoder(let operation) = problem.layer.kind,
      let work = GroupedProductWork(
        operation, weights: problem.weights, input: problem.input, output: problem.output, batch: problem.pictures)
    else { throw HGNetError(.internalInconsistency, "expected a grouped product", layer: problem.layer.name) }
    return problem.step(work, tasks: problem.pictures)
  }
}

private struct GroupedProductWork: Work {
  enum Pass: Hashable, Sendable { case forward, gradient, parameterGradient }

  var weights: Weights
  var weight: String
  var bias: String
  var tokens: Int
  var features: Int
  var classesPerToken: Int
  var classes: Int
  var input: Location
  /// The result, or in the backward pass its gradient.
  var output: Location
  var batch: Int
  var pass = Pass.forward
  var target: Location?

  init?(_ operation: DecoderOperator, weights: Weights, input: Location, output: Location, batch: Int) {
    guard case .groupedLinear(let weight, let bias, let tokens, let features, let perToken, let classes) = operation
    else { return nil }
    (self.weights, self.weight, self.bias, self.tokens) = (weights, weight, bias, tokens)
    (self.features, classesPerToken, self.classes) = (features, perToken, classes)
    (self.input, self.output, self.batch) = (input, output, batch)
  }

  var algorithm: String { weights.isPacked ? GroupedProduct.name : "" }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let packed = addresses.values(of: weights)
    let isPacked = weights.isPacked
    try descriptor.set(
      hg_group_product(
        input: addresses.pointer(input), input_stride: input.stride, batch: Int32(batch), groups: Int32(tokens),
        channels: Int32(features), columns: Int32(classes), columns_per_group: Int32(classesPerToken),
        weight: isPacked ? packed.weights : addresses.read(weight),
        bias: isPacked ? packed.bias : addresses.read(bias), output: addresses.pointer(output),
        output_stride: output.stride, input_gradient: target.map { addresses.pointer($0) },
        input_gradient_stride: target?.stride ?? 0, weight_gradient: isPacked ? nil : addresses.wantedGradient(weight),
        bias_gradient: isPacked ? nil : addresses.wantedGradient(bias)))
    let decoder = addresses.kernels.decoder.pointee
    return switch pass {
    case .forward: decoder.group_product
    case .gradient: decoder.group_product_gradient
    case .parameterGradient: decoder.group_product_parameter_gradient
    }
  }
}

// MARK: - Training

extension GroupedProduct: DecoderTraining {
  static func addForward(_ pass: DecoderPass, to plan: inout TrainingPlan) throws(HGNetError) {
    plan.add(
      pass.name, try work(pass, plan), tasks: plan.batch, uses: [pass.inputs[0].buffer, pass.output.buffer])
  }

  static func addGradient(_ pass: DecoderPass, to plan: inout TrainingPlan) throws(HGNetError) {
    var work = try work(pass, plan)
    work.target = pass.targets[0]
    let uses = [pass.inputs[0].buffer, pass.output.buffer] + [work.target?.buffer].compactMap { $0 }
    work.pass = .parameterGradient
    plan.add(pass.name + " of parameters", work, tasks: work.classes, uses: uses)
    guard work.target != nil else { return }
    work.pass = .gradient
    plan.add(pass.name, work, tasks: plan.batch, uses: uses)
  }

  private static func work(_ pass: DecoderPass, _ plan: TrainingPlan) throws(HGNetError) -> GroupedProductWork {
    guard
      let work = GroupedProductWork(
        pass.operation, weights: .none, input: pass.inputs[0], output: pass.output, batch: plan.batch)
    else { throw HGNetError(.internalInconsistency, "expected a grouped product", layer: pass.name) }
    return work
  }
}
