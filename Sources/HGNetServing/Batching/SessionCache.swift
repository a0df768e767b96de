import HGNetCore
import HGNetCPU

/// Sessions for the batches of a server: a few sizes kept, so that a change of load plans nothing and allocates nothing.
///
/// A batch runs in pieces of 8, 4, 2 or 1; the results do not depend on the pieces. Sessions of the usual picture size
/// stay, in one memory for all of them; of other sizes only the last one does. Threads: one at a time.
struct SessionCache {
  private let model: InferenceModel
  private let pool: ThreadPool
  private let usualSize: Size
  private let largestBatch: Int
  private var kept: [Int: KeptSession] = [:]
  private var unusual: KeptSession?

  /// A session in a place that a dictionary can hold.
  private final class KeptSession {
    var session: Session
    init(_ session: consuming Session) { self.session = session }
  }

  init(model: InferenceModel, pool: ThreadPool, usualSize: Size, largestBatch: Int) {
    self.model = model
    self.pool = pool
    self.usualSize = usualSize
    self.largestBatch = largestBatch
  }

  /// The largest piece in which a number of pictures runs.
  static func piece(of count: Int, at most: Int) -> Int {
    var piece = 1
    while piece * 2 <= min(count, most) { piece *= 2 }
    return piece
  }

  private mutating func session(batch: Int, size: Size) throws(HGNetError) -> KeptSession {
    if size == usualSize {
      if kept.isEmpty { try planUsualSize() }
      if let found = kept[batch] { return found }
    }
    if let unusual, unusual.session.plan.batch == batch, unusual.session.plan.inputSize == size { return unusual }
    // The old activations go before the new ones come.
    unusual = nil
    let made = KeptSession(try model.session(batch: batch, inputSize: size, pool: pool))
    unusual = made
    return made
  }

  /// Makes the sessions of all pieces.
  ///
  /// What the larger ones need costs nothing until they run.
  private mutating func planUsualSize() throws(HGNetError) {
    var plans: [Plan] = []
    var batch = 1
    while batch <= largestBatch {
      plans.append(try model.plan(batch: batch, inputSize: usualSize, threads: pool.count))
      batch *= 2
    }
    let memory = try SessionMemory(for: plans, threads: pool.count)
    for plan in plans {
      kept[plan.batch] = KeptSession(try model.session(plan: plan, memory: memory, pool: pool))
    }
  }

  /// Runs the network on pictures of one size.
  ///
  /// - Parameter pictures: `[H, W, 3]` each, all of one size.
  /// - Returns: the logits of each.
  /// - Throws: `HGNetError.Code.shapeMismatch`, `limitExceeded`.
  mutating func logits(of pictures: ArraySlice<Tensor>) throws(HGNetError) -> [[Float]] {
    guard let first = pictures.first else { return [] }
    let size = Size(height: first.shape[0], width: first.shape[1])
    let kept = try session(batch: pictures.count, size: size)
    kept.session.withInput { target in
      for (index, picture) in pictures.enumerated() {
        picture.withUnsafeBufferPointer { source in
          let place = UnsafeMutableBufferPointer(
            rebasing: target[(index * source.count)..<((index + 1) * source.count)])
          _ = place.update(fromContentsOf: source)
        }
      }
    }
    kept.session.execute()
    guard let shape = kept.session.plan.outputShapes.first else {
      throw HGNetError(.internalInconsistency, "the network has no output")
    }
    let count = shape.channels * shape.height * shape.width
    let all = [Float](unsafeUninitializedCapacity: count * pictures.count) { buffer, filled in
      kept.session.copyOutput(0, into: buffer)
      filled = count * pictures.count
    }
    return pictures.indices.map { index in
      let place = index - pictures.startIndex
      return Array(all[(place * count)..<((place + 1) * count)])
    }
  }
}
