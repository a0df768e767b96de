import HGNetCore

/// Objects behind numbers that are never given out twice.
///
/// A number that is stale, made up or zero finds nothing, which a pointer could not promise. Threads: safe to share.
final class HandleTable<Object: AnyObject & Sendable>: Sendable {
  private struct State {
    var objects: [UInt64: Object] = [:]
    var last: UInt64
  }

  private let state: ForkSafeLock<State>

  /// Makes an empty table.
  ///
  /// - Parameter first: where the numbers begin: far from those that uninitialised memory tends to hold.
  init(first: UInt64) { state = ForkSafeLock(State(last: first)) }

  /// Keeps an object; the number is not zero.
  func insert(_ object: Object) throws(HGNetError) -> UInt64 {
    try state.withLock { state in
      state.last &+= 1
      state.objects[state.last] = object
      return state.last
    }
  }

  /// The object of a number, nil for a number that has none.
  func object(_ id: UInt64) throws(HGNetError) -> Object? { try state.withLock { $0.objects[id] } }

  /// Gives an object up; nil for a number that has none.
  func remove(_ id: UInt64) throws(HGNetError) -> Object? { try state.withLock { $0.objects.removeValue(forKey: id) } }
}
