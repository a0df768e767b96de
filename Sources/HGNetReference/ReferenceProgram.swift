import HGNetCore
import HGNetProgram

/// A program with its parameters in float64.
final class ReferenceProgram: CompiledProgram {
  let program: Program
  let precision: Precision
  private let parameters: NamedNumbers

  /// Reads the parameters of all layers.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` naming parameter and layer, `limitExceeded` without memory.
  init(_ program: Program, parameters: some ParameterSource, precision: Precision) throws(HGNetError) {
    self.program = program
    self.precision = precision
    var arrays: [Numbers] = []
    var indices: [String: Int] = [:]
    for layer in program.layers {
      for (name, shape) in layer.parameterShapes where indices[name] == nil {
        let numbers = try Numbers(count: shape.checkedCount, for: "the weights of the network")
        let parameter = try parameters.parameter(name, shape: shape, layer: layer.name)
        numbers.copy(try parameter.allocatedTensor())
        parameter.discardPages()
        indices[name] = arrays.count
        arrays.append(numbers)
      }
    }
    self.parameters = NamedNumbers(arrays: arrays, indices: indices)
  }

  private func plan(_ extent: RunExtent) throws(HGNetError) -> NumberPlan {
    try NumberPlan(program.resized(to: extent.inputSize), batch: extent.batch)
  }

  func memoryNeed(of extent: RunExtent) throws(HGNetError) -> MemoryNeed { try plan(extent).memoryNeed }

  func memory(for extents: [RunExtent]) throws(HGNetError) -> any EngineMemory {
    var largest: NumberPlan?
    for extent in extents {
      let plan = try plan(extent)
      if plan.count >= largest?.count ?? 0 { largest = plan }
    }
    guard let largest else { return try ReferenceMemory(count: 0, for: "no pictures") }
    return try ReferenceMemory(for: largest)
  }

  func session(
    _ extent: RunExtent, memory: (any EngineMemory)?, isTimed: Bool
  ) throws(HGNetError) -> any EngineSession {
    let plan = try plan(extent)
    guard let memory else { return try session(plan, in: ReferenceMemory(for: plan), isTimed: isTimed) }
    guard let own = memory as? ReferenceMemory, own.numbers.count >= plan.count else {
      throw HGNetError(.shapeMismatch, "expected memory for batch \(plan.batch) of \(plan.program.inputSize)")
    }
    return try session(plan, in: own, isTimed: isTimed)
  }

  private func session(
    _ plan: NumberPlan, in memory: ReferenceMemory, isTimed: Bool
  ) throws(HGNetError) -> ReferenceSession {
    try ReferenceSession(Walk(plan, parameters: parameters, numbers: memory.numbers), isTimed: isTimed)
  }
}

/// The numbers of sessions that never run at the same time.
final class ReferenceMemory: EngineMemory {
  let numbers: Numbers
  var byteCount: Int { 8 * numbers.count }

  init(count: Int, for subject: String) throws(HGNetError) { numbers = try Numbers(count: count, for: subject) }

  /// - Throws: `HGNetError.Code.limitExceeded` when there is not enough memory.
  init(for plan: NumberPlan) throws(HGNetError) {
    let advice = MemoryNeed.fittingPictures(plan.batch, of: plan.program.inputSize)
    try plan.memoryNeed.check(advice: advice)
    numbers = try Numbers(count: plan.count, for: plan.memoryNeed.subject, advice: advice)
  }
}

/// Runs a program in float64.
final class ReferenceSession: EngineSession {
  private let walk: Walk
  private var pictures: Tensor
  private let isTimed: Bool
  private(set) var layerSeconds: [Double] = []

  init(_ walk: Walk, isTimed: Bool) throws(HGNetError) {
    self.walk = walk
    self.isTimed = isTimed
    let shape = walk.program.shapes[walk.program.input]
    pictures = try Tensor(
      allocating: [walk.batch, shape.height, shape.width, shape.channels], for: "the pictures of a run"
    ) { (target) throws(HGNetError) in target.update(repeating: 0) }
  }

  var program: Program { walk.program }
  var batch: Int { walk.batch }

  func withInput<Result, Failure: Error>(
    _ body: (UnsafeMutableBufferPointer<Float>) throws(Failure) -> Result
  ) throws(Failure) -> Result { try pictures.withUnsafeMutableBufferPointer(body) }

  func execute() throws(HGNetError) {
    try walk.take(pictures)
    layerSeconds = []
    for index in program.layers.indices {
      let begin = nanoseconds()
      try walk.forward(index)
      if isTimed { layerSeconds.append(Double(nanoseconds() - begin) / 1e9) }
    }
  }

  var layerDescriptions: [LayerDescription] {
    let graph = program.graph
    return program.layers.map { layer in
      let shape = walk.shapes[layer.result]
      let input = layer.inputs.first.map { walk.shapes[$0] } ?? shape
      let weights = layer.parameterShapes.reduce(0) { $0 + $1.shape.count }
      return LayerDescription(
        name: layer.name, algorithm: "definition", inputShape: input, outputShape: shape,
        operations: 2 * batch * graph.multiplyAdds(of: graph.nodes[layer.result]),
        byteCount: 8 * (batch * (input.count + shape.count) + weights))
    }
  }

  func read(_ output: Int, into target: UnsafeMutableBufferPointer<Float>) throws(HGNetError) {
    try checkTarget(target.count, of: output)
    let source = try walk.result(program.outputs[output].result)
    for index in target.indices { target[index] = Float(source[index]) }
  }
}
