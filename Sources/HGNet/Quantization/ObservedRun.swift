import HGNetCore
import HGNetProgram

/// Runs a network on one picture at a time and keeps what each layer computed.
///
/// Threads: one task at a time.
final class ObservedRun {
  /// The device's threads.
  let pool: ThreadPool
  private let compiled: any CompiledProgram
  private let observed: [Program.Observed]
  private var session: (any EngineSession)?
  private var buffers: [UnsafeMutableBufferPointer<Float>] = []

  /// Compiles the network.
  ///
  /// - Throws: as `Engine.compile`.
  init(
    _ program: Program, parameters: some ParameterSource, device: Device, precision: Precision
  ) throws(HGNetError) {
    pool = device.pool
    observed = program.observed
    compiled = try device.engine.compile(program.observing, parameters: parameters, precision: precision)
  }

  deinit { buffers.forEach { $0.deallocate() } }

  /// What the layers computed, `[H, W, C]` of each, in the order of `Program.observed`; as long as nothing is run.
  var results: [UnsafeBufferPointer<Float>] { buffers.map { UnsafeBufferPointer($0) } }

  /// The extents of each result of the last picture, by number.
  var shapes: [ActivationShape] { session?.program.shapes ?? [] }

  /// A result of the last picture by its number.
  ///
  /// - Throws: `HGNetError.Code.internalInconsistency` for one that is not watched.
  func values(ofResult result: Int) throws(HGNetError) -> [Float] {
    guard let index = observed.firstIndex(where: { $0.result == result }), buffers.indices.contains(index) else {
      throw HGNetError(.internalInconsistency, "expected the result of a layer that has run")
    }
    return Array(buffers[index])
  }

  /// Runs an input of one picture that `fill` writes, `[H, W, C]`.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` for a picture that is too small for the network, `limitExceeded` without
  ///   memory.
  func execute(_ size: Size, fill: (UnsafeMutableBufferPointer<Float>) -> Void) throws(HGNetError) {
    let session = try session(size)
    session.withInput { fill($0) }
    try session.execute()
    for (index, buffer) in buffers.enumerated() { try session.read(index, into: buffer) }
  }

  private func session(_ size: Size) throws(HGNetError) -> any EngineSession {
    if let session, session.program.inputSize == size { return session }
    session = nil
    buffers.forEach { $0.deallocate() }
    buffers = []
    let made = try compiled.session(RunExtent(batch: 1, inputSize: size))
    // Planned before, so that the sum is within what a session may have.
    let counts = made.outputShapes.map(\.count)
    var need = MemoryNeed("the results of all layers")
    need.add("their numbers", bytes: 4, counts.reduce(0, +))
    try need.check()
    buffers = counts.map { .allocate(capacity: $0) }
    session = made
    return made
  }
}
