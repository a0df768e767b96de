import HGNet
import HGNetCore
import HGNetVision

/// What a handle stands for.
///
/// Threads: safe to share.
final class OpenClassifier: Sendable {
  let classifier: Classifier
  let labels: LabelTexts?
  let classCount: Int
  let modelName: String
  let recipeOrigin: WeightsRecipe.Origin
  /// Takes tensors through the network.
  let logits: TensorRun
  /// Takes tensors to the stages; nil unless asked for.
  let features: TensorRun?
  let stageCount: Int
  private let threads: QuietThreads

  init(_ weights: WeightsFile, options: OpeningOptions) throws {
    let (recipe, origin) = try options.recipe(for: weights)
    recipeOrigin = origin
    guard let classCount = weights.graph.classCount else {
      throw HGNetError(.unsupported, "expected a network that classifies, found one without logits", path: weights.path)
    }
    threads = QuietThreads(threads: options.threads)
    let device = try Device(options.device, pool: threads.pool, precision: options.precision.precision)
    classifier = try Classifier(weights, recipe: recipe, device: device)
    logits = TensorRun(model: classifier.model)
    stageCount = weights.graph.stages.count
    if options.keepsFeatures {
      try weights.requireStages()
      let graph = try weights.graph.selecting(outputs: weights.graph.stages.map(\.role))
      features = TensorRun(
        model: try InferenceModel(graph: graph, parameters: weights.parameters, device: device))
    } else {
      features = nil
    }
    labels = recipe.labels.map { labels in LabelTexts((0..<classCount).lazy.map { labels[$0] }) }
    self.classCount = classCount
    modelName = weights.model?.name ?? ""
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
