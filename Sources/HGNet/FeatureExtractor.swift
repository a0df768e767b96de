import HGNetCore
import HGNetVision

/// What a network sees in a picture before it names a class: for search by similarity, clustering, or a detector.
///
/// ```swift
/// let extractor = try FeatureExtractor(weights: "PPHGNetV2_B4_ssld_pretrained.pdparams")
/// let vector = try extractor.features(contentsOf: "photo.jpg").embedding
/// ```
///
/// Threads: safe to share; calls from several tasks decode side by side and take turns at the network.
public final class FeatureExtractor: Sendable {
  /// The features of one picture.
  public struct Features: Sendable {
    /// What the classifier's last layer reads: 2048 values in the published models; of a backbone without a classifier the
    /// mean over the map of its last stage.
    public let embedding: [Float]
    /// The maps of the four stages as `[H, W, C]` in C order, with strides of 4, 8, 16 and 32 pixels; empty unless asked
    /// for, and fewer of a backbone that ends before the fourth.
    public let stages: [Tensor]

    /// The cosine of the angle between two embeddings, -1 … 1: 1 for the same direction, 0 if one of them is zero or of
    /// another length.
    public func similarity(to other: Features) -> Double {
      guard embedding.count == other.embedding.count else { return 0 }
      var (product, left, right) = (0.0, 0.0, 0.0)
      for (a, b) in zip(embedding, other.embedding) {
        product += Double(a) * Double(b)
        left += Double(a) * Double(a)
        right += Double(b) * Double(b)
      }
      return left > 0 && right > 0 ? product / (left * right).squareRoot() : 0
    }
  }

  /// How pictures become input.
  public let recipe: Recipe
  /// Where the recipe comes from; `assumed` where nothing lies beside the weights.
  public let recipeOrigin: WeightsRecipe.Origin
  /// How many values an embedding has.
  public let embeddingCount: Int
  /// The network up to what its classifier reads.
  package let model: InferenceModel
  private let outputCount: Int
  private let sessions: ForkSafeLock<SessionKeeper<Session>>

  /// Opens weights of any format with the recipe that belongs to them.
  ///
  /// - Parameters:
  ///   - path: the file or folder; see `WeightsFile`.
  ///   - keepsStages: whether the maps of the stages are copied out, too.
  ///   - recipe: nil for the one that belongs to the weights, as `WeightsFile.findRecipe()` finds it.
  ///   - threads: 1 … 1024; nil for as many as the affinity mask, the control group and `HGNET_NUM_THREADS` allow.
  /// - Throws: as the other form, and as `WeightsFile.init(contentsOf:model:options:allowsNewHead:)`.
  public convenience init(
    weights path: String, keepsStages: Bool = false, recipe: Recipe? = nil, threads: Int? = nil
  ) throws(HGNetError) {
    try self.init(
      try WeightsFile(contentsOf: path), keepsStages: keepsStages, recipe: recipe,
      device: .cpu(threads: threads))
  }

  /// Compiles the part of a network that the features need.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for a network that does not end in a linear layer, as one with an
  ///   ML-Decoder; `parameterMismatch` or `unsupported` naming a layer; as `WeightsFile.findRecipe()`.
  public init(
    _ weights: WeightsFile, keepsStages: Bool = false, recipe: Recipe? = nil, device: Device = .cpu()
  ) throws(HGNetError) {
    if let recipe {
      (self.recipe, recipeOrigin) = (recipe, .given)
    } else {
      let found = try weights.findRecipe()
      (self.recipe, recipeOrigin) = (found.recipe, found.origin)
    }
    if keepsStages { try weights.requireStages() }
    let stages = keepsStages ? weights.graph.stages.map(\.role) : []
    outputCount = 1 + stages.count
    let model = try InferenceModel(
      graph: weights.graph.selecting(outputs: [.embedding] + stages), parameters: weights.parameters, device: device)
    self.model = model
    sessions = ForkSafeLock(SessionKeeper(model: model))
    embeddingCount = model.graph.output(.embedding).map { model.graph[$0.node].shape.count } ?? 0
  }

  /// The features of a picture file.
  ///
  /// - Throws: `HGNetError` naming the file when it is no readable picture.
  public func features(contentsOf path: String) throws(HGNetError) -> Features {
    try features(decoding: Blob(mapping: path))
  }

