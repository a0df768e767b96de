#if Serving
  import HummingbirdCore
  import NIOCore
  import Synchronization

  /// What is known about the open connections over HTTP; where there are as many as may be, more wait.
  ///
  /// Threads: safe to share.
  final class HTTPConnections: AvailableConnectionsDelegate {
    /// All of them, to be told about the end.
    let open = OpenConnections(limit: .max)
    /// Those that have sent a request.
    private let used = Mutex<[ObjectIdentifier: ClientDeparture]>([:])
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

    /// Tells that a channel has closed; it carries one request at a time.
    func departure(of channel: any Channel) -> ClientDeparture {
      let key = ObjectIdentifier(channel)
      let (departure, isNew) = used.withLock { used in
        if let found = used[key] { return (found, false) }
        let made = ClientDeparture()
        used[key] = made
        return (made, true)
      }
      if isNew {
        channel.closeFuture.whenComplete { _ in
          self.used.withLock { $0[key] = nil }
          departure.end()
        }
      }
      return departure
    }
  }
#endif
