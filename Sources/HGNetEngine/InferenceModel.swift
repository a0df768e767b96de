import HGNetCore

/// A network compiled for inference: passes run, weights folded and packed.
///
/// Make it once and share it; sessions of any batch and picture size use the same packed weights. Threads: safe to
/// share. Memory: the packed weights, which are about the size of the parameters plus three times the stride-1 3×3
/// convolutions among them (Winograd holds 36 values for 9).
public final class InferenceModel: Sendable {
  /// What was compiled.
  public let graph: Graph
  /// The kernels in use.
  public let instructionSet: InstructionSet
  private let weights: [PackedWeights?]
  private let epilogues: [EpilogueValues]

  /// Compiles a graph with its parameters.
  ///
  /// Pages of a mapped weights file are handed back as they are packed, so that the peak is one copy of the weights.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` for a missing or misshapen parameter, `unsupported` for an operator
  ///   outside the family, both naming the layer.
  public init(
    graph: Graph, parameters: ParameterStore, instructionSet: InstructionSet = .best
  ) throws(HGNetError) {
    self.graph = graph
    self.instructionSet = instructionSet
    let fused = try FusedGraph.compiled(graph)
    let reader = ParameterReader(store: parameters)
    var weights: [PackedWeights?] = []
    var epilogues: [EpilogueValues] = []
    for node in fused.nodes {
      guard let node else {
        weights.append(nil)
        epilogues.append(EpilogueValues(lower: -.infinity, scale: 1, shift: 0))
        continue
      }
      weights.append(try reader.packed(node))
      epilogues.append(try reader.epilogue(of: node))
    }
    self.weights = weights
    self.epilogues = epilogues
  }

  /// Bytes of packed weights.
  public var weightByteCount: Int {
    weights.reduce(0) { $0 + ($1.map { ($0.weightCount + $0.paddedColumns) * 4 } ?? 0) }
  }

  /// Plans the steps for a batch and picture size.
  ///
  /// - Parameters:
  ///   - batch: the number of pictures of a run, 1 … 65536.
  ///   - inputSize: height and width in pixels; nil for those of the graph.
  ///   - threads: the number of threads that will run it.
  /// - Throws: `HGNetError.Code.shapeMismatch` when the pictures are too small for the network, `limitExceeded` when
  ///   they are too large for any memory.
  public func plan(batch: Int, inputSize: Size? = nil, threads: Int) throws(HGNetError) -> Plan {
    var graph = self.graph
    if let inputSize, inputSize != graph.inputSize {
      guard inputSize.height <= 1 << 16, inputSize.width <= 1 << 16 else {
        throw HGNetError(.limitExceeded, "expected pictures of at most 65536×65536 pixels, found \(inputSize)")
      }
      graph = try graph.resized(to: inputSize)
    }
    return try Plan(
      FusedGraph.compiled(graph), graph: graph, weights: weights, epilogues: epilogues, batch: batch, threads: threads,
      instructionSet: instructionSet)
  }

  /// Makes a session for a batch and picture size.
  ///
  /// - Throws: as `plan`, and `limitExceeded` when there is not enough memory.
  public func session(batch: Int, inputSize: Size? = nil, pool: ThreadPool) throws(HGNetError) -> Session {
    try Session(plan: plan(batch: batch, inputSize: inputSize, threads: pool.count), pool: pool)
  }
}
