import CHGNetSystem
import HGNetPlatform
import Synchronization

/// A fixed group of threads that run one function together: the caller and `count - 1` workers.
///
/// Between two calls the workers wait in a short loop and then sleep, so that a burst of runs pays no wake-up and an
/// idle process costs nothing. Make one per process and share it: calls from several tasks take turns.
///
/// A system that refuses threads still gives answers: `count` says how many there are. In a child of `fork` there is none
/// of the workers: the first call there starts new ones.
///
/// Threads: safe to share. A body must not call `run` of the same pool.
public final class ThreadPool: Sendable {
  /// What one thread does: an opaque context and the thread's index, `0 ..< count`; 0 is the caller.
  public typealias Body = @convention(c) (UnsafeMutableRawPointer, Int) -> Void

  /// The number of threads, the caller included.
  public let count: Int
  /// Replaced in a child of `fork`; read and written by whoever has the turn.
  private nonisolated(unsafe) var state: PoolState?
  private let turn = Turn()

  /// The numbers of threads that a pool may have.
  public static let range = 1...1024

  /// Starts as many threads as the affinity mask, the control group and `HGNET_NUM_THREADS` allow.
  public convenience init() { self.init(count: ProcessorCount.current().count) }

  /// Starts a number of threads.
  ///
  /// - Parameter threads: the number of threads, in `range`; more than there are processors only slow each other down.
  /// - Throws: `HGNetError.Code.invalidArgument` outside the range.
  public convenience init(threads: Int) throws(HGNetError) {
    guard ThreadPool.range.contains(threads) else {
      throw HGNetError(
        .invalidArgument, "expected 1 to \(ThreadPool.range.upperBound) threads, found \(threads)", key: "threads")
    }
    self.init(count: threads)
  }

  /// Starts a number of threads that has been checked.
  package init(count wanted: Int) {
    let wanted = min(max(wanted, ThreadPool.range.lowerBound), ThreadPool.range.upperBound)
    guard wanted > 1 else {
      count = 1
      state = nil
      return
    }
    let state = PoolState(workers: wanted - 1)
    var started = 0
    for index in 1..<wanted where started == index - 1 {
      if state.start(index: index) { started += 1 }
    }
    // A system that refuses threads still gets its answer, from fewer of them.
    state.workers = started
    count = started + 1
    self.state = state
  }

  deinit {
    if let state, state.isOfThisProcess { state.stop() }
  }

  /// Runs `body` once on every thread and returns when all have finished.
  ///
  /// Allocates nothing.
  public func run(context: UnsafeMutableRawPointer, body: Body) {
    // A turn that was lost in a fork leaves nothing behind but the workers, which are lost as well.
    _ = turn.take()
    defer { turn.giveBack() }
    guard let state else { return body(context, 0) }
    if state.isOfThisProcess { return state.run(context: context, body: body) }
    // A system that refuses threads still gets its answer, from fewer of them.
    let renewed = PoolState(workers: count - 1)
    for index in 1..<count where !renewed.start(index: index) {
      renewed.workers = index - 1
      break
    }
    self.state = renewed
    renewed.run(context: context, body: body)
  }

  /// Runs `body` with each index in `0 ..< iterations`, spread over the threads in no fixed order.
  public func forEach(_ iterations: Int, _ body: (Int) -> Void) {
    let next = Atomic<Int>(0)
    withoutActuallyEscaping(body) { body in
      var work: () -> Void = {
        while true {
          let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
          guard index < iterations else { return }
          body(index)
        }
      }
      withUnsafeMutablePointer(to: &work) { pointer in
        run(context: UnsafeMutableRawPointer(pointer)) { context, _ in
          context.assumingMemoryBound(to: (() -> Void).self).pointee()
        }
      }
    }
  }
}

/// What the threads of a pool share.
private final class PoolState: Sendable {
  nonisolated(unsafe) var workers: Int
  private let generation = Atomic<Int>(0)
  private let running = Atomic<Int>(0)
  private let called = WaitingPlace()
  private let finished = WaitingPlace()
  private nonisolated(unsafe) var context: UnsafeMutableRawPointer?
  private nonisolated(unsafe) var body: ThreadPool.Body?
  private nonisolated(unsafe) var threads: [pthread_t] = []

  private let forks = hg_fork_count()

  init(workers: Int) { self.workers = workers }

  /// Whether the threads were started in this process, and not in one that it was forked from.
  var isOfThisProcess: Bool { forks == hg_fork_count() }

  /// What a new thread needs to know.
  private final class Start: Sendable {
    let state: PoolState
    let index: Int
    init(state: PoolState, index: Int) {
      self.state = state
      self.index = index
    }
  }

  func start(index: Int) -> Bool {
    let start = Unmanaged.passRetained(Start(state: self, index: index))
    #if canImport(Darwin)
      var thread: pthread_t?
    #else
      var thread = pthread_t()
    #endif
    let result = pthread_create(&thread, nil, threadMain, start.toOpaque())
    guard result == 0 else {
      start.release()
      return false
    }
    #if canImport(Darwin)
      if let thread { threads.append(thread) }
    #else
      threads.append(thread)
    #endif
    return true
  }

  private static func work(_ start: UnsafeMutableRawPointer) {
    let start = Unmanaged<Start>.fromOpaque(start).takeRetainedValue()
    let state = start.state
    var seen = 0
    while true {
      state.called.wait { state.generation.load(ordering: .sequentiallyConsistent) > seen }
      seen += 1
      guard let body = state.body, let context = state.context else { return }
      body(context, start.index)
      state.finish()
    }
  }

  #if canImport(Darwin)
    private let threadMain: @convention(c) (UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? = {
      PoolState.work($0)
      return nil
    }
  #else
    private let threadMain: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = {
      if let start = $0 { PoolState.work(start) }
      return nil
    }
  #endif

  private func wake() {
    generation.wrappingAdd(1, ordering: .sequentiallyConsistent)
    called.announce()
  }

  func run(context: UnsafeMutableRawPointer, body: ThreadPool.Body) {
    self.context = context
    self.body = body
    running.store(workers, ordering: .releasing)
    wake()
    body(context, 0)
    finished.wait { running.load(ordering: .sequentiallyConsistent) == 0 }
  }

  /// A worker's last act in a run.
  private func finish() {
    if running.wrappingSubtract(1, ordering: .sequentiallyConsistent).newValue == 0 { finished.announce() }
  }

  func stop() {
    body = nil
    wake()
    for thread in threads { pthread_join(thread, nil) }
  }
}
