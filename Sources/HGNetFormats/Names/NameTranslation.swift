import HGNetCore

/// Translates the parameter names and layouts of other ecosystems to PaddlePaddle's, and back.
///
/// PaddlePaddle's names are the canonical ones in this package (`stages.2.blocks.0.layers.3.conv1.bn._mean`). Known are
/// the names of timm, which most PyTorch ports share, and of Hugging Face's transformers, whose classifier reads the last
/// stage directly; for PP-HGNetV2 and, as far as those have it, the first PP-HGNet. Whatever stands in front of the network
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
    /// Whether it is PP-HGNet of the first generation (the teachers) rather than PP-HGNetV2.
    package var isFirstGeneration: Bool
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

  /// The first convolution of the network in every convention; a longer name comes before one that it ends in.
  private static let anchors: [(name: String, isHuggingFace: Bool, isFirstGeneration: Bool)] = [
    ("embedder.stem1.convolution.weight", true, false),
    ("stem.stem1.conv.weight", false, false),
    ("stem.stem.0.conv.weight", false, true),
    ("stem.0.conv.weight", false, true),
  ]

  /// Recognises whose names these are.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` when the first convolution of the network is not among them, or when
  ///   several networks are and their prefixes do not say which of them is the student.
  package static func recognition(of names: [String]) throws(HGNetError) -> Recognition {
    var found: [Recognition] = []
    for name in names {
      for anchor in anchors where name.hasSuffix(anchor.name) {
        let prefix = String(name.dropLast(anchor.name.count))
        guard prefix.isEmpty || prefix.hasSuffix(".") else { continue }
        found.append(
          Recognition(
            convention: anchor.isHuggingFace ? .huggingFace : .paddle, prefix: prefix,
            isFirstGeneration: anchor.isFirstGeneration))
        break
      }
    }
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
      throw HGNetError(
        .parameterMismatch,
        "expected the parameters of a PP-HGNet network, which has a parameter stem.stem1.conv.weight, "
          + "embedder.stem1.convolution.weight or stem.0.conv.weight; found "
          + (names.isEmpty ? "no names" : "other names, such as \(shown)"))
    }
    guard found.count == 1 else {
      let prefixes = found.map { $0.prefix.isEmpty ? "(none)" : $0.prefix }.joined(separator: ", ")
      throw HGNetError(
        .parameterMismatch,
        "expected the parameters of one network, found \(found.count), under the prefixes \(prefixes); save one alone")
    }
    if result.convention == .paddle {
      let own = names.filter { $0.hasPrefix(result.prefix) }
      let isPaddle = own.contains { $0.hasSuffix("._mean") }
      if !isPaddle, own.contains(where: { $0.hasSuffix(".running_mean") || $0.hasPrefix("\(result.prefix)head.") }) {
        result.convention = .timm
      }
    }
    return result
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

  /// Translates a store to PaddlePaddle's names and layouts.
  ///
  /// Linear weights of PyTorch are transposed to `[in, out]`, counts of batches are dropped; everything else keeps its
  /// bytes. A name without a translation stays as it is, for a strict loader to report.
  ///
  /// - Throws: as `recognition(of:)`.
  package static func translation(of store: ParameterStore) throws(HGNetError) -> Translation {
    let recognition = try recognition(of: store.names)
    var result = Translation(parameters: ParameterStore(), recognition: recognition, unrelatedNames: [])
    for name in store.names {
      guard let parameter = store[name] else { continue }
      guard name.hasPrefix(recognition.prefix) else {
        result.unrelatedNames.append(name)
        continue
      }
      let own = String(name.dropFirst(recognition.prefix.count))
      guard let translated = paddleName(of: own, recognition) else { continue }
      let isTransposed = recognition.convention != .paddle && translated == "fc.weight"
      result.parameters[translated] = isTransposed ? try parameter.transposed(name: name) : parameter
    }
    return result
  }

  /// The parameters of the network in a store under PaddlePaddle's names and layouts.
  ///
  /// - Throws: as `recognition(of:)`.
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
    let head = store.names.filter { !$0.hasPrefix("stem.") && !$0.hasPrefix("stages.") }
    let hasPlace = head.allSatisfy { name in
      switch convention {
      case .paddle: true
      case .timm: timmName(of: name, isFirstGeneration: false) != nil
      case .huggingFace: huggingFaceName(of: name) != nil
      }
    }
    return hasPlace ? [] : head
  }

  /// Translates a store with PaddlePaddle's names to those of another ecosystem.
  ///
  /// Linear weights are transposed to `[out, in]`, and every batch norm gets the count of batches that PyTorch expects.
  /// A head for which there is no place is left out; `headWithoutPlace(in:of:)` names it.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` when the store is not a network under PaddlePaddle's names,
  ///   `unsupported` for PP-HGNet of the first generation in Hugging Face's names, which do not have it.
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
    guard convention == .timm || !recognition.isFirstGeneration else {
      throw HGNetError(.unsupported, "transformers has no PP-HGNet of the first generation; write timm's names")
    }
    let batchCount = try Parameter(shape: [], elementType: .int64, bytes: BlobSlice(Blob(count: 8) { _ in }))
    let leftOut = Set(headWithoutPlace(in: store, of: convention))
    var result = ParameterStore()
    for name in store.names where !leftOut.contains(name) {
      guard let parameter = store[name] else { continue }
      let translated =
        convention == .timm
        ? timmName(of: name, isFirstGeneration: recognition.isFirstGeneration) : huggingFaceName(of: name)
      guard let translated else {
        throw HGNetError(.unsupported, "the names of \(convention.title) have no place for this parameter", key: name)
      }
      result[translated] = name == "fc.weight" ? try parameter.transposed(name: name) : parameter
      if translated.hasSuffix(".running_var") {
        result["\(translated.dropLast("running_var".count))num_batches_tracked"] = batchCount
      }
    }
    return result
  }
}

extension Parameter {
  /// A matrix with its axes exchanged, in C order; other ranks are returned as they are.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` when the budget has no room for it.
  func transposed(budget: inout AllocationBudget) throws(HGNetError) -> Parameter {
    guard shape.rank == 2 else { return self }
    let view = try StridedView(
      shape: try Shape(validating: [shape[1], shape[0]]), strides: [1, shape[1]], offset: 0, elementCount: shape.count)
    return try Parameter(
      shape: view.shape, elementType: elementType,
      bytes: try view.elements(of: bytes, elementSize: elementType.byteCount, budget: &budget))
  }

  fileprivate func transposed(name: String) throws(HGNetError) -> Parameter {
    do throws(HGNetError) {
      var budget = AllocationBudget(byteCount: bytes.count, path: bytes.blob.path)
      return try transposed(budget: &budget)
    } catch {
      throw error.at(key: name)
    }
  }
}
