import Foundation
import HGNetCore
import HGNetDownload
import HGNetModels
import Synchronization
import Testing

/// A cache in a folder of its own, the events that it reported, and the file that the tests fetch.
final class Fixture: Sendable {
  let folder: String
  let events = Mutex<[DownloadEvent]>([])
  static let weights = PublishedWeights.all[0]
  /// Not text, and long enough for several pieces.
  static let content = (0..<300_000).map { UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761) >> 7) | 0x80 }

  init() throws {
    folder = NSTemporaryDirectory() + "hgnet-download-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  var finalPath: String { "\(folder)/cache/\(Self.weights.fileName)" }
  var partialPath: String { finalPath + ".partial" }

  func cache(_ mirror: String?, isOffline: Bool = false, silence: Double = 5, limit: Int = 1 << 20) throws
    -> PublishedWeightsCache
  {
    var cache = try PublishedWeightsCache(
      folder: folder + "/cache", mirror: mirror, isOffline: isOffline, environment: [:])
    cache.retryPolicy = RetryPolicy(
      pausesInSeconds: [0.01, 0.01, 0.01], maximumAttempts: 10, maximumSilenceInSeconds: silence)
    cache.maximumByteCount = limit
    return cache
  }

  /// Fetches with a check that wants exactly the content.
  func fetch(
    _ mirror: String?, isOffline: Bool = false, silence: Double = 5, limit: Int = 1 << 20
  ) async throws -> String {
    let cache = try cache(mirror, isOffline: isOffline, silence: silence, limit: limit)
    let isCancelled = Atomic(false)
    // A thread of its own, since Swift's must not wait.
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread {
          continuation.resume(
            with: Result {
              try cache.path(for: Self.weights) { (path) throws(HGNetError) in
                guard FileManager.default.contents(atPath: path).map(Array.init) == Fixture.content else {
                  throw HGNetError(.malformedData, "not the content", path: path)
                }
              } isCancelled: {
                isCancelled.load(ordering: .relaxed)
              } report: { event in
                self.events.withLock { $0.append(event) }
              }
            })
        }
      }
    } onCancel: {
      isCancelled.store(true, ordering: .relaxed)
    }
  }

  func error(_ mirror: String?, isOffline: Bool = false, limit: Int = 1 << 20) async throws -> HGNetError {
    try await #require(throws: HGNetError.self) {
      _ = try await self.fetch(mirror, isOffline: isOffline, limit: limit)
    }
  }

  var leftovers: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: folder + "/cache")) ?? []).sorted() }
  var partialByteCount: Int { FileManager.default.contents(atPath: partialPath)?.count ?? 0 }
  var bytes: [UInt8]? { FileManager.default.contents(atPath: finalPath).map(Array.init) }
}

@Suite("Fetching published weights")
struct PublishedWeightsCacheTests {
  let content = Fixture.content

  @Test("writes the file once; the second time nothing is asked")
  func once() async throws {
    let fixture = try Fixture()
    let server = LocalServer { .part(of: Fixture.content, for: $0) }
    #expect(try await fixture.fetch(server.base) == fixture.finalPath)
    #expect(fixture.bytes == content)
    #expect(fixture.leftovers == [Fixture.weights.fileName])
    #expect(try await fixture.fetch(server.base) == fixture.finalPath)
    #expect(try await fixture.fetch("http://127.0.0.1:1", isOffline: true) == fixture.finalPath)
    #expect(server.requests.map(\.path) == ["/" + Fixture.weights.path])
    let events = fixture.events.withLock { $0 }
    #expect(events.contains(.received(byteCount: content.count, total: content.count)))
    #expect(events.last == .checking)
  }

  @Test("continues where the connection was dropped", arguments: ["\"one\"", nil])
  func resumes(tag: String?) async throws {
    let fixture = try Fixture()
    let server = LocalServer { request in
      let answer = LocalServer.Answer.part(of: Fixture.content, for: request, tag: tag)
      return request.index < 2 ? answer.dropped(after: 100_000) : answer
    }
    _ = try await fixture.fetch(server.base)
    #expect(fixture.bytes == content)
    #expect(server.requests.map(\.rangeStart) == [nil, 100_000, 200_000])
    #expect(server.requests.map { $0.headers["if-range"] } == [nil, tag, tag])
  }

