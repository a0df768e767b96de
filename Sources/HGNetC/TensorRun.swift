import HGNetCore
import HGNetCPU

/// Takes tensors `[N, 3, H, W]` of a caller through a network.
///
/// Threads: safe to share; calls take turns.
final class TensorRun: Sendable {
  private let model: InferenceModel
  private let pool: ThreadPool
  private let kept = ForkSafeLock(KeptTensorSession())

  /// Pictures per run of the network: bounds the memory, and the results do not depend on it.
  private static let batchLimit = 16

  init(model: InferenceModel, pool: ThreadPool) {
    self.model = model
    self.pool = pool
  }

  /// The shape of an output for one picture of a size.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch`, `limitExceeded`.
  func shape(of output: Int, inputSize: Size) throws -> ActivationShape {
    let plan = try model.plan(batch: 1, inputSize: inputSize, threads: pool.count)
    guard plan.outputShapes.indices.contains(output) else {
      throw HGNetError(.internalInconsistency, "the network has no output \(output)")
    }
    return plan.outputShapes[output]
  }

  /// Runs the network.
  ///
  /// - Parameters:
  ///   - input: `batch × 3 × H × W` values in that order of axes.
  ///   - batch: the number of pictures.
  ///   - size: height and width.
  ///   - output: the index of the output.
  ///   - target: room for `batch` outputs, which are written as `[N, C, H, W]`.
  func run(
    _ input: UnsafePointer<Float>, batch: Int, size: Size, output: Int, into target: UnsafeMutableBufferPointer<Float>
  ) throws {
    let memory = CallerMemory(input: input, target: target)
    try kept.withLock { (kept) throws(HGNetError) in
      var start = 0
      while start < batch {
        let count = min(TensorRun.batchLimit, batch - start)
        let part = memory.pictures(start..<start + count, of: batch, size: size)
        try kept.run(part, batch: count, size: size, output: output, model: model, pool: pool)
        start += count
      }
    }
  }
}

/// The memory of a call, which the caller leaves alone until it returns; so it may go through a lock.
private struct CallerMemory: Sendable {
  nonisolated(unsafe) let input: UnsafePointer<Float>
  nonisolated(unsafe) let target: UnsafeMutableBufferPointer<Float>

  /// Some pictures of a batch.
  func pictures(_ range: Range<Int>, of batch: Int, size: Size) -> CallerMemory {
    let count = target.count / batch
    return CallerMemory(
      input: input + range.lowerBound * 3 * size.height * size.width,
      target: UnsafeMutableBufferPointer(rebasing: target[range.lowerBound * count..<range.upperBound * count]))
  }
}

/// The session of the last call, kept for the next one with the same batch and size.
private struct KeptTensorSession: ~Copyable {
  private var session: Session?

  init() { session = nil }

  mutating func run(
    _ memory: CallerMemory, batch: Int, size: Size, output: Int, model: InferenceModel, pool: ThreadPool
  ) throws(HGNetError) {
    let (input, target) = (memory.input, memory.target)
    if session?.plan.batch != batch || session?.plan.inputSize != size {
      // The old activations go before the new ones come.
      session = nil
      session = try model.session(batch: batch, inputSize: size, pool: pool)
    }
    let pixels = size.height * size.width
    session?.withInput { buffer in
      for picture in 0..<batch {
        for channel in 0..<3 {
          let source = input + (picture * 3 + channel) * pixels
          for pixel in 0..<pixels { buffer[(picture * pixels + pixel) * 3 + channel] = source[pixel] }
        }
      }
    }
    session?.execute()
    guard let shape = session?.plan.outputShapes[output] else { return }
    let outputPixels = shape.height * shape.width
    guard outputPixels > 1 else {
      session?.copyOutput(output, into: target)
      return
    }
    // The engine's own order is [N, H, W, C].
    let ordered = UnsafeMutableBufferPointer<Float>.allocate(capacity: target.count)
    defer { ordered.deallocate() }
    session?.copyOutput(output, into: ordered)
    for picture in 0..<batch {
      for channel in 0..<shape.channels {
        let place = (picture * shape.channels + channel) * outputPixels
        for pixel in 0..<outputPixels {
          target[place + pixel] = ordered[(picture * outputPixels + pixel) * shape.channels + channel]
        }
      }
    }
  }
}
