#if Serving
  import NIOCore

  /// Looks at the first bytes of a connection and decides what becomes of it, as servers of bRPC do.
  ///
  /// It is the first handler of a pipeline. What the others say before the client has spoken is held back.
  final class FirstBytes: ChannelDuplexHandler, RemovableChannelHandler {
    /// The name of the handler in a pipeline, by which it is removed once the pipeline is ready.
    static let name = "first bytes"

    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What a connection may speak.
    enum Kind: String, Sendable {
      case brpc, http1, http2, tls, unknown

      /// The first four letters of HTTP's methods; people also type GET alone.
      private static let methods: Set = [
        "GET ", "GET\r", "GET\n", "HEAD", "POST", "PUT ", "DELE", "OPTI", "PATC", "TRAC", "CONN",
      ]

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

    /// What becomes of a connection.
    enum Decision {
      /// The port's own handlers take it.
      case goOn
      /// Somebody makes the pipeline ready and then removes this handler.
      case wait
      /// It ends with an answer: made of the bytes so far, nil while it needs more of them.
      case end((ByteBufferView) -> [UInt8]?)
    }

    /// How long a client may take to read why its connection ends, before what it still sends would hide that.
    private static let farewellTime = TimeAmount.seconds(2)

    /// How long a client that has not spoken yet has for it when the server ends.
    private static let lastMoment = TimeAmount.milliseconds(500)

    private let timeout: TimeAmount
    private let decide: (Kind, ChannelHandlerContext) -> Decision
    private var buffer = ByteBuffer()
    private var answer: ((ByteBufferView) -> [UInt8]?)?
    private var isDecided = false
    private var isEnding = false
    private var held: [(data: NIOAny, promise: EventLoopPromise<Void>?)] = []
    private var timer: Scheduled<Void>?

    /// - Parameters:
    ///   - timeout: after which a connection that says nothing is closed.
    ///   - decide: says what becomes of the connection.
    init(timeout: TimeAmount, decide: @escaping (Kind, ChannelHandlerContext) -> Decision) {
      self.timeout = timeout
      self.decide = decide
    }

    func handlerAdded(context: ChannelHandlerContext) { close(context, in: timeout) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      // What is said to an answer is read and thrown away: a socket that closes with unread bytes takes its answer back.
      guard !isEnding else { return }
      var bytes = unwrapInboundIn(data)
      buffer.writeBuffer(&bytes)
      if answer != nil { return end(context) }
      guard !isDecided, buffer.readableBytes >= 4 else { return }
      isDecided = true
      switch decide(Kind(buffer.readableBytesView), context) {
      case .goOn:
        timer?.cancel()
        release(context)
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
      case .wait: timer?.cancel()
      case .end(let answer):
        self.answer = answer
        end(context)
      }
    }

    /// Answers, and closes when the client has had time to read it.
    private func end(_ context: ChannelHandlerContext) {
      guard let bytes = answer?(buffer.readableBytesView) else { return }
      isEnding = true
      buffer.clear()
      for (_, promise) in held { promise?.fail(ChannelError.ioOnClosedChannel) }
      held = []
      guard !bytes.isEmpty else { return context.close(promise: nil) }
      let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
      context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes))).whenComplete { _ in
        bound.value.close(mode: .output, promise: nil)
      }
      close(context, in: FirstBytes.farewellTime)
    }

    private func close(_ context: ChannelHandlerContext, in time: TimeAmount) {
      timer?.cancel()
      let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
      timer = context.eventLoop.scheduleTask(in: time) { bound.value.close(promise: nil) }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
      guard !isEnding else {
        promise?.fail(ChannelError.ioOnClosedChannel)
        return
      }
      if isDecided, answer == nil { context.write(data, promise: promise) } else { held.append((data, promise)) }
    }

    /// Sends what the other handlers have said meanwhile.
    private func release(_ context: ChannelHandlerContext) {
      guard !held.isEmpty else { return }
      for (data, promise) in held { context.write(data, promise: promise) }
      held = []
      context.flush()
    }

    func channelInactive(context: ChannelHandlerContext) {
      timer?.cancel()
      isEnding = true
      for (_, promise) in held { promise?.fail(ChannelError.ioOnClosedChannel) }
      held = []
      context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      // Nothing has been asked, so nothing is lost.
      if case BRPCConnection.Farewell.close = event, !isDecided { return context.close(promise: nil) }
      // A client that is about to speak still has a moment.
      if event is ChannelShouldQuiesceEvent, !isDecided { close(context, in: FirstBytes.lastMoment) }
      // The client has read the answer, or wants none.
      if case ChannelEvent.inputClosed = event, !isDecided || answer != nil { return context.close(promise: nil) }
      context.fireUserInboundEventTriggered(event)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
      timer?.cancel()
      guard buffer.readableBytes > 0 else { return }
      context.fireChannelRead(wrapInboundOut(buffer))
      context.fireChannelReadComplete()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      // Those of a connection that goes on belong to its own handlers.
      if isDecided, answer == nil { context.fireErrorCaught(error) } else { context.close(promise: nil) }
    }
  }
#endif
