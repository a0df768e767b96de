import Foundation
import Synchronization

/// Tells systemd, or what else started the process with `NOTIFY_SOCKET`, how the server is.
///
/// Threads: safe to share.
package final class ServiceSupervisor: Sendable {
  private let address: String
  /// How often it wants to hear that the server lives; nil for never.
  package let interval: Duration?

  /// Takes what the environment says; nil where nobody wants to know.
  ///
  /// - Parameter environment: the variables of the process.
  package init?(_ environment: [String: String]) {
    guard let address = environment["NOTIFY_SOCKET"], address.hasPrefix("/") || address.hasPrefix("@"),
      address.utf8.count < MemoryLayout.size(ofValue: sockaddr_un().sun_path)
    else { return nil }
    self.address = address
    let isOurs = environment["WATCHDOG_PID"].map { $0 == "\(getpid())" } ?? true
    let period = environment["WATCHDOG_USEC"].flatMap { Int($0) } ?? 0
    // Twice as often as it has to be.
    interval = isOurs && period > 0 ? .microseconds(max(1, period / 2)) : nil
  }

  /// Sends a state, such as `READY=1`; one that cannot be sent is lost.
  package func tell(_ text: String) {
    #if os(Linux)
      let socket = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
      guard socket >= 0 else { return }
      defer { close(socket) }
      var target = sockaddr_un()
      target.sun_family = sa_family_t(AF_UNIX)
      var name = Array(address.utf8)
      // An abstract name begins with a zero.
      if name.first == UInt8(ascii: "@") { name[0] = 0 }
      withUnsafeMutableBytes(of: &target.sun_path) { $0.copyBytes(from: name) }
      let size = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
      let message = Array(text.utf8)
      withUnsafePointer(to: &target) { target in
        target.withMemoryRebound(to: sockaddr.self, capacity: 1) { target in
          _ = sendto(socket, message, message.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL), target, size)
        }
      }
    #endif
  }
}
