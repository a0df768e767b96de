import CHGNetSystem
import HGNetCore

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
///
/// Threads: one.
final class Transfer {
  private let url: String
  private let file: PartialFile
  private let offset: Int
  private let maximumByteCount: Int
  private let maximumSilenceInSeconds: Double
  private let isCancelled: @Sendable () -> Bool
  private let report: @Sendable (DownloadEvent) -> Void

  private var head = AnswerHead()
  private var failure: TransferFailure?
  private var total: Int?
  private var lastActivity = monotonicSeconds()
  private var lastReport = 0.0

  /// Prepares a transfer that continues after the bytes of `file` or, with offset 0, replaces them.
  init(
    url: String, file: PartialFile, offset: Int, maximumByteCount: Int, maximumSilenceInSeconds: Double,
    isCancelled: @escaping @Sendable () -> Bool, report: @escaping @Sendable (DownloadEvent) -> Void
  ) {
    self.url = url
    self.file = file
    self.offset = offset
    self.maximumByteCount = maximumByteCount
    self.maximumSilenceInSeconds = maximumSilenceInSeconds
    self.isCancelled = isCancelled
    self.report = report
  }

  /// Sends the request and waits for its end.
  ///
  /// - Throws: the first failure.
  func run(validator: String?) throws(TransferFailure) {
    // A compressed body has other byte positions than the file.
    var lines = ["Accept-Encoding: identity"]
    if offset > 0 {
      lines.append("Range: bytes=\(offset)-")
      if let validator { lines.append("If-Range: \(validator)") }
    }
    lastActivity = monotonicSeconds()
    let (code, message) = withExtendedLifetime(self) { perform(lines) }
    if let failure { throw failure }
    let count = file.count
    let expected = total.map { " of \($0)" } ?? ""
    switch code {
    case HG_FETCH_OK: break
    case HG_FETCH_NO_LIBRARY: throw TransferFailure(kind: .local(.networkFailure), message: message)
    case HG_FETCH_UNREACHABLE:
      throw TransferFailure(kind: .unreachable, message: "the server cannot be reached", cause: message)
    default:
      throw TransferFailure(
        kind: .dropped, message: "the connection was lost after \(count)\(expected) bytes", cause: message)
    }
    if let total, total != count {
      throw TransferFailure(kind: .dropped, message: "the connection ended after \(count) of \(total) bytes")
    }
    report(.received(byteCount: count, total: total ?? count))
  }

  /// Calls libcurl, which calls back.
  private func perform(_ lines: [String]) -> (code: Int, message: String) {
    let texts = lines.map { Array($0.utf8CString) }
    var pointers: [UnsafePointer<CChar>?] = []
    for text in texts {
      let copy = UnsafeMutablePointer<CChar>.allocate(capacity: text.count)
      copy.initialize(from: text, count: text.count)
      pointers.append(UnsafePointer(copy))
    }
    pointers.append(nil)
    defer { for pointer in pointers { pointer.map { UnsafeMutablePointer(mutating: $0).deallocate() } } }
    var message = [CChar](repeating: 0, count: 512)
    let code = url.withCString { url in
      pointers.withUnsafeBufferPointer { lines in
        var request = hg_fetch_request()
        request.url = url
        request.lines = lines.baseAddress
        request.context = Unmanaged.passUnretained(self).toOpaque()
        request.take_line = { context, line, count in
          guard let transfer = Transfer.of(context) else { return 1 }
          let bytes = UnsafeRawBufferPointer(start: line, count: count)
          return transfer.take(line: String(decoding: bytes, as: UTF8.self)) ? 0 : 1
        }
        request.take_bytes = { context, bytes, count in
          guard let transfer = Transfer.of(context) else { return 1 }
          return transfer.take(UnsafeRawBufferPointer(start: bytes, count: count)) ? 0 : 1
        }
        request.is_over = { context in Transfer.of(context)?.isOver == false ? 0 : 1 }
        return hg_fetch(&request, &message, message.count)
      }
    }
    let text = message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    return (Int(code), String(decoding: text, as: UTF8.self))
  }

  private static func of(_ context: UnsafeMutableRawPointer?) -> Transfer? {
    context.map { Unmanaged<Transfer>.fromOpaque($0).takeUnretainedValue() }
  }

  /// Records the first failure; later ones follow from it.
  private func fail(
    _ kind: TransferFailure.Kind, _ message: String, pauseInSeconds: Double? = nil, cause: String? = nil
  ) {
    if failure == nil {
      failure = TransferFailure(kind: kind, message: message, pauseInSeconds: pauseInSeconds, cause: cause)
    }
  }

  // MARK: What libcurl calls; false ends the transfer

  private func take(line: String) -> Bool {
    lastActivity = monotonicSeconds()
    guard head.add(line) else { return true }
    do throws(HGNetError) {
      try accept(head)
    } catch {
      fail(.local(error.code), error.message, cause: error.cause)
    }
    return failure == nil
  }

