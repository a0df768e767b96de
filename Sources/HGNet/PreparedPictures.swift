import HGNetCore

/// Pictures that were made ready for a network side by side; one that cannot be read does not harm the others.
package struct PreparedPictures: Sendable {
  /// Pictures of one size.
  package struct Group: Sendable {
    /// Where they stand among all.
    package var indices: [Int]
    /// What the network sees of them, `[H, W, 3]` of one shape.
    package var tensors: [Tensor]
  }

  /// What the network sees of each picture, or why it sees nothing.
  package let results: [Result<Tensor, HGNetError>]

  /// Prepares pictures on all threads.
  ///
  /// - Parameters:
  ///   - count: the number of pictures.
  ///   - pool: the threads.
  ///   - prepare: makes the tensor of a picture; called from any thread.
  package init(
    _ count: Int, pool: ThreadPool, prepare: @Sendable (_ index: Int) throws(HGNetError) -> Tensor
  ) {
    func result(_ index: Int) -> Result<Tensor, HGNetError> {
      Result { () throws(HGNetError) in try prepare(index) }
    }
    // A lone picture wakes nobody.
    guard count > 1 else {
      results = (0..<count).map(result)
      return
    }
    // Not a `Mutex`, which is not usable by several threads of a process that was forked.
    let slots = Monitor([Result<Tensor, HGNetError>?](repeating: nil, count: count))
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
      guard case .success(let tensor) = result else { continue }
      if let place = places[tensor.shape] {
        groups[place].indices.append(index)
        groups[place].tensors.append(tensor)
      } else {
        places[tensor.shape] = groups.count
        groups.append(Group(indices: [index], tensors: [tensor]))
      }
    }
    return groups
  }
}
