import HGNet
import HGNetCore
import HGNetModels
import HGNetPlatform

/// The folder that published weights are fetched into, once.
///
/// A file that lies here under its own name has been fetched completely and parsed. Fetching survives dropped
/// connections (it continues where it stopped, also in a later process), and two processes that want the same file
/// fetch it once.
///
/// Threads: an immutable value, safe to share.
package struct PublishedWeightsCache: Sendable {
  /// The folder of the files; it is made when the first one is fetched.
  package let folder: String
  /// The address or folder that stands in for `PublishedWeights.baseURL`.
  package let mirror: String?
  /// Whether the network is never touched.
  package let isOffline: Bool
  /// How often and how patiently a download is tried.
  package var retryPolicy = RetryPolicy.standard
  /// The largest file that is accepted, in bytes; the largest published one has 0.3 GB.
  package var maximumByteCount = 4 << 30

  /// Chooses the folder and the server.
  ///
  /// - Parameters:
  ///   - folder: the folder; nil means `$XDG_CACHE_HOME/hgnet`, or `~/.cache/hgnet` where that variable is not set.
  ///   - mirror: an `http`, `https` or `file` address, or a folder, with the layout of `PublishedWeights.path` or with
  ///     all files side by side; nil means the variable `HGNET_WEIGHTS_URL`, or the publisher where it is not set.
  ///   - isOffline: never touch the network; a file that is not in the folder is then an error.
  ///   - environment: the variables; nil for those of the process.
  /// - Throws: `HGNetError.Code.unwritableFile` when no folder is known, `invalidArgument` for a mirror that is neither
  ///   an address nor a folder.
  package init(
    folder: String? = nil, mirror: String? = nil, isOffline: Bool = false,
    environment: [String: String]? = nil
  ) throws(HGNetError) {
    let environment = environment ?? Self.processEnvironment
    if let folder { self.folder = folder } else { self.folder = try Self.defaultFolder(environment) }
    let address = mirror ?? environment["HGNET_WEIGHTS_URL"]
    self.mirror = if let address, !address.isEmpty { try Self.validated(mirror: address) } else { nil }
    self.isOffline = isOffline
  }

  /// The path of a file that has been fetched before, else nil; never touches the network.
  package func cachedPath(for weights: PublishedWeights) -> String? {
    let path = self.path(of: weights)
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    return path
  }

  /// The path of a file, which is fetched if it is not there yet.
  ///
  /// Waits for the network; a download that is cancelled is continued by a later one.
  ///
  /// - Parameters:
  ///   - weights: the file.
  ///   - check: parses all of the file at the path that it is given, which is not its final one; an error means that
  ///     what was fetched is useless.
  ///   - isCancelled: asked while it waits; true ends it with `networkFailure`.
  ///   - report: told what happens.
  /// - Throws: `HGNetError.Code.networkFailure` when the file cannot be fetched, `unwritableFile` when it cannot be
  ///   kept, `fileNotFound` when it is not there and the cache is offline.
  package func path(
    for weights: PublishedWeights,
    check: (String) throws(HGNetError) -> Void,
    isCancelled: @escaping @Sendable () -> Bool = { false },
    report: @escaping @Sendable (DownloadEvent) -> Void = { _ in }
  ) throws(HGNetError) -> String {
    if let path = cachedPath(for: weights) { return path }
    if isOffline {
      throw HGNetError(
        .fileNotFound,
        "these weights have not been fetched yet and the network is switched off (--offline). \(Self.waysOut)",
        path: path(of: weights))
    }
    try makeFolder()
    guard let file = try lockedFile(for: weights, isCancelled: isCancelled, report: report) else {
      return path(of: weights)
    }
    var hadEarlierBytes = file.count > 0
    while true {
      try fetch(weights, into: file, isCancelled: isCancelled, report: report)
      report(.checking)
      do throws(HGNetError) {
        try check(file.path)
        break
      } catch {
        // Bytes of an earlier run may belong to a file that has changed on the server in the meantime.
        guard hadEarlierBytes else {
          file.remove()
          throw HGNetError(
            .networkFailure,
            "what \(addresses(of: weights)[0]) sends is not a readable weights file; nothing was kept. \(Self.waysOut)",
            path: path(of: weights), cause: error.description)
        }
        hadEarlierBytes = false
        report(.restarting(reason: "the file is not readable: \(error.message)"))
        try file.restart()
      }
    }
    try file.commit()
    return path(of: weights)
  }

  static let waysOut =
    "Give a file of yours with --weights FILE, point HGNET_WEIGHTS_URL at a mirror, or try `make demo`, which needs neither weights nor network"

  func path(of weights: PublishedWeights) -> String { "\(folder)/\(weights.fileName)" }
}

