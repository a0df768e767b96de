import Foundation
import Synchronization

/// An HTTP server for tests: a thread per connection, and every bad manner that a server can have.
final class LocalServer: Sendable {
  /// What it answers to one request.
  struct Answer: Sendable {
    var status = "200 OK"
    var headers: [String: String] = [:]
    var body: [UInt8] = []
    /// The length that the header promises; nil sends no such header.
    var announcedLength: Int?
    /// Closes the connection after so many bytes of the body.
    var dropAfter: Int?
    /// Says nothing more after so many bytes of the body, until the client hangs up.
    var silentAfter: Int?
    /// Pauses between pieces of the body.
    var pieceSize = 1 << 16
    var pauseInSeconds = 0.0

    init(status: String = "200 OK", body: [UInt8] = [], headers: [String: String] = [:]) {
      self.status = status
      self.body = body
      self.headers = headers
      announcedLength = body.count
    }
  }

  /// What it was asked.
  struct Request: Sendable {
    var path: String
    /// Names in lower case.
    var headers: [String: String]
    /// How many requests came before this one.
    var index: Int

    /// The first byte asked for.
    var rangeStart: Int? {
      headers["range"].flatMap { $0.hasPrefix("bytes=") ? Int($0.dropFirst(6).prefix { $0.isNumber }) : nil }
    }
  }

  let port: UInt16
  var base: String { "http://127.0.0.1:\(port)" }
  var requests: [Request] { state.withLock { $0 } }

  private let descriptor: Int32
  private let state = Mutex<[Request]>([])

  init(_ handler: @escaping @Sendable (Request) -> Answer) {
    signal(SIGPIPE, SIG_IGN)
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    port = withUnsafeMutablePointer(to: &address) { [descriptor] pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        precondition(bind(descriptor, $0, length) == 0 && listen(descriptor, 16) == 0)
        precondition(getsockname(descriptor, $0, &length) == 0)
      }
      return UInt16(bigEndian: pointer.pointee.sin_port)
    }
    let thread = Thread { [weak self, descriptor] in
      while true {
        let connection = accept(descriptor, nil, nil)
        guard connection >= 0 else { return }
        guard let self else {
          close(connection)
          return
        }
        Thread.detachNewThread {
          self.serve(connection, handler)
          close(connection)
        }
      }
    }
    thread.start()
  }

  deinit {
    shutdown(descriptor, Int32(SHUT_RDWR))
    close(descriptor)
  }

  private func serve(_ connection: Int32, _ handler: (Request) -> Answer) {
    var head: [UInt8] = []
    var byte: UInt8 = 0
    while head.suffix(4) != [13, 10, 13, 10] {
      guard head.count < 65536, recv(connection, &byte, 1, 0) == 1 else { return }
      head.append(byte)
    }
    let lines = String(decoding: head, as: UTF8.self).components(separatedBy: "\r\n")
    let words = lines[0].split(separator: " ")
    guard words.count == 3 else { return }
    var headers: [String: String] = [:]
    for line in lines.dropFirst() {
      let parts = line.split(separator: ":", maxSplits: 1)
      if parts.count == 2 { headers[parts[0].lowercased()] = parts[1].trimmingCharacters(in: .whitespaces) }
    }
    let request = state.withLock { requests in
      requests.append(Request(path: String(words[1]), headers: headers, index: requests.count))
      return requests[requests.count - 1]
    }
    let answer = handler(request)
    var text = "HTTP/1.1 \(answer.status)\r\nConnection: close\r\n"
    if let announced = answer.announcedLength { text += "Content-Length: \(announced)\r\n" }
    for (name, value) in answer.headers { text += "\(name): \(value)\r\n" }
    guard send(Array((text + "\r\n").utf8), to: connection) else { return }
    var rest = answer.body.prefix(answer.dropAfter ?? answer.silentAfter ?? answer.body.count)
    while !rest.isEmpty {
      guard send(Array(rest.prefix(answer.pieceSize)), to: connection) else { return }
      rest = rest.dropFirst(answer.pieceSize)
      if answer.pauseInSeconds > 0 { Thread.sleep(forTimeInterval: answer.pauseInSeconds) }
    }
    if answer.silentAfter != nil { while recv(connection, &byte, 1, 0) > 0 {} }
  }

  private func send(_ bytes: [UInt8], to connection: Int32) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
      let sent = rest.withUnsafeBytes { Foundation.send(connection, $0.baseAddress, $0.count, 0) }
      guard sent > 0 else { return false }
      rest = rest.dropFirst(sent)
    }
    return true
  }
}

extension LocalServer.Answer {
  /// The part of a body that a request asks for, as a well-behaved server sends it.
  static func part(of body: [UInt8], for request: LocalServer.Request, tag: String? = "\"one\"") -> Self {
    var headers = ["Accept-Ranges": "bytes"]
    headers["ETag"] = tag
    let isSame = request.headers["if-range"].map { $0 == tag } ?? true
    guard let start = request.rangeStart, isSame else { return Self(body: body, headers: headers) }
    guard start < body.count else {
      return Self(status: "416 Range Not Satisfiable", headers: ["Content-Range": "bytes */\(body.count)"])
    }
    headers["Content-Range"] = "bytes \(start)-\(body.count - 1)/\(body.count)"
    return Self(status: "206 Partial Content", body: Array(body[start...]), headers: headers)
  }

  /// The same answer, cut off after some bytes of its body.
  func dropped(after count: Int) -> Self {
    var copy = self
    copy.dropAfter = count
    return copy
  }
}
