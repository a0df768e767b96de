import Foundation
import HGNetCore

/// Sockets that systemd, or what else started the process, listens on already (`LISTEN_FDS`).
///
/// Threads: a value, safe to share.
package struct InheritedSockets: Sendable {
  /// The number of the first one; they follow each other.
  private static let first: Int32 = 3
  /// The socket of each protocol that has one.
  package let descriptors: [String: Int32]

  /// Takes what the environment says; none where it speaks of another process or of no sockets.
  ///
  /// - Parameters:
  ///   - environment: the variables of the process.
  ///   - protocols: the names that a socket may have in `LISTEN_FDNAMES`. One socket without such a name is for the first.
  /// - Throws: `HGNetError.Code.invalidArgument` for sockets whose names are not those of protocols, two of one name, and
  ///   what is no socket of TCP that is listened on.
  package init(_ environment: [String: String], protocols: [String]) throws(HGNetError) {
    guard environment["LISTEN_PID"] == "\(getpid())", let text = environment["LISTEN_FDS"] else {
      descriptors = [:]
      return
    }
    guard let count = Int(text), (1...64).contains(count) else {
      throw InheritedSockets.failure("expected 1 to 64 sockets, found \"\(text)\"", "LISTEN_FDS")
    }
    var names = (environment["LISTEN_FDNAMES"] ?? "").split(separator: ":", omittingEmptySubsequences: false)
      .map { String($0) }
    if count == 1, names.count == 1, !protocols.contains(names[0]), let name = protocols.first { names = [name] }
    guard names.count == count else {
      throw InheritedSockets.failure(
        "expected a name for each of \(count) sockets, found \(names.count)", "LISTEN_FDNAMES")
    }
    guard names.allSatisfy(protocols.contains), Set(names).count == count else {
      throw InheritedSockets.failure(
        "expected different names of \(protocols.joined(separator: ", ")), found \"\(names.joined(separator: ":"))\"; "
          + "set FileDescriptorName= in each socket's unit", "LISTEN_FDNAMES")
    }
    var found: [String: Int32] = [:]
    for (index, name) in names.enumerated() {
      let descriptor = InheritedSockets.first + Int32(index)
      guard InheritedSockets.isListening(descriptor) else {
        throw InheritedSockets.failure(
          "expected a TCP socket that is listened on as number \(descriptor)", "LISTEN_FDS")
      }
      // Children of this process have no business with it.
      _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
      found[name] = descriptor
    }
    descriptors = found
  }

  private static func failure(_ text: String, _ variable: String) -> HGNetError {
    HGNetError(.invalidArgument, text, key: variable)
  }

  private static func isListening(_ descriptor: Int32) -> Bool {
    func option(_ name: Int32) -> Int32? {
      var value: Int32 = 0
      var size = socklen_t(MemoryLayout<Int32>.size)
      return getsockopt(descriptor, SOL_SOCKET, name, &value, &size) == 0 ? value : nil
    }
    var address = sockaddr_storage()
    var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let status = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
    }
    let family = Int32(address.ss_family)
    #if os(Linux)
      let stream = Int32(SOCK_STREAM.rawValue)
    #else
      let stream = SOCK_STREAM
    #endif
    return status == 0 && (family == AF_INET || family == AF_INET6) && option(SO_TYPE) == stream
      && option(SO_ACCEPTCONN) == 1
  }
}
