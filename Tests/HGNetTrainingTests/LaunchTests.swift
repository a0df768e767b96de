import HGNetCore
import HGNetTraining
import Testing

/// What launchers say in the environment.
@Suite struct LaunchTests {
  @Test(
    "Launchers are known by what they set",
    arguments: [
      ([:], nil), (["OMPI_COMM_WORLD_SIZE": "4"], 4), (["PMI_SIZE": "2", "PMI_RANK": "0"], 2),
      (["PMIX_RANK": "1"], 2), (["SLURM_STEP_NUM_TASKS": "8"], 8), (["OMPI_COMM_WORLD_SIZE": "many"], nil),
      // A batch script of Slurm is one process, whatever the job has asked for.
      (["SLURM_NTASKS": "8", "SLURM_PROCID": "0"], nil),
    ] as [([String: String], Int?)])
  func processes(_ environment: [String: String], _ expected: Int?) {
    #expect(Launch.processes { environment[$0] }?.count == expected)
  }

  @Test("Sums are those of the ranks in order, and what was said before a failure is not waited for")
  func communicator() throws {
    let results = try onRanks(3) { communicator -> ([Double], [UInt8], [[UInt8]]) in
      let other = try communicator.duplicate()
      var sums = try communicator.sums(of: [Double(communicator.rank), 1])
      sums += try other.sums(of: [Double(communicator.rank * 10)])
      let told = try communicator.broadcast([UInt8(communicator.rank + 7)])
      let gathered = try communicator.gather([UInt8](repeating: 1, count: communicator.rank))
      try communicator.barrier()
      return (sums, told, gathered)
    }
    #expect(results.map(\.0) == [[3, 3, 30], [3, 3, 30], [3, 3, 30]])
    #expect(results.map(\.1) == [[7], [7], [7]])
    #expect(results.map(\.2) == [[[], [1], [1, 1]], [], []])
    let error = #expect(throws: HGNetError.self) {
      try onRanks(2) { communicator in
        if communicator.rank == 1 { communicator.abort(status: 1) } else { try communicator.barrier() }
      }
    }
    #expect(error?.code == .networkFailure)
  }
}
