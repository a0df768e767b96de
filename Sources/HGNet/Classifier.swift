import HGNetCore
import HGNetEngine
import HGNetFormats
import HGNetModels
import HGNetVision

/// Classifies pictures: the front door of the package.
///
/// ```swift
/// let classifier = try Classifier(weights: "PPHGNetV2_B4_ssld_pretrained.pdparams")
/// for result in try classifier.classify(contentsOf: "photo.jpg") {
///   print(result.score, result.label ?? "class \(result.index)")
/// }
/// ```
///
/// The recipe, the weights and the threads are fixed; make another classifier for others. Threads: safe to share; calls
/// from several tasks decode side by side and take turns at the network, which uses all threads anyway.
public final class Classifier: Sendable {
  /// How pictures become input, and logits become classes.
  public let recipe: Recipe
  /// The compiled network.
  public let model: InferenceModel
  /// The threads that it runs on.
  public let pool: ThreadPool
  private let activation: Activation
  private let sessions = ForkSafeLock(KeptSession())

  /// Opens weights of any format with the recipe that belongs to them.
  ///
  /// - Parameters:
  ///   - path: the file or folder; see `WeightsFile`.
  ///   - recipe: nil for the model's evaluation recipe, with ImageNet's names for 1000 classes.
  ///   - threads: nil for `ProcessorCount.current()`.
  /// - Throws: as `WeightsFile.init(contentsOf:model:options:allowsNewHead:)`.
  public convenience init(weights path: String, recipe: Recipe? = nil, threads: Int? = nil) throws(HGNetError) {
    try self.init(try WeightsFile(contentsOf: path), recipe: recipe, pool: ThreadPool(threads: threads))
  }

  /// Compiles the network of a weights file.
  ///
  /// - Parameters:
  ///   - weights: the network and its parameters.
  ///   - recipe: nil for `weights.standardRecipe`.
  ///   - pool: the threads.
  /// - Throws: `HGNetError.Code.parameterMismatch` or `unsupported` naming a layer, `limitExceeded` when a picture of the
  ///   recipe's size takes more memory than the process may have.
  public init(_ weights: WeightsFile, recipe: Recipe? = nil, pool: ThreadPool = ThreadPool()) throws(HGNetError) {
    let recipe = recipe ?? weights.standardRecipe
    self.recipe = recipe
    self.pool = pool
    // What an inference model does with its logits is what it was trained for.
    activation = recipe.activation ?? weights.activation ?? recipe.postProcessing.activation
    model = try InferenceModel(graph: weights.graph, parameters: weights.parameters, pool: pool)
    if let size = Transform.outputSize(of: recipe.transforms) {
      try model.checkMemory(batch: 1, inputSize: size, threads: pool.count)
    }
  }

  /// Classifies one picture file.
  ///
  /// - Throws: `HGNetError` naming the file when it is no readable picture.
  public func classify(contentsOf path: String) throws(HGNetError) -> [ScoredClass] {
    try classify(decoding: Blob(mapping: path))
  }

  /// Classifies one picture in memory: the bytes of a JPEG, PNG, WebP or BMP file.
  ///
  /// - Throws: as the other form.
  public func classify(decoding blob: Blob) throws(HGNetError) -> [ScoredClass] {
    try classes(of: [recipe.tensor(decoding: blob)])[0]
  }

  /// Classifies picture files as one batch; one that cannot be read does not harm the others.
  ///
  /// Pictures are decoded on all threads. Where the recipe leaves pictures in different sizes, those of one size run
  /// together.
  ///
  /// - Returns: a result for each path, in order. The results do not depend on which pictures run together.
  /// - Throws: only what concerns the network itself, such as `HGNetError.Code.limitExceeded` for lack of memory.
  public func classify(
    contentsOf paths: [String]
  ) throws(HGNetError) -> [Result<[ScoredClass], HGNetError>] {
    let pictures = PreparedPictures(paths.count, pool: pool) { [recipe] (index) throws(HGNetError) in
      try recipe.tensor(contentsOf: paths[index])
    }
    var results = pictures.results.map { $0.map { _ in [ScoredClass]() } }
    for group in pictures.groups {
      do throws(HGNetError) {
        for (index, classes) in zip(group.indices, try classes(of: group.tensors)) {
          results[index] = .success(classes)
        }
      } catch {
        // Too small or too large for the network is a matter of these pictures alone.
        guard error.code == .shapeMismatch, let shape = group.tensors.first?.shape else { throw error }
        let size = Size(height: shape[0], width: shape[1])
        for index in group.indices {
          var named = error.at(path: paths[index])
          named.cause = "after preprocessing the picture is \(size) pixels"
          results[index] = .failure(named)
        }
      }
    }
    return results
  }

  /// Runs the network on pictures of one size and chooses their classes.
  ///
  /// - Parameter pictures: one or more tensors `[H, W, 3]` of the same shape, as the recipe makes them.
  /// - Throws: `HGNetError.Code.shapeMismatch` for pictures of different or unfit sizes, `limitExceeded`.
  public func classes(of pictures: [Tensor]) throws(HGNetError) -> [[ScoredClass]] {
    guard !pictures.isEmpty else { return [] }
    let outputs = try sessions.withLock { (kept) throws(HGNetError) in
      try kept.run(pictures, model: model, pool: pool)
    }
    guard let logits = outputs.first else {
      throw HGNetError(.internalInconsistency, "the network has no output")
    }
    let classCount = logits.count / pictures.count
    return try logits.withUnsafeBufferPointer { (values) throws(HGNetError) in
      var results: [[ScoredClass]] = []
      for index in pictures.indices {
        let row = Array(values[(index * classCount)..<((index + 1) * classCount)])
        results.append(
          try recipe.postProcessing.classes(of: row, activation: activation, labels: recipe.labels))
      }
      return results
    }
  }
}

extension WeightsFile {
  /// The recipe that belongs to the weights: the model's evaluation, with ImageNet's names for 1000 classes.
  ///
  /// A file does not say how its pictures were prepared; an inference model may have an `inference.yml` beside it, which
  /// HGNetConfiguration reads.
  public var standardRecipe: Recipe {
    let labels = graph.classCount == ImageNetLabels.names.count ? Labels.imageNet : nil
    var recipe = model.map { Recipe.evaluation(of: $0, labels: labels) } ?? Recipe.evaluation(labels: labels)
    if activation == .sigmoid { recipe.postProcessing = .threshold(0.5) }
    if graph.nodes.contains(where: { if case .decoder = $0.operation { true } else { false } }) {
      // The decoder's configurations take the whole picture, at twice the side.
      recipe.transforms =
        [.resize(Size(448), interpolation: .bilinear, backend: .pillow)] + recipe.transforms.suffix(1)
    }
    return recipe
  }
}
