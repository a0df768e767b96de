#if Serving
  import NIOCore
  import Synchronization

  /// What is known about the open connections over HTTP.
  ///
  /// Threads: safe to share.
  final class HTTPConnections: Sendable {
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

    private let open = Mutex<[ObjectIdentifier: Connection]>([:])

    /// The connection of a channel.
    ///
    /// Its request is given up when the channel closes.
    func connection(of channel: any Channel) -> Connection {
      let key = ObjectIdentifier(channel)
      let (connection, isNew) = open.withLock { open in
        if let found = open[key] { return (found, false) }
        let made = Connection()
        open[key] = made
        return (made, true)
      }
      if isNew {
        channel.closeFuture.whenComplete { _ in
          self.open.withLock { $0[key] = nil }
          connection.end()
        }
      }
      return connection
    }
  }
#endif