  @Test("continues in a later run, and starts again if the file has changed since", arguments: [false, true])
  func laterRun(hasChanged: Bool) async throws {
    let fixture = try Fixture()
    do {
      let server = LocalServer { .part(of: Fixture.content, for: $0).dropped(after: $0.index == 0 ? 120_000 : 0) }
      let error = try await fixture.error(server.base)
      #expect(error.code == .networkFailure)
      #expect(error.message.contains("120000 of 300000 bytes"))
      // The address must stay the same for the second server: tell the partial file about it.
      #expect(fixture.leftovers.count == 2)
      let later = LocalServer { request in
        .part(of: Fixture.content, for: request, tag: hasChanged ? "\"two\"" : "\"one\"")
      }
      let source = fixture.partialPath + ".source"
      let text = try String(contentsOfFile: source, encoding: .utf8)
      try text.replacingOccurrences(of: ":\(server.port)", with: ":\(later.port)")
        .write(toFile: source, atomically: true, encoding: .utf8)
      _ = try await fixture.fetch(later.base)
      #expect(later.requests.map(\.rangeStart) == [120_000])
    }
    #expect(fixture.bytes == content)
    let hasRestarted = fixture.events.withLock { $0.contains { if case .restarting = $0 { true } else { false } } }
    #expect(hasRestarted == hasChanged)
  }

  @Test("starts again when the server ignores the range, and gives up after a bounded number of attempts")
  func ignoresRange() async throws {
    let fixture = try Fixture()
    let server = LocalServer { request in
      let answer = LocalServer.Answer(body: Fixture.content, headers: ["ETag": "\"one\""])
      return request.index < 2 ? answer.dropped(after: 150_000) : answer
    }
    _ = try await fixture.fetch(server.base)
    #expect(fixture.bytes == content)

    let hopeless = LocalServer { _ in
      LocalServer.Answer(body: Fixture.content, headers: ["ETag": "\"one\""]).dropped(after: 150_000)
    }
    let other = try Fixture()
    let error = try await other.error(hopeless.base)
    #expect(error.code == .networkFailure)
    #expect(hopeless.requests.count == 4)
  }

  @Test("starts again when the server sends another part than the one asked for, or none")
  func wrongRange() async throws {
    for status in ["206 Partial Content", "416 Range Not Satisfiable"] {
      let fixture = try Fixture()
      let server = LocalServer { request in
        guard request.rangeStart != nil else {
          let answer = LocalServer.Answer(body: Fixture.content, headers: ["ETag": "\"one\""])
          return request.index == 0 ? answer.dropped(after: 1000) : answer
        }
        return LocalServer.Answer(
          status: status, body: Array(Fixture.content[5...]), headers: ["Content-Range": "bytes 5-299999/300000"])
      }
      _ = try await fixture.fetch(server.base)
      #expect(fixture.bytes == content)
      #expect(server.requests.map(\.rangeStart) == [nil, 1000, nil])
    }
  }

  @Test(
    "names a refusal, and does not insist where that is of no use",
    arguments: [("404 Not Found", 2), ("403 Forbidden", 1), ("410 Gone", 1), ("500 Internal Server Error", 4)])
  func refusals(status: String, requests: Int) async throws {
    let fixture = try Fixture()
    let server = LocalServer { _ in LocalServer.Answer(status: status, body: Array("no".utf8)) }
    let error = try await fixture.error(server.base)
    #expect(error.code == .networkFailure)
    #expect(error.message.contains(status.prefix(3)))
    #expect(error.message.contains(server.base))
    #expect(error.message.contains("--weights FILE") && error.message.contains("make demo"))
    #expect(server.requests.count == requests)
    #expect(fixture.leftovers.isEmpty)
  }

  @Test("asks again after the server was busy")
  func busy() async throws {
    let fixture = try Fixture()
    let server = LocalServer { request in
      request.index == 0
        ? LocalServer.Answer(status: "503 Service Unavailable", headers: ["Retry-After": "0"])
        : .part(of: Fixture.content, for: request)
    }
    _ = try await fixture.fetch(server.base)
    #expect(server.requests.count == 2)
  }

  @Test("takes files that a mirror has side by side")
  func flatMirror() async throws {
    let fixture = try Fixture()
    let server = LocalServer { request in
      request.path == "/mirror/\(Fixture.weights.fileName)"
        ? .part(of: Fixture.content, for: request) : LocalServer.Answer(status: "404 Not Found")
    }
    _ = try await fixture.fetch(server.base + "/mirror/")
    #expect(fixture.bytes == content)
    #expect(server.requests.count == 2)
  }

