#if Serving
  import NIOCore

  /// One of the two ends of a connection that is passed on to another port of the server, byte by byte.
  final class Relay: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var partner: Relay?
    private var context: ChannelHandlerContext?
    private var hasPendingRead = false
    private let isServerSide: Bool

    private init(isServerSide: Bool) { self.isServerSide = isServerSide }

    /// The client's and the server's end of one connection, on one event loop.
    static func pair() -> (client: Relay, server: Relay) {
      let (client, server) = (Relay(isServerSide: false), Relay(isServerSide: true))
      (client.partner, server.partner) = (server, client)
      return (client, server)
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
      self.context = nil
      partner = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      partner?.context?.write(data, promise: nil)
    }

    func channelReadComplete(context: ChannelHandlerContext) { partner?.context?.flush() }

    func channelInactive(context: ChannelHandlerContext) { partner?.context?.close(promise: nil) }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      guard let event = event as? ChannelEvent, event == .inputClosed, let other = partner?.context else { return }
      other.close(mode: .output, promise: nil)
      guard isServerSide else { return }
      // The server has said all; a client that keeps its end open has some time to read it.
      let bound = NIOLoopBound(other, eventLoop: other.eventLoop)
      other.eventLoop.scheduleTask(in: .seconds(5)) { bound.value.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
      guard context.channel.isWritable else { return }
      partner?.readIfPending()
    }

    func read(context: ChannelHandlerContext) {
      // One end reads no faster than the other can write.
      if let other = partner?.context, other.channel.isWritable { context.read() } else { hasPendingRead = true }
    }

    private func readIfPending() {
      guard hasPendingRead else { return }
      hasPendingRead = false
      context?.read()
    }
  }
#endif
