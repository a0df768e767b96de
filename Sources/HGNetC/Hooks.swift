import CHGNet
import HGNetCore

/// The functions of a caller that are called back.
///
/// Threads: safe to share; that the functions may be called by any thread is the caller's promise.
struct Hooks: Sendable {
  enum Level: Sendable { case info, warning }

  private nonisolated(unsafe) let logHook: hgnet_log_hook?
  private nonisolated(unsafe) let logContext: UnsafeMutableRawPointer?
  private nonisolated(unsafe) let cancelHook: hgnet_cancel_hook?
  private nonisolated(unsafe) let cancelContext: UnsafeMutableRawPointer?

  init(_ options: hgnet_options) {
    logHook = options.log
    logContext = options.log_context
    cancelHook = options.is_cancelled
    cancelContext = options.cancel_context
  }

  /// Tells the caller a line.
  func log(_ level: Level, _ line: String) {
    logHook?(logContext, level == .info ? HGNET_LOG_INFO : HGNET_LOG_WARNING, line)
  }

  /// Whether the caller no longer wants what is being done.
  var isCancelled: Bool { (cancelHook?(cancelContext) ?? 0) != 0 }
}
