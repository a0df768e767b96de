import CHGNetKernels
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A fixed group of threads that run one function together: the caller and `count - 1` workers.
///
/// Between two calls the workers wait in a short loop and then sleep, so that a burst of runs pays no wake-up and an
/// idle process costs nothing. Make one per process and share it: calls from several tasks take turns.
///
/// Threads: safe to share. A body must not call `run` of the same pool.
public final class ThreadPool: Sendable {
  /// What one thread does: an opaque context and the thread's index, `0 ..< count`; 0 is the caller.
  public typealias Body = @convention(c) (UnsafeMutableRawPointer, Int) -> Void

  /// The number of threads, the caller included.
  public let count: Int
  private let state: PoolState?
  private let turn = Mutex<Void>(())

  /// Starts the workers.
  ///
  /// - Parameter threads: the number of threads, at least 1; nil for `ProcessorCount.current`.
  public init(threads: Int? = nil) {
    let wanted = min(max(threads ?? ProcessorCount.current().count, 1), 1024)
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

  deinit { state?.stop() }

  /// Runs `body` once on every thread and returns when all have finished.
  ///
  /// Allocates nothing.
  public func run(context: UnsafeMutableRawPointer, body: Body) {
    turn.withLock { _ in
      guard let state else {
        body(context, 0)
        return
      }
      state.run(context: context, body: body)
    }
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
  private let sleeping = Atomic<Int>(0)
  private nonisolated(unsafe) var context: UnsafeMutableRawPointer?
  private nonisolated(unsafe) var body: ThreadPool.Body?
  private nonisolated(unsafe) let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private nonisolated(unsafe) let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private nonisolated(unsafe) var threads: [pthread_t] = []

  init(workers: Int) {
    self.workers = workers
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

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
      state.waitForGeneration(after: seen)
      seen += 1
      guard let body = state.body, let context = state.context else { return }
      body(context, start.index)
      state.running.wrappingSubtract(1, ordering: .acquiringAndReleasing)
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

  private func waitForGeneration(after seen: Int) {
    // About 50 µs of polling covers the pause between two pictures; after that sleeping is cheaper for everyone.
    for _ in 0..<2_000 {
      if generation.load(ordering: .acquiring) > seen { return }
      hg_spin_hint()
    }
    pthread_mutex_lock(mutex)
    sleeping.wrappingAdd(1, ordering: .sequentiallyConsistent)
    while generation.load(ordering: .sequentiallyConsistent) <= seen { pthread_cond_wait(condition, mutex) }
    sleeping.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    pthread_mutex_unlock(mutex)
  }

  private func wake() {
    generation.wrappingAdd(1, ordering: .sequentiallyConsistent)
    guard sleeping.load(ordering: .sequentiallyConsistent) > 0 else { return }
    pthread_mutex_lock(mutex)
    pthread_cond_broadcast(condition)
    pthread_mutex_unlock(mutex)
  }

  func run(context: UnsafeMutableRawPointer, body: ThreadPool.Body) {
    self.context = context
    self.body = body
    running.store(workers, ordering: .releasing)
    wake()
    body(context, 0)
    var spins = 0
    while running.load(ordering: .acquiring) > 0 {
      spins += 1
      if spins < 4_000 { hg_spin_hint() } else { sched_yield() }
    }
  }

  func stop() {
    body = nil
    wake()
    for thread in threads { pthread_join(thread, nil) }
  }
}

/// Lets all threads of a pool finish one step before any begins the next.
///
/// Hands out the tasks of the step, too: `next` gives each index once. Allocates nothing.
public struct StepBarrier: ~Copyable {
  private let next = Atomic<Int>(0)
  private let arrived = Atomic<Int>(0)
  private let phase = Atomic<Int>(0)

  /// Makes a barrier that has no task handed out.
  public init() {}

  /// The next task of this step that nobody has.
  public borrowing func nextTask() -> Int { next.wrappingAdd(1, ordering: .relaxed).oldValue }

  /// Waits until `count` threads are here, then begins the next step.
  public borrowing func wait(count: Int) {
    let current = phase.load(ordering: .acquiring)
    if arrived.wrappingAdd(1, ordering: .acquiringAndReleasing).newValue == count {
      arrived.store(0, ordering: .relaxed)
      next.store(0, ordering: .relaxed)
      phase.store(current &+ 1, ordering: .releasing)
      return
    }
    var spins = 0
    while phase.load(ordering: .acquiring) == current {
      spins += 1
      // Where there are fewer processors than threads, the one that we wait for needs ours.
      if spins < 2_000 { hg_spin_hint() } else { sched_yield() }
    }
  }
}
