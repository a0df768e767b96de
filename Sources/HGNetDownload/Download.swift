import HGNetCore
import HGNetPlatform

/// Brings one file from a server into a partial file: resumes, retries, restarts, and decides what a failure means.
struct Download: Sendable {
  let url: String
  let file: PartialFile
  let policy: RetryPolicy
  let maximumByteCount: Int
  let isCancelled: @Sendable () -> Bool
  let report: @Sendable (DownloadEvent) -> Void

  /// Fetches all bytes that are missing.
  ///
  /// - Throws: `TransferFailure` after the last attempt.
  func run() throws(TransferFailure) {
    var best = file.count
    var fruitless = 0
    var restarts = 0
    var hasReceived = false
    for attempt in 1... {
      let (offset, validator) = resumption
      report(.connecting(url: url, offset: offset))
      let transfer = Transfer(
        url: url, file: file, offset: offset, maximumByteCount: maximumByteCount,
        maximumSilenceInSeconds: policy.maximumSilenceInSeconds, isCancelled: isCancelled, report: report)
      let failure: TransferFailure
      do throws(TransferFailure) {
        return try transfer.run(validator: validator)
      } catch {
        failure = error
      }
      // A server that ignores ranges sends old bytes again: only bytes never seen before count as progress.
      if file.count > best {
        best = file.count
        fruitless = 0
        hasReceived = true
      }
      switch failure.kind {
      case .wrongRange:
        restarts += 1
        guard restarts <= 2 else { throw failure }
        report(.restarting(reason: failure.message))
        try restart()
        continue
      case .dropped, .status(408), .status(425), .status(429), .status(500...599): break
      case .unreachable where hasReceived: break
      default: throw failure
      }
      guard fruitless < policy.pausesInSeconds.count, attempt < policy.maximumAttempts else { throw failure }
      let pause = max(policy.pausesInSeconds[fruitless], min(failure.pauseInSeconds ?? 0, 30))
      fruitless += 1
      report(.retrying(reason: failure.message, pauseInSeconds: pause))
      guard Pause.seconds(pause, unless: isCancelled) else {
        throw TransferFailure(kind: .local(.networkFailure), message: "the download was cancelled")
      }
    }
  }

  /// Where to continue.
  ///
  /// After the bytes that are there if it is known that they belong to the same file, else at the beginning. They are
  /// kept until the server really sends something.
  private var resumption: (offset: Int, validator: String?) {
    guard file.count > 0, let source = file.source, source.url == url else { return (0, nil) }
    guard source.validator != nil || source.total != nil, file.count < source.total ?? .max else { return (0, nil) }
    return (file.count, source.validator)
  }

  private func restart() throws(TransferFailure) {
    do throws(HGNetError) {
      try file.restart()
    } catch {
      throw TransferFailure(kind: .local(error.code), message: error.message, cause: error.cause)
    }
  }
}

/// Seconds on a clock that is never set.
func monotonicSeconds() -> Double {
  // Swift's own clocks are a part of its concurrency runtime, which a C program need not carry.
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// Waiting that ends early when somebody asks for it.
enum Pause {
  /// Sleeps.
  ///
  /// - Returns: false when it was cancelled.
  static func seconds(_ seconds: Double, unless isCancelled: () -> Bool) -> Bool {
    let end = monotonicSeconds() + seconds
    while true {
      guard !isCancelled() else { return false }
      let left = end - monotonicSeconds()
      guard left > 0 else { return true }
      usleep(UInt32(min(left, 0.05) * 1e6) + 1)
    }
  }
}
