import HGNetCore
import HGNetPlatform

/// What a loader shares with its threads.
final class LoaderCore: Sendable {
  /// What became of one picture.
  private enum Outcome {
    case waiting
    case picture(PreparedPicture)
    case broken(HGNetError)
    case failed(HGNetError)
  }

  /// A batch in the making.
  private struct Pending {
    var outcomes: [Outcome]
    var remaining: Int
    var batch: Result<Loader.Batch, HGNetError>?
  }

  /// One picture to work on.
  private struct Ticket {
    var batch: Int
    var position: Int
  }

  private struct State {
    /// The ticket that comes next.
    var next: Ticket
    /// The batch that the consumer gets next.
    var wanted: Int
    var pending: [Int: Pending] = [:]
    var isStopped = false
    var failure: HGNetError?
    var waited = Duration.zero
    var brokenCount = 0
    var firstBroken: HGNetError?
    /// Taken once by whoever joins the threads.
    var threads: [SystemThread] = []
  }

  private let dataset: Dataset
  private let batches: [[Int]]
  private let epoch: Int
  private let options: Loader.Options
  private let transform: Loader.PictureTransform
  private let state: Monitor<State>

  init(
    dataset: Dataset, batches: [[Int]], epoch: Int, start: Int, options: Loader.Options,
    transform: @escaping Loader.PictureTransform
  ) {
    self.dataset = dataset
    self.batches = batches
    self.epoch = epoch
    self.options = options
    self.transform = transform
    state = Monitor(State(next: Ticket(batch: start, position: 0), wanted: start))
  }

  var waited: Duration { state.withLock { $0.waited } }
  var brokenCount: Int { state.withLock { $0.brokenCount } }
  /// Whether nobody but the consumer works.
  private var hasNoThreads: Bool { state.withLock { $0.threads.isEmpty } }

  // MARK: Threads

  /// Starts up to `count` threads; a system that refuses some still gets its batches, from fewer of them.
  func start(threads count: Int) {
    for _ in 0..<count {
      guard let thread = SystemThread({ self.work() }) else { return }
      state.withLock { $0.threads.append(thread) }
    }
  }

  /// Ends the threads and waits for them.
  func stop() {
    let threads = state.withLock { state in
      state.isStopped = true
      state.pending = [:]
      defer { state.threads = [] }
      return state.threads
    }
    state.announce()
    for thread in threads { thread.join() }
  }

  private func work() {
    while true {
      // The outer nil ends the thread, the inner one sleeps.
      let ticket: Ticket?? = state.wait { state in
        if state.isStopped || state.next.batch >= batches.count { return .some(.none) }
        return take(&state).map { .some($0) }
      }
      guard let ticket = ticket ?? nil else { return }
      finish(ticket, outcome: outcome(of: batches[ticket.batch][ticket.position]))
    }
  }

  /// The next ticket, or nil while enough batches are ahead.
  private func take(_ state: inout State) -> Ticket? {
    let ticket = state.next
    guard ticket.batch < batches.count, ticket.batch - state.wanted < options.batchesAhead else { return nil }
    let count = batches[ticket.batch].count
    if ticket.position == 0 {
      state.pending[ticket.batch] = Pending(outcomes: [Outcome](repeating: .waiting, count: count), remaining: count)
    }
    state.next =
      ticket.position + 1 < count
      ? Ticket(batch: ticket.batch, position: ticket.position + 1) : Ticket(batch: ticket.batch + 1, position: 0)
    return ticket
  }

  // MARK: Pictures

  private func outcome(of index: Int) -> Outcome {
    let image: Image
    do throws(HGNetError) {
      image = try Image(
        contentsOf: dataset.paths[index], style: options.decodingStyle, pixelLimit: options.pixelLimit)
    } catch {
      return .broken(error.at(path: dataset.paths[index]))
    }
    do throws(HGNetError) {
      var generator = RandomGenerator(seed: options.seed, stream: "epoch \(epoch) picture \(index)")
      let picture = try transform(image, &generator)
      guard picture.shape.rank == 3, picture.shape[2] == 3 else {
        throw HGNetError(.shapeMismatch, "expected a transform that gives [H, W, 3], found \(picture.shape)")
      }
      return .picture(picture)
    } catch {
      return .failed(error.at(path: dataset.paths[index]))
    }
  }

