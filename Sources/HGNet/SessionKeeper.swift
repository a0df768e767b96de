import HGNetCore
import HGNetProgram

/// Keeps sessions for the next run with the same batch and picture size.
///
/// Sessions of batches that are named ahead stay, all in one memory; of any other batch and size only the last one does.
/// `Kept` is a `Session` or a `TrainingRun`. Threads: one task at a time.
package struct SessionKeeper<Kept: ~Copyable>: ~Copyable {
  /// A session where it is kept.
  package final class Holder {
    /// The session.
    package var session: Kept
    let batch: Int
    let size: Size

    init(_ session: consuming Kept, batch: Int, size: Size) {
      self.session = session
      self.batch = batch
      self.size = size
    }
  }

  private let make: (_ batch: Int, _ size: Size) throws(HGNetError) -> Kept
  /// The picture size whose sessions stay, and what makes all of them.
  private let lasting: (size: Size, makeAll: () throws(HGNetError) -> [Holder])?
  private var staying: [Holder] = []
  private var last: Holder?

  /// Keeps the last session.
  ///
  /// - Parameter make: makes a session for a batch and picture size.
  package init(make: @escaping (_ batch: Int, _ size: Size) throws(HGNetError) -> Kept) {
    self.make = make
    lasting = nil
  }

  private init(
    size: Size, make: @escaping (_ batch: Int, _ size: Size) throws(HGNetError) -> Kept,
    makeAll: @escaping () throws(HGNetError) -> [Holder]
  ) {
    self.make = make
    lasting = (size, makeAll)
  }

  /// A session for a batch and picture size: the one that is kept, or else a new one.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` for pictures too small for the network, `limitExceeded` when there is not
  ///   enough memory.
  package mutating func session(batch: Int, size: Size) throws(HGNetError) -> Holder {
    if let lasting, size == lasting.size {
      if staying.isEmpty { staying = try lasting.makeAll() }
      if let found = staying.first(where: { $0.batch == batch }) { return found }
    }
    if let last, last.batch == batch, last.size == size { return last }
    // The old activations go before the new ones come.
    last = nil
    let made = Holder(try make(batch, size), batch: batch, size: size)
    last = made
    return made
  }
}

extension SessionKeeper where Kept == Session {
  /// Keeps the last session of a network.
  ///
  /// - Parameter model: the compiled network.
  package init(model: InferenceModel) {
    self.init { (batch, size) throws(HGNetError) in try model.session(batch: batch, inputSize: size) }
  }

  /// Keeps the sessions of some batches of one picture size, and the last one of others.
  ///
  /// They are made together when the size is first asked for, in one memory, which is that of the largest; what the
  /// larger ones need costs nothing until they run.
  ///
  /// - Parameters:
  ///   - model: the compiled network.
  ///   - batches: the numbers of pictures.
  ///   - size: the picture size.
  package init(model: InferenceModel, keeping batches: [Int], of size: Size) {
    self.init(size: size) { (batch, size) throws(HGNetError) in
      try model.session(batch: batch, inputSize: size)
    } makeAll: { () throws(HGNetError) in
      let memory = try model.memory(batches: batches, inputSize: size)
      var made: [Holder] = []
      for batch in batches {
        made.append(
          Holder(try model.session(batch: batch, inputSize: size, memory: memory), batch: batch, size: size))
      }
      return made
    }
  }
}
