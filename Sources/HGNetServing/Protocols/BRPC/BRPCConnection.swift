#if Serving
  import HGNetCore
  import NIOCore

  /// A connection over which a client speaks `baidu_std`: several requests may be in flight, answers go back as they come.
  final class BRPCConnection: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What the server tells its connections when it ends.
    enum Farewell {
      /// New requests are refused.
      case refuseRequests
      /// The connection closes after its last answer.
      case close
    }

    /// Requests of one connection that may be in flight; what comes after them stays in the socket.
    private static let requestLimit = 64

    private struct Work {
      let departure: ClientDeparture
      let size: Int
    }

    private let service: BRPCService
    private let configuration: ServingConfiguration
    private var reader: BRPC.Reader
    private var buffer = ByteBuffer()
    private var inFlight: [Int: Work] = [:]
    private var sizeInFlight = 0
    private var requestCount = 0
    private var said = BRPCService.Connection()
    private var isClosing = false
    private var isPaused = false
    /// When a byte or an answer last went over the connection, and when the message began that is not whole yet.
    private var lastActivity = NIODeadline.now()
    private var messageBegan: NIODeadline?
    private var timer: RepeatedTask?

    init(service: BRPCService, configuration: ServingConfiguration) {
      self.service = service
      self.configuration = configuration
      reader = BRPC.Reader(bodyLimit: configuration.bodyLimit)
    }

    func handlerAdded(context: ChannelHandlerContext) {
      if service.state.clientLimit.isOn { said.clientAddress = context.channel.remoteAddress?.ipAddress }
      let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
      timer = context.eventLoop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in
        bound.value.0.checkTime(bound.value.1)
      }
    }

    func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      lastActivity = .now()
      var bytes = unwrapInboundIn(data)
      if buffer.readableBytes == 0 { buffer = bytes } else { buffer.writeBuffer(&bytes) }
      readMessages(context)
    }

    func channelInactive(context: ChannelHandlerContext) {
      timer?.cancel()
      // Closing is how a client gives up.
      for work in inFlight.values { work.departure.end() }
      context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
      readMessages(context)
      context.fireChannelWritabilityChanged()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      switch event {
      case Farewell.refuseRequests: said.isEnding = true
      case Farewell.close:
        said.isEnding = true
        isClosing = true
        if inFlight.isEmpty { context.close(promise: nil) }
      default: context.fireUserInboundEventTriggered(event)
      }
    }

    /// Starts on each message that has arrived, as far as the limits allow.
    private func readMessages(_ context: ChannelHandlerContext) {
      while true {
        let isFree =
          inFlight.count < BRPCConnection.requestLimit && sizeInFlight < configuration.bodyLimit
          && context.channel.isWritable
        pause(!isFree, context)
        guard isFree, context.channel.isActive else { return }
        var taken = 0
        let step = buffer.withUnsafeReadableBytes { reader.step($0, taken: &taken) }
        buffer.moveReaderIndex(forwardBy: taken)
        switch step {
        case .needsMore:
          let isInside = reader.isInside || buffer.readableBytes > 0
          messageBegan = isInside ? messageBegan ?? .now() : nil
          // A long message leaves no memory behind.
          if buffer.readableBytes == 0 { buffer = ByteBuffer() } else { buffer.discardReadBytes() }
          return
        case .message(let message):
          messageBegan = nil
          start(message, context)
        case .unanswerable(let reason):
          messageBegan = nil
          refuse(ServingError(.invalidRequest, reason))
        case .end(let reason):
          refuse(ServingError(.invalidRequest, reason))
          context.close(promise: nil)
          return
        }
      }
    }

    /// Stops or goes on reading from the socket.
    private func pause(_ isPaused: Bool, _ context: ChannelHandlerContext) {
      guard isPaused != self.isPaused else { return }
      self.isPaused = isPaused
      _ = context.channel.setOption(.autoRead, value: !isPaused)
    }

    private func start(_ message: BRPC.Message, _ context: ChannelHandlerContext) {
      // What names a client comes with the first request of its connection.
      if let given = message.meta.authentication {
        said.authorization = given.lowercased().hasPrefix("bearer ") ? given : "Bearer \(given)"
      }
      var connection = said
      let work = Work(departure: ClientDeparture(), size: message.size)
      connection.departure = work.departure
      let number = requestCount
      requestCount += 1
      inFlight[number] = work
      sizeInFlight += work.size
      let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
      let (loop, service, said) = (context.eventLoop, service, connection)
      Task {
        let answer = await service.answer(message, on: said)
        loop.execute { bound.value.0.finish(number, answer, bound.value.1) }
      }
    }

    private func finish(_ number: Int, _ answer: [UInt8], _ context: ChannelHandlerContext) {
      guard let work = inFlight.removeValue(forKey: number) else { return }
      sizeInFlight -= work.size
      lastActivity = .now()
      guard context.channel.isActive else { return }
      context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: answer)), promise: nil)
      if isClosing, inFlight.isEmpty { return context.close(promise: nil) }
      readMessages(context)
    }

    /// Counts and logs what nobody can be answered about.
    private func refuse(_ refusal: ServingError) {
      var call = ServingCall(transport: BRPC.name, protocolName: BRPC.name, method: "-", operation: "other")
      call.isOpen = true
      let (state, passing) = (service.state, call)
      Task { _ = await state.pass(passing) { (_) throws(ServingError) -> Void in throw refusal } }
    }

    /// Closes a connection that does nothing, or whose message does not arrive.
    private func checkTime(_ context: ChannelHandlerContext) {
      let limit = TimeAmount.seconds(Int64(configuration.idleSeconds))
      if let messageBegan, !isPaused, .now() - messageBegan > limit {
        self.messageBegan = nil
        refuse(
          ServingError(.requestTimeout, "the message did not arrive within \(configuration.idleSeconds) s"))
        return context.close(promise: nil)
      }
      if inFlight.isEmpty, .now() - lastActivity > limit { context.close(promise: nil) }
    }
  }
#endif
