import CHGNetKernels
import HGNetCore

/// The steps of a network for one batch and picture size, over a planned arena.
///
/// Immutable and shareable; a `Session` runs it. Threads: safe to share.
public final class Plan: Sendable {
  /// One kernel call with everything but addresses.
  struct Step: Sendable {
    enum Work: Hashable, Sendable {
      case product(
        rows: Int, inputFeatures: Int, columns: Int, rowsPerTask: Int, panelsPerTask: Int, channelsPerBlock: Int)
      case strassen(
        pixels: Int, inputFeatures: Int, columns: Int, tasksPerImage: Int, panelsPerTask: Int, channelsPerBlock: Int)
      case convolution(Window, columns: Int, pixelsPerTask: Int)
      case winograd(Window, tile: Int, columns: Int, tilesPerTask: Int)
      case depthwise(Window, rowsPerTask: Int, channelsPerTask: Int)
      case maximumPool(Window, rowsPerTask: Int)
      case averagePool(channelsPerTask: Int)
      case elementwise(kind: Int, rowsPerTask: Int)
      case decoder(DecoderWork)
    }

    /// The window of a convolution or pool.
    struct Window: Hashable, Sendable {
      var kernel: Size
      var stride: Size
      var padding: Padding
    }

    var name: String
    /// The place of its layer among those of the plan; several steps of one layer take pictures in turn.
    var layer = 0
    /// The pictures that it takes.
    var pictures: Int
    var work: Work
    var input: Location
    var other: Location?
    var residual: Location?
    var output: Location
    var weights: PackedWeights?
    var epilogue: EpilogueValues
    var taskCount: Int
    var multiplyAdds: Int
    var scratchCount: Int

    /// Floats of zeros that the step reads where its window leaves the picture.
    var zeroCount: Int {
      switch work {
      case .winograd(let window, _, _, _): input.shape.channels * window.kernel.width
      default: 0
      }
    }
  }

  /// The number of pictures of a run.
  public let batch: Int
  /// Height and width of the pictures.
  public let inputSize: Size
  /// What the results are, in the order of the graph's outputs.
  public let outputRoles: [Graph.Output.Role]
  /// The extents of each result for one picture.
  public let outputShapes: [ActivationShape]
  /// Bytes of activations that a session holds.
  public var arenaByteCount: Int { arenaCount * 4 }

  let steps: [Step]
  let input: Location
  let outputs: [Location]
  let arenaCount: Int
  let scratchCount: Int
  let zeroCount: Int
  let threads: Int
  let instructionSet: InstructionSet
  /// Keeps the packed weights alive that the steps point into.
  private let arena: WeightArena

  init(
    _ fused: FusedGraph, graph: Graph, weights: [PackedWeights?], epilogues: [EpilogueValues], batch: Int, threads: Int,
    instructionSet: InstructionSet, arena: WeightArena
  ) throws(HGNetError) {
    guard batch >= 1, batch <= 1 << 16 else {
      throw HGNetError(.invalidArgument, "expected a batch of 1 to 65536, found \(batch)")
    }
    try graph.checkCounts(batch: batch)
    self.batch = batch
    self.threads = threads
    self.arena = arena
    self.instructionSet = instructionSet
    inputSize = graph.inputSize
    let shapes = graph.nodes.map(\.shape)
    // The result of a fused node has the shape of the last node that it swallowed; none of them changes extents.
    var placement = Placement(fused, shapes: shapes, batch: batch)
    var order: [(node: Int, copy: Int?)] = []
    for index in fused.nodes.indices {
      guard let node = fused.nodes[index] else { continue }
      switch node.kind {
      case .input: continue
      case .concatenate:
        for (copy, entry) in placement.copies.enumerated() where entry.target == index { order.append((index, copy)) }
      default: order.append((index, nil))
      }
    }
    var inputIndex = 0
    for index in fused.nodes.indices where fused.nodes[index]?.kind == .input { inputIndex = index }
    placement.touch(inputIndex, step: -1)
    for (step, entry) in order.enumerated() {
      placement.touch(entry.node, step: step)
      if let copy = entry.copy {
        placement.touch(placement.copies[copy].source, step: step)
      } else if let node = fused.nodes[entry.node] {
        for input in node.inputs { placement.touch(input, step: step) }
        if let residual = node.residual { placement.touch(residual, step: step) }
      }
    }
    for output in fused.outputs { placement.touch(output.node.index, step: order.count) }
    let traffic = order.enumerated().map { step, entry in
      let inputs = entry.copy.map { [placement.copies[$0].source] } ?? fused.nodes[entry.node]?.inputs ?? []
      return LayerTraffic(
        activations: shapes[entry.node].count + inputs.reduce(0) { $0 + shapes[$1].count },
        weights: weights[entry.node]?.weightCount ?? 0, kept: placement.floatsKept(behind: step))
    }
    let segments = BatchSegment.segments(traffic, batch: batch, threads: threads)
    placement.divide(into: segments)
    let memory = MemoryPlan(placement.buffers)
    guard memory.count <= 1 << 38 else {
      throw HGNetError(
        .limitExceeded,
        "a batch of \(batch) pictures of \(graph.inputSize) needs \(memory.count / 250_000_000) GB of activations")
    }
    placement.place(memory)

    var steps: [Step] = []
    for segment in segments {
      for first in stride(from: 0, to: batch, by: segment.pictures) {
        let pictures = min(segment.pictures, batch - first)
        let cutter = TaskCutter(batch: pictures, threads: threads, kernels: instructionSet.kernels.pointee)
        for layer in segment.layers {
          let entry = order[layer]
          guard let node = fused.nodes[entry.node], let output = placement.location(of: entry.node, from: first) else {
            throw HGNetError(.internalInconsistency, "a layer without a place")
          }
          var step: Step
          if let copy = entry.copy.map({ placement.copies[$0] }) {
            guard let source = placement.location(of: copy.source, from: first) else {
              throw HGNetError(.internalInconsistency, "a copy without a source", layer: node.name)
            }
            var slice = output
            slice.offset += copy.channel
            slice.shape = source.shape
            step = cutter.elementwise(
              HG_COPY, node: node, input: source, other: nil, residual: nil, output: slice, epilogue: .none)
          } else {
            let inputs = node.inputs.compactMap { placement.location(of: $0, from: first) }
            let multiplyAdds = graph.multiplyAdds(of: graph.nodes[entry.node]) * pictures
            if case .decoder(let operation) = node.kind {
              step = try cutter.step(
                operation, node, inputs: inputs, output: output, weights: weights[entry.node],
                multiplyAdds: multiplyAdds)
            } else {
              guard let input = inputs.first else {
                throw HGNetError(.internalInconsistency, "a step without input", layer: node.name)
              }
              step = try cutter.step(
                node, input: input, other: inputs.dropFirst().first,
                residual: node.residual.flatMap { placement.location(of: $0, from: first) }, output: output,
                weights: weights[entry.node], epilogue: epilogues[entry.node], multiplyAdds: multiplyAdds)
            }
          }
          step.layer = layer
          steps.append(step)
        }
      }
    }
    self.steps = steps
    guard let inputLocation = placement.locations[inputIndex] else {
      throw HGNetError(.internalInconsistency, "a network without input")
    }
    input = inputLocation
    outputs = fused.outputs.compactMap { placement.locations[$0.node.index] }
    outputRoles = fused.outputs.map(\.role)
    outputShapes = outputs.map(\.shape)
    arenaCount = memory.count
    scratchCount = steps.map(\.scratchCount).max() ?? 0
    zeroCount = steps.map(\.zeroCount).max() ?? 0
  }
}
