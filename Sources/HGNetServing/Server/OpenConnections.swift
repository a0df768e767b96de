#if Serving
  import NIOCore
  import Synchronization

  /// The open connections of a protocol; where there are as many as may be, more are closed.
  ///
  /// Threads: safe to share.
  final class OpenConnections: Sendable {
    private struct State {
      var channels: [ObjectIdentifier: any Channel] = [:]
      var farewell: (any Sendable)?
    }

    private let state = Mutex(State())
    private let limit: Int

    /// None yet.
    ///
    /// - Parameter limit: how many may be open at a time.
    init(limit: Int) { self.limit = limit }

    /// The connections that are open.
    var count: Int { state.withLock { $0.channels.count } }

    /// Their channels.
    var channels: [any Channel] { state.withLock { Array($0.channels.values) } }

    /// Takes a connection, or closes it where the limit is reached.
    ///
    /// - Returns: whether it is taken.
    @discardableResult
    func add(_ channel: any Channel) -> Bool {
      let key = ObjectIdentifier(channel)
      let (isTaken, farewell) = state.withLock { state in
        guard state.channels.count < limit else { return (false, nil as (any Sendable)?) }
        state.channels[key] = channel
        return (true, state.farewell)
      }
      guard isTaken else {
        channel.close(promise: nil)
        return false
      }
      channel.closeFuture.whenComplete { _ in self.state.withLock { $0.channels[key] = nil } }
      // The last ones come when the others have been told already.
      if let farewell {
        channel.eventLoop.execute { channel.pipeline.fireUserInboundEventTriggered(farewell) }
      }
      return true
    }

    /// Tells all of them, and those that are still to come, that the server ends.
    ///
    /// - Parameter farewell: the event that their handlers get.
    func tell(_ farewell: any Sendable) {
      let channels = state.withLock { state in
        state.farewell = farewell
        return Array(state.channels.values)
      }
      for channel in channels { channel.pipeline.fireUserInboundEventTriggered(farewell) }
    }

    /// Closes what is left.
    func closeAll() { for channel in channels { channel.close(promise: nil) } }
  }
#endif
