import HGNetCore
import HGNetVision

/// Pictures that were made ready for a network side by side; one that cannot be read does not harm the others.
package struct PreparedPictures: Sendable {
  /// Pictures of one size.
  package struct Group: Sendable {
    /// Where they stand among all.
    package var indices: [Int]
    /// What the network sees of them, of one shape.
    package var pictures: [PreparedPicture]
  }

  /// What the network sees of each picture, or why it sees nothing.
  package let results: [Result<PreparedPicture, HGNetError>]

  /// Prepares pictures on all threads.
  ///
  /// - Parameters:
  ///   - count: the number of pictures.
  ///   - pool: the threads.
  ///   - prepare: makes what the network sees of a picture; called from any thread.
  package init(
    _ count: Int, pool: ThreadPool, prepare: @Sendable (_ index: Int) throws(HGNetError) -> PreparedPicture
  ) {
    func result(_ index: Int) -> Result<PreparedPicture, HGNetError> {
      Result { () throws(HGNetError) in try prepare(index) }
    }
    // A lone picture wakes nobody.
    guard count > 1 else {
      results = (0..<count).map(result)
      return
    }
    // Not a `Mutex`, which is not usable by several threads of a process that was forked.
    let slots = Monitor([Result<PreparedPicture, HGNetError>?](repeating: nil, count: count))
    pool.forEach(count) { index in
      let result = result(index)
      slots.withLock { $0[index] = result }
    }
    results = slots.withLock { $0 }.map {
      $0 ?? .failure(HGNetError(.internalInconsistency, "the picture was not reached"))
    }
  }

  /// The readable pictures by their size, in the order in which sizes come first.
  package var groups: [Group] {
    var groups: [Group] = []
    var places: [Shape: Int] = [:]
    for (index, result) in results.enumerated() {
      guard case .success(let picture) = result else { continue }
      if let place = places[picture.shape] {
        groups[place].indices.append(index)
        groups[place].pictures.append(picture)
      } else {
        places[picture.shape] = groups.count
        groups.append(Group(indices: [index], pictures: [picture]))
      }
    }
    return groups
  }
}
