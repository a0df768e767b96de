import HGNetCore
import HGNetVision

extension SessionKeeper<Session> {
  /// Runs the network on one or more pictures of one size, whose numbers are written where the network reads them.
  ///
  /// - Returns: the session with the results of the run.
  /// - Throws: `HGNetError.Code.shapeMismatch` for pictures of different or unfit sizes, `limitExceeded`.
  package mutating func run(
    _ pictures: some Collection<PreparedPicture>
  ) throws(HGNetError) -> Holder {
    guard let shape = pictures.first?.shape, shape.rank == 3, shape[2] == 3,
      pictures.allSatisfy({ $0.shape == shape })
    else {
      throw HGNetError(.shapeMismatch, "expected pictures [H, W, 3] of one size, found \(pictures.map(\.shape))")
    }
    let kept = try session(batch: pictures.count, size: Size(height: shape[0], width: shape[1]))
    let pool = kept.session.pool
    kept.session.withInput { pictures.write(into: $0, pool: pool) }
    try kept.session.execute()
    return kept
  }
}

extension Session {
  /// A result of the last run, `[N, H, W, C]`.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` without memory for it, `internalInconsistency` for a result that the network
  ///   does not have.
  package borrowing func result(_ index: Int) throws(HGNetError) -> Tensor {
    guard outputShapes.indices.contains(index) else {
      throw HGNetError(.internalInconsistency, "the network has no output \(index)")
    }
    let shape = outputShapes[index]
    return try Tensor(
      allocating: [batch, shape.height, shape.width, shape.channels], for: "a result of the network"
    ) { (target) throws(HGNetError) in try copyOutput(index, into: target) }
  }

  /// The values of a result of the last run, one row for each picture.
  ///
  /// - Throws: as `result(_:)`.
  package borrowing func rows(of index: Int = 0) throws(HGNetError) -> [[Float]] {
    let result = try result(index)
    let (count, batch) = (result.count / batch, batch)
    return result.withUnsafeBufferPointer { values in
      (0..<batch).map { Array(values[$0 * count..<($0 + 1) * count]) }
    }
  }
}
