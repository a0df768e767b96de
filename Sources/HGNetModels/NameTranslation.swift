import HGNetCore

/// Translates the parameter names and layouts of other ecosystems to PaddlePaddle's, and back.
///
/// PaddlePaddle's names are the canonical ones in this package (`stages.2.blocks.0.layers.3.conv1.bn._mean`). Known are
/// the names of timm, which most PyTorch ports share, and of Hugging Face's transformers, whose classifier reads the last
/// stage directly, as far as a `NetworkFamily` says how they are. Whatever stands in front of the network
/// (`module.`, `backbone.`, `Student.`) is found and removed; of a network and its average (`ema.`) the average is taken.
///
/// Same weights do not mean the same numbers everywhere: timm and transformers pad the stem with zeros before its
/// pooling, where PaddlePaddle ignores the padding, so that their logits of B0 … B3 differ slightly.
public enum NameTranslation {
  /// Whose names a store has.
  public enum Convention: String, Sendable, CaseIterable {
    /// PaddleClas: `stem.stem1.bn._mean`, linear weights `[in, out]`.
    case paddle
    /// timm and other PyTorch ports: `stem.stem1.bn.running_mean`, `head.fc.weight` of `[out, in]`.
    case timm
    /// transformers: `embedder.stem1.normalization.running_mean`, without a last convolution.
    case huggingFace

    /// What a person calls it.
    public var title: String {
      switch self {
      case .paddle: "PaddleClas"
      case .timm: "timm"
      case .huggingFace: "transformers"
      }
    }
  }

  /// What was recognised in a list of names.
  package struct Recognition: Hashable, Sendable {
    /// Whose names they are.
    package var convention: Convention
    /// What stands in front of every name of the network, with its last dot; empty mostly.
    package var prefix: String
    /// The family that the network is of.
    package var family: NetworkFamily
  }

  /// A store under PaddlePaddle's names, and what became of the rest.
  package struct Translation: Sendable {
    /// The parameters of the network in the order of the source.
    package var parameters: ParameterStore
    /// What was recognised.
    package var recognition: Recognition
    /// The names that do not belong to the network, such as those of a detector around it or of a teacher.
    package var unrelatedNames: [String]
  }

  /// The first parameters of families in every convention; a longer name comes before one that it ends in.
  private static func anchors(
    of families: [NetworkFamily]
  ) -> [(name: String, convention: Convention, family: NetworkFamily)] {
    let anchors = families.flatMap { family in
      [(name: family.firstParameter, convention: Convention.paddle, family: family)]
        + family.otherNames.filter { $0.firstParameter != family.firstParameter }.map {
          (name: $0.firstParameter, convention: $0.convention, family: family)
        }
    }
    return anchors.sorted { $0.name.utf8.count > $1.name.utf8.count }
  }

  /// The networks that names tell of, each with its prefix; `paddle` stands for every convention that begins alike.
  private static func networks(in names: [String], of families: [NetworkFamily]) -> [Recognition] {
    let anchors = anchors(of: families)
    var found: [Recognition] = []
    for name in names {
      guard let longest = anchors.first(where: { isAnchor($0.name, of: name) })?.name else { continue }
      for anchor in anchors where anchor.name == longest {
        found.append(
          Recognition(
            convention: anchor.convention, prefix: String(name.dropLast(longest.count)), family: anchor.family))
      }
    }
    // A first parameter alone is no network: another family, or a part of one, may have that name, too. Beyond a number that
    // no such part reaches, a file could make the comparison long.
    guard 2...64 ~= found.count else { return found }
    let scores = found.map { landmarkCount(of: $0, in: names) }
    var result: [Recognition] = []
    for (index, network) in found.enumerated() {
      let rivals = found.indices.filter { found[$0].prefix == network.prefix && $0 != index }
      let isBeaten = rivals.contains { scores[$0] > scores[index] || scores[$0] == scores[index] && $0 < index }
      if !isBeaten, scores[index] > 1 || scores.allSatisfy({ $0 <= 1 }) { result.append(network) }
    }
    return result
  }

  private static func isAnchor(_ anchor: String, of name: String) -> Bool {
    guard name.hasSuffix(anchor) else { return false }
    let prefix = name.dropLast(anchor.count)
    return prefix.isEmpty || prefix.hasSuffix(".")
  }

  /// How many landmarks of one model are among the names of a network.
  private static func landmarkCount(of network: Recognition, in names: [String]) -> Int {
    var recognition = network
    recognition.convention = convention(of: network, in: names)
    let own = Set(paddleNames(of: names, recognition).values)
    return network.family.models.map { $0.architecture.landmarks.count { own.contains($0.name) } }.max() ?? 0
  }