  private func take(_ bytes: UnsafeRawBufferPointer) -> Bool {
    lastActivity = monotonicSeconds()
    // What a redirection says is for people.
    guard head.isFinal else { return true }
    if file.count == 0, Transfer.isMarkup(bytes) {
      fail(
        .wrongContent, "expected weights, found a web page (does something between here and the server answer for it?)")
      return false
    }
    guard bytes.count <= maximumByteCount - file.count else {
      fail(.wrongContent, "the server sends more than \(maximumByteCount) bytes")
      return false
    }
    do throws(HGNetError) {
      try file.append(bytes)
    } catch {
      fail(.local(error.code), error.message, cause: error.cause)
      return false
    }
    if monotonicSeconds() - lastReport > 0.1 {
      lastReport = monotonicSeconds()
      report(.received(byteCount: file.count, total: total))
    }
    return true
  }

  private var isOver: Bool {
    if isCancelled() {
      fail(.local(.networkFailure), "the download was cancelled; the next one continues from here")
    } else if monotonicSeconds() - lastActivity > maximumSilenceInSeconds {
      fail(.dropped, "the server was silent for \(maximumSilenceInSeconds) s")
    }
    return failure != nil
  }

  /// Reads the head of an answer, which tells what is coming and whether it is what was asked for.
  private func accept(_ answer: AnswerHead) throws(HGNetError) {
    switch answer.status {
    case 200:
      if let type = answer["content-type"]?.lowercased(), type.hasPrefix("text/html") {
        return fail(
          .wrongContent,
          "expected weights, found a web page (does something between here and the server answer for it?)")
      }
      if offset > 0 { report(.restarting(reason: "the server sends the whole file, not the missing part")) }
      try file.restart()
      total = answer["content-length"].flatMap { Int($0) }
      if let total, total > maximumByteCount {
        return fail(.wrongContent, "the server announces \(total) bytes, more than the limit of \(maximumByteCount)")
      }
      file.remember(.init(url: url, validator: answer.validator, total: total))
    case 206:
      guard let range = answer.contentRange, range.start == offset, offset == file.count, offset > 0 else {
        let found = answer["content-range"] ?? "none"
        return fail(.wrongRange, "asked for the bytes from \(offset), the server sends the range \(found)")
      }
      let known = file.source?.total
      if let known, let total = range.total, known != total {
        return fail(.wrongRange, "the file on the server had \(known) bytes and has \(total) now")
      }
      total = range.total ?? known
    case 416:
      fail(.wrongRange, "the server has no bytes from \(offset) on")
    default:
      let reason = answer.reason.isEmpty ? "" : " (\(answer.reason))"
      fail(
        .status(answer.status), "the server answers \(answer.status)\(reason)",
        pauseInSeconds: answer["retry-after"].flatMap { Double($0) })
    }
  }

  /// Tells HTML and XML from weights by their first bytes; no weights format begins so.
  private static func isMarkup(_ bytes: UnsafeRawBufferPointer) -> Bool {
    let start = String(decoding: bytes.prefix(64), as: UTF8.self).lowercased().drop { $0.isWhitespace }
    return ["<!doctype", "<html", "<?xml", "<head"].contains { start.hasPrefix($0) }
  }
}

/// The head of an HTTP answer, line by line.
struct AnswerHead {
  private(set) var status = 0
  /// What the server says to the status, for people.
  private(set) var reason = ""
  private var fields: [String: String] = [:]
  private var isComplete = false

  /// Takes a line.
  ///
  /// - Returns: true for the one that completes the head of the last answer.
  mutating func add(_ line: String) -> Bool {
    if line.hasPrefix("HTTP/") {
      let parts = line.split(separator: " ", maxSplits: 2).map(String.init)
      self = AnswerHead()
      status = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
      reason = parts.count > 2 ? parts[2] : ""
      return false
    }
    guard line.isEmpty else {
      if let colon = line.firstIndex(of: ":"), !isComplete {
        fields[line[..<colon].lowercased()] = String(line[line.index(after: colon)...].drop { $0 == " " })
      }
      return false
    }
    // Behind the body there may be further fields, and another empty line.
    guard !isComplete else { return false }
    isComplete = true
    return isFinal
  }

  /// Whether this is the answer itself, rather than a word on the way or a redirection that is followed.
  var isFinal: Bool {
    isComplete && status >= 200 && !((300..<400).contains(status) && status != 304 && self["location"] != nil)
  }

  /// A field by its name in lower case.
  subscript(name: String) -> String? { fields[name] }

  /// What tells that a file has not changed: a strong entity tag, or else its date.
  var validator: String? {
    if let tag = self["etag"], !tag.hasPrefix("W/"), tag.utf8.count < 1024 { return tag }
    return self["last-modified"]
  }

  /// The header `Content-Range: bytes START-END/TOTAL`.
  var contentRange: (start: Int, total: Int?)? {
    guard let text = self["content-range"]?.lowercased(), text.hasPrefix("bytes") else { return nil }
    let numbers = text.dropFirst(5).split { " -/".contains($0) }
    guard numbers.count == 3, let start = Int(numbers[0]), let end = Int(numbers[1]), end >= start else { return nil }
    return (start, Int(numbers[2]))
  }
}
