#if Serving
  import NIOCore
  import Synchronization

  /// A socket that is listened on, which can end without losing a connection.
  ///
  /// Closing it at once would reset the connections that the system has made but nobody has taken yet, and the requests
  /// in them. So it first lets no new one begin; those that have begun are taken; then it is closed. Threads: safe to share.
  final class Listener: Sendable {
    private let channel = Mutex<(any Channel)?>(nil)

    /// Tells which socket it is.
    func set(_ channel: any Channel) { self.channel.withLock { $0 = channel } }

    /// Where it listens; nil until it does.
    var address: SocketAddress? { channel.withLock { $0 }?.localAddress }

    /// Lets no new connection begin.
    func refuse() async {
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
    private let all = Mutex<[String: Listener]>([:])

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
