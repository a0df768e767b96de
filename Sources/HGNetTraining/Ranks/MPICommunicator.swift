#if MPI
  import CHGNetMPI
  import HGNetCore

  /// Ranks that are processes of an MPI job.
  ///
  /// Errors of the library end the job, with a line of its own. Threads: as `Communicator`; several communicators may be
  /// used at once.
  package final class MPICommunicator: Communicator {
    /// This process's rank.
    package let rank: Int
    /// The number of processes.
    package let rankCount: Int
    private nonisolated(unsafe) let ranks: hg_mpi_ranks

    private init(_ ranks: hg_mpi_ranks) {
      self.ranks = ranks
      rank = Int(hg_mpi_rank(ranks))
      rankCount = Int(hg_mpi_count(ranks))
    }

    /// Starts the library; once in a process.
    ///
    /// - Throws: `HGNetError.Code.unsupported` for an MPI that lets only one thread speak.
    package static func world() throws(HGNetError) -> MPICommunicator {
      guard hg_mpi_start() != 0 else {
        throw HGNetError(
          .unsupported,
          "this MPI lets only one thread speak; gradients need MPI_THREAD_MULTIPLE, as Debian's Open MPI has it")
      }
      return MPICommunicator(hg_mpi_world())
    }

    /// See `Communicator`.
    package func sum(_ values: UnsafeMutableBufferPointer<Float>) {
      if let base = values.baseAddress { hg_mpi_sum_floats(ranks, base, Int64(values.count)) }
    }

    /// See `Communicator`.
    package func sum(_ values: UnsafeMutableBufferPointer<Double>) {
      if let base = values.baseAddress { hg_mpi_sum_doubles(ranks, base, Int64(values.count)) }
    }

    /// See `Communicator`.
    package func sum(_ values: UnsafeMutableBufferPointer<UInt16>) {
      if let base = values.baseAddress { hg_mpi_sum_halves(ranks, base, Int64(values.count)) }
    }

    /// See `Communicator`.
    package func broadcast(_ bytes: UnsafeMutableRawBufferPointer) {
      hg_mpi_broadcast(ranks, bytes.baseAddress, Int64(bytes.count))
    }

    /// See `Communicator`.
    package func gather(_ bytes: [UInt8]) throws(HGNetError) -> [[UInt8]] {
      // One count of this call takes 2 GiB; the check comes first in all ranks.
      guard bytes.count <= Int(Int32.max) else {
        throw HGNetError(
          .limitExceeded, "expected less than 2 GiB to be gathered from a rank, found \(bytes.count) bytes")
      }
      guard isFirst else {
        hg_mpi_gather_count(ranks, Int64(bytes.count), nil)
        bytes.withUnsafeBytes { hg_mpi_send(ranks, $0.baseAddress, Int64($0.count)) }
        return []
      }
      var counts = [Int64](repeating: 0, count: rankCount)
      counts.withUnsafeMutableBufferPointer { hg_mpi_gather_count(ranks, Int64(bytes.count), $0.baseAddress) }
      return counts.enumerated().map { rank, count in
        guard rank > 0 else { return bytes }
        var received = [UInt8](repeating: 0, count: Int(count))
        received.withUnsafeMutableBytes { hg_mpi_receive(ranks, Int32(rank), $0.baseAddress, count) }
        return received
      }
    }

    /// See `Communicator`.
    package func barrier() { hg_mpi_barrier(ranks) }

    /// See `Communicator`.
    package func duplicate() -> any Communicator { MPICommunicator(hg_mpi_duplicate(ranks)) }

    /// Ends all processes of the job.
    package func abort(status: Int32) { hg_mpi_abort(ranks, status) }

    /// Ends the use of the library in this process.
    package func end() { hg_mpi_end() }
  }
#endif
