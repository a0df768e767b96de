import HGNetCore
import HGNetPlatform
import Synchronization
import Testing

#if os(Linux)
  /// What goes on in a child of `fork`, where only the thread that called it is left.
  @Suite(.serialized) struct ForkTests {
    /// Runs `body` in a child; gives its exit status, or nil when it has not ended after ten seconds.
    ///
    /// Swift does not show `fork`, and a test must not call much in the child: it ends with `_exit`.
    func statusOfChild(_ body: () -> Int32) -> Int32? {
      typealias Fork = @convention(c) () -> pid_t
      guard let symbol = dlsym(nil, "fork") else { return nil }
      let child = unsafeBitCast(symbol, to: Fork.self)()
      if child == 0 { _exit(body()) }
      for _ in 0..<1000 {
        var status: Int32 = 0
        if waitpid(child, &status, WNOHANG) == child { return status & 0x7F == 0 ? status >> 8 & 0xFF : -1 }
        usleep(10_000)
      }
      kill(child, SIGKILL)
      var status: Int32 = 0
      waitpid(child, &status, 0)
      return nil
    }

    @Test func aPoolWorksInTheChild() throws {
      let pool = try ThreadPool(threads: 3)
      let sum = Atomic<Int>(0)
      pool.forEach(10) { sum.wrappingAdd($0, ordering: .relaxed) }
      let status = statusOfChild {
        pool.forEach(10) { sum.wrappingAdd($0, ordering: .relaxed) }
        pool.forEach(10) { sum.wrappingAdd($0, ordering: .relaxed) }
        return sum.load(ordering: .relaxed) == 135 ? 7 : 1
      }
      #expect(status == 7)
      pool.forEach(10) { sum.wrappingAdd($0, ordering: .relaxed) }
      #expect(sum.load(ordering: .relaxed) == 90)
    }

    @Test func aPoolThatAnotherThreadWasUsingWorksInTheChild() throws {
      let pool = try ThreadPool(threads: 2)
      let flags = Flags()
      let thread = SystemThread {
        pool.forEach(2) { _ in
          flags.isIn.store(true, ordering: .sequentiallyConsistent)
          while !flags.mayGo.load(ordering: .sequentiallyConsistent) { usleep(100) }
        }
      }
      while !flags.isIn.load(ordering: .sequentiallyConsistent) { usleep(100) }
      let status = statusOfChild {
        let sum = Atomic<Int>(0)
        pool.forEach(5) { sum.wrappingAdd($0, ordering: .relaxed) }
        return sum.load(ordering: .relaxed) == 10 ? 7 : 1
      }
      flags.mayGo.store(true, ordering: .sequentiallyConsistent)
      thread?.join()
      #expect(status == 7)
    }

    @Test func whatAnotherThreadHeldIsAnErrorAtOnceInTheChild() throws {
      let (held, free) = (ForkSafeLock(1), ForkSafeLock(2))
      let flags = Flags()
      let thread = SystemThread {
        try? held.withLock { (state) throws(HGNetError) in
          state = 5
          flags.isIn.store(true, ordering: .sequentiallyConsistent)
          while !flags.mayGo.load(ordering: .sequentiallyConsistent) { usleep(100) }
        }
      }
      while !flags.isIn.load(ordering: .sequentiallyConsistent) { usleep(100) }
      let status = statusOfChild {
        for _ in 0..<2 where (try? held.withLock { (state) throws(HGNetError) in state }) != nil { return 1 }
        return (try? free.withLock { (state) throws(HGNetError) in state }) == 2 ? 7 : 2
      }
      flags.mayGo.store(true, ordering: .sequentiallyConsistent)
      thread?.join()
      #expect(status == 7)
      #expect(try held.withLock { (state) throws(HGNetError) in state } == 5)
    }

    private final class Flags: Sendable {
      let isIn = Atomic<Bool>(false)
      let mayGo = Atomic<Bool>(false)
    }
  }
#endif
