import Foundation
import HGNetCore
import Synchronization

#if canImport(FoundationNetworking)
  import FoundationNetworking
#endif

/// Why a transfer did not bring the whole file.
struct TransferFailure: Error, Sendable {
  enum Kind: Sendable, Equatable {
    /// No connection: no network, unknown host, refused.
    case unreachable
    /// The connection ended early.
    case dropped
    /// The server answered with a status other than success.
    case status(Int)
    /// The part that the server sends is not the part that was asked for.
    case wrongRange
    /// The server sends something else.
    case wrongContent
    /// Not the network's fault: the disk, the caller.
    case local(HGNetError.Code)
  }

  var kind: Kind
  var message: String
  /// What the server asks for in `Retry-After`.
  var pauseInSeconds: Double?
  var cause: String?
}

/// One HTTP request whose body goes to a partial file as it comes.
final class Transfer: NSObject, URLSessionDataDelegate, Sendable {
  private struct State {
    var failure: TransferFailure?
    var total: Int?
    var lastActivity = ContinuousClock.now
    var lastReport = ContinuousClock.now - .seconds(1)
    var continuation: CheckedContinuation<Result<Void, TransferFailure>, Never>?
  }

  private let url: URL
  private let file: PartialFile
  private let offset: Int
  private let maximumByteCount: Int
  private let report: @Sendable (DownloadEvent) -> Void
  private let state = Mutex(State())

  /// Prepares a transfer that continues after the bytes of `file` or, with offset 0, replaces them.
  init(
    url: URL, file: PartialFile, offset: Int, maximumByteCount: Int, report: @escaping @Sendable (DownloadEvent) -> Void
  ) {
    self.url = url
    self.file = file
    self.offset = offset
    self.maximumByteCount = maximumByteCount
    self.report = report
  }

  /// Sends the request and waits for its end; cancelling the task ends it at once.
  func run(validator: String?, maximumSilenceInSeconds: Double) async -> Result<Void, TransferFailure> {
    let configuration = URLSessionConfiguration.ephemeral
    configuration.urlCache = nil
    configuration.httpCookieStorage = nil
    // Silence is watched below, in one place for connecting, waiting and receiving.
    configuration.timeoutIntervalForRequest = maximumSilenceInSeconds * 2 + 10
    let session = URLSession(configuration: configuration, delegate: self, delegateQueue: nil)
    defer { session.finishTasksAndInvalidate() }

    var request = URLRequest(url: url)
    // A compressed body has other byte positions than the file.
    request.setValue("identity", forHTTPHeaderField: "Accept-Encoding")
    request.setValue("hgnet", forHTTPHeaderField: "User-Agent")
    if offset > 0 {
      request.setValue("bytes=\(offset)-", forHTTPHeaderField: "Range")
      if let validator { request.setValue(validator, forHTTPHeaderField: "If-Range") }
    }
    let task = session.dataTask(with: request)
    let watch = Task { [self] in
      let limit = Duration.seconds(maximumSilenceInSeconds)
      while !Task.isCancelled {
        try await Task.sleep(for: min(limit / 4, .seconds(1)))
        guard state.withLock({ ContinuousClock.now - $0.lastActivity > limit }) else { continue }
        fail(.dropped, "the server was silent for \(maximumSilenceInSeconds) s")
        task.cancel()
        return
      }
    }
    defer { watch.cancel() }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        state.withLock { $0.continuation = continuation }
        task.resume()
      }
    } onCancel: {
      fail(.local(.networkFailure), "the download was cancelled; the next one continues from here")
      task.cancel()
    }
  }

  /// Records the first failure; later ones follow from it.
  private func fail(
    _ kind: TransferFailure.Kind, _ message: String, pauseInSeconds: Double? = nil, cause: String? = nil
  ) {
    state.withLock {
      if $0.failure == nil {
        $0.failure = TransferFailure(kind: kind, message: message, pauseInSeconds: pauseInSeconds, cause: cause)
      }
    }
  }

  // MARK: URLSessionDataDelegate

  func urlSession(
    _ session: URLSession, dataTask: URLSessionDataTask, didReceive response: URLResponse,
    completionHandler: @escaping @Sendable (URLSession.ResponseDisposition) -> Void
  ) {
    state.withLock { $0.lastActivity = .now }
    guard let response = response as? HTTPURLResponse else {
      fail(.wrongContent, "the answer is not HTTP")
      return completionHandler(.cancel)
    }
    do throws(HGNetError) {
      try accept(response)
    } catch {
      fail(.local(error.code), error.message, cause: error.cause)
    }
    completionHandler(state.withLock { $0.failure == nil } ? .allow : .cancel)
  }

  func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
    // After a refusal some data may still be on its way.
    guard state.withLock({ $0.failure == nil }) else { return }
    if file.count == 0, Self.isMarkup(data) {
      fail(
        .wrongContent, "expected weights, found a web page (does something between here and the server answer for it?)")
      return dataTask.cancel()
    }
    guard data.count <= maximumByteCount - file.count else {
      fail(.wrongContent, "the server sends more than \(maximumByteCount) bytes")
      return dataTask.cancel()
    }
    do throws(HGNetError) {
      let result = data.withUnsafeBytes { bytes -> Result<Void, HGNetError> in
        Result { () throws(HGNetError) in try file.append(bytes) }
      }
      try result.get()
    } catch {
      fail(.local(error.code), error.message, cause: error.cause)
      return dataTask.cancel()
    }
    let (due, total) = state.withLock { state in
      state.lastActivity = .now
      let due = ContinuousClock.now - state.lastReport > .milliseconds(100)
      if due { state.lastReport = .now }
      return (due, state.total)
    }
    if due { report(.received(byteCount: file.count, total: total)) }
  }

  func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
    let (continuation, total, recorded) = state.withLock { state in
      defer { state.continuation = nil }
      return (state.continuation, state.total, state.failure)
    }
    continuation?.resume(returning: outcome(error: error, total: total, recorded: recorded))
  }

  private func outcome(error: (any Error)?, total: Int?, recorded: TransferFailure?) -> Result<Void, TransferFailure> {
    if let recorded { return .failure(recorded) }
    let count = file.count
    if let error {
      let code = (error as? URLError)?.code
      let never: [URLError.Code] = [
        .cannotFindHost, .cannotConnectToHost, .dnsLookupFailed, .notConnectedToInternet, .unsupportedURL, .badURL,
        .secureConnectionFailed, .serverCertificateUntrusted,
      ]
      if let code, never.contains(code) {
        return .failure(
          TransferFailure(
            kind: .unreachable, message: "the server cannot be reached", cause: "\(error.localizedDescription)"))
      }
      let expected = total.map { " of \($0)" } ?? ""
      return .failure(
        TransferFailure(
          kind: .dropped, message: "the connection was lost after \(count)\(expected) bytes",
          cause: error.localizedDescription))
    }
    if let total, total != count {
      return .failure(
        TransferFailure(kind: .dropped, message: "the connection ended after \(count) of \(total) bytes"))
    }
    report(.received(byteCount: count, total: total ?? count))
    return .success(())
  }
}

