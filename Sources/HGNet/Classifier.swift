import HGNetCore
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
/// The recipe is the one that belongs to the weights, by the rule of `WeightsRecipe`; `recipeOrigin` says where it was
/// found, or that it is assumed. The recipe, the weights and the threads are fixed; make another classifier for others.
///
/// A call computes on the thread that makes it. In `async` functions use `BatchingClassifier`, which does not.
///
/// Threads: safe to share; calls from several threads decode side by side and take turns at the network, which uses all
/// threads anyway.
public final class Classifier: Sendable {
  /// How pictures become input, and logits become classes.
  public let recipe: Recipe
  /// Where the recipe comes from; `assumed` where nothing lies beside the weights.
  public let recipeOrigin: WeightsRecipe.Origin
  /// What was found beside the weights and could not be used, one line each.
  public let warnings: [String]
  /// The compiled network.
  public let model: InferenceModel
  /// What it runs on.
  public let device: Device
  private let sessions: ForkSafeLock<SessionKeeper<Session>>

  /// Opens weights of any format with the recipe that belongs to them.
  ///
  /// - Parameters:
  ///   - path: the file or folder; see `WeightsFile`.
  ///   - recipe: nil for the one that belongs to the weights, as `WeightsFile.findRecipe()` finds it.
  ///   - threads: 1 … 1024; nil for as many as the affinity mask, the control group and `HGNET_NUM_THREADS` allow.
  /// - Throws: as the other form, and as `WeightsFile.init(contentsOf:model:options:allowsNewHead:part:)`;
  ///   `invalidArgument` for other numbers of threads.
  public convenience init(weights path: String, recipe: Recipe? = nil, threads: Int? = nil) throws(HGNetError) {
    try self.init(
      try WeightsFile(contentsOf: path), recipe: recipe,
      device: .cpu(threads: threads))
  }

  /// Compiles the network of a weights file.
  ///
  /// - Parameters:
  ///   - weights: the network and its parameters.
  ///   - recipe: nil for `weights.findRecipe()`. One whose activation is nil gets the head of the weights.
  ///   - device: what it runs on.
  /// - Throws: `HGNetError.Code.parameterMismatch` or `unsupported` naming a layer, `unsupported` for a backbone without a
  ///   classifier; `invalidArgument` for labels that cannot be those of the network's classes; `limitExceeded` when a
  ///   picture of the recipe's size takes more memory than the process may have; as `WeightsFile.findRecipe()`.
  public init(_ weights: WeightsFile, recipe: Recipe? = nil, device: Device = .cpu()) throws(HGNetError) {
    try weights.requireClassifier()
    if let recipe {
      (self.recipe, recipeOrigin, warnings) = (try weights.completing(recipe), .given, [])
    } else {
      let found = try weights.findRecipe()
      (self.recipe, recipeOrigin, warnings) = (found.recipe, found.origin, found.warnings)
    }
    self.device = device
    let model = try InferenceModel(graph: weights.graph, parameters: weights.parameters, device: device)
    self.model = model
    sessions = ForkSafeLock(SessionKeeper(model: model))
    if let size = Transform.outputSize(of: self.recipe.transforms) {
      try model.checkMemory(batch: 1, inputSize: size)
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
    try classes(ofPrepared: [recipe.picture(decoding: blob)])[0]
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
    let results = try PictureBatch.results(paths.count, pool: device.pool) { [recipe] (index) throws(HGNetError) in
      try recipe.picture(decoding: Blob(mapping: paths[index]))
    } run: { (pictures) throws(HGNetError) in
      try classes(ofPrepared: pictures)
    }
    return zip(paths, results).map { path, result in result.mapError { $0.at(path: path) } }
  }

  /// Classifies pictures in memory as one batch: the bytes of JPEG, PNG, WebP or BMP files.
  ///
  /// - Returns: a result for each picture, in order.
  /// - Throws: as the form that is given paths.
  public func classify(
    decoding blobs: [Blob]
  ) throws(HGNetError) -> [Result<[ScoredClass], HGNetError>] {
    try PictureBatch.results(blobs.count, pool: device.pool) { [recipe] (index) throws(HGNetError) in
      try recipe.picture(decoding: blobs[index])
    } run: { (pictures) throws(HGNetError) in
      try classes(ofPrepared: pictures)
    }
  }

  /// Runs the network on pictures of one size and chooses their classes.
  ///
  /// - Parameter pictures: one or more tensors `[H, W, 3]` of the same shape, as the recipe makes them.
  /// - Throws: `HGNetError.Code.shapeMismatch` for pictures of different or unfit sizes, `limitExceeded`.
  public func classes(of pictures: [Tensor]) throws(HGNetError) -> [[ScoredClass]] {
    try classes(ofPrepared: pictures.map { .numbers($0) })
  }

  /// Runs the network on pictures of one size and chooses their classes.
  ///
  /// - Parameter pictures: any number, of one shape.
  /// - Throws: as `classes(of:)`.
  package func classes(ofPrepared pictures: [PreparedPicture]) throws(HGNetError) -> [[ScoredClass]] {
    var results: [[ScoredClass]] = []
    for row in try logits(ofPrepared: pictures) { results.append(try classes(ofLogits: row)) }
    return results
  }

  /// Chooses the classes of one picture.
  ///
  /// - Throws: `HGNetError.Code.malformedData` for logits that are no numbers.
  package func classes(ofLogits logits: [Float]) throws(HGNetError) -> [ScoredClass] {
    try recipe.postProcessing.classes(
      of: logits, activation: recipe.activation ?? recipe.postProcessing.activation, labels: recipe.labels)
  }

  /// The logits of pictures of one size, a row for each.
  ///
  /// - Parameter pictures: any number, of one shape.
  /// - Throws: `HGNetError.Code.shapeMismatch` for pictures of different or unfit sizes, `limitExceeded`.
  package func logits(ofPrepared pictures: [PreparedPicture]) throws(HGNetError) -> [[Float]] {
    guard !pictures.isEmpty else { return [] }
    return try sessions.withLock { (sessions) throws(HGNetError) in try sessions.run(pictures).session.rows() }
  }
}