  @Test("keeps nothing that does not pass the check")
  func unreadable() async throws {
    let fixture = try Fixture()
    let server = LocalServer { .part(of: Array(Fixture.content.dropLast()), for: $0) }
    let error = try await fixture.error(server.base)
    #expect(error.code == .networkFailure)
    #expect(error.message.contains("not a readable weights file"))
    #expect(error.cause?.contains("not the content") == true)
    #expect(fixture.leftovers.isEmpty)
  }

  @Test("fetches all of it again when bytes of an earlier run spoil the file")
  func spoiled() async throws {
    let fixture = try Fixture()
    try FileManager.default.createDirectory(atPath: fixture.folder + "/cache", withIntermediateDirectories: true)
    let server = LocalServer { .part(of: Fixture.content, for: $0) }
    try Data(repeating: 7, count: 1000).write(to: URL(fileURLWithPath: fixture.partialPath))
    try "\(server.base)/\(Fixture.weights.path)\n\"one\"\n300000\n"
      .write(toFile: fixture.partialPath + ".source", atomically: true, encoding: .utf8)
    _ = try await fixture.fetch(server.base)
    #expect(fixture.bytes == content)
    #expect(server.requests.map(\.rangeStart) == [1000, nil])
  }

  @Test("tells a web page from weights", arguments: ["text/html; charset=utf-8", "application/octet-stream"])
  func webPage(type: String) async throws {
    let fixture = try Fixture()
    let page = Array("\n<!DOCTYPE html><html><body>Please log in.</body></html>".utf8)
    let server = LocalServer { _ in LocalServer.Answer(body: page, headers: ["Content-Type": type]) }
    let error = try await fixture.error(server.base)
    #expect(error.code == .networkFailure)
    #expect(error.message.contains("web page"))
    #expect(server.requests.count == 1)
    #expect(fixture.leftovers.isEmpty)
  }

  @Test("waits for a slow server but not for a silent one")
  func slow() async throws {
    let fixture = try Fixture()
    let slow = LocalServer { request in
      var answer = LocalServer.Answer.part(of: Fixture.content, for: request)
      answer.pieceSize = 7_500
      answer.pauseInSeconds = 0.3
      return answer
    }
    // 12 seconds in all, but never as long without a word, even on a busy machine.
    _ = try await fixture.fetch(slow.base, silence: 10)
    #expect(slow.requests.count == 1)

    let silent = LocalServer { request in
      var answer = LocalServer.Answer.part(of: Fixture.content, for: request)
      if request.index == 0 { answer.silentAfter = 100_000 }
      return answer
    }
    let other = try Fixture()
    _ = try await other.fetch(silent.base, silence: 1)
    #expect(other.bytes == content)
    // What of the first bytes had been kept when the client gave up is the client's affair.
    let starts = silent.requests.map(\.rangeStart)
    #expect(starts.count >= 2 && starts[0] == nil)
  }

  @Test("refuses more bytes than the limit, announced or not")
  func limit() async throws {
    for isAnnounced in [true, false] {
      let fixture = try Fixture()
      let server = LocalServer { _ in
        var answer = LocalServer.Answer(body: Fixture.content)
        if !isAnnounced { answer.announcedLength = nil }
        return answer
      }
      let error = try await fixture.error(server.base, limit: 200_000)
      #expect(error.code == .networkFailure)
      #expect(error.message.contains("200000"))
    }
  }

  @Test("takes a body of unknown length")
  func unknownLength() async throws {
    let fixture = try Fixture()
    let server = LocalServer { _ in
      var answer = LocalServer.Answer(body: Fixture.content)
      answer.announcedLength = nil
      return answer
    }
    _ = try await fixture.fetch(server.base)
    #expect(fixture.bytes == content)
  }

  @Test("says that the server cannot be reached, and both ways out")
  func unreachable() async throws {
    let fixture = try Fixture()
    // A port that was free a moment ago.
    let port = LocalServer { _ in LocalServer.Answer() }.port
    let error = try await fixture.error("http://127.0.0.1:\(port)")
    #expect(error.code == .networkFailure)
    #expect(error.message.contains("cannot be reached"))
    #expect(error.message.contains("--weights FILE") && error.message.contains("make demo"))
  }

