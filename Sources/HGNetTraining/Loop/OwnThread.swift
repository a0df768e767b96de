import HGNetCore

/// Runs functions that take long on threads of their own, so that no thread of Swift's concurrency is held.
enum OwnThread {
  /// Runs a function; gives its result.
  ///
  /// - Throws: what `body` throws; `HGNetError.Code.limitExceeded` where the system gives no more threads.
  static func run<Result: Sendable>(
    _ body: @escaping @Sendable () throws(HGNetError) -> Result
  ) async throws -> Result {
    try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Result, any Error>) in
      let thread = SystemThread {
        do throws(HGNetError) { continuation.resume(returning: try body()) } catch {
          continuation.resume(throwing: error)
        }
      }
      guard let thread else {
        continuation.resume(throwing: SystemThread.refusal)
        return
      }
      thread.detach()
    }
  }
}
