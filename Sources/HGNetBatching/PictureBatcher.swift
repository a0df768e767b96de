import HGNet
import HGNetCore
import HGNetVision

/// Runs the pictures of many tasks through one network, several at a time while it is busy.
///
/// An idle network takes a picture at once: nothing waits for a batch to fill. What arrives during a run makes up the next
/// batch. Decoding and the network run on a thread of the batcher's own and on the device's pool, never on the threads of
/// Swift's concurrency. Threads: safe to share.
final class PictureBatcher<Output: Sendable>: Sendable {
  private let queue: PictureQueue<Output>

  /// Starts the thread.
  ///
  /// - Parameters:
  ///   - model: the network.
  ///   - recipe: how pictures become its input.
  ///   - limits: the bounds.
  ///   - output: makes the result of a picture of the values of the network's first output.
  /// - Throws: `HGNetError.Code.invalidArgument` for limits outside their ranges, `limitExceeded` where the system gives no
  ///   more threads.
  init(
    model: InferenceModel, recipe: Recipe, limits: BatchingLimits,
    output: @escaping @Sendable (_ values: [Float]) throws(HGNetError) -> Output
  ) throws(HGNetError) {
    guard BatchingLimits.batchSizes.contains(limits.batchSize) else {
      throw HGNetError(
        .invalidArgument, "expected 1 to \(BatchingLimits.batchSizes.upperBound) pictures, found \(limits.batchSize)",
        key: "batchSize")
    }
    guard BatchingLimits.capacities.contains(limits.queueCapacity) else {
      throw HGNetError(
        .invalidArgument,
        "expected 1 to \(BatchingLimits.capacities.upperBound) pictures, found \(limits.queueCapacity)",
        key: "queueCapacity")
    }
    let queue = PictureQueue<Output>(capacity: limits.queueCapacity)
    self.queue = queue
    let thread = SystemThread {
      var runner = PictureBatchRunner(model: model, recipe: recipe, limits: limits, output: output)
      while true {
        let requests = queue.take(atMost: limits.batchSize)
        guard !requests.isEmpty else { return }
        runner.run(requests)
      }
    }
    guard let thread else {
      throw SystemThread.refusal
    }
    thread.detach()
  }

  deinit { queue.close() }

  /// The number of pictures that wait.
  var waitingCount: Int { queue.count }

  /// Runs a picture.
  ///
  /// - Throws: `HGNetError`, of code `queueFull` where too many wait; `CancellationError`.
  func run(_ source: PictureRequest<Output>.Source) async throws -> Output {
    try Task.checkCancellation()
    let request = PictureRequest<Output>(source)
    try queue.append(request)
    return try await withTaskCancellationHandler {
      await request.answer.wait()
    } onCancel: {
      queue.remove(request)
      request.answer.give(.failure(CancellationError()))
    }.get()
  }

  /// Runs pictures of which some may fail; no more than `window` of them wait at a time.
  ///
  /// - Returns: a result for each picture, in order.
  /// - Throws: as the other form, but for what concerns a picture alone.
  func run(_ sources: [PictureRequest<Output>.Source], window: Int) async throws -> [Result<Output, HGNetError>] {
    var results: [Result<Output, HGNetError>?] = Array(repeating: nil, count: sources.count)
    try await withThrowingTaskGroup(of: (Int, Result<Output, HGNetError>).self) { group in
      var next = 0
      func start() {
        guard next < sources.count else { return }
        let (index, source) = (next, sources[next])
        next += 1
        group.addTask {
          do {
            return (index, .success(try await self.run(source)))
          } catch let error as HGNetError where error.code != .queueFull {
            return (index, .failure(error))
          }
        }
      }
      for _ in 0..<max(window, 1) { start() }
      while let (index, result) = try await group.next() {
        results[index] = result
        start()
      }
    }
    return results.map { $0 ?? .failure(HGNetError(.internalInconsistency, "the picture was not reached")) }
  }
}

/// The work of a batcher's thread.
private struct PictureBatchRunner<Output: Sendable>: ~Copyable {
  let model: InferenceModel
  let recipe: Recipe
  let batches: [Int]
  let output: @Sendable (_ values: [Float]) throws(HGNetError) -> Output
  /// Sessions of the usual size for every number of pictures that runs, so that a change of load plans nothing anew.
  var sessions: SessionKeeper<Session>

  init(
    model: InferenceModel, recipe: Recipe, limits: BatchingLimits,
    output: @escaping @Sendable (_ values: [Float]) throws(HGNetError) -> Output
  ) {
    (self.model, self.recipe, self.output) = (model, recipe, output)
    batches = limits.sessionBatches
    if let size = recipe.inputSize {
      sessions = SessionKeeper(model: model, keeping: batches, of: size)
    } else {
      sessions = SessionKeeper(model: model)
    }
  }

  /// Runs pictures and answers those who wait for them.
  mutating func run(_ all: [PictureRequest<Output>]) {
    let requests = all.filter { !$0.answer.isGiven }
    do throws(HGNetError) {
      let results = try PictureBatch.results(requests.count, pool: model.device.pool) {
        [recipe] (index) throws(HGNetError) in
        switch requests[index].source {
        case .file(let path): try recipe.picture(decoding: Blob(mapping: path))
        case .bytes(let blob): try recipe.picture(decoding: blob)
        }
      } run: { (pictures) throws(HGNetError) in
        try outputs(of: pictures)
      }
      for (request, nested) in zip(requests, results) {
        let result = nested.flatMap { $0 }
        switch (result, request.source) {
        case (.success(let output), _): request.answer.give(.success(output))
        case (.failure(let error), .file(let path)): request.answer.give(.failure(error.at(path: path)))
        case (.failure(let error), .bytes): request.answer.give(.failure(error))
        }
      }
    } catch {
      for request in requests { request.answer.give(.failure(error)) }
    }
  }

  /// The results of pictures of one size.
  private mutating func outputs(of pictures: [PreparedPicture]) throws(HGNetError) -> [Result<Output, HGNetError>] {
    var results: [Result<Output, HGNetError>] = []
    var rest = pictures[...]
    while !rest.isEmpty {
      let count = batches.last { $0 <= rest.count } ?? 1
      for row in try sessions.run(rest.prefix(count)).session.rows() {
        results.append(Result { () throws(HGNetError) in try output(row) })
      }
      rest = rest.dropFirst(count)
    }
    return results
  }
}