extension Transfer {
  /// Reads the head of an answer, which tells what is coming and whether it is what was asked for.
  private func accept(_ response: HTTPURLResponse) throws(HGNetError) {
    let status = response.statusCode
    switch status {
    case 200:
      if let type = response.value(forHTTPHeaderField: "Content-Type")?.lowercased(), type.hasPrefix("text/html") {
        return fail(
          .wrongContent,
          "expected weights, found a web page (does something between here and the server answer for it?)"
        )
      }
      if offset > 0 { report(.restarting(reason: "the server sends the whole file, not the missing part")) }
      try file.restart()
      let total = response.value(forHTTPHeaderField: "Content-Length").flatMap { Int($0) }
      if let total, total > maximumByteCount {
        return fail(.wrongContent, "the server announces \(total) bytes, more than the limit of \(maximumByteCount)")
      }
      state.withLock { $0.total = total }
      file.remember(.init(url: url.absoluteString, validator: Self.validator(of: response), total: total))
    case 206:
      guard let range = Self.contentRange(of: response), range.start == offset, offset == file.count, offset > 0
      else {
        let found = response.value(forHTTPHeaderField: "Content-Range") ?? "none"
        return fail(.wrongRange, "asked for the bytes from \(offset), the server sends the range \(found)")
      }
      let known = file.source?.total
      if let known, let total = range.total, known != total {
        return fail(.wrongRange, "the file on the server had \(known) bytes and has \(total) now")
      }
      state.withLock { $0.total = range.total ?? known }
    case 416:
      fail(.wrongRange, "the server has no bytes from \(offset) on")
    default:
      let pause = response.value(forHTTPHeaderField: "Retry-After").flatMap { Double($0) }
      fail(
        .status(status), "the server answers \(status) (\(HTTPURLResponse.localizedString(forStatusCode: status)))",
        pauseInSeconds: pause)
    }
  }

  /// What tells that a file has not changed: a strong entity tag, or else its date.
  private static func validator(of response: HTTPURLResponse) -> String? {
    if let tag = response.value(forHTTPHeaderField: "ETag"), !tag.hasPrefix("W/"), tag.utf8.count < 1024 { return tag }
    return response.value(forHTTPHeaderField: "Last-Modified")
  }

  /// The header `Content-Range: bytes START-END/TOTAL`.
  private static func contentRange(of response: HTTPURLResponse) -> (start: Int, total: Int?)? {
    guard let text = response.value(forHTTPHeaderField: "Content-Range")?.lowercased(), text.hasPrefix("bytes") else {
      return nil
    }
    let numbers = text.dropFirst(5).split(whereSeparator: { " -/".contains($0) })
    guard numbers.count == 3, let start = Int(numbers[0]), let end = Int(numbers[1]), end >= start else { return nil }
    return (start, Int(numbers[2]))
  }

  /// Tells HTML and XML from weights by their first bytes; no weights format begins so.
  static func isMarkup(_ data: Data) -> Bool {
    let start = String(decoding: data.prefix(64), as: UTF8.self).lowercased().drop(while: \.isWhitespace)
    return ["<!doctype", "<html", "<?xml", "<head"].contains { start.hasPrefix($0) }
  }
}
