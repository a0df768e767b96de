/// What a download tells its caller while it runs.
///
/// Events come from the thread that fetches.
package enum DownloadEvent: Hashable, Sendable {
  /// Another process (or task) is fetching the same file; this one waits for it.
  case waitingForOtherProcess
  /// A request is about to be sent; bytes before `offset` are there already.
  case connecting(url: String, offset: Int)
  /// The file has grown to `byteCount` bytes, of `total` if the server has said how many there will be. Comes at most
  /// about ten times a second, and once at the end.
  case received(byteCount: Int, total: Int?)
  /// What was fetched so far is of no use; the file is fetched from its beginning.
  case restarting(reason: String)
  /// The connection was lost; the next attempt follows after a pause.
  case retrying(reason: String, pauseInSeconds: Double)
  /// All bytes are there and are parsed before the file gets its name.
  case checking
}

/// How often and how patiently a download is tried.
package struct RetryPolicy: Hashable, Sendable {
  /// The pause before each further attempt; a download gives up when all of them passed without a new byte.
  package var pausesInSeconds: [Double]
  /// The attempts after which a download gives up even though each of them brought new bytes.
  package var maximumAttempts: Int
  /// How long a connection may be silent before it counts as lost.
  package var maximumSilenceInSeconds: Double

  /// Makes a policy.
  package init(pausesInSeconds: [Double], maximumAttempts: Int, maximumSilenceInSeconds: Double) {
    self.pausesInSeconds = pausesInSeconds
    self.maximumAttempts = maximumAttempts
    self.maximumSilenceInSeconds = maximumSilenceInSeconds
  }

  /// Four pauses from half a second to four seconds, thirty attempts, thirty seconds of silence.
  package static let standard = RetryPolicy(
    pausesInSeconds: [0.5, 1, 2, 4], maximumAttempts: 30, maximumSilenceInSeconds: 30)
}
