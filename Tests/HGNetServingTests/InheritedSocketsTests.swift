import Foundation
import HGNetCore
import HGNetServing
import Testing

@Suite("Sockets that are handed over")
struct InheritedSocketsTests {
  private let protocols = ["http", "grpc", "brpc"]

  private func sockets(_ count: String, names: String?, process: Int32 = getpid()) throws -> [String: Int32] {
    var environment = ["LISTEN_PID": "\(process)", "LISTEN_FDS": count]
    environment["LISTEN_FDNAMES"] = names
    return try InheritedSockets(environment, protocols: protocols).descriptors
  }

  @Test("Nothing is taken where nothing is said, or another process is meant")
  func none() throws {
    #expect(try InheritedSockets([:], protocols: protocols).descriptors.isEmpty)
    #expect(try sockets("1", names: nil, process: getpid() + 1).isEmpty)
  }

  @Test(
    "Names that are not those of protocols, counts that do not fit, and what is no socket are refused",
    arguments: [
      ("0", nil, "LISTEN_FDS"), ("x", nil, "LISTEN_FDS"), ("9999999999999999999", nil, "LISTEN_FDS"),
      ("2", nil, "LISTEN_FDNAMES"), ("2", "http", "LISTEN_FDNAMES"), ("2", "http:http", "LISTEN_FDNAMES"),
      ("2", "http:other", "LISTEN_FDNAMES"), ("64", "http", "LISTEN_FDNAMES"),
      // Whatever the tests' process has as number 3 is no socket of TCP that is listened on.
      ("1", "hgnet.socket", "LISTEN_FDS"), ("1", nil, "LISTEN_FDS"),
    ] as [(String, String?, String)])
  func refusals(_ count: String, _ names: String?, _ variable: String) {
    let error = #expect(throws: HGNetError.self) { try sockets(count, names: names) }
    #expect(error?.description.contains(variable) == true)
  }
}
