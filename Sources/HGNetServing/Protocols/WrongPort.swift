#if Serving
  import HGNetCore
  import NIOCore

  /// What is told to a client that speaks another protocol than the port which it has found: an answer that it can read,
  /// where its protocol has one, and a line in the log.
  ///
  /// Threads: a value, safe to share.
  struct WrongPort: Sendable {
    private let name: String
    private let title: String
    private let isSecret: Bool
    private let state: ServingState
    private let listeners: Listeners

    /// Describes a port.
    ///
    /// - Parameters:
    ///   - name: its protocol, as in the log.
    ///   - title: its protocol, for people.
    ///   - isSecret: whether it wants TLS.
    init(name: String, title: String, isSecret: Bool = false, state: ServingState, listeners: Listeners) {
      self.name = name
      self.title = title
      self.isSecret = isSecret
      self.state = state
      self.listeners = listeners
    }

    /// A handler that lets through what the port is for.
    ///
    /// - Parameters:
    ///   - kinds: what that is, if it is not TLS.
    ///   - timeout: after which a connection that says nothing is closed.
    func guardian(allowing kinds: Set<FirstBytes.Kind>, timeout: TimeAmount) -> FirstBytes {
      FirstBytes(timeout: timeout) { kind, _ in
        (isSecret ? kind == .tls : kinds.contains(kind)) ? .goOn : refusal(of: kind)
      }
    }

    /// Counts and logs a connection that is at the wrong place, and says what it is told.
    func refusal(of kind: FirstBytes.Kind) -> FirstBytes.Decision {
      let text = text(for: kind)
      var call = ServingCall(transport: name, protocolName: name, method: "-", operation: "other")
      call.isOpen = true
      let (state, passing) = (state, call)
      Task {
        let found = [("found", kind.rawValue)]
        _ = await state.pass(passing, logged: { _ in found }) { (_) throws(ServingError) -> Void in
          throw ServingError(.invalidRequest, text)
        }
      }
      return .end { bytes in
        switch kind {
        // Clients of gRPC take HTTP/1.1 for what it is and wait before they try again; after a GOAWAY they would do it at once.
        case .http1, .http2: WrongPort.http(text)
        // A fatal alert, "handshake failure".
        case .tls: [0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x28]
        case .brpc: WrongPort.brpc(text, bytes)
        case .unknown: []
        }
      }
    }

    private func text(for kind: FirstBytes.Kind) -> String {
      let here = "this port is for \(title)" + (isSecret ? " with TLS" : "")
      let other: (title: String, name: String)
      switch kind {
      case .http1: other = ("HTTP", HTTPProtocol.protocolName)
      case .http2: other = ("gRPC", GRPCProtocol.protocolName)
      case .brpc: other = ("bRPC", BRPCProtocol.protocolName)
      case .tls: return here + ", without TLS"
      case .unknown: return here
      }
      guard other.name != name else { return here }
      guard let port = listeners[other.name].address?.port else { return here + "; this server has no \(other.title)" }
      return here + "; \(other.title) is on port \(port)"
    }

    /// A refusal over HTTP/1.1.
    private static func http(_ text: String) -> [UInt8] {
      let body = text + "\n"
      let head =
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: \(body.utf8.count)\r\n"
        + "Connection: close\r\n\r\n"
      return Array((head + body).utf8)
    }

    /// A refusal over bRPC, once the number of the request is there; nothing for a head that makes no sense.
    private static func brpc(_ text: String, _ bytes: ByteBufferView) -> [UInt8]? {
      guard bytes.count >= BRPC.headSize else { return nil }
      guard let head = BRPC.Head(bytes), head.metaSize <= min(head.bodySize, BRPC.metaLimit) else { return [] }
      guard bytes.count >= BRPC.headSize + head.metaSize else { return nil }
      let meta = BlobSlice(Blob(bytes.dropFirst(BRPC.headSize).prefix(head.metaSize)))
      guard let number = (try? BRPC.Meta(meta))?.correlationID else { return [] }
      return BRPC.answer(to: number, .failure(ServingError(.invalidRequest, text)))
    }
  }
#endif
