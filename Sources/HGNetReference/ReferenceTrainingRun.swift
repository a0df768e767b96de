import HGNetCore
import HGNetProgram

/// Training steps in float64.
package final class ReferenceTrainingRun: TrainingRun {
  private let walk: Walk
  private let state: ReferenceState
  /// The parameters whose gradients a layer completes, one list per layer.
  private let ends: [[Int]]
  /// The parameters of the network that no layer gives a gradient.
  private let others: [Int]

  /// - Throws: as `Engine.trainingRun`.
  init(
    _ program: Program, state: ReferenceState, batch: Int, statistics: (any StatisticsReduction)?, rounds: Bool
  ) throws(HGNetError) {
    let needs = ReferenceTrainingRun.needsGradient(program, state)
    let plan = try NumberPlan(program, batch: batch, needsGradient: needs)
    for layer in program.layers {
      for (name, _) in layer.parameterShapes { _ = try state.values.pointer(name, layer: layer.name) }
    }
    let advice = MemoryNeed.fittingPictures(batch, of: program.inputSize)
    try plan.memoryNeed.check(advice: advice)
    walk = Walk(
      plan, parameters: state.values,
      numbers: try Numbers(
        count: plan.count, for: "a training step on \(batch) pictures of \(program.inputSize)", advice: advice),
      training: Walk.Training(state: state, statistics: statistics, rounds: rounds))
    self.state = state
    let indices = state.values.indices
    ends = program.layers.map { layer in
      needs[layer.result] ? layer.learnedParameters.compactMap { indices[$0] } : []
    }
    let ended = Set(ends.joined())
    others = program.trainedParameters.compactMap { indices[$0.name] }.filter { !ended.contains($0) }
  }

  /// The network, for the size of the pictures.
  package var program: Program { walk.program }
  /// The number of pictures of a step.
  package var batch: Int { walk.batch }

  private var output: Int { program.outputs[0].result }

  /// Computes the result of a batch.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` for another shape.
  package func forward(_ pictures: Tensor, random: inout RandomGenerator) throws(HGNetError) -> Tensor {
    let source = try result(of: pictures, random: &random)
    let shape: Shape = [batch, walk.shapes[output].count]
    return try Tensor(allocating: shape, for: "the logits of \(batch) pictures") { (target) throws(HGNetError) in
      for index in target.indices { target[index] = Float(source[index]) }
    }
  }

  /// The same without rounding, `[N, K]`.
  ///
  /// - Throws: as `forward`.
  package func exactForward(_ pictures: Tensor, random: inout RandomGenerator) throws(HGNetError) -> [Double] {
    let source = try result(of: pictures, random: &random)
    return Array(UnsafeBufferPointer(start: source, count: batch * walk.shapes[output].count))
  }

  private func result(
    of pictures: Tensor, random: inout RandomGenerator
  ) throws(HGNetError) -> UnsafeMutablePointer<Double> {
    let shape = walk.shapes[program.input]
    let expected: Shape = [batch, shape.height, shape.width, shape.channels]
    guard pictures.shape == expected else {
      throw HGNetError(.shapeMismatch, "expected pictures of shape \(expected), found \(pictures.shape)")
    }
    try walk.take(pictures)
    walk.drawMasks(&random)
    for index in program.layers.indices { try walk.forward(index) }
    return try walk.result(output)
  }

  /// Adds the gradients of the last `forward` to those of the state.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` for another shape.
  package func backward(
    _ gradient: Tensor, ended: (@Sendable (_ parameter: Int) -> Void)?
  ) throws(HGNetError) {
    let expected: Shape = [batch, walk.shapes[output].count]
    guard gradient.shape == expected else {
      throw HGNetError(.shapeMismatch, "expected a gradient of shape \(expected), found \(gradient.shape)")
    }
    for number in walk.shapes.indices {
      walk.gradient(number)?.update(repeating: 0, count: batch * walk.shapes[number].count)
    }
    if let target = walk.gradient(output) {
      gradient.withUnsafeBufferPointer { source in
        for index in source.indices { target[index] = Double(source[index]) }
      }
    }
    if let ended { for parameter in others { ended(parameter) } }
    for index in program.layers.indices.reversed() {
      try walk.backward(index)
      if let ended { for parameter in ends[index] { ended(parameter) } }
    }
  }
}
