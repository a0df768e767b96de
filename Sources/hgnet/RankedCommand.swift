import ArgumentParser
import FoundationEssentials
import HGNet
import HGNetCore
import HGNetPlatform
import HGNetTraining

/// Commands that several processes share the work of under `mpirun`.
enum RankedCommand {
  /// Runs a command in this rank; a rank that fails ends the whole job with a line that names it and the cause.
  ///
  /// A status without an error (signals, pictures that cannot be read) is the same in all ranks: they end orderly.
  static func run(_ body: (any Communicator) async throws -> Void) async throws {
    let communicator = try Launch.communicator { name in getenv(name).map { String(cString: $0) } }
    do {
      try await body(communicator)
      communicator.end()
    } catch let status as ExitStatus {
      communicator.end()
      throw status
    } catch let status as ExitCode {
      communicator.end()
      throw status
    } catch let error as HGNetError where communicator.rankCount > 1 {
      fail(communicator, "\(error)", status: ExitStatus(error.code).rawValue)
      throw error
    } catch  where communicator.rankCount > 1 {
      fail(communicator, "\(error)", status: ExitStatus.software.rawValue)
      throw error
    }
  }

  private static func fail(_ communicator: any Communicator, _ message: String, status: Int32) {
    // What all ranks find wrong is told by rank 0 alone: the others do not live to tell it.
    if !communicator.isFirst { usleep(500_000) }
    let host = ProcessInfo.processInfo.hostName
    StandardError.write(
      "hgnet: error: rank \(communicator.rank) of \(communicator.rankCount) on \(host) ends the job: \(message)")
    communicator.abort(status: status)
  }
}
