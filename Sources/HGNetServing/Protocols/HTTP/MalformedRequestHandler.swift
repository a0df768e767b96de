#if Serving
  import HTTPTypes
  import NIOCore
  import NIOHTTP1
  import NIOHTTPTypes

  /// Counts and logs what is no request of HTTP/1.1, and says so in the answer, which Hummingbird leaves empty.
  final class MalformedRequestHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let state: ServingState
    private var refusal: ServingError?

    init(state: ServingState) { self.state = state }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      if let error = error as? HTTPParserError, refusal == nil {
        let refusal = ServingError(
          .invalidRequest, "expected a request of HTTP/1.1 (\"GET / HTTP/1.1\", fields, an empty line): \(error)")
        self.refusal = refusal
        var call = ServingCall(transport: "http", protocolName: "http", method: "-", operation: "other")
        call.isOpen = true
        let (state, passing) = (state, call)
        Task {
          _ = await state.pass(passing, logged: { _ in [("status", "400")] }) { (_) throws(ServingError) -> Void in
            throw refusal
          }
        }
      }
      context.fireErrorCaught(error)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
      guard let refusal, case .head(var head) = unwrapOutboundIn(data), head.status == .badRequest,
        head.headerFields[.contentLength] == "0"
      else { return context.write(data, promise: promise) }
      let body = ByteBuffer(string: refusal.message + "\n")
      head.headerFields[.contentLength] = "\(body.readableBytes)"
      head.headerFields[.contentType] = "text/plain; charset=utf-8"
      context.write(wrapOutboundOut(.head(head)), promise: promise)
      context.write(wrapOutboundOut(.body(body)), promise: nil)
    }
  }
#endif
