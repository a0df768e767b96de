import CHGNetKernels
import HGNetCore

/// A kernel call of a training step, whose addresses are filled in once memory is planned.
struct TrainingStep {
  let name: String
  /// The algorithm in one word, and its multiply-adds, for `HGNET_VERBOSE`.
  let algorithm: String
  let multiplyAdds: Int
  let taskCount: Int
  let scratchCount: Int
  /// Writes the descriptor and returns the kernel.
  let resolve: (TrainingAddresses, UnsafeMutableRawPointer) -> hg_task
}

/// Where the planned buffers of a training session are.
struct TrainingAddresses {
  let memory: UnsafeMutablePointer<Float>
  let zeros: UnsafeMutablePointer<Float>
  let offsets: [Int]

  /// The start of a buffer.
  func pointer(_ buffer: Int) -> UnsafeMutablePointer<Float> { memory + offsets[buffer] }

  /// The first value of a location.
  func pointer(_ location: Location) -> UnsafeMutablePointer<Float> {
    memory + offsets[location.buffer] + location.offset
  }

  /// A location relative to the whole memory.
  func placed(_ location: Location) -> Location {
    var placed = location
    placed.offset += offsets[location.buffer]
    return placed
  }
}

/// Builds the steps of one training step from a graph: forward with batch statistics, then backward.
///
/// The passes are those of inference, so that a unit is a convolution with its normalisation, rectifier, affine block
/// and residual. Of a unit two arrays are kept for the way back, the convolution's result and the unit's result; the
/// gradient of the first takes its place. Buffers share one arena by their lifetimes over both ways.
struct TrainingPlan {
  let graph: Graph
  let parameters: TrainingParameters
  /// What adds the sums of batch normalisation over processes; nil where each normalises with its own.
  let reduction: StatisticsStep.Reducer?
  let batch: Int
  let instructionSet: InstructionSet
  let cutter: TaskCutter
  let fused: FusedGraph
  let results: [Location?]
  let gradients: [Location?]

  var steps: [TrainingStep] = []
  var buffers: [Buffer] = []
  /// The number of steps of the forward way.
  var forwardCount = 0
  /// Units in the order of the forward way, for the backward way.
  var units: [Unit] = []
  /// The parameters whose gradients are complete after a step, by the number of the step.
  var gradientEnds: [Int: [Int]] = [:]
  /// Dropout masks: buffer, number of values, probability, and the factor of what is kept.
  var masks: [(buffer: Int, count: Int, probability: Float, kept: Float)] = []
  /// What the operators of a decoder keep for the way back, by node.
  var decoderMemory: [Int: DecoderMemory] = [:]
  var isGradientWritten: [Bool]
  /// Whether anything that is learned lies before or in a node; where nothing does, no gradient is computed.
  let needsGradient: [Bool]
  var zeroCount = 16

  /// A convolution or linear layer with what it swallowed.
  struct Unit {
    var node: Int
    var convolution: Convolution
    var isLinear: Bool
    var normalization: BatchNormalization?
    var affine: (scale: String, bias: String)?
    var mask: Int?
    var z: Location
    var sums: Int
    var coefficients: Int
    /// The sums over all processes; nil where batch statistics are those of this one.
    var total: Int?
    var rows: Int
    var rowsPerChunk: Int
  }

  init(
    graph: Graph, parameters: TrainingParameters, batch: Int, threads: Int, instructionSet: InstructionSet,
    reduction: StatisticsStep.Reducer? = nil
  ) throws(HGNetError) {
    try graph.checkCounts(batch: batch)
    self.graph = graph
    self.parameters = parameters
    self.reduction = reduction
    self.batch = batch
    self.instructionSet = instructionSet
    cutter = TaskCutter(batch: batch, threads: threads, kernels: instructionSet.kernels.pointee)
    fused = try FusedGraph.compiled(graph, isTraining: true)
    let shapes = graph.nodes.map(\.shape)
    let placement = Placement(fused, shapes: shapes, batch: batch)
    guard placement.copies.isEmpty else {
      throw HGNetError(.unsupported, "training a network in which two concatenations share an input")
    }
    // Gradients lie like the results, in buffers of their own.
    let count = placement.buffers.count
    results = placement.locations
    gradients = placement.locations.map { location in
      location.map { Location(buffer: $0.buffer + count, offset: $0.offset, stride: $0.stride, shape: $0.shape) }
    }
    buffers = placement.buffers + placement.buffers
    isGradientWritten = [Bool](repeating: false, count: fused.nodes.count)
    needsGradient = TrainingPlan.needsGradient(fused, parameters)
    try addForward()
    forwardCount = steps.count
    try addBackward()
    touch(buffer: try location(inputNode).buffer, at: -1)
    touch(buffer: try gradient(outputNode).buffer, at: forwardCount - 1)
  }

