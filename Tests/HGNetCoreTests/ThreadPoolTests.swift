import HGNetCore
import Synchronization
import Testing

@Suite struct ThreadPoolTests {
  @Test(arguments: [0, -5, 1025, 100_000, .min, .max]) func aNumberOfThreadsOutsideTheRangeIsRefused(threads: Int) {
    let error = #expect(throws: HGNetError.self) { try ThreadPool(threads: threads) }
    #expect(error?.code == .invalidArgument)
    #expect(error?.message.contains("\(threads)") == true)
  }

  @Test func theCountIsWhatWasAskedFor() throws {
    #expect(try ThreadPool(threads: 3).count == 3)
    #expect(ThreadPool().count >= 1)
  }

  @Test(arguments: [1, 2, 5]) func everyIndexRunsOnce(threads: Int) {
    let pool = ThreadPool(count: threads)
    #expect(pool.count == threads)
    for round in 1...200 {
      let sum = Atomic<Int>(0)
      pool.forEach(round) { sum.wrappingAdd($0 + 1, ordering: .relaxed) }
      #expect(sum.load(ordering: .relaxed) == round * (round + 1) / 2)
    }
  }

  @Test func severalTasksShareAPool() async {
    let pool = ThreadPool(count: 3)
    let total = await withTaskGroup(of: Int.self) { group in
      for _ in 0..<8 {
        group.addTask {
          let sum = Atomic<Int>(0)
          for _ in 0..<50 { pool.forEach(10) { sum.wrappingAdd($0, ordering: .relaxed) } }
          return sum.load(ordering: .relaxed)
        }
      }
      return await group.reduce(0, +)
    }
    #expect(total == 8 * 50 * 45)
  }

  @Test func idleWorkersSleepAndWakeAgain() async throws {
    let pool = ThreadPool(count: 2)
    for _ in 0..<3 {
      try await Task.sleep(for: .milliseconds(20))
      let sum = Atomic<Int>(0)
      pool.forEach(4) { sum.wrappingAdd($0, ordering: .relaxed) }
      #expect(sum.load(ordering: .relaxed) == 6)
    }
  }

  /// More threads than processors must cost little: those that run do the work, those that wait sleep.
  @Test(arguments: [2, 8, 32]) func noTaskBeginsBeforeTheStepBeforeHasEnded(threads: Int) {
    final class Steps: Sendable {
      let queue = StepQueue()
      let done: Mutex<[Int]> = Mutex(Array(repeating: 0, count: 300))
      let faults = Atomic<Int>(0)
      let ends = Atomic<Int>(0)
      func tasks(_ step: Int) -> Int { step % 7 + 1 }
    }
    let pool = ThreadPool(count: threads)
    let steps = Steps()
    let clock = ContinuousClock()
    let elapsed = clock.measure {
      for _ in 0..<10 {
        steps.done.withLock { $0 = Array(repeating: 0, count: 300) }
        steps.queue.restart()
        pool.run(context: Unmanaged.passUnretained(steps).toOpaque()) { context, _ in
          let steps = Unmanaged<Steps>.fromOpaque(context).takeUnretainedValue()
          steps.queue.work(
            stepCount: 300, taskCount: steps.tasks,
            perform: { step, _ in
              steps.done.withLock {
                if step > 0, $0[step - 1] != steps.tasks(step - 1) { steps.faults.wrappingAdd(1, ordering: .relaxed) }
                $0[step] += 1
              }
            }, stepEnded: { _ in steps.ends.wrappingAdd(1, ordering: .relaxed) })
        }
        steps.done.withLock { #expect($0 == (0..<300).map(steps.tasks)) }
      }
    }
    #expect(steps.faults.load(ordering: .relaxed) == 0)
    #expect(steps.ends.load(ordering: .relaxed) == 3000)
    #expect(elapsed < .seconds(60))
  }
}
