#if Serving
  import NIOCore

  /// Looks at the first bytes of a connection and decides which protocol it speaks, as servers of bRPC do.
  final class FirstBytes: ChannelInboundHandler, RemovableChannelHandler {
    /// The name of the handler in a pipeline, by which it is removed once the pipeline is ready.
    static let name = "first bytes"

    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What a connection may speak.
    enum Kind: Equatable {
      case brpc, http1, http2, tls, unknown

      /// The first four letters of HTTP's methods.
      private static let methods: Set = ["GET ", "HEAD", "POST", "PUT ", "DELE", "OPTI", "PATC", "TRAC", "CONN"]

      /// Recognises the first four bytes.
      init(_ bytes: some Collection<UInt8>) {
        switch Array(bytes.prefix(4)) {
        case BRPC.magic: self = .brpc
        case Array("PRI ".utf8): self = .http2
        case let first where first.starts(with: [0x16, 0x03]): self = .tls
        case let first where Kind.methods.contains(String(decoding: first, as: UTF8.self)): self = .http1
        default: self = .unknown
        }
      }
    }

    private let timeout: TimeAmount
    private let decide: (Kind, ChannelHandlerContext) -> Void
    private var buffer = ByteBuffer()
    private var isDecided = false
    private var timer: Scheduled<Void>?

    /// - Parameters:
    ///   - timeout: after which a connection that says nothing is closed.
    ///   - decide: makes the connection's pipeline ready; afterwards the handler is removed and the bytes go on.
    init(timeout: TimeAmount, decide: @escaping (Kind, ChannelHandlerContext) -> Void) {
      self.timeout = timeout
      self.decide = decide
    }

    func handlerAdded(context: ChannelHandlerContext) {
      let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
      timer = context.eventLoop.scheduleTask(in: timeout) { bound.value.close(promise: nil) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      var bytes = unwrapInboundIn(data)
      buffer.writeBuffer(&bytes)
      guard !isDecided, buffer.readableBytes >= 4 else { return }
      isDecided = true
      timer?.cancel()
      decide(Kind(buffer.readableBytesView), context)
    }

    func channelInactive(context: ChannelHandlerContext) {
      timer?.cancel()
      context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      // Nothing has been asked, so nothing is lost.
      if case BRPCConnection.Farewell.close = event, !isDecided { return context.close(promise: nil) }
      context.fireUserInboundEventTriggered(event)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
      timer?.cancel()
      guard buffer.readableBytes > 0 else { return }
      context.fireChannelRead(wrapInboundOut(buffer))
      context.fireChannelReadComplete()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }
#endif