  /// Keeps what became of a picture; the last one of a batch puts the batch together.
  private func finish(_ ticket: Ticket, outcome: Outcome) {
    let outcomes: [Outcome]? = state.withLock { state in
      // Nothing is pending any more when the loader was stopped.
      guard var pending = state.pending.removeValue(forKey: ticket.batch) else { return nil }
      pending.outcomes[ticket.position] = outcome
      pending.remaining -= 1
      var complete: [Outcome]?
      if pending.remaining == 0 {
        complete = pending.outcomes
        pending.outcomes = []
      }
      state.pending[ticket.batch] = pending
      return complete
    }
    guard let outcomes else { return }
    let batch = assemble(outcomes, number: ticket.batch)
    state.withLock { $0.pending[ticket.batch]?.batch = batch }
    state.announce()
  }

  private func assemble(_ outcomes: [Outcome], number: Int) -> Result<Loader.Batch, HGNetError> {
    var pictures: [PreparedPicture] = []
    var indices: [Int] = []
    var broken: [Loader.BrokenPicture] = []
    for (index, outcome) in zip(batches[number], outcomes) {
      switch outcome {
      case .waiting: break
      case .failed(let error): return .failure(error)
      case .broken(let error):
        broken.append(Loader.BrokenPicture(index: index, path: dataset.paths[index], error: error))
      case .picture(let picture):
        if let first = pictures.first, first.shape != picture.shape {
          return .failure(
            HGNetError(
              .shapeMismatch,
              "expected \(first.shape) after the transforms as of \(dataset.paths[indices[0]]), found \(picture.shape); "
                + "crop or resize to one size", path: dataset.paths[index]))
        }
        pictures.append(picture)
        indices.append(index)
      }
    }
    return .success(
      Loader.Batch(
        number: number, pictures: pictures, targets: dataset.targets(at: indices), indices: indices, broken: broken,
        waited: .zero))
  }

  // MARK: The consumer

  func next() throws(HGNetError) -> Loader.Batch? {
    let start = LoaderCore.now()
    if hasNoThreads { makeNextBatch() }
    let result: Result<Loader.Batch, HGNetError>? = state.wait { state in
      if let failure = state.failure { return .some(.failure(failure)) }
      if state.isStopped || state.wanted >= batches.count { return .some(.none) }
      guard let batch = state.pending[state.wanted]?.batch else { return nil }
      state.pending[state.wanted] = nil
      state.wanted += 1
      let waited = LoaderCore.now() - start
      state.waited += waited
      let judged = judge(batch, waited: waited, &state)
      if case .failure(let error) = judged { state.failure = error }
      return .some(judged)
    }
    state.announce()
    guard let result else { return nil }
    return try result.get()
  }

  /// A clock that only goes forward.
  ///
  /// `ContinuousClock` would bring the runtime of concurrency and libdispatch into the C library, which needs neither.
  private static func now() -> Duration {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }

  /// Counts the broken pictures.
  private func judge(
    _ batch: Result<Loader.Batch, HGNetError>, waited: Duration, _ state: inout State
  ) -> Result<Loader.Batch, HGNetError> {
    guard case .success(var batch) = batch else { return batch }
    state.brokenCount += batch.broken.count
    if state.firstBroken == nil { state.firstBroken = batch.broken.first?.error }
    guard state.brokenCount <= options.brokenPictureLimit else {
      return .failure(
        HGNetError(
          .malformedData,
          "\(state.brokenCount) pictures could not be read, more than the limit of \(options.brokenPictureLimit); "
            + "mend them or take them out of the list, or raise the limit. The first: \(state.firstBroken?.message ?? "")",
          path: state.firstBroken?.context.path, cause: state.firstBroken?.cause))
    }
    batch.waited = waited
    return .success(batch)
  }

  /// Works in the consumer's thread until its batch is there.
  private func makeNextBatch() {
    while true {
      let ticket: Ticket? = state.withLock { state in
        guard !state.isStopped, state.failure == nil, state.pending[state.wanted]?.batch == nil else { return nil }
        return take(&state)
      }
      guard let ticket else { return }
      finish(ticket, outcome: outcome(of: batches[ticket.batch][ticket.position]))
    }
  }
}
