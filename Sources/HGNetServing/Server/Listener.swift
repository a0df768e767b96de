#if Serving
  import Foundation
  import NIOCore
  import Synchronization

  /// A socket that is listened on, which can end without losing a connection.
  ///
  /// Closing it at once would reset the connections that the system has made but nobody has taken yet, and the requests
  /// in them. So it first lets no new one begin; those that have begun are taken; then it is closed. Threads: safe to share.
  final class Listener: Sendable {
    private let channel = Mutex<(any Channel)?>(nil)
    private let isOpen = Mutex(false)
    /// The socket that whoever started the process listens on already; nil for one of the server's own.
    let inherited: NIOBSDSocket.Handle?

    /// - Parameter inherited: the socket that whoever started the process listens on already; nil for none.
    init(inherited: NIOBSDSocket.Handle? = nil) { self.inherited = inherited }

    /// Tells which socket it is.
    func set(_ channel: any Channel) {
      self.channel.withLock { $0 = channel }
      if isOpen.withLock({ $0 }) { channel.pipeline.fireUserInboundEventTriggered(AcceptHandler.Change.begin) }
    }

    /// Takes connections from an inherited socket: until the models are loaded, they wait there.
    func open() {
      isOpen.withLock { $0 = true }
      channel.withLock { $0 }?.pipeline.fireUserInboundEventTriggered(AcceptHandler.Change.begin)
    }

    /// Decides when connections are taken; the first handler of the socket.
    func acceptHandler(log: ServingLog) -> AcceptHandler { AcceptHandler(isWaiting: inherited != nil, log: log) }

    /// Writes into the log that the socket is listened on.
    ///
    /// - Parameters:
    ///   - title: the protocol in the log.
    ///   - host: where the server was asked to listen; an inherited socket says itself where it does.
    func announce(_ title: String, host: String, log: ServingLog) {
      let address = address
      let place = inherited == nil ? host : address?.ipAddress ?? host
      log.write(.info, "listening", [("protocol", title), ("host", place), ("port", "\(address?.port ?? 0)")])
    }

    /// Where it listens; nil until it does.
    var address: SocketAddress? { channel.withLock { $0 }?.localAddress }

    /// Lets no new connection begin.
    ///
    /// On a socket of somebody else they wait for the next server.
    func refuse() async {
      if inherited != nil, let channel = channel.withLock({ $0 }) {
        channel.pipeline.fireUserInboundEventTriggered(AcceptHandler.Change.end)
        _ = try? await channel.setOption(.autoRead, value: false).get()
        return
      }
      #if os(Linux)
        guard let channel = channel.withLock({ $0 }), let options = channel as? any SocketOptionProvider else { return }
        // A filter of the system (SO_ATTACH_FILTER): a packet whose SYN bit is set is dropped, so that its sender tries
        // again and then finds the port closed.
        let instructions = [
          FilterInstruction(code: 0x30, whenTrue: 0, whenFalse: 0, value: 13),
          FilterInstruction(code: 0x45, whenTrue: 0, whenFalse: 1, value: 2),
          FilterInstruction(code: 0x06, whenTrue: 0, whenFalse: 0, value: 0),
          FilterInstruction(code: 0x06, whenTrue: 0, whenFalse: 0, value: 0xFFFF_FFFF),
        ]
        let program = UnsafeMutablePointer<FilterInstruction>.allocate(capacity: instructions.count)
        program.initialize(from: instructions, count: instructions.count)
        let address = UInt(bitPattern: program)
        defer { program.deallocate() }
        let solSocket: NIOBSDSocket.OptionLevel = .socket
        try? await options.unsafeSetSocketOption(
          level: solSocket, name: NIOBSDSocket.Option(rawValue: 26),
          value: FilterProgram(count: UInt16(instructions.count), instructions: address)
        ).get()
      #endif
    }
  }

  /// The sockets of a server, by the names of their protocols.
  ///
  /// Threads: safe to share.
  final class Listeners: Sendable {
    private let all: Mutex<[String: Listener]>

    /// - Parameter inherited: sockets that whoever started the process listens on already.
    init(inherited: [String: NIOBSDSocket.Handle] = [:]) {
      all = Mutex(inherited.mapValues { Listener(inherited: $0) })
    }

    /// Takes connections from inherited sockets.
    func open() { for listener in all.withLock({ Array($0.values) }) { listener.open() } }

    /// The socket of a protocol.
    subscript(name: String) -> Listener {
      all.withLock { all in
        if let known = all[name] { return known }
        let made = Listener()
        all[name] = made
        return made
      }
    }
  }

  /// Says when a listening socket takes connections: from an inherited one neither before the models are loaded nor when the
  /// server is about to end, and from none for a while when the process has no descriptor left, which else would end the server.
  final class AcceptHandler: ChannelDuplexHandler {
    typealias InboundIn = any Channel
    typealias OutboundIn = Never

    /// Begins or ends the taking of connections.
    enum Change: Sendable { case begin, end }

    private static let pause = TimeAmount.milliseconds(100)
    private let log: ServingLog
    private var isPaused = false
    private var hasPendingRead = false
    private var isStopped: Bool

    init(isWaiting: Bool, log: ServingLog) {
      isStopped = isWaiting
      self.log = log
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      guard let code = (error as? IOError)?.errnoCode, [ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(code)
      else { return context.fireErrorCaught(error) }
      guard code != ECONNABORTED, !isPaused else { return }
      isPaused = true
      log.write(.warning, "no connection can be taken now", [("cause", String(cString: strerror(code)))])
      let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
      context.eventLoop.scheduleTask(in: AcceptHandler.pause) {
        let (handler, context) = bound.value
        handler.isPaused = false
        handler.goOn(context)
      }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      guard let change = event as? Change else { return context.fireUserInboundEventTriggered(event) }
      isStopped = change == .end
      goOn(context)
    }

    private func goOn(_ context: ChannelHandlerContext) {
      guard hasPendingRead else { return }
      hasPendingRead = false
      read(context: context)
    }

    func read(context: ChannelHandlerContext) {
      if isPaused || isStopped { hasPendingRead = true } else { context.read() }
    }
  }

  /// `struct sock_filter`.
  private struct FilterInstruction {
    let code: UInt16
    let whenTrue: UInt8
    let whenFalse: UInt8
    let value: UInt32
  }

  /// `struct sock_fprog`.
  private struct FilterProgram: Sendable {
    let count: UInt16
    let instructions: UInt
  }

  /// Holds back the news that the server ends, so that a connection on which a request is about to come still gets it.
  final class FarewellHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny

    private let delay: TimeAmount

    init(delay: TimeAmount) { self.delay = delay }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      guard event is ChannelShouldQuiesceEvent else { return context.fireUserInboundEventTriggered(event) }
      let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
      context.eventLoop.scheduleTask(in: delay) {
        bound.value.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
      }
    }
  }
#endif
