#if Serving
  import HTTPTypes
  import NIOCore
  import NIOHTTPTypes

  /// Tells a client that waits for it to send its body (`Expect: 100-continue`), as curl does with a large picture.
  final class ContinueHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundOut = HTTPResponsePart

    private let bodyLimit: Int

    /// - Parameter bodyLimit: bytes of a body that will be read; a larger one is not asked for.
    init(bodyLimit: Int) { self.bodyLimit = bodyLimit }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      if case .head(let head) = unwrapInboundIn(data), head.headerFields[.expect]?.lowercased() == "100-continue",
        (head.headerFields[.contentLength].flatMap { Int($0) } ?? 0) <= bodyLimit
      {
        context.writeAndFlush(wrapOutboundOut(.head(HTTPResponse(status: .continue))), promise: nil)
      }
      context.fireChannelRead(data)
    }
  }
#endif
