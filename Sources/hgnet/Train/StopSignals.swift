import Dispatch
import FoundationEssentials
import HGNetPlatform
import Synchronization

/// Turns SIGTERM, SIGINT, SIGHUP and SIGUSR1 into a request to stop; a second one ends the process at once.
///
/// SIGHUP comes when the terminal is closed; where it is ignored already, as under `nohup`, it stays so. SIGUSR1 is what
/// `mpirun` hands on to its processes without ending them itself, and what batch systems are asked for. SIGPIPE, which comes
/// when a reader of the output such as `tee` has gone with the terminal, ends nothing.
final class StopSignals {
  /// The signals that are listened to.
  static let numbers = [SIGTERM, SIGINT, SIGHUP, SIGUSR1]

  /// The first signal that came.
  private final class Received: Sendable {
    let number = Mutex<Int32?>(nil)

    /// Whether a signal is the first one.
    ///
    /// A terminal that is closed may send the same signal from the shell and from the system.
    func isFirst(_ signal: Int32) -> Bool {
      number.withLock { known in
        if known == SIGHUP, signal == SIGHUP { return true }
        guard known == nil else { return false }
        known = signal
        return true
      }
    }
  }

  private let received = Received()
  private let sources: [(number: Int32, source: any DispatchSourceSignal)]
  private let pipe: sig_t?

  /// Listens from now on.
  ///
  /// - Parameter stop: called on a thread of its own.
  init(_ stop: @escaping @Sendable () -> Void) {
    let queue = DispatchQueue(label: "signals")
    var sources: [(number: Int32, source: any DispatchSourceSignal)] = []
    for number in StopSignals.numbers {
      let before = signal(number, SIG_IGN)
      if number == SIGHUP, unsafeBitCast(before, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) { continue }
      sources.append((number, DispatchSource.makeSignalSource(signal: number, queue: queue)))
    }
    pipe = signal(SIGPIPE, SIG_IGN)
    self.sources = sources
    let received = received
    for (number, source) in sources {
      source.setEventHandler {
        guard received.isFirst(number) else { _exit(128 + number) }
        stop()
      }
      source.resume()
    }
  }

  /// The signal that came, if one did.
  var signalNumber: Int32? { received.number.withLock { $0 } }

  /// Lets signals end the process again.
  func end() {
    for (number, source) in sources {
      source.cancel()
      signal(number, SIG_DFL)
    }
    signal(SIGPIPE, pipe)
  }
}