  /// The features of a picture in memory: the bytes of a JPEG, PNG, WebP or BMP file.
  ///
  /// - Throws: as the other form.
  public func features(decoding blob: Blob) throws(HGNetError) -> Features {
    try features(ofPrepared: recipe.picture(decoding: blob))
  }

  /// The features of a tensor `[H, W, 3]`, as the recipe makes it.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` for an unfit size, `limitExceeded`.
  public func features(of picture: Tensor) throws(HGNetError) -> Features {
    try features(ofPrepared: .numbers(picture))
  }

  /// The embeddings of picture files as one batch; one that cannot be read does not harm the others.
  ///
  /// - Returns: a result for each path, in order, of `embeddingCount` values. The results do not depend on which pictures
  ///   run together.
  /// - Throws: only what concerns the network itself, such as `HGNetError.Code.limitExceeded` for lack of memory.
  public func embeddings(contentsOf paths: [String]) throws(HGNetError) -> [Result<[Float], HGNetError>] {
    let results = try PictureBatch.results(paths.count, pool: model.device.pool) {
      [recipe] (index) throws(HGNetError) in
      try recipe.picture(decoding: Blob(mapping: paths[index]))
    } run: { (pictures) throws(HGNetError) in
      try embeddings(ofPrepared: pictures)
    }
    return zip(paths, results).map { path, result in result.mapError { $0.at(path: path) } }
  }

  /// The embeddings of pictures in memory as one batch: the bytes of JPEG, PNG, WebP or BMP files.
  ///
  /// - Returns: a result for each picture, in order.
  /// - Throws: as the form that is given paths.
  public func embeddings(decoding blobs: [Blob]) throws(HGNetError) -> [Result<[Float], HGNetError>] {
    try PictureBatch.results(blobs.count, pool: model.device.pool) { [recipe] (index) throws(HGNetError) in
      try recipe.picture(decoding: blobs[index])
    } run: { (pictures) throws(HGNetError) in
      try embeddings(ofPrepared: pictures)
    }
  }

  /// The embeddings of pictures of one size.
  ///
  /// - Parameter pictures: tensors `[H, W, 3]` of the same shape, as the recipe makes them.
  /// - Throws: `HGNetError.Code.shapeMismatch` for pictures of different or unfit sizes, `limitExceeded`.
  public func embeddings(of pictures: [Tensor]) throws(HGNetError) -> [[Float]] {
    try embeddings(ofPrepared: pictures.map { .numbers($0) })
  }

  /// The embeddings of pictures of one size.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` for pictures of different or unfit sizes, `limitExceeded`.
  package func embeddings(ofPrepared pictures: [PreparedPicture]) throws(HGNetError) -> [[Float]] {
    guard !pictures.isEmpty else { return [] }
    return try sessions.withLock { (sessions) throws(HGNetError) in try sessions.run(pictures).session.rows() }
  }

  private func features(ofPrepared picture: PreparedPicture) throws(HGNetError) -> Features {
    try sessions.withLock { (sessions) throws(HGNetError) in
      let kept = try sessions.run([picture])
      var stages: [Tensor] = []
      for index in 1..<outputCount {
        let map = try kept.session.result(index)
        stages.append(try map.reshaped([map.shape[1], map.shape[2], map.shape[3]]))
      }
      return Features(embedding: try kept.session.result(0).values, stages: stages)
    }
  }
}

extension WeightsFile {
  /// The names of the stages whose maps can be asked for: `stages.0` to `stages.3`, fewer of a backbone that ends before,
  /// none of a program in which they cannot be told.
  public var stageNames: [String] { graph.stages.map(\.name) }

  /// Refuses a network without stages where their maps are wanted.
  ///
  /// - Throws: `HGNetError.Code.unsupported`.
  package func requireStages() throws(HGNetError) {
    guard graph.stages.isEmpty else { return }
    let error = HGNetError(
      .unsupported,
      "expected a network whose stages are known, found one without results at 4, 8, 16 and 32 pixels of the picture; "
        + "begin with the weights that it was exported from")
    throw path.isEmpty ? error : error.at(path: path)
  }
}