extension PublishedWeightsCache {
  private static func defaultFolder(_ environment: [String: String]) throws(HGNetError) -> String {
    // The base directory specification says that a relative path is to be ignored.
    if let cache = environment["XDG_CACHE_HOME"], cache.hasPrefix("/") { return "\(cache)/hgnet" }
    if let home = environment["HOME"], home.hasPrefix("/") { return "\(home)/.cache/hgnet" }
    throw HGNetError(
      .unwritableFile,
      "there is no folder for fetched weights: neither XDG_CACHE_HOME nor HOME is an absolute path. Set one of them, or give a file with --weights FILE"
    )
  }

  /// The variables that matter here.
  private static var processEnvironment: [String: String] {
    var environment: [String: String] = [:]
    for name in ["HGNET_WEIGHTS_URL", "XDG_CACHE_HOME", "HOME"] {
      environment[name] = getenv(name).map { String(cString: $0) }
    }
    return environment
  }

  private static func validated(mirror: String) throws(HGNetError) -> String {
    var mirror = mirror
    while mirror.count > 1, mirror.hasSuffix("/") { mirror.removeLast() }
    if mirror.hasPrefix("/") { return WebAddress.file(mirror) }
    guard WebAddress.isUsable(mirror) else {
      throw HGNetError(
        .invalidArgument, "expected an http, https or file address or an absolute folder, found \"\(mirror)\"",
        key: "HGNET_WEIGHTS_URL")
    }
    return mirror
  }

  private func makeFolder() throws(HGNetError) {
    var path = folder.hasPrefix("/") ? "" : "."
    for part in folder.split(separator: "/") {
      path += "/\(part)"
      // A folder that is there may be one that nobody may make.
      guard mkdir(path, 0o777) != 0, !FileKind.isFolder(path) else { continue }
      throw HGNetError(
        .unwritableFile,
        "cannot make the folder for fetched weights; set XDG_CACHE_HOME to a folder where you may write, or give a file with --weights FILE",
        path: folder, cause: String(cString: strerror(errno)))
    }
  }

  /// The partial file once it is ours, or nil when another process has finished the file meanwhile.
  private func lockedFile(
    for weights: PublishedWeights, isCancelled: () -> Bool, report: (DownloadEvent) -> Void
  ) throws(HGNetError) -> PartialFile? {
    var hasReported = false
    while true {
      switch try PartialFile.open(finalPath: path(of: weights)) {
      case .opened(let file):
        // The other process may have renamed its file just before we made a new one.
        guard cachedPath(for: weights) != nil else { return file }
        file.remove()
        return nil
      case .replaced:
        if cachedPath(for: weights) != nil { return nil }
      case .busy:
        if !hasReported { report(.waitingForOtherProcess) }
        hasReported = true
      }
      guard Pause.seconds(0.1, unless: isCancelled) else {
        throw HGNetError(.networkFailure, "the download was cancelled", path: path(of: weights))
      }
    }
  }

  /// Where a file may be: a mirror may have the publisher's folders or none.
  private func addresses(of weights: PublishedWeights) -> [String] {
    guard let mirror else { return [weights.url()] }
    return [weights.url(base: mirror), "\(mirror)/\(weights.fileName)"]
  }

  private func fetch(
    _ weights: PublishedWeights, into file: PartialFile, isCancelled: @escaping @Sendable () -> Bool,
    report: @escaping @Sendable (DownloadEvent) -> Void
  ) throws(HGNetError) {
    var failures: [String] = []
    for address in addresses(of: weights) {
      do throws(TransferFailure) {
        if let path = WebAddress.path(of: address) {
          try FileCopy(address: address, path: path, file: file, maximumByteCount: maximumByteCount, report: report)
            .run()
        } else {
          try Download(
            url: address, file: file, policy: retryPolicy, maximumByteCount: maximumByteCount, isCancelled: isCancelled,
            report: report
          ).run()
        }
        return
      } catch {
        if case .local(let code) = error.kind {
          throw HGNetError(code, error.message, path: file.path, cause: error.cause)
        }
        failures.append("\(address): \(error.message)\(error.cause.map { " (\($0))" } ?? "")")
        // Only a missing file may lie elsewhere on the mirror.
        guard error.kind == .status(404) else { break }
      }
    }
    if file.count == 0 { file.remove() }
    throw HGNetError(
      .networkFailure, "cannot fetch \(weights.fileName) from \(failures.joined(separator: "; ")). \(Self.waysOut)")
  }
}
