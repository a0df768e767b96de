#if Serving
  import HummingbirdCore
  import NIOCore
  import Synchronization

  /// What is known about the open connections over HTTP; where there are as many as may be, more wait.
  ///
  /// Threads: safe to share.
  final class HTTPConnections: AvailableConnectionsDelegate {
    /// One connection, which carries one request at a time.
    final class Connection: Sendable {
      private let work = Mutex<(@Sendable () -> Void)?>(nil)

      /// Says how the request that now runs is given up; nil when none runs.
      func setCancellation(_ cancel: (@Sendable () -> Void)?) { work.withLock { $0 = cancel } }

      fileprivate func end() {
        let cancel = work.withLock { work in
          let cancel = work
          work = nil
          return cancel
        }
        cancel?()
      }
    }

    /// Those that have sent a request.
    private let used = Mutex<[ObjectIdentifier: Connection]>([:])
    private let openCount = Atomic<Int>(0)
    private let limit: Int

    /// None yet.
    ///
    /// - Parameter limit: how many may be open at a time.
    init(limit: Int) { self.limit = limit }

    /// The connections that are open.
    var count: Int { openCount.load(ordering: .relaxed) }

    func connectionOpened() { openCount.add(1, ordering: .relaxed) }

    func connectionClosed() { openCount.subtract(1, ordering: .relaxed) }

    func isAcceptingNewConnections() -> Bool { count < limit }

    /// The connection of a channel.
    ///
    /// Its request is given up when the channel closes.
    func connection(of channel: any Channel) -> Connection {
      let key = ObjectIdentifier(channel)
      let (connection, isNew) = used.withLock { used in
        if let found = used[key] { return (found, false) }
        let made = Connection()
        used[key] = made
        return (made, true)
      }
      if isNew {
        channel.closeFuture.whenComplete { _ in
          self.used.withLock { $0[key] = nil }
          connection.end()
        }
      }
      return connection
    }
  }
#endif
