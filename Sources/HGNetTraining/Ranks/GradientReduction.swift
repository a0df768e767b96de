import HGNetCore
import HGNetProgram

/// Adds the gradients of all ranks on a thread of its own, while the backward pass computes the others.
///
/// Parameters lie in the order of the forward pass, so that their gradients become complete from the end. Runs of them,
/// buckets, are added as soon as all of a bucket are complete; always in the same order, so that all ranks add the same
/// bucket at the same time and the same bits come out from run to run.
///
/// Threads: `begin` and `finish` belong to one task.
final class GradientReduction: Sendable {
  /// A bucket is closed once it has as many values: long enough for the network's bandwidth, short enough that the last
  /// one, which nothing hides, is soon done.
  static let bucketLength = 1 << 20
  /// Frozen parameters up to this length may lie inside a bucket.
  private static let gapLength = 1 << 14

  private let core: Core
  private let thread: SystemThread

  /// Divides the gradients and starts the thread.
  ///
  /// - Parameters:
  ///   - parameters: the same in all ranks.
  ///   - communicator: used by nothing else.
  ///   - averagesStatistics: whether running statistics are averaged, too.
  ///   - isInHalves: whether gradients travel in bfloat16.
  /// - Throws: `HGNetError.Code.limitExceeded` when the system refuses a thread.
  init(
    _ parameters: any TrainingState, over communicator: any Communicator, averagesStatistics: Bool,
    isInHalves: Bool = false
  ) throws(HGNetError) {
    let core = Core(parameters, communicator, averagesStatistics: averagesStatistics, isInHalves: isInHalves)
    guard let thread = SystemThread({ core.work() }) else {
      throw HGNetError(.limitExceeded, "the system refuses a thread for the addition of gradients")
    }
    self.core = core
    self.thread = thread
  }

  deinit {
    core.stop()
    thread.join()
  }

  /// Begins a step; returns what is to be called with each parameter whose gradient is complete.
  func begin() -> @Sendable (Int) -> Void {
    let core = core
    core.begin()
    return { core.ended($0) }
  }

  /// Returns once all gradients are those of all ranks.
  ///
  /// - Throws: `HGNetError.Code.networkFailure`.
  func finish() throws(HGNetError) { try core.finish() }

  /// Averages the running statistics, if that is done at all; between two steps.
  ///
  /// - Throws: `HGNetError.Code.networkFailure`.
  func averageStatistics() throws(HGNetError) { try core.averageStatistics() }

  /// The runs of parameters that are added together, in their order.
  static func buckets(_ parameters: any TrainingState) -> [ClosedRange<Int>] {
    var buckets: [ClosedRange<Int>] = []
    var (length, gap) = (0, 0)
    let trained = Set(parameters.trainedIndices)
    for index in parameters.declarations.indices.reversed() {
      let count = parameters.declarations[index].shape.count
      guard trained.contains(index) else {
        gap += count
        continue
      }
      if let last = buckets.last, length < bucketLength, gap <= gapLength {
        buckets[buckets.count - 1] = index...last.upperBound
        length += gap + count
      } else {
        buckets.append(index...index)
        length = count
      }
      gap = 0
    }
    return buckets
  }
}

/// What the two threads share.
private final class Core: Sendable {
  private struct State {
    /// The gradients of each bucket that are not complete.
    var remaining: [Int]
    /// The jobs of this step that may be done, in their order.
    var released = 0
    /// The jobs of this step that are done.
    var done = 0
    var isStopped = false
    var failure: HGNetError?
  }

  private let parameters: any TrainingState
  private let communicator: any Communicator
  /// Adds gradients.
  private let sum: any ProcessSum
  private let buckets: [ClosedRange<Int>]
  /// The gradients of each bucket.
  private let counts: [Int]
  private let bucketOfParameter: [Int?]
  /// Running statistics that are averaged; they are complete before the first gradient and make the first job.
  private let statistics: [Int]
  private let state: Monitor<State>

  private var firstJobs: Int { statistics.isEmpty ? 0 : 1 }
  private var jobCount: Int { firstJobs + buckets.count }

  init(
    _ parameters: any TrainingState, _ communicator: any Communicator, averagesStatistics: Bool, isInHalves: Bool
  ) {
    sum = isInHalves ? HalfSum(communicator: communicator) : communicator
    self.parameters = parameters
    self.communicator = communicator
    buckets = GradientReduction.buckets(parameters)
    var owners = [Int?](repeating: nil, count: parameters.declarations.count)
    let trained = Set(parameters.trainedIndices)
    for (number, bucket) in buckets.enumerated() {
      for index in bucket where trained.contains(index) { owners[index] = number }
    }
    bucketOfParameter = owners
    counts = buckets.indices.map { number in owners.count { $0 == number } }
    statistics =
      averagesStatistics
      ? parameters.declarations.indices.filter {
        let role = parameters.declarations[$0].role
        return (role == .runningMean || role == .runningVariance) && !parameters.isFrozen[$0]
      } : []
    state = Monitor(State(remaining: counts))
  }

  func stop() {
    state.withLock { $0.isStopped = true }
    state.announce()
  }

  func begin() {
    state.withLock { state in
      state.remaining = counts
      (state.released, state.done) = (firstJobs, 0)
    }
    state.announce()
  }

  func ended(_ parameter: Int) {
    guard let bucket = bucketOfParameter[parameter] else { return }
    let isReleased = state.withLock { state in
      state.remaining[bucket] -= 1
      let before = state.released
      while state.released < jobCount, state.remaining[state.released - firstJobs] <= 0 { state.released += 1 }
      return state.released > before
    }
    if isReleased { state.announce() }
  }

  func finish() throws(HGNetError) {
    state.withLock { $0.released = jobCount }
    state.announce()
    let failure = state.wait { state -> HGNetError?? in
      if let failure = state.failure { return .some(failure) }
      return state.done == jobCount ? .some(nil) : nil
    }
    if let failure { throw failure }
  }

  func work() {
    while true {
      let job: Int? = state.wait { state -> Int?? in
        if state.isStopped { return .some(nil) }
        return state.done < state.released && state.failure == nil ? .some(state.done) : nil
      }
      guard let job else { return }
      var failure: HGNetError?
      do throws(HGNetError) {
        if job < firstJobs { try averageStatistics() } else { try add(buckets[job - firstJobs]) }
      } catch { failure = error }
      state.withLock { state in
        state.done += 1
        state.failure = failure
      }
      state.announce()
    }
  }

  private func add(_ bucket: ClosedRange<Int>) throws(HGNetError) {
    try parameters.sumGradients(of: bucket, over: sum)
  }

  func averageStatistics() throws(HGNetError) {
    guard !statistics.isEmpty else { return }
    try parameters.averageValues(of: statistics, over: communicator, processes: communicator.rankCount)
  }
}
