#if Serving
  import GRPCCore
  import HGNetCore

  /// What comes with a call over gRPC beside its message.
  struct GRPCCall: Sendable {
    /// That of the call that now runs.
    @TaskLocal static var current = GRPCCall()

    /// When the client does not want the answer any more; nil where it has not said so.
    var deadline: ContinuousClock.Instant?
    var authorization: String?
    var requestID: String?
    var traceID: String?
    var clientAddress: String?

    /// Nothing.
    init() {}

    /// Reads what a client has sent.
    init(_ metadata: Metadata, clientAddress: String?) {
      func first(_ name: String) -> String? { metadata[stringValues: name].first { _ in true } }
      deadline = first("grpc-timeout").flatMap(GRPCCall.timeout).map { .now + $0 }
      authorization = first("authorization")
      requestID = first("x-request-id")
      traceID = ServingCall.traceID(ofParent: first("traceparent"))
      self.clientAddress = clientAddress
    }

    /// The address and the port in `ipv4:127.0.0.1:1234`.
    static func address(_ peer: String) -> (address: String, port: Int?)? {
      let parts = peer.split(separator: ":", maxSplits: 1)
      guard parts.count == 2, parts[0].hasPrefix("ip"), let end = parts[1].lastIndex(of: ":") else { return nil }
      return (String(parts[1][..<end].filter { $0 != "[" && $0 != "]" }), Int(parts[1][parts[1].index(after: end)...]))
    }

    /// Up to eight digits and a unit, as the protocol writes a timeout.
    static func timeout(_ text: String) -> Duration? {
      guard let unit = text.last, (2...9).contains(text.utf8.count), let amount = Int(text.dropLast()), amount >= 0
      else {
        return nil
      }
      switch unit {
      case "H": return .seconds(amount * 3600)
      case "M": return .seconds(amount * 60)
      case "S": return .seconds(amount)
      case "m": return .milliseconds(amount)
      case "u": return .microseconds(amount)
      case "n": return .nanoseconds(amount)
      default: return nil
      }
    }
  }

  extension ServingState {
    /// Passes a call over gRPC through the gate.
    ///
    /// - Parameters:
    ///   - method: its name.
    ///   - operation: the kind of call, in counts.
    ///   - transport: the protocol in counts.
    ///   - id: the client's own name for its request, if the message has one.
    func pass<Answer: Sendable>(
      grpc method: String, operation: String, transport: String = "grpc", id: String = "",
      _ body: @escaping @Sendable (Passage) async throws(ServingError) -> Answer
    ) async throws(ServingError) -> Answer {
      let given = GRPCCall.current
      var call = ServingCall(
        transport: transport, protocolName: "grpc", method: method, operation: operation,
        id: id.isEmpty ? given.requestID : id)
      call.traceID = given.traceID
      call.authorization = given.authorization
      call.isOpen = operation == "health" && method.hasPrefix("Server")
      call.clientAddress = given.clientAddress
      call.clientDeadline = given.deadline
      guard operation == "infer" else { return try await pass(call, body).get() }
      let departure = ClientDeparture()
      call.departure = departure
      let passing = call
      return try await withRPCCancellationHandler {
        await pass(passing, body)
      } onCancelRPC: {
        departure.end()
      }.get()
    }
  }

  /// Keeps what comes with a call where the gate finds it, and passes calls through the gate that reach no method.
  struct GRPCInterceptor: ServerInterceptor {
    let state: ServingState

    func intercept<Input: Sendable, Output: Sendable>(
      request: StreamingServerRequest<Input>, context: ServerContext,
      next: @Sendable (StreamingServerRequest<Input>, ServerContext) async throws -> StreamingServerResponse<Output>
    ) async throws -> StreamingServerResponse<Output> {
      var client: String?
      if state.clientLimit.isOn, let peer = GRPCCall.address(context.remotePeer) {
        client = state.relayedClients.address(of: peer.address, port: peer.port)
      }
      let call = GRPCCall(request.metadata, clientAddress: client)
      return try await GRPCCall.$current.withValue(call) {
        do {
          return try await next(request, context)
        } catch let error as ServingError {
          throw error
        } catch let error as PaddleRefusal {
          throw error
        } catch {
          // The message could not be read.
          let method = context.descriptor.method
          _ = try await state.pass(grpc: method, operation: "other") { (_) throws(ServingError) -> Void in
            throw ServingError(.invalidRequest, "the message cannot be read: \(error)")
          }
          throw error
        }
      }
    }
  }

  extension ServingError: RPCErrorConvertible {
    package var rpcErrorCode: RPCError.Code {
      switch kind {
      case .invalidRequest: .invalidArgument
      case .notFound: .notFound
      case .methodNotAllowed, .unsupported: .unimplemented
      case .tooLarge: .outOfRange
      case .unauthorized: .unauthenticated
      case .overloaded, .tooManyRequests: .resourceExhausted
      case .requestTimeout, .deadlineExceeded: .deadlineExceeded
      case .cancelled: .cancelled
      case .unavailable: .unavailable
      case .internalFailure: .internalError
      }
    }

    package var rpcErrorMessage: String { message }

    package var rpcErrorMetadata: Metadata {
      retryAfter.map { ["retry-after": "\($0)"] } ?? [:]
    }
  }
#endif