  /// Recognises whose names these are.
  ///
  /// - Parameters:
  ///   - names: the names of a store.
  ///   - families: the families that the network may be of.
  /// - Throws: `HGNetError.Code.parameterMismatch` when the first parameter of no known network is among them, or when
  ///   several networks are and their prefixes do not say which of them is the student.
  package static func recognition(
    of names: [String], families: [NetworkFamily] = NetworkFamily.all
  ) throws(HGNetError) -> Recognition {
    var found = networks(in: names, of: families)
    if found.count > 1 {
      let students = found.filter { !mentions("teacher", in: $0.prefix) }
      if !students.isEmpty { found = students }
    }
    // Training keeps the average of a network beside it, and measures that.
    if found.count == 2, let average = found.firstIndex(where: { mentions("ema", in: $0.prefix) }),
      !mentions("ema", in: found[1 - average].prefix)
    {
      found = [found[average]]
    }
    guard var result = found.first else {
      let shown = names.prefix(3).joined(separator: ", ")
      var known: [String] = []
      for anchor in anchors(of: families) where !known.contains(anchor.name) { known.append(anchor.name) }
      throw HGNetError(
        .parameterMismatch,
        "expected the parameters of a \(NetworkFamily.listing) network, of which one is "
          + "\(known.joined(separator: " or ")); found "
          + (names.isEmpty ? "no names" : "other names, such as \(shown)"))
    }
    guard found.count == 1 else {
      let prefixes = found.map { $0.prefix.isEmpty ? "(none)" : $0.prefix }.joined(separator: ", ")
      throw HGNetError(
        .parameterMismatch,
        "expected the parameters of one network, found \(found.count), under the prefixes \(prefixes); save one alone")
    }
    result.convention = convention(of: result, in: names)
    return result
  }

  /// The names in front of the networks that names tell of, such as `Teacher` and `Student`.
  package static func parts(of names: [String]) -> [String] {
    var parts: [String] = []
    for network in networks(in: names, of: NetworkFamily.all) {
      guard let part = network.prefix.split(separator: ".").first.map(String.init) else { continue }
      if !parts.contains(part) { parts.append(part) }
    }
    return parts
  }

  /// Whose names those of a network are whose first parameter several may call so: what PyTorch calls its statistics tells.
  private static func convention(of network: Recognition, in names: [String]) -> Convention {
    guard network.convention == .paddle,
      let other = network.family.otherNames.first(where: { $0.firstParameter == network.family.firstParameter })
    else { return network.convention }
    let own = names.filter { $0.hasPrefix(network.prefix) }
    let isPaddle = own.contains { $0.hasSuffix("._mean") }
    let isOther = own.contains { $0.hasSuffix(".running_mean") || $0.hasPrefix("\(network.prefix)head.") }
    return !isPaddle && isOther ? other.convention : .paddle
  }

  /// Whether a prefix has a part that begins with a word, in capitals or not.
  private static func mentions(_ word: String, in prefix: String) -> Bool {
    // String.contains of a text would bring the library of regular expressions into a static program.
    prefix.lowercased().split(whereSeparator: { $0 == "." || $0 == "_" }).contains { $0.hasPrefix(word) }
  }

  /// Whose names these are, nil when it cannot be told.
  package static func convention(of names: [String]) -> Convention? {
    (try? recognition(of: names))?.convention
  }

  /// PaddlePaddle's names of the parameters of a network by those in the store; without what PaddlePaddle does not have.
  private static func paddleNames(of names: [String], _ recognition: Recognition) -> [String: String] {
    let rules = recognition.family.otherNames.first { $0.convention == recognition.convention }
    var own: [(stored: String, name: String)] = []
    for stored in names where stored.hasPrefix(recognition.prefix) {
      let name = String(stored.dropFirst(recognition.prefix.count))
      guard rules != nil else {
        own.append((stored, name))
        continue
      }
      if lastPart(of: name) == batchCountName { continue }
      own.append((stored, replacingLastPart(of: name, by: ["running_mean": "_mean", "running_var": "_variance"])))
    }
    let translated = rules?.toPaddle(own.map(\.name))
    var result: [String: String] = [:]
    for (stored, name) in own { result[stored] = translated == nil ? name : translated?[name] }
    return result
  }

  /// What PyTorch calls the count of batches of a normalisation.
  private static let batchCountName = "num_batches_tracked"

  private static func lastPart(of name: String) -> Substring {
    name.lastIndex(of: ".").map { name[name.index(after: $0)...] } ?? name[...]
  }

  private static func replacingLastPart(of name: String, by words: [String: String]) -> String {
    let last = lastPart(of: name)
    return words[String(last)].map { name[..<last.startIndex] + $0 } ?? name
  }

