import CHGNet
import HGNet
import HGNetCore
import HGNetVision

/// What a handle stands for.
///
/// Threads: safe to share.
final class OpenClassifier: Sendable {
  /// What is compiled when it is first asked for.
  private struct Later {
    var extractor: FeatureExtractor?
    var features: TensorRun?
  }

  let classifier: Classifier
  let labels: LabelTexts?
  let classCount: Int
  let embeddingCount: Int
  let stageCount: Int
  let modelName: String
  let recipeOrigin: WeightsRecipe.Origin
  /// What the file itself does with its logits; nil where it does not say.
  let fileActivation: Activation?
  let hooks: Hooks
  /// Takes tensors through the network.
  let logits: TensorRun
  /// The weights for what is compiled later; nil for weights from memory that nobody wanted to be kept.
  private let weights: WeightsFile?
  private let later = ForkSafeLock(Later())
  private let threads: QuietThreads

  init(_ weights: WeightsFile, options: OpeningOptions) throws {
    let (recipe, origin) = try options.recipe(for: weights)
    recipeOrigin = origin
    guard let classCount = weights.graph.classCount else {
      throw HGNetError(.unsupported, "expected a network that classifies, found one without logits", path: weights.path)
    }
    if options.keepsFeatures { try weights.requireStages() }
    threads = QuietThreads(threads: options.threads)
    let device = try Device(options.device, pool: threads.pool, precision: options.precision.precision)
    classifier = try Classifier(weights, recipe: recipe, device: device)
    logits = TensorRun(model: classifier.model)
    stageCount = weights.graph.stages.count
    embeddingCount = weights.graph.output(.embedding).map { weights.graph[$0.node].shape.count } ?? 0
    fileActivation = weights.activation
    hooks = options.hooks
    self.weights = weights.path.isEmpty && !options.keepsFeatures ? nil : weights
    labels = recipe.labels.map { labels in LabelTexts((0..<classCount).lazy.map { labels[$0] }) }
    self.classCount = classCount
    modelName = weights.model?.name ?? ""
    if options.precision == .auto {
      hooks.log(.info, "precision auto: \(classifier.model.precision.rawValue)")
    }
  }

  /// Takes pictures to embeddings.
  func extractor() throws -> FeatureExtractor {
    try later.withLock { (later) throws(HGNetError) in
      if let made = later.extractor { return made }
      hg_leaks_ignore()
      defer { hg_leaks_observe() }
      let made = try FeatureExtractor(keptWeights(), recipe: classifier.recipe, device: classifier.device)
      later.extractor = made
      return made
    }
  }

  /// Takes tensors to the stages.
  func features() throws -> TensorRun {
    try later.withLock { (later) throws(HGNetError) in
      if let made = later.features { return made }
      hg_leaks_ignore()
      defer { hg_leaks_observe() }
      let weights = try keptWeights()
      try weights.requireStages()
      let graph = try weights.graph.selecting(outputs: weights.graph.stages.map(\.role))
      let made = TensorRun(
        model: try InferenceModel(graph: graph, parameters: weights.parameters, device: classifier.device))
      later.features = made
      return made
    }
  }

  private func keptWeights() throws(HGNetError) -> WeightsFile {
    guard let weights else {
      throw HGNetError(
        .invalidArgument,
        "expected weights that were kept, found ones from memory; open them with keeps_features = 1 for embeddings and features"
      )
    }
    return weights
  }
}

/// Names as C wants them: one block of texts, each ended by a zero byte.
///
/// Threads: safe to share; the texts never change.
final class LabelTexts: Sendable {
  private nonisolated(unsafe) let base: UnsafeMutablePointer<CChar>
  private let offsets: [Int]

  init(_ names: some Sequence<String>) {
    var bytes: [UInt8] = []
    var offsets: [Int] = []
    for name in names {
      offsets.append(bytes.count)
      bytes += name.utf8
      bytes.append(0)
    }
    base = .allocate(capacity: max(bytes.count, 1))
    for (offset, byte) in bytes.enumerated() { (base + offset).initialize(to: CChar(bitPattern: byte)) }
    self.offsets = offsets
  }

  deinit { base.deallocate() }

  /// The text of a class; null for a class that has none.
  subscript(index: Int) -> UnsafePointer<CChar>? {
    offsets.indices.contains(index) ? UnsafePointer(base + offsets[index]) : nil
  }
}