  private static func needsGradient(_ fused: FusedGraph, _ parameters: TrainingParameters) -> [Bool] {
    var needs = [Bool](repeating: false, count: fused.nodes.count)
    for (index, node) in fused.nodes.enumerated() {
      guard let node else { continue }
      let inputs = node.inputs + (node.residual.map { [$0] } ?? [])
      needs[index] =
        inputs.contains { needs[$0] } || node.learnedParameters.contains { !parameters.isFrozen(named: $0) }
    }
    return needs
  }

  var kernels: hg_kernels { instructionSet.kernels.pointee }
  var training: hg_training_kernels { instructionSet.trainingKernels.pointee }

  var inputNode: Int { fused.nodes.indices.first { fused.nodes[$0]?.kind == .input } ?? 0 }
  var outputNode: Int { fused.outputs.first?.node.index ?? 0 }

  func location(_ node: Int) throws(HGNetError) -> Location {
    guard let location = results[node] else { throw HGNetError(.internalInconsistency, "a result without a place") }
    return location
  }

  func gradient(_ node: Int) throws(HGNetError) -> Location {
    guard let location = gradients[node] else { throw HGNetError(.internalInconsistency, "a gradient without a place") }
    return location
  }

  mutating func newBuffer(_ count: Int) -> Int {
    buffers.append(Buffer(count: (max(count, 1) + 15) / 16 * 16, firstStep: .max, lastStep: .min))
    return buffers.count - 1
  }

  mutating func touch(buffer: Int, at step: Int) {
    buffers[buffer].firstStep = min(buffers[buffer].firstStep, step)
    buffers[buffer].lastStep = max(buffers[buffer].lastStep, step)
  }

  /// Appends a step that uses some buffers.
  mutating func add(
    _ name: String, algorithm: String = "", multiplyAdds: Int = 0, tasks: Int, scratch: Int = 0, uses: [Int],
    _ resolve: @escaping (TrainingAddresses, UnsafeMutableRawPointer) -> hg_task
  ) {
    for buffer in uses { touch(buffer: buffer, at: steps.count) }
    steps.append(
      TrainingStep(
        name: name, algorithm: algorithm, multiplyAdds: multiplyAdds, taskCount: tasks, scratchCount: scratch,
        resolve: resolve))
  }

  /// Appends a step of the inference engine.
  mutating func add(_ step: Plan.Step, packed: Int? = nil, extra: [Int] = []) {
    zeroCount = max(zeroCount, step.zeroCount)
    var uses = [step.input.buffer, step.output.buffer] + extra
    if let packed { uses.append(packed) }
    if let other = step.other { uses.append(other.buffer) }
    if let residual = step.residual { uses.append(residual.buffer) }
    let kernels = kernels
    add(
      step.name, algorithm: step.algorithmName, multiplyAdds: step.multiplyAdds, tasks: step.taskCount,
      scratch: step.scratchCount, uses: uses
    ) { addresses, descriptor in
      var step = step
      step.input = addresses.placed(step.input)
      step.output = addresses.placed(step.output)
      step.other = step.other.map { addresses.placed($0) }
      step.residual = step.residual.map { addresses.placed($0) }
      if let packed, let weights = step.weights {
        step.weights = PackedWeights(
          algorithm: weights.algorithm, weightCount: weights.weightCount, paddedColumns: weights.paddedColumns,
          weights: addresses.pointer(packed), bias: addresses.zeros)
      }
      return step.resolve(
        into: descriptor, memory: addresses.memory, zeros: addresses.zeros, kernels: kernels)
    }
  }

  /// Stands for packed weights until their address is known.
  ///
  /// The forward way does without the larger Winograd: its rounding, ten times that of a direct sum, turns rectifiers
  /// on and off that PaddlePaddle has the other way, and their gradients with them.
  func packedPlaceholder(_ convolution: Convolution, isGradient: Bool, layer: String) throws(HGNetError)
    -> PackedWeights
  {
    var algorithm = try convolution.algorithm(layer: layer)
    if algorithm == .winogradF4, !isGradient { algorithm = .winogradF2 }
    let padded = (convolution.outputChannels + 15) / 16 * 16
    // The address is replaced when the step is resolved.
    let nowhere = UnsafeMutablePointer<Float>(bitPattern: 64) ?? UnsafeMutablePointer.allocate(capacity: 1)
    return PackedWeights(
      algorithm: algorithm, weightCount: convolution.packedCount(algorithm), paddedColumns: padded, weights: nowhere,
      bias: nowhere)
  }

  /// Rows of a task of elementwise work.
  func rowsPerTask(_ rows: Int, channels: Int) -> Int { min(rows, max(1, 32 * 1024 / max(channels, 1))) }
}