  /// Translates a store to PaddlePaddle's names and layouts.
  ///
  /// Linear weights of PyTorch are transposed to `[in, out]`, counts of batches are dropped; everything else keeps its
  /// bytes. A name without a translation stays as it is, for a strict loader to report.
  ///
  /// - Throws: as `recognition(of:families:)`.
  package static func translation(
    of store: ParameterStore, families: [NetworkFamily] = NetworkFamily.all
  ) throws(HGNetError) -> Translation {
    let recognition = try recognition(of: store.names, families: families)
    let names = paddleNames(of: store.names, recognition)
    var result = Translation(parameters: ParameterStore(), recognition: recognition, unrelatedNames: [])
    for name in store.names {
      guard let parameter = store[name] else { continue }
      guard name.hasPrefix(recognition.prefix) else {
        result.unrelatedNames.append(name)
        continue
      }
      guard let translated = names[name] else { continue }
      let isTransposed = recognition.convention != .paddle && recognition.family.linearWeights.contains(translated)
      result.parameters[translated] = isTransposed ? try parameter.transposed(name: name) : parameter
    }
    return result
  }

  /// The parameters of the network in a store under PaddlePaddle's names and layouts.
  ///
  /// - Throws: as `recognition(of:families:)`.
  package static func toPaddle(_ store: ParameterStore) throws(HGNetError) -> ParameterStore {
    try translation(of: store).parameters
  }

  /// The parameters of the head, if another ecosystem's names have no place for all of them.
  ///
  /// transformers has no last convolution, and neither it nor timm has a decoder. A head is left out whole: the rest of it
  /// would be another network.
  ///
  /// - Parameter store: a network under PaddlePaddle's names.
  package static func headWithoutPlace(in store: ParameterStore, of convention: Convention) -> [String] {
    guard let family = try? recognition(of: store.names).family,
      let rules = family.otherNames.first(where: { $0.convention == convention })
    else { return [] }
    let head = store.names.filter { family.headPart(ofParameter: $0) != nil }
    let places = rules.fromPaddle(head)
    return head.allSatisfy { places[$0] != nil } ? [] : head
  }

  /// Translates a store with PaddlePaddle's names to those of another ecosystem.
  ///
  /// Linear weights are transposed to `[out, in]`, and every batch norm gets the count of batches that PyTorch expects.
  /// A head for which there is no place is left out; `headWithoutPlace(in:of:)` names it.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` when the store is not a network under PaddlePaddle's names,
  ///   `unsupported` for a family that the other ecosystem does not have, as transformers the first PP-HGNet.
  package static func fromPaddle(
    _ store: ParameterStore, to convention: Convention
  ) throws(HGNetError) -> ParameterStore {
    let recognition = try recognition(of: store.names)
    guard recognition.convention == .paddle, recognition.prefix.isEmpty else {
      throw HGNetError(
        .parameterMismatch,
        "expected PaddlePaddle's names, found those of \(recognition.convention.rawValue)"
          + (recognition.prefix.isEmpty ? "" : " under the prefix \(recognition.prefix)"))
    }
    if convention == .paddle { return store }
    let family = recognition.family
    guard let rules = family.otherNames.first(where: { $0.convention == convention }) else {
      let known = family.otherNames.map { "\($0.convention.title)'s" }.joined(separator: " or ")
      throw HGNetError(
        .unsupported,
        "\(convention.title) has no \(family.name); write \(known.isEmpty ? "PaddleClas'" : known) names")
    }
    let batchCount = try Parameter(shape: [], elementType: .int64, bytes: BlobSlice(Blob(count: 8) { _ in }))
    let leftOut = Set(headWithoutPlace(in: store, of: convention))
    let translated = rules.fromPaddle(store.names)
    var result = ParameterStore()
    for name in store.names where !leftOut.contains(name) {
      guard let parameter = store[name] else { continue }
      guard let own = translated[name] else {
        throw HGNetError(.unsupported, "the names of \(convention.title) have no place for this parameter", key: name)
      }
      let renamed = replacingLastPart(of: own, by: ["_mean": "running_mean", "_variance": "running_var"])
      result[renamed] = family.linearWeights.contains(name) ? try parameter.transposed(name: name) : parameter
      if lastPart(of: own) == "_variance" {
        result["\(renamed.dropLast("running_var".count))\(batchCountName)"] = batchCount
      }
    }
    return result
  }
}

extension Parameter {
  /// A matrix with its axes exchanged, in C order; other ranks are returned as they are.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` naming the parameter when there is no memory for it.
  fileprivate func transposed(name: String) throws(HGNetError) -> Parameter {
    guard shape.rank == 2 else { return self }
    let (rows, columns, size) = (shape[0], shape[1], elementType.byteCount)
    let blob = try Blob(allocating: bytes.count, for: "\(name) with its axes exchanged", path: bytes.blob.path) {
      target in
      bytes.withUnsafeBytes { source in
        for column in 0..<columns {
          for row in 0..<rows {
            let (from, to) = ((row * columns + column) * size, (column * rows + row) * size)
            for byte in 0..<size { target[to + byte] = source[from + byte] }
          }
        }
      }
    }
    return try Parameter(shape: [columns, rows], elementType: elementType, bytes: BlobSlice(blob))
  }
}
