import CHGNet
import HGNetCore

/// A thread pool whose threads a caller's thread sanitizer leaves alone; see `CHGNetSanitizers.h`.
///
/// Threads: safe to share.
final class QuietThreads: Sendable {
  let pool: ThreadPool

  init(threads: Int?) {
    pool = threads.map { ThreadPool(count: $0) } ?? ThreadPool()
    run { hg_accesses_ignore() }
  }

  // A thread must not end while it is left alone.
  deinit { run { hg_accesses_observe() } }

  /// Runs a function once on each thread of the pool but the caller's.
  private func run(_ body: @convention(c) () -> Void) {
    var body = body
    withUnsafeMutablePointer(to: &body) { pointer in
      pool.run(context: UnsafeMutableRawPointer(pointer)) { context, worker in
        if worker > 0 { context.assumingMemoryBound(to: (@convention(c) () -> Void).self).pointee() }
      }
    }
  }
}