  @Test("fetches a file once for two tasks that want it at the same time")
  func twoAtOnce() async throws {
    let fixture = try Fixture()
    let server = LocalServer { request in
      var answer = LocalServer.Answer.part(of: Fixture.content, for: request)
      answer.pauseInSeconds = 0.05
      return answer
    }
    async let first = fixture.fetch(server.base)
    async let second = fixture.fetch(server.base)
    #expect(try await [first, second] == [fixture.finalPath, fixture.finalPath])
    #expect(server.requests.count == 1)
    #expect(fixture.bytes == content)
    #expect(fixture.leftovers == [Fixture.weights.fileName])
  }

  @Test("stops when the task is cancelled and keeps what is there")
  func cancellation() async throws {
    let fixture = try Fixture()
    let server = LocalServer { request in
      var answer = LocalServer.Answer.part(of: Fixture.content, for: request)
      answer.pieceSize = 10_000
      answer.pauseInSeconds = 1
      return answer
    }
    let task = Task { try await fixture.fetch(server.base, silence: 60) }
    while fixture.partialByteCount == 0 { try await Task.sleep(for: .milliseconds(20)) }
    task.cancel()
    let result = await task.result
    #expect(throws: HGNetError.self) { try result.get() }
    // The whole file would have taken half a minute more; no clock is asked, since this machine may be a busy one.
    #expect(!fixture.leftovers.contains(Fixture.weights.fileName))
    #expect((1..<content.count).contains(fixture.partialByteCount))
  }
}

@Suite("Where weights are fetched from and to")
struct PublishedWeightsCachePlaceTests {
  @Test(
    "is a folder of the user's cache",
    arguments: [
      (["XDG_CACHE_HOME": "/x/cache", "HOME": "/h"], "/x/cache/hgnet"), (["HOME": "/h"], "/h/.cache/hgnet"),
      (["XDG_CACHE_HOME": "relative", "HOME": "/h"], "/h/.cache/hgnet"),
    ])
  func folder(environment: [String: String], expected: String) throws {
    #expect(try PublishedWeightsCache(environment: environment).folder == expected)
  }

  @Test("is an error when neither variable is of use")
  func noFolder() {
    let error = #expect(throws: HGNetError.self) { try PublishedWeightsCache(environment: ["HOME": ""]) }
    #expect(error?.code == .unwritableFile)
    #expect(error?.message.contains("XDG_CACHE_HOME") == true && error?.message.contains("HOME") == true)
  }

  @Test("is an error when the folder cannot be made")
  func unwritable() async throws {
    let fixture = try Fixture()
    #expect(FileManager.default.createFile(atPath: fixture.folder + "/cache", contents: nil))
    let error = try await fixture.error("http://127.0.0.1:1")
    #expect(error.code == .unwritableFile)
    #expect(error.context.path == fixture.folder + "/cache")
  }

  @Test("is never the network when offline")
  func offline() async throws {
    let fixture = try Fixture()
    let server = LocalServer { .part(of: Fixture.content, for: $0) }
    let error = try await fixture.error(server.base, isOffline: true)
    #expect(error.code == .fileNotFound)
    #expect(error.message.contains("--weights FILE") && error.message.contains("make demo"))
    #expect(server.requests.isEmpty)
    #expect(fixture.leftovers.isEmpty)
  }

  @Test("may be a folder of files, as a path or as an address", arguments: ["", "file://"])
  func folderMirror(prefix: String) async throws {
    let fixture = try Fixture()
    let mirror = fixture.folder + "/mirror"
    try FileManager.default.createDirectory(atPath: mirror, withIntermediateDirectories: true)
    let missing = try await fixture.error(prefix + mirror)
    #expect(missing.code == .networkFailure)
    #expect(missing.message.contains(mirror))
    try Data(Fixture.content).write(to: URL(fileURLWithPath: "\(mirror)/\(Fixture.weights.fileName)"))
    _ = try await fixture.fetch(prefix + mirror)
    #expect(fixture.bytes == Fixture.content)
    #expect(fixture.leftovers == [Fixture.weights.fileName])
  }

  @Test("must be an address", arguments: ["ftp://example.org/x", "nonsense", "http://", "://"])
  func badMirror(mirror: String) {
    let error = #expect(throws: HGNetError.self) {
      try PublishedWeightsCache(environment: ["HOME": "/h", "HGNET_WEIGHTS_URL": mirror])
    }
    #expect(error?.code == .invalidArgument)
    #expect(error?.context.key == "HGNET_WEIGHTS_URL")
  }

  @Test("is the publisher's server when the variable is empty")
  func emptyMirror() throws {
    #expect(try PublishedWeightsCache(environment: ["HOME": "/h", "HGNET_WEIGHTS_URL": ""]).mirror == nil)
  }
}
