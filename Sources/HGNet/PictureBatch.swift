import HGNetCore
import HGNetVision

/// Pictures that take a network together; one that cannot be read does not harm the others.
package enum PictureBatch {
  /// Prepares pictures on all threads, and runs those of one size together.
  ///
  /// - Parameters:
  ///   - count: the number of pictures.
  ///   - pool: the threads.
  ///   - prepare: makes what the network sees of a picture; called from any thread.
  ///   - run: gives a result for each of some pictures of one size.
  /// - Returns: a result for each picture, in order.
  /// - Throws: what `run` throws and what does not concern the pictures alone, such as `HGNetError.Code.limitExceeded`.
  package static func results<Output>(
    _ count: Int, pool: ThreadPool,
    prepare: @Sendable (_ index: Int) throws(HGNetError) -> PreparedPicture,
    run: ([PreparedPicture]) throws(HGNetError) -> [Output]
  ) throws(HGNetError) -> [Result<Output, HGNetError>] {
    let prepared = PreparedPictures(count, pool: pool, prepare: prepare)
    var results: [Result<Output, HGNetError>] = prepared.results.map { result in
      switch result {
      case .success: .failure(HGNetError(.internalInconsistency, "the picture was not reached"))
      case .failure(let error): .failure(error)
      }
    }
    for group in prepared.groups {
      do throws(HGNetError) {
        for (index, output) in zip(group.indices, try run(group.pictures)) { results[index] = .success(output) }
      } catch {
        // Too small or too large for the network is a matter of these pictures alone.
        guard error.code == .shapeMismatch, let shape = group.pictures.first?.shape else { throw error }
        var told = error
        told.cause = "after preprocessing the picture is \(Size(height: shape[0], width: shape[1])) pixels"
        for index in group.indices { results[index] = .failure(told) }
      }
    }
    return results
  }
}

extension Recipe {
  /// How many pictures run together where nobody says it: as many as share the weights well, fewer of large ones.
  ///
  /// Results do not depend on it. 8 pictures of 224×224 at once take 0.5 to 0.9 of the time of one after the other, more
  /// gain little and hold more memory.
  package var usualBatch: Int {
    // Without a fixed size pictures seldom have the same one, and may be large.
    var area = 1024 * 1024
    if let size = try? Transform.size(of: Size(4096), applying: transforms), size.height <= 2048, size.width <= 2048 {
      area = size.height * size.width
    }
    return max(1, min(8, 8 * 320 * 320 / max(area, 1)))
  }
}
