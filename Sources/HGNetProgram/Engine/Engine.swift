import HGNetCore

/// One kind of device that runs programs.
///
/// Engines stand side by side, see nothing of each other, and are judged by one suite of tests. Nothing here is an address
/// that lives longer than a call: pictures go in and results come out as `[N, H, W, C]` float32 of the host, whatever
/// the device makes of them.
///
/// Numeric promise of every engine: the results of a picture have the same bits in every place of a batch and from run to
/// run. Threads: safe to share.
package protocol Engine: Sendable {
  /// The device in words, such as `cpu, AVX-512, 2 threads`.
  var deviceDescription: String { get }

  /// The arithmetic in one word, such as `avx512`.
  var arithmetic: String { get }

  /// The precision at which it is quickest with weights in float32.
  var fastestPrecision: Precision { get }

  /// Whether it trains at the levels of mixed precision (`Program.mixing`); it computes in float32 otherwise.
  var mixesPrecision: Bool { get }

  /// Why the engine cannot compute a layer, nil if it can.
  ///
  /// - Parameters:
  ///   - layer: one of the program's.
  ///   - program: tells whether the layer is to be trained.
  ///   - precision: what it is to be computed with.
  func refusal(of layer: Layer, in program: Program, at precision: Precision) -> String?

  /// Takes over a program with its parameters.
  ///
  /// - Parameters:
  ///   - program: for inference; sessions choose the size of their pictures.
  ///   - parameters: each is asked for once or twice and not kept.
  ///   - precision: what is computed with.
  /// - Throws: `HGNetError.Code.unsupported` naming the first layer that the engine refuses, `parameterMismatch` for a
  ///   parameter that is missing or has another shape, `limitExceeded` without memory for the weights.
  func compile(
    _ program: Program, parameters: some ParameterSource, precision: Precision
  ) throws(HGNetError) -> any CompiledProgram

  /// The memory that `compile` and one session would take, of which nothing is taken.
  ///
  /// - Throws: as `compile`, and as `CompiledProgram.memoryNeed(of:)`.
  func memoryNeed(
    of program: Program, at precision: Precision, extent: RunExtent
  ) throws(HGNetError) -> MemoryNeed

  /// A program of another engine of this kind with its weights, for sessions of this one.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for a program of another kind of engine.
  func sharing(_ compiled: any CompiledProgram) throws(HGNetError) -> any CompiledProgram

  /// Takes over parameters that are trained, with a gradient beside each.
  ///
  /// - Parameters:
  ///   - declarations: names, shapes and roles, each name once; those of several networks one after the other.
  ///   - parameters: a value for each declaration.
  ///   - isFrozen: which parameters are kept as they are; a normalisation whose running statistics are kept normalises
  ///     with them.
  /// - Throws: `HGNetError.Code.parameterMismatch` naming a parameter that is missing or has another shape,
  ///   `limitExceeded` without memory.
  func trainingState(
    of declarations: [ParameterDeclaration], parameters: some ParameterSource,
    isFrozen: (ParameterDeclaration) -> Bool
  ) throws(HGNetError) -> any TrainingState

  /// The memory that `trainingRun` would take, of which nothing is taken.
  ///
  /// - Parameters:
  ///   - program: as for `trainingRun`.
  ///   - batch: the number of pictures of a step, 1 … 65536.
  ///   - isFrozen: as for `trainingState`.
  /// - Throws: as `trainingRun`, apart from what it says about the state.
  func trainingMemoryNeed(
    of program: Program, batch: Int, isFrozen: (ParameterDeclaration) -> Bool
  ) throws(HGNetError) -> MemoryNeed

  /// Prepares training steps of a network.
  ///
  /// - Parameters:
  ///   - program: for training, for the size of the pictures; its first output is what `TrainingRun.forward` returns.
  ///   - state: of this engine, with at least the parameters that the program declares.
  ///   - batch: the number of pictures of a step, 1 … 65536.
  ///   - statistics: adds the sums of batch normalisation over the processes that train together; nil where each
  ///     normalises with its own.
  /// - Throws: `HGNetError.Code.unsupported` naming a layer that cannot be trained, `invalidArgument` for a batch out of
  ///   range or the state of another engine, `parameterMismatch` for a parameter that the state does not have,
  ///   `limitExceeded` without memory.
  func trainingRun(
    _ program: Program, state: any TrainingState, batch: Int, statistics: (any StatisticsReduction)?
  ) throws(HGNetError) -> any TrainingRun
}

extension Engine {
  /// It does not.
  package var mixesPrecision: Bool { false }

  /// Checks that every layer of a program can be computed.
  ///
  /// - Throws: `HGNetError.Code.unsupported` naming the first layer that is refused.
  package func checkLayers(of program: Program, at precision: Precision) throws(HGNetError) {
    for layer in program.layers {
      if let reason = refusal(of: layer, in: program, at: precision) {
        throw HGNetError(.unsupported, reason, layer: layer.name)
      }
    }
  }
}

/// The size of a run: how many pictures of which size.
package struct RunExtent: Hashable, Sendable {
  /// The number of pictures, 1 … 65536.
  package var batch: Int
  /// Height and width of each, in pixels.
  package var inputSize: Size

  /// Names a size.
  package init(batch: Int, inputSize: Size) {
    self.batch = batch
    self.inputSize = inputSize
  }
}

