import HGNetCore
import HGNetTraining

/// Runs a body once per rank, each on a thread of its own, and returns what they returned, in order.
///
/// A rank that throws ends the others.
func onRanks<Result: Sendable>(
  _ count: Int, _ body: @escaping @Sendable (any Communicator) throws -> Result
) throws -> [Result] {
  let results = Monitor([Swift.Result<Result, any Error>?](repeating: nil, count: count))
  let threads = InProcessCommunicator.group(of: count).map { communicator in
    SystemThread {
      let result = Swift.Result { try body(communicator) }
      if case .failure = result { communicator.abort(status: 1) }
      results.withLock { $0[communicator.rank] = result }
    }
  }
  for thread in threads { thread?.join() }
  let all = results.withLock { $0 }.compactMap { $0 }
  // The first failure is the cause; those of the others follow from it.
  for case .failure(let error as HGNetError) in all where error.code != .networkFailure { throw error }
  return try all.map { try $0.get() }
}
