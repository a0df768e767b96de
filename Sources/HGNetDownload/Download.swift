import Foundation
import HGNetCore

/// Brings one file from a server into a partial file: resumes, retries, restarts, and decides what a failure means.
struct Download: Sendable {
  let url: URL
  let file: PartialFile
  let policy: RetryPolicy
  let maximumByteCount: Int
  let report: @Sendable (DownloadEvent) -> Void

  /// Fetches all bytes that are missing.
  ///
  /// - Throws: `TransferFailure` after the last attempt.
  func run() async throws(TransferFailure) {
    var best = file.count
    var fruitless = 0
    var restarts = 0
    var hasReceived = false
    for attempt in 1... {
      let (offset, validator) = resumption
      report(.connecting(url: url.absoluteString, offset: offset))
      let transfer = Transfer(
        url: url, file: file, offset: offset, maximumByteCount: maximumByteCount, report: report)
      let failure: TransferFailure
      switch await transfer.run(validator: validator, maximumSilenceInSeconds: policy.maximumSilenceInSeconds) {
      case .success: return
      case .failure(let found): failure = found
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
      guard (try? await Task.sleep(for: .seconds(pause))) != nil else {
        throw TransferFailure(kind: .local(.networkFailure), message: "the download was cancelled")
      }
    }
  }

  /// Where to continue.
  ///
  /// After the bytes that are there if it is known that they belong to the same file, else at the beginning. They are
  /// kept until the server really sends something.
  private var resumption: (offset: Int, validator: String?) {
    guard file.count > 0, let source = file.source, source.url == url.absoluteString else { return (0, nil) }
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