/// A program with its weights on a device.
///
/// Made once and shared by sessions of any batch and picture size. Threads: safe to share.
package protocol CompiledProgram: AnyObject, Sendable {
  /// What was compiled.
  var program: Program { get }
  /// What it computes with.
  var precision: Precision { get }

  /// The memory that a session takes, of which nothing is taken yet.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for a batch out of range, `shapeMismatch` when the pictures are too small
  ///   for the network, `limitExceeded` when they are beyond any memory.
  func memoryNeed(of extent: RunExtent) throws(HGNetError) -> MemoryNeed

  /// Memory that sessions can share which never run at the same time, as much as the hungriest needs.
  ///
  /// - Throws: as `memoryNeed(of:)`, and `limitExceeded` without as much.
  func memory(for extents: [RunExtent]) throws(HGNetError) -> any EngineMemory

  /// Makes a session.
  ///
  /// - Parameters:
  ///   - extent: its batch and picture size.
  ///   - memory: made by this program for this extent among others; nil for memory of its own.
  ///   - isTimed: whether each run measures its layers.
  /// - Throws: as `memory(for:)`, and `shapeMismatch` for memory that was made for less.
  func session(_ extent: RunExtent, memory: (any EngineMemory)?, isTimed: Bool) throws(HGNetError) -> any EngineSession
}

extension CompiledProgram {
  /// Makes a session with memory of its own that does not measure its layers.
  ///
  /// - Throws: as `session(_:memory:isTimed:)`.
  package func session(_ extent: RunExtent) throws(HGNetError) -> any EngineSession {
    try session(extent, memory: nil, isTimed: false)
  }
}

/// The activations of sessions that never run at the same time.
package protocol EngineMemory: AnyObject {
  /// Its size.
  var byteCount: Int { get }
}

/// Runs a program on batches of one size.
///
/// Threads: one task at a time.
package protocol EngineSession: AnyObject {
  /// What is run, for the size of the pictures.
  var program: Program { get }
  /// The number of pictures of a run.
  var batch: Int { get }

  /// Calls `body` with the input, `[N, H, W, C]` in C order, to be filled before `execute`; the pointer must not escape.
  ///
  /// What an earlier run had there may be gone.
  func withInput<Result, Failure: Error>(
    _ body: (UnsafeMutableBufferPointer<Float>) throws(Failure) -> Result
  ) throws(Failure) -> Result

  /// Runs all layers on the input that is in place.
  ///
  /// - Throws: `HGNetError` when the device fails.
  func execute() throws(HGNetError)

  /// Copies a result of the last run, `[N, H, W, C]` in C order.
  ///
  /// - Parameters:
  ///   - output: its place in `program.outputs`.
  ///   - target: exactly as long as the result.
  /// - Throws: `HGNetError.Code.shapeMismatch` for another length, `invalidArgument` for an output that there is not.
  func read(_ output: Int, into target: UnsafeMutableBufferPointer<Float>) throws(HGNetError)

  /// What the session does for each layer, in their order; for a layer that needs nothing there is no entry.
  var layerDescriptions: [LayerDescription] { get }

  /// Seconds that each layer of the last run took, in the order of `layerDescriptions`; empty unless the session is timed.
  var layerSeconds: [Double] { get }
}

extension EngineSession {
  /// The extents of the results, in the order of the outputs, with the batch in front.
  package var outputShapes: [Shape] {
    let shapes = program.shapes
    return program.outputs.map { output in
      let shape = shapes[output.result]
      return [batch, shape.height, shape.width, shape.channels]
    }
  }

  /// Checks what `read` was given.
  ///
  /// - Throws: as `read(_:into:)`.
  package func checkTarget(_ count: Int, of output: Int) throws(HGNetError) {
    guard program.outputs.indices.contains(output) else {
      throw HGNetError(.invalidArgument, "expected one of \(program.outputs.count) outputs, found number \(output)")
    }
    let expected = outputShapes[output]
    guard count == expected.count else {
      throw HGNetError(
        .shapeMismatch, "expected room for \(expected.count) values of a result \(expected), found \(count)",
        layer: program.outputs[output].role.name)
    }
  }

  /// Runs pictures and returns all results.
  ///
  /// - Parameter pictures: `[N, H, W, C]`.
  /// - Returns: `[N, H, W, C]` each, in the order of the outputs.
  /// - Throws: `HGNetError.Code.shapeMismatch` for another shape, `limitExceeded` without memory for the results, and as
  ///   `execute`.
  package func run(_ pictures: Tensor) throws(HGNetError) -> [Tensor] {
    let shape = program.shapes[program.input]
    let expected: Shape = [batch, shape.height, shape.width, shape.channels]
    guard pictures.shape == expected else {
      throw HGNetError(.shapeMismatch, "expected an input of shape \(expected), found \(pictures.shape)")
    }
    withInput { target in pictures.withUnsafeBufferPointer { _ = target.update(fromContentsOf: $0) } }
    try execute()
    var results: [Tensor] = []
    for (output, shape) in outputShapes.enumerated() {
      results.append(
        try Tensor(allocating: shape, for: "a result of the network") { (target) throws(HGNetError) in
          try read(output, into: target)
        })
    }
    return results
  }
}
