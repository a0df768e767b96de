import CHGNetKernels
import HGNetCore
import HGNetProgram

/// The steps of a network on this processor for one batch and picture size, over a planned arena.
///
/// Immutable and shareable; a `CPUSession` runs it. Threads: safe to share.
final class Plan: Sendable {
  /// The network, for the size of the pictures.
  let program: Program
  /// The number of pictures of a run.
  let batch: Int
  /// Height and width of the pictures.
  var inputSize: Size { program.inputSize }
  /// Bytes of activations that a session holds.
  let arenaByteCount: Int

  let steps: [Step]
  let input: Location
  let outputs: [Location]
  /// What the bytes of outputs mean.
  let outputScales: [ValueScale?]
  /// Bytes from the arena's start, one per buffer.
  let offsets: [Int]
  let scratchCount: Int
  let zeroCount: Int
  let threads: Int
  let instructionSet: InstructionSet
  /// Keeps the packed weights alive that the steps read.
  private let weights: CompiledWeights

  init(
    _ program: InferenceProgram, weights: CompiledWeights, threads: Int, target: Target
  ) throws(HGNetError) {
    batch = program.batch
    self.threads = threads
    self.weights = weights
    instructionSet = target.instructionSet
    self.program = program.program
    let (segments, placement, memory) = try Plan.places(
      program, weightByteCounts: weights.packed.map { $0?.weightByteCount ?? 0 }, threads: threads)
    offsets = memory.offsets
    arenaByteCount = memory.byteCount
    guard let input = placement.locations[program.program.input] else {
      throw HGNetError(.internalInconsistency, "a network without input")
    }
    self.input = input
    outputs = program.program.outputs.compactMap { placement.locations[$0.result] }
    outputScales = program.program.outputs.map { weights.scales?[$0.result] }

    let writer = StepWriter(
      program: program, placement: placement, weights: weights, threads: threads,
      target: target)
    var steps: [Step] = []
    for segment in segments {
      for first in stride(from: 0, to: batch, by: segment.pictures) {
        for number in segment.steps {
          var step = try writer.step(number, from: first, pictures: min(segment.pictures, batch - first))
          step.layer = number
          steps.append(step)
        }
      }
    }
    self.steps = steps
    scratchCount = steps.map(\.scratchCount).max() ?? 0
    zeroCount = steps.map(\.work.zeroCount).max() ?? 0
  }

  /// How the batch is divided, where each result lives, and the memory that all of them take.
  ///
  /// - Parameter weightByteCounts: of the packed weights of each layer.
  /// - Throws: `HGNetError.Code.limitExceeded` for more than any machine has.
  static func places(
    _ program: InferenceProgram, weightByteCounts: [Int], threads: Int
  ) throws(HGNetError) -> (segments: [BatchSegment], placement: Placement, memory: MemoryPlan) {
    let segments = BatchSegment.segments(
      program.traffic(weightByteCounts), batch: program.batch, threads: threads)
    var placement = program.placement
    placement.divide(into: segments)
    let memory = MemoryPlan(placement.buffers)
    guard memory.byteCount <= 1 << 40 else {
      throw HGNetError(
        .limitExceeded,
        "a batch of \(program.batch) pictures of \(program.program.inputSize) needs \(memory.byteCount / 1_000_000_000) GB of activations"
      )
    }
    return (segments, placement, memory)
  }
}

/// Makes the steps of a plan.
private struct StepWriter {
  let program: InferenceProgram
  let placement: Placement
  let weights: CompiledWeights
  let threads: Int
  let target: Target

  /// The step at a place of the program's order, for the pictures from `first` on.
  func step(_ number: Int, from first: Int, pictures: Int) throws(HGNetError) -> Step {
    switch program.steps[number] {
    case .copy(let copy):
      guard let source = placement.location(of: copy.source, from: first),
        var slice = placement.location(of: copy.target, from: first),
        let concatenation = program.program.layer(computing: copy.target)
      else { throw HGNetError(.internalInconsistency, "a copy without a source") }
      slice.byteOffset += copy.channel * slice.element.byteCount
      slice.shape = source.shape
      let layer = Layer(name: concatenation.name, kind: .copy, inputs: [copy.source], result: copy.target)
      return try step(
        Problem(
          layer: layer, inputs: [source], residual: nil, output: slice, weights: .none, epilogue: .none,
          pictures: pictures, threads: threads, target: target, multiplyAdds: 0, scales: scales(of: layer)))
    case .layer(let index):
      let layer = program.program.layers[index]
      guard let output = placement.location(of: layer.result, from: first) else {
        throw HGNetError(.internalInconsistency, "a layer without a place", layer: layer.name)
      }
      let graph = program.program.graph
      // Copies in another type are no nodes and multiply nothing.
      let isNode = graph.nodes.indices.contains(layer.result)
      return try step(
        Problem(
          layer: layer, inputs: layer.inputs.compactMap { placement.location(of: $0, from: first) },
          residual: layer.residual.flatMap { placement.location(of: $0, from: first) }, output: output,
          weights: weights.packed[index].map { .packed($0) } ?? .none, epilogue: weights.epilogues[index],
          pictures: pictures, threads: threads, target: target,
          multiplyAdds: isNode ? graph.multiplyAdds(of: graph.nodes[layer.result]) * pictures : 0,
          scales: scales(of: layer)))
    }
  }

  private func scales(of layer: Layer) -> ProblemScales {
    guard let scales = weights.scales else { return ProblemScales() }
    return ProblemScales(
      inputs: layer.inputs.map { scales[$0] }, residual: layer.residual.flatMap { scales[$0] },
      output: scales[layer.result])
  }

  private func step(_ problem: Problem) throws(HGNetError) -> Step {
    let choice = try ImplementationList.choice(for: problem, layout: problem.weights.layout)
    var step = try choice.implementation.step(problem)
    step.refusals = choice.refusals
    return step
  }
}

extension InferenceProgram {
  /// What each step reads and writes, for the division into segments.
  func traffic(_ weightByteCounts: [Int]) -> [LayerTraffic] {
    let shapes = program.shapes
    return steps.enumerated().map { number, step in
      var (inputs, weightCount) = (reads(of: step), 0)
      if case .layer(let layer) = step {
        inputs = program.layers[layer].inputs
        weightCount = weightByteCounts[layer] / 4
      }
      return LayerTraffic(
        activations: (inputs + [result(of: step)]).reduce(0) {
          $0 + shapes[$1].count * program.elements[$1].byteCount
        } / 4,
        weights: weightCount, kept: placement.bytesKept(behind: number) / 4)
    }
  }
}
