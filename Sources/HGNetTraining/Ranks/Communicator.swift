import HGNetCore
import HGNetProgram

/// What the processes of a job, its ranks, say to each other.
///
/// Every function but `abort` is collective: all ranks call the same ones in the same order. What comes out is the same
/// in all of them, bit for bit, and from run to run with the same number of ranks.
///
/// Threads: one at a time; `duplicate` makes another for another thread.
package protocol Communicator: ProcessSum {
  /// This process, `0 ..< rankCount`.
  var rank: Int { get }
  /// The number of processes, at least 1.
  var rankCount: Int { get }

  /// Replaces each of a few values by its sum over all ranks, as fast as possible; that of many values of float32 leaves
  /// the processor to other threads as far as possible.
  ///
  /// - Throws: as for many values.
  func sum(_ values: UnsafeMutableBufferPointer<Double>) throws(HGNetError)

  /// Replaces each of many values in bfloat16 by its sum over all ranks, rounded after each addition.
  ///
  /// - Throws: as for many values.
  func sum(_ values: UnsafeMutableBufferPointer<UInt16>) throws(HGNetError)

  /// Replaces bytes by those of rank 0; the number is the same in all ranks.
  ///
  /// - Throws: as `sum`.
  func broadcast(_ bytes: UnsafeMutableRawBufferPointer) throws(HGNetError)

  /// The bytes of all ranks, in their order, at rank 0; nothing elsewhere. Each rank may give another number of bytes.
  ///
  /// - Throws: as `sum`, and `limitExceeded` for 2 GiB or more of one rank.
  func gather(_ bytes: [UInt8]) throws(HGNetError) -> [[UInt8]]

  /// Returns once all ranks have called it.
  ///
  /// - Throws: as `sum`.
  func barrier() throws(HGNetError)

  /// The same ranks once more, for another thread: what is said there does not mix with what is said here.
  ///
  /// - Throws: as `sum`.
  func duplicate() throws(HGNetError) -> any Communicator

  /// Ends all ranks because this one cannot go on; processes end at once with the status.
  func abort(status: Int32)

  /// Says good-bye once nothing more is to be said; all ranks call it.
  func end()
}

extension Communicator {
  /// Whether this is rank 0, which alone writes files.
  package var isFirst: Bool { rank == 0 }

  /// The sums of some numbers over all ranks.
  ///
  /// - Throws: as `sum`.
  package func sums(of values: [Double]) throws(HGNetError) -> [Double] {
    guard rankCount > 1 else { return values }
    var values = values
    // `withUnsafe…` of an array loses typed errors.
    let place = UnsafeMutableBufferPointer<Double>.allocate(capacity: values.count)
    defer { place.deallocate() }
    _ = place.initialize(fromContentsOf: values)
    try sum(place)
    for index in values.indices { values[index] = place[index] }
    return values
  }

  /// The bytes that rank 0 has; what other ranks give does not matter.
  ///
  /// - Throws: as `sum`.
  package func broadcast(_ bytes: [UInt8]) throws(HGNetError) -> [UInt8] {
    guard rankCount > 1 else { return bytes }
    let count = Int(try sums(of: [isFirst ? Double(bytes.count) : 0])[0])
    let place = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
    defer { place.deallocate() }
    if isFirst { place.copyBytes(from: bytes) }
    try broadcast(place)
    return Array(place)
  }
}

/// A process that is alone.
package struct SingleProcess: Communicator {
  /// 0.
  package var rank: Int { 0 }
  /// 1.
  package var rankCount: Int { 1 }

  /// Makes it.
  package init() {}

  /// Leaves the values as they are.
  package func sum(_ values: UnsafeMutableBufferPointer<Float>) {}
  /// Leaves the values as they are.
  package func sum(_ values: UnsafeMutableBufferPointer<Double>) {}
  /// Leaves the values as they are.
  package func sum(_ values: UnsafeMutableBufferPointer<UInt16>) {}
  /// Leaves the bytes as they are.
  package func broadcast(_ bytes: UnsafeMutableRawBufferPointer) {}
  /// The bytes of this process.
  package func gather(_ bytes: [UInt8]) -> [[UInt8]] { [bytes] }
  /// Returns at once.
  package func barrier() {}
  /// Another one.
  package func duplicate() -> any Communicator { SingleProcess() }
  /// Does nothing: the caller ends the process.
  package func abort(status: Int32) {}
  /// Does nothing.
  package func end() {}
}
