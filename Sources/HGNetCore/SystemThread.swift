import HGNetPlatform

/// A thread of the operating system that runs one function, for work that may wait for long.
///
/// Threads: safe to share; join it once.
package final class SystemThread: Sendable {
  private final class Start: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  #if canImport(Darwin)
    private nonisolated(unsafe) let thread: pthread_t
  #else
    private let thread: pthread_t
  #endif

  /// What is said where the system refuses a thread.
  package static let refusal = HGNetError(
    .limitExceeded,
    "the system gives this process no more threads; look at its limits (ulimit -v, -u, -s, and pids.max of the control group)"
  )

  /// Starts the thread; nil where the system refuses.
  package init?(_ body: @escaping @Sendable () -> Void) {
    let start = Unmanaged.passRetained(Start(body))
    #if canImport(Darwin)
      var created: pthread_t?
      let result = pthread_create(&created, nil, SystemThread.main, start.toOpaque())
    #else
      var thread = pthread_t()
      let result = pthread_create(&thread, nil, SystemThread.main, start.toOpaque())
      let created: pthread_t? = thread
    #endif
    guard result == 0, let created else {
      start.release()
      return nil
    }
    self.thread = created
  }

  #if canImport(Darwin)
    private static let main: @convention(c) (UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? = {
      Unmanaged<Start>.fromOpaque($0).takeRetainedValue().body()
      return nil
    }
  #else
    private static let main: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = {
      if let start = $0 { Unmanaged<Start>.fromOpaque(start).takeRetainedValue().body() }
      return nil
    }
  #endif

  /// Waits until the function has returned.
  package func join() { pthread_join(thread, nil) }

  /// Lets the thread end by itself; it must not be joined then.
  package func detach() { pthread_detach(thread) }
}
