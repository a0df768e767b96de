import HGNetCore
import HGNetProgram

/// A network compiled for inference on a device: passes run, weights folded and packed.
///
/// Make it once and share it; sessions of any batch and picture size use the same weights. Threads: safe to share.
public final class InferenceModel: Sendable {
  /// What was compiled, with no more than its outputs need.
  public var graph: Graph { compiled.program.graph }
  /// Where it runs.
  public let device: Device
  /// What it computes with.
  public var precision: Precision { compiled.precision }
  private let compiled: any CompiledProgram

  /// Compiles a graph with its parameters.
  ///
  /// Pages of a mapped weights file are handed back as they are read, so that the peak is one copy of the weights.
  ///
  /// - Parameters:
  ///   - graph: the network, with the outputs that are wanted.
  ///   - parameters: at least the parameters that the graph declares; each is asked for once or twice and not kept.
  ///   - device: where it will run.
  /// - Throws: `HGNetError.Code.parameterMismatch` for a missing or misshapen parameter, `unsupported` for an operator
  ///   that the device does not have at its precision, both naming the layer; `limitExceeded` without memory.
  public init(
    graph: Graph, parameters: some ParameterSource, device: Device = .cpu()
  ) throws(HGNetError) {
    self.device = device
    let precision = device.precision(for: parameters)
    // A range names what is rounded; the range of an affine block is that of a layer of its own.
    let apart = precision == .int8 ? Set(parameters.ranges.keys) : []
    compiled = try device.engine.compile(
      Program(graph, apart: apart), parameters: parameters, precision: precision)
  }

  /// The same weights for another device of the same kind, such as one with fewer threads.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for a device of another kind.
  package init(sharing model: InferenceModel, on device: Device) throws(HGNetError) {
    self.device = device
    compiled = try device.engine.sharing(model.compiled)
  }

  private func extent(_ batch: Int, _ inputSize: Size?) -> RunExtent {
    RunExtent(batch: batch, inputSize: inputSize ?? graph.inputSize)
  }

  /// The extents of the results of one picture, in the order of the graph's outputs.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` when the pictures are too small for the network, `limitExceeded` when they
  ///   are too large for any memory.
  public func outputShapes(inputSize: Size) throws(HGNetError) -> [ActivationShape] {
    let graph = try graph.resized(to: inputSize)
    return graph.outputs.map { graph[$0.node].shape }
  }

  /// Says whether the process may have the memory that a run on a batch of pictures takes, without taking it.
  ///
  /// Cost: that of planning for a picture of 1000×1000 pixels or more, else nothing: what comes later says so soon enough.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` saying how much it takes and what would fit, and as `session`.
  package func checkMemory(batch: Int, inputSize: Size) throws(HGNetError) {
    guard max(inputSize.height, inputSize.width) >= 1000 else { return }
    try compiled.memoryNeed(of: extent(batch, inputSize))
      .check(advice: MemoryNeed.fittingPictures(batch, of: inputSize))
  }

  /// Makes a session; a timed one can tell how long each layer took.
  ///
  /// - Parameters:
  ///   - batch: the number of pictures of a run, 1 … 65536.
  ///   - inputSize: height and width in pixels; nil for those of the graph.
  ///   - isTimed: whether runs are measured layer by layer.
  /// - Throws: `HGNetError.Code.shapeMismatch` when the pictures are too small for the network, `limitExceeded` when
  ///   there is not enough memory, `invalidArgument` for another batch.
  public func session(batch: Int, inputSize: Size? = nil, isTimed: Bool = false) throws(HGNetError) -> Session {
    Session(try compiled.session(extent(batch, inputSize), memory: nil, isTimed: isTimed), pool: device.pool)
  }

  /// The memory for sessions of several batches of which one at a time runs.
  ///
  /// - Throws: as `session(batch:inputSize:isTimed:)`.
  package func memory(batches: [Int], inputSize: Size) throws(HGNetError) -> any EngineMemory {
    try compiled.memory(for: batches.map { RunExtent(batch: $0, inputSize: inputSize) })
  }

  /// Makes a session in memory that other sessions use, too, of which one at a time may run.
  ///
  /// - Throws: as `session(batch:inputSize:isTimed:)`, and `shapeMismatch` when the memory was made for less.
  package func session(batch: Int, inputSize: Size, memory: any EngineMemory) throws(HGNetError) -> Session {
    Session(try compiled.session(extent(batch, inputSize), memory: memory, isTimed: false), pool: device.pool)
  }
}

/// Runs a network on batches of one size.
///
/// Threads: one task at a time; make one per task.
public struct Session: ~Copyable {
  private let session: any EngineSession
  /// The host's threads, which prepare the input.
  let pool: ThreadPool

  init(_ session: any EngineSession, pool: ThreadPool) {
    self.session = session
    self.pool = pool
  }

  /// The number of pictures of a run.
  public var batch: Int { session.batch }
  /// Height and width of the pictures, in pixels.
  public var inputSize: Size { session.program.inputSize }
  /// What the results are, in the order of the graph's outputs.
  public var outputRoles: [Graph.Output.Role] { session.program.outputs.map(\.role) }
  /// The extents of each result for one picture.
  public var outputShapes: [ActivationShape] {
    let shapes = session.program.shapes
    return session.program.outputs.map { shapes[$0.result] }
  }

  /// What is done for each layer.
  package var layerDescriptions: [LayerDescription] { session.layerDescriptions }

  /// Calls `body` with the input, `[N, H, W, C]` in C order, to be filled before `execute`.
  public mutating func withInput<Result, Failure: Error>(
    _ body: (UnsafeMutableBufferPointer<Float>) throws(Failure) -> Result
  ) throws(Failure) -> Result { try session.withInput(body) }

  /// Runs all layers on the input that is in place.
  ///
  /// On the processor it allocates nothing, and the bits of the results do not depend on the number of threads. Nowhere do
  /// they depend on the place in the batch.
  ///
  /// - Throws: `HGNetError` when the device fails.
  public mutating func execute() throws(HGNetError) { try session.execute() }

  /// Seconds that each layer of the last run took, in their order; empty for a session that is not timed.
  public func layerSeconds() -> [Double] { session.layerSeconds }

  /// Copies a result of the last run, `[N, H, W, C]` in C order, into `target`, which must have as many values.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` for another length, `invalidArgument` for an unknown index.
  public func copyOutput(
    _ index: Int, into target: UnsafeMutableBufferPointer<Float>
  ) throws(HGNetError) { try session.read(index, into: target) }

  /// Runs the network on pictures and returns the results in the order of the graph's outputs.
  ///
  /// - Parameter input: `[N, H, W, C]` with the batch and size of the session.
  /// - Returns: `[N, K]` for a result of one pixel (logits), else `[N, H, W, C]`.
  /// - Throws: `HGNetError.Code.shapeMismatch` for another shape, `limitExceeded` without memory for the results.
  public mutating func run(_ input: Tensor) throws(HGNetError) -> [Tensor] {
    var results: [Tensor] = []
    for (role, result) in zip(outputRoles, try session.run(input)) {
      let isPixel = result.shape[1] == 1 && result.shape[2] == 1 && !role.isMap
      results.append(isPixel ? try result.reshaped([batch, result.shape[3]]) : result)
    }
    return results
  }
}
