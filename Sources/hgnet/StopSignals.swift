import Dispatch
import Foundation
import Synchronization

/// Turns SIGTERM, SIGINT and SIGUSR1 into a request to stop; a second one ends the process at once.
///
/// SIGUSR1 is what `mpirun` hands on to its processes without ending them itself, and what batch systems are asked for.
final class StopSignals {
  /// The signals that are listened to.
  static let numbers = [SIGTERM, SIGINT, SIGUSR1]

  /// The first signal that came.
  private final class Received: Sendable {
    let number = Mutex<Int32?>(nil)

    /// Whether a signal is the first one.
    func isFirst(_ signal: Int32) -> Bool {
      number.withLock { known in
        guard known == nil else { return false }
        known = signal
        return true
      }
    }
  }

  private let received = Received()
  private let sources: [any DispatchSourceSignal]

  /// Listens from now on.
  ///
  /// - Parameter stop: called once, on a thread of its own.
  init(_ stop: @escaping @Sendable () -> Void) {
    let queue = DispatchQueue(label: "signals")
    var sources: [any DispatchSourceSignal] = []
    for number in StopSignals.numbers {
      signal(number, SIG_IGN)
      sources.append(DispatchSource.makeSignalSource(signal: number, queue: queue))
    }
    self.sources = sources
    let received = received
    for (number, source) in zip(StopSignals.numbers, sources) {
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
    for source in sources { source.cancel() }
    for number in StopSignals.numbers { signal(number, SIG_DFL) }
  }
}
