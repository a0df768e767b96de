import HGNetCore

/// Whether a launcher such as `mpirun` has started this process as one of several, and how it reaches the others.
package enum Launch {
  /// How the tool is built with MPI.
  package static let buildCommand = "swift build -c release --product hgnet --traits MPI"

  /// The number of processes that a launcher says it has started, and the variable that says so; nil without one.
  ///
  /// Known are Open MPI, the process managers PMI and PMIx, MPICH's Hydra and Slurm's steps. A batch script of Slurm is
  /// no step: there, one process runs, whatever was asked for.
  ///
  /// - Parameter variable: looks up a variable of the environment.
  package static func processes(_ variable: (String) -> String?) -> (count: Int, variable: String)? {
    for name in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_SIZE", "SLURM_STEP_NUM_TASKS"] {
      if let count = variable(name).flatMap({ Int($0) }), count >= 1 { return (count, name) }
    }
    // PMIx says nothing about the number, but only a job of several has a rank above 0.
    if let rank = variable("PMIX_RANK").flatMap({ Int($0) }) { return (rank + 1, "PMIX_RANK") }
    return nil
  }

  /// The ranks of this job; one without a launcher.
  ///
  /// - Parameter variable: looks up a variable of the environment.
  /// - Throws: `HGNetError.Code.unsupported` with the command that builds a tool with MPI where this one has none, and
  ///   where the launcher belongs to another MPI than the tool.
  package static func communicator(_ variable: (String) -> String?) throws(HGNetError) -> any Communicator {
    guard let (count, name) = processes(variable) else { return SingleProcess() }
    #if MPI
      let world = try MPICommunicator.world()
      guard world.rankCount >= count else {
        world.end()
        throw HGNetError(
          .unsupported,
          "expected \(count) processes as \(name) says, found \(world.rankCount): the launcher does not belong to the MPI "
            + "that this tool was built with; use the mpirun of the package libopenmpi-dev, or srun --mpi=pmix")
      }
      return world
    #else
      guard count > 1 else { return SingleProcess() }
      throw HGNetError(
        .unsupported,
        "this is one of \(count) processes (\(name)), but hgnet was built without MPI, and each would do all the work; "
          + "install libopenmpi-dev (Scripts/bootstrap --mpi) and rebuild with: \(buildCommand)")
    #endif
  }
}
