import HGNetCore

/// Ranks that are threads of one process, so that training over several ranks can be run and tested without MPI.
///
/// Sums are added in the order of the ranks. Threads: each rank belongs to one thread at a time.
package final class InProcessCommunicator: Communicator {
  /// What the ranks of one communicator share: a table on which each lays its bytes for all to read.
  private final class Table: Sendable {
    struct State {
      var laid: [[UInt8]?]
      /// The ranks that have yet to read; 0 while bytes are laid down.
      var readers = 0
      var hasGivenUp = false
    }

    let state: Monitor<State>
    /// The tables of the communicators that were made from this one, in order.
    let duplicates: Monitor<[Table]>

    init(_ rankCount: Int) {
      state = Monitor(State(laid: Array(repeating: nil, count: rankCount)))
      duplicates = Monitor([])
    }

    func giveUp() {
      state.withLock { $0.hasGivenUp = true }
      state.announce()
      for table in duplicates.withLock({ $0 }) { table.giveUp() }
    }
  }

  /// This thread's rank.
  package let rank: Int
  /// The number of ranks.
  package let rankCount: Int
  private let table: Table
  private let duplicateCount = Monitor(0)

  private init(rank: Int, rankCount: Int, table: Table) {
    self.rank = rank
    self.rankCount = rankCount
    self.table = table
  }

  /// The ranks of a group, one for each thread.
  ///
  /// - Parameter count: at least 1.
  package static func group(of count: Int) -> [InProcessCommunicator] {
    let table = Table(max(count, 1))
    return (0..<max(count, 1)).map { InProcessCommunicator(rank: $0, rankCount: max(count, 1), table: table) }
  }

  /// The bytes of all ranks in their order.
  private func exchange(_ bytes: [UInt8]) throws(HGNetError) -> [[UInt8]] {
    let state = table.state
    // A rank that is ahead waits until the others have read what was laid down before.
    let isLaid: Bool = state.wait { state in
      if state.hasGivenUp { return false }
      guard state.readers == 0, state.laid[rank] == nil else { return nil }
      state.laid[rank] = bytes
      if !state.laid.contains(where: { $0 == nil }) { state.readers = state.laid.count }
      return true
    }
    state.announce()
    let result: [[UInt8]]? =
      isLaid
      ? state.wait { state -> [[UInt8]]?? in
        guard state.readers > 0 else { return state.hasGivenUp ? .some(nil) : nil }
        let all = state.laid.compactMap { $0 }
        state.readers -= 1
        if state.readers == 0 { state.laid = state.laid.map { _ in nil } }
        return .some(all)
      } : nil
    state.announce()
    guard let result else { throw HGNetError(.networkFailure, "another rank has given up") }
    return result
  }

  private func add<Value: FloatingPoint>(_ values: UnsafeMutableBufferPointer<Value>) throws(HGNetError) {
    let all = try exchange(Array(UnsafeRawBufferPointer(values)))
    for (rank, bytes) in all.enumerated() {
      bytes.withUnsafeBytes { raw in
        for index in values.indices {
          let value = raw.loadUnaligned(fromByteOffset: index * MemoryLayout<Value>.stride, as: Value.self)
          values[index] = rank == 0 ? value : values[index] + value
        }
      }
    }
  }

  /// See `Communicator`.
  package func sum(_ values: UnsafeMutableBufferPointer<Float>) throws(HGNetError) { try add(values) }

  /// See `Communicator`.
  package func sum(_ values: UnsafeMutableBufferPointer<Double>) throws(HGNetError) { try add(values) }

  /// See `Communicator`.
  package func sum(_ values: UnsafeMutableBufferPointer<UInt16>) throws(HGNetError) {
    let all = try exchange(Array(UnsafeRawBufferPointer(values)))
    for (rank, bytes) in all.enumerated() {
      bytes.withUnsafeBytes { raw in
        for index in values.indices {
          let value = raw.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)
          values[index] =
            rank == 0 ? value : HalfSum.rounded(HalfSum.widened(values[index]) + HalfSum.widened(value))
        }
      }
    }
  }

  /// See `Communicator`.
  package func broadcast(_ bytes: UnsafeMutableRawBufferPointer) throws(HGNetError) {
    let all = try exchange(isFirst ? Array(bytes) : [])
    bytes.copyBytes(from: all[0].prefix(bytes.count))
  }

  /// See `Communicator`.
  package func gather(_ bytes: [UInt8]) throws(HGNetError) -> [[UInt8]] {
    let all = try exchange(bytes)
    return isFirst ? all : []
  }

  /// See `Communicator`.
  package func barrier() throws(HGNetError) { _ = try exchange([]) }

  /// See `Communicator`.
  package func duplicate() throws(HGNetError) -> any Communicator {
    let number = duplicateCount.withLock { count in
      count += 1
      return count - 1
    }
    let other = table.duplicates.withLock { tables in
      while tables.count <= number { tables.append(Table(rankCount)) }
      return tables[number]
    }
    // Whoever comes here after a rank has given up must not wait at a table that nobody has told.
    try barrier()
    return InProcessCommunicator(rank: rank, rankCount: rankCount, table: other)
  }

  /// Lets every rank that waits, or will, throw.
  package func abort(status: Int32) { table.giveUp() }

  /// Does nothing.
  package func end() {}
}
