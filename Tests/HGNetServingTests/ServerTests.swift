#if Serving
  import Foundation
  import GRPCCore
  import GRPCNIOTransportHTTP2
  import HGNetCore
  import HGNetServing
  import Synchronization
  import Testing

  @Suite("A server on its ports", .serialized)
  struct ServerTests {
    let fixture = ServingFixture()

    /// A server that runs, with what its log says.
    private final class Running: Sendable {
      private let lines = Mutex<[String]>([])
      private let stopping = Mutex<AsyncStream<Void>.Continuation?>(nil)
      private let work = Mutex<Task<HGNetError?, Never>?>(nil)

      init(_ fixture: ServingFixture, clientLimit: Int? = nil) {
        let log = ServingLog(level: .info, isJSON: false) { [weak self] line in
          self?.lines.withLock { $0.append(line) }
        }
        let models = ModelRepository(
          source: .folder(ModelFolder(path: fixture.folder.path)), device: .cpu(fixture.pool), limits: Batcher.Limits(),
          log: log)
        let state = ServingState(
          repository: models, log: log, token: nil, requestTimeout: .seconds(30), clientLimit: clientLimit)
        var settings = ServingConfiguration()
        settings.port = 0
        settings.grpcPort = 0
        settings.brpcPort = 0
        settings.bodyLimit = 1 << 20
        settings.drainDelaySeconds = 0
        settings.drainSeconds = 10
        let configuration = settings
        let (stops, stopping) = AsyncStream<Void>.makeStream()
        self.stopping.withLock { $0 = stopping }
        work.withLock {
          $0 = Task {
            do throws(HGNetError) {
              try await Server(state: state, configuration: configuration).run(mustLoadAll: false, stops: stops)
              return nil
            } catch { return error }
          }
        }
      }

      /// The lines about requests.
      var requests: [String] { lines.withLock { $0.filter { $0.contains(" info: request ") } } }

      /// Waits until the log has something.
      func wait(_ isThere: ([String]) -> Bool) async throws {
        for _ in 0..<600 {
          if lines.withLock({ isThere($0) }) { return }
          try await Task.sleep(for: .milliseconds(50))
        }
        Issue.record("what was waited for did not come: \(lines.withLock { $0.suffix(5) })")
      }

      /// The port of a protocol.
      func port(_ name: String) async throws -> Int {
        func found(_ lines: [String]) -> Int? {
          lines.first { $0.contains("listening protocol=\(name) ") }
            .flatMap { $0.split(separator: "port=").last.flatMap { Int($0) } }
        }
        try await wait { lines in found(lines) != nil && lines.contains { $0.hasSuffix(": ready") } }
        return lines.withLock { found($0) } ?? 0
      }

      /// Ends the server, and waits for it.
      func stop() async -> HGNetError? {
        stopping.withLock { _ = $0?.yield() }
        return await work.withLock { $0 }?.value
      }
    }

    /// A connection in bytes; its calls wait on threads of their own.
    private final class Peer: Sendable {
      private let descriptor: Int32

      init(_ port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(truncatingIfNeeded: port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var time = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        let status = withUnsafePointer(to: &address) {
          $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
          }
        }
        guard status == 0 else { throw BRPCFrames.Malformed() }
      }

      deinit { close(descriptor) }

      /// Sends bytes and reads until the answer is whole, or the connection ends.
      func ask(_ bytes: [UInt8], until isWhole: @escaping @Sendable ([UInt8]) -> Bool) async -> [UInt8] {
        await withCheckedContinuation { continuation in
          DispatchQueue.global().async { [descriptor] in
            var sent = 0
            while sent < bytes.count {
              let count = bytes[sent...].withUnsafeBytes {
                send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
              }
              guard count > 0 else { break }
              sent += count
            }
            var found: [UInt8] = []
            var part = [UInt8](repeating: 0, count: 1 << 16)
            while !isWhole(found) {
              let count = recv(descriptor, &part, part.count, 0)
              guard count > 0 else { break }
              found += part[..<count]
            }
            continuation.resume(returning: found)
          }
        }
      }

      /// The answers to messages of bRPC.
      func answers(_ count: Int, to bytes: [UInt8]) async throws -> [BRPCFrames.Answer] {
        let all = await ask(bytes) { Peer.split($0).count >= count }
        return try Peer.split(all).map { try BRPCFrames.answer($0) }
      }

      /// Whole messages of bRPC.
      private static func split(_ bytes: [UInt8]) -> [[UInt8]] {
        var (found, rest): ([[UInt8]], ArraySlice<UInt8>) = ([], bytes[...])
        while let head = BRPC.Head(rest), rest.count >= BRPC.headSize + head.bodySize {
          found.append(Array(rest.prefix(BRPC.headSize + head.bodySize)))
          rest = rest.dropFirst(BRPC.headSize + head.bodySize)
        }
        return found
      }

      /// The status and the body of an answer over HTTP.
      func http(_ method: String, _ path: String, _ body: [UInt8] = [], type: String = "") async -> (Int, [UInt8]) {
        let head =
          "\(method) \(path) HTTP/1.1\r\nHost: a\r\nContent-Type: \(type)\r\nContent-Length: \(body.count)\r\n\r\n"
        let all = await ask(Array(head.utf8) + body) { Peer.parts($0) != nil }
        return Peer.parts(all) ?? (0, all)
      }

      private static func parts(_ bytes: [UInt8]) -> (Int, [UInt8])? {
        let end = Array("\r\n\r\n".utf8)
        guard let place = bytes.indices.first(where: { bytes[$0...].starts(with: end) }) else { return nil }
        let lines = String(decoding: bytes[..<place], as: UTF8.self).lowercased().split(separator: "\r\n")
        guard let status = lines.first?.split(separator: " ").dropFirst().first.flatMap({ Int($0) }),
          let size = lines.first(where: { $0.hasPrefix("content-length: ") }).flatMap({ Int($0.dropFirst(16)) }),
          bytes.count >= place + 4 + size
        else { return nil }
        return (status, Array(bytes[(place + 4)...]))
      }
    }

    @Test("The date of answers is that of other programs")
    func dates() {
      // date -u -d @784111777 "+%a, %d %b %Y %H:%M:%S GMT", which is RFC 9110's example
      #expect(HTTPDate.text(of: 784_111_777) == "Sun, 06 Nov 1994 08:49:37 GMT")
      #expect(HTTPDate.text(of: 1_709_164_800) == "Thu, 29 Feb 2024 00:00:00 GMT")
    }

    private struct BytesSerializer: MessageSerializer {
      func serialize<Bytes: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Bytes { Bytes(message) }
    }

    private struct BytesDeserializer: MessageDeserializer {
      func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> [UInt8] {
        bytes.withUnsafeBytes { Array($0) }
      }
    }

    /// The answer to a call over gRPC.
    private func grpc(_ port: Int, _ service: String, _ method: String, _ message: [UInt8]) async throws -> [UInt8] {
      let transport = try HTTP2ClientTransport.Posix(
        target: .ipv4(address: "127.0.0.1", port: port), transportSecurity: .plaintext)
      return try await withGRPCClient(transport: transport) { client in
        try await client.unary(
          request: ClientRequest(message: message),
          descriptor: MethodDescriptor(fullyQualifiedService: service, method: method), serializer: BytesSerializer(),
          deserializer: BytesDeserializer(), options: .defaults
        ) { try $0.message }
      }
    }

    @Test("One picture over every protocol and every port: the same probabilities, one line each")
    func everyPort() async throws {
      try fixture.place("shapes", version: 1, seed: 5)
      let server = Running(fixture)
      let (http, rpc, one) = try await (server.port("http"), server.port("grpc"), server.port("brpc"))
      let message = BRPCFrames.request([BRPCFrames.text(try fixture.picture())])
      let answer = try await Peer(one).answers(1, to: BRPCFrames.frame(message))[0]
      let expected = try BRPCFrames.outputs(answer.payload)[0].floats
      #expect(expected.count == 5)
      for port in [http, one] {
        let (status, body) = try await Peer(port).http(
          "POST", "/GeneralModelService/inference", message, type: "application/proto")
        #expect(status == 200)
        #expect(try BRPCFrames.outputs(body)[0].floats == expected)
        #expect(try await Peer(port).http("GET", "/health").1 == Array("OK".utf8))
      }
      for port in [rpc, one] {
        let bytes = try await grpc(port, GeneralModel.fullService, "inference", message)
        #expect(try BRPCFrames.outputs(bytes)[0].floats == expected)
        await #expect(throws: RPCError.self) { try await grpc(port, GeneralModel.fullService, "inference", [0xFF]) }
      }
      let control = try await grpc(rpc, "inference.GRPCInferenceService", "ServerLive", [])
      #expect(control == [8, 1])
      try await server.wait { $0.filter { $0.contains(" info: request ") }.count >= 10 }
      let protocols = server.requests.compactMap { $0.split(separator: "protocol=").last?.split(separator: " ").first }
      #expect(protocols.filter { $0 == "brpc" }.count == 1)
      #expect(protocols.filter { $0 == "http" }.count == 4)
      #expect(protocols.filter { $0 == "grpc" }.count == 5)
      #expect(await server.stop() == nil)
      #expect(throws: BRPCFrames.Malformed.self) { try Peer(one) }
    }

    @Test("Who speaks another protocol than a port does is told where it is answered, and leaves one line")
    func wrongPorts() async throws {
      try fixture.place("shapes", version: 1, seed: 5)
      let server = Running(fixture)
      let (http, rpc, one) = try await (server.port("http"), server.port("grpc"), server.port("brpc"))
      let get = Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
      let hello: [UInt8] = [0x16, 3, 1, 0, 200] + [UInt8](repeating: 0, count: 200)
      let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]
      let frame = BRPCFrames.frame(BRPCFrames.request([BRPCFrames.text([1])]), correlationID: 12)
      func told(_ port: Int, _ bytes: [UInt8]) async throws -> [UInt8] {
        try await Peer(port).ask(bytes) { _ in false }
      }

      // HTTP at the port of gRPC, also with a body that is not read.
      for bytes in [get, get + [UInt8](repeating: 7, count: 1 << 20), Array("GET /\r\n".utf8)] {
        let text = String(decoding: try await told(rpc, bytes), as: UTF8.self)
        #expect(text.hasPrefix("HTTP/1.1 400 ") && text.hasSuffix("this port is for gRPC; HTTP is on port \(http)\n"))
      }
      for port in [http, rpc, one] { #expect(try await told(port, hello) == [0x15, 3, 1, 0, 2, 2, 0x28]) }
      let words = String(decoding: try await told(http, preface), as: UTF8.self)
      #expect(words.hasPrefix("HTTP/1.1 400 ") && words.hasSuffix("this port is for HTTP; gRPC is on port \(rpc)\n"))
      for (port, title) in [(http, "HTTP"), (rpc, "gRPC")] {
        let answer = try BRPCFrames.answer(await told(port, frame))
        #expect(answer.number == 1003 && answer.correlationID == 12)
        #expect(answer.text == "this port is for \(title); bRPC is on port \(one)")
      }
      #expect(try await told(rpc, Array("SSH-2.0-x\r\n".utf8)).isEmpty)
      // What is no request.
      for port in [http, one] {
        for bytes in [Array("GET\r\n\r\n".utf8), Array("GET / HTTP/9.x\r\n\r\n".utf8)] {
          let text = String(decoding: try await told(port, bytes), as: UTF8.self)
          #expect(text.hasPrefix("HTTP/1.1 400 ") && text.contains("expected a request of HTTP/1.1"), "\(text)")
        }
      }
      try await server.wait { $0.filter { $0.contains("outcome=invalidRequest") }.count >= 14 }
      #expect(server.requests.count == 14)
      #expect(server.requests.filter { $0.contains("found=tls") }.count == 3)
      // The ports go on.
      #expect(try await Peer(http).http("GET", "/health").1 == Array("OK".utf8))
      #expect(try await grpc(rpc, "inference.GRPCInferenceService", "ServerLive", []) == [8, 1])
      #expect(await server.stop() == nil)
    }

    @Test("Many requests of one connection, refusals between them, and what makes no sense")
    func connections() async throws {
      try fixture.place("shapes", version: 1, seed: 5)
      let server = Running(fixture)
      let port = try await server.port("brpc")
      let good = BRPCFrames.request([BRPCFrames.text(try fixture.picture())])
      let bytes = (0..<90).flatMap { place in
        BRPCFrames.frame(place % 3 == 2 ? [0xFF] : good, correlationID: place)
      }
      let answers = try await Peer(port).answers(90, to: bytes)
      #expect(answers.map(\.correlationID).sorted() == Array(0..<90))
      for answer in answers { #expect(answer.number == (answer.correlationID % 3 == 2 ? 1003 : 0)) }
      #expect(try await Peer(port).ask([0x16, 3, 1, 0, 1], until: { _ in false }) == [0x15, 3, 1, 0, 2, 2, 0x28])
      #expect(try await Peer(port).ask(Array("XRPC".utf8), until: { _ in false }).isEmpty)
      #expect(try await Peer(port).ask(BRPC.magic + [0xFF], until: { _ in true }).isEmpty)
      // Who leaves takes its requests along.
      do {
        let peer = try Peer(port)
        _ = await peer.ask((0..<40).flatMap { BRPCFrames.frame(good, correlationID: $0) }, until: { _ in true })
      }
      try await server.wait { $0.contains { $0.hasSuffix("outcome=cancelled") } }
      #expect(await server.stop() == nil)
    }
  }
#endif
