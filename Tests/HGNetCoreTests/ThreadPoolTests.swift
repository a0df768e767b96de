import HGNetCore
import Synchronization
import Testing

@Suite struct ThreadPoolTests {
  @Test(arguments: [1, 2, 5]) func everyIndexRunsOnce(threads: Int) {
    let pool = ThreadPool(threads: threads)
    #expect(pool.count == threads)
    for round in 1...200 {
      let sum = Atomic<Int>(0)
      pool.forEach(round) { sum.wrappingAdd($0 + 1, ordering: .relaxed) }
      #expect(sum.load(ordering: .relaxed) == round * (round + 1) / 2)
    }
  }

  @Test func severalTasksShareAPool() async {
    let pool = ThreadPool(threads: 3)
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
    let pool = ThreadPool(threads: 2)
    for _ in 0..<3 {
      try await Task.sleep(for: .milliseconds(20))
      let sum = Atomic<Int>(0)
      pool.forEach(4) { sum.wrappingAdd($0, ordering: .relaxed) }
      #expect(sum.load(ordering: .relaxed) == 6)
    }
  }
}
