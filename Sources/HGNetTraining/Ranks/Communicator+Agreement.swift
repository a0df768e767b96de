import HGNetCore

extension Communicator {
  /// Checks that all ranks were started with the same; each rank gives a value, or a hash of it, for each subject.
  ///
  /// - Parameter subjects: what it is, in the plural, such as `configurations`, and the value of this rank.
  /// - Throws: in all ranks `HGNetError.Code.invalidConfiguration` naming the subject and the ranks that differ from
  ///   rank 0.
  package func agree(on subjects: [(name: String, value: String)]) throws(HGNetError) {
    guard rankCount > 1 else { return }
    let all = try gather(Array(subjects.map(\.value).joined(separator: "\0").utf8)).map { bytes in
      String(decoding: bytes, as: UTF8.self).split(separator: "\0", omittingEmptySubsequences: false)
    }
    var message = ""
    for (index, subject) in subjects.enumerated() where isFirst && message.isEmpty {
      let expected = all[0][index]
      let others = all.indices.filter { !all[$0].indices.contains(index) || all[$0][index] != expected }
      guard let other = others.first else { continue }
      let value = all[other].indices.contains(index) ? all[other][index] : "nothing"
      let ranks = others.prefix(8).map { "\($0)" }.joined(separator: ", ") + (others.count > 8 ? ", …" : "")
      message =
        "expected the same \(subject.name) in all \(rankCount) ranks, found others in rank\(others.count > 1 ? "s" : "") "
        + "\(ranks): hash \(value) instead of \(expected) in rank 0; start all ranks with the same files and options"
    }
    let told = String(decoding: try broadcast(Array(message.utf8)), as: UTF8.self)
    guard told.isEmpty else { throw HGNetError(.invalidConfiguration, told) }
  }

  /// A hash of a text, for `agree`.
  package static func hash(of text: String) -> String {
    var chain = XXHash64.Chain()
    chain.add(text)
    return chain.text
  }
}

extension ParameterStore {
  /// A hash of names and values, by which ranks see that they have the same.
  var hash: String {
    var chain = XXHash64.Chain()
    chain.add(self)
    return chain.text
  }
}
