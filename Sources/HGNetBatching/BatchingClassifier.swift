import HGNet
import HGNetCore

/// Classifies pictures for many tasks, several in one run of the network.
///
/// ```swift
/// let classifier = try BatchingClassifier(weights: "PPHGNetV2_B4_ssld_pretrained.pdparams")
/// for result in try await classifier.classify(contentsOf: "photo.jpg") {
///   print(result.score, result.label ?? "class \(result.index)")
/// }
/// ```
///
/// `Classifier` computes on the thread that calls it, which an `async` function must not hold for long. Here a call waits
/// without holding a thread: decoding and the network run on a thread of the classifier's own and on the pool of its device.
/// A picture that finds the network idle runs at once; what arrives during a run makes up the next batch. The results are
/// those of `Classifier`, bit for bit.
///
/// A task that is cancelled stops waiting at once, with `CancellationError`, and its picture leaves the queue. When the last
/// reference goes, so does the thread. A child of `fork` has no such thread: make another one there.
///
/// Threads: safe to share.
public final class BatchingClassifier: Sendable {
  /// The network and the recipe.
  public let classifier: Classifier
  /// The bounds.
  public let limits: BatchingLimits
  private let batcher: PictureBatcher<[ScoredClass]>

  /// Opens weights of any format with the recipe that belongs to them.
  ///
  /// - Parameters:
  ///   - path: the file or folder; see `WeightsFile`.
  ///   - recipe: nil for the one that belongs to the weights, as `WeightsFile.findRecipe()` finds it.
  ///   - threads: 1 … 1024; nil for as many as the affinity mask, the control group and `HGNET_NUM_THREADS` allow.
  ///   - limits: the bounds.
  /// - Throws: as `Classifier.init(weights:recipe:threads:)` and the other form.
  public convenience init(
    weights path: String, recipe: Recipe? = nil, threads: Int? = nil, limits: BatchingLimits = BatchingLimits()
  ) throws(HGNetError) {
    try self.init(Classifier(weights: path, recipe: recipe, threads: threads), limits: limits)
  }

  /// Classifies with the network and the recipe of a classifier, which stays usable.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for limits outside their ranges, `limitExceeded` where the system gives no
  ///   more threads.
  public init(_ classifier: Classifier, limits: BatchingLimits = BatchingLimits()) throws(HGNetError) {
    self.classifier = classifier
    self.limits = limits
    batcher = try PictureBatcher(model: classifier.model, recipe: classifier.recipe, limits: limits) {
      (logits) throws(HGNetError) in
      try classifier.classes(ofLogits: logits)
    }
  }

  /// The number of pictures that wait, without those that run.
  public var waitingCount: Int { batcher.waitingCount }

  /// Classifies a picture file.
  ///
  /// - Throws: `HGNetError` naming the file when it is no readable picture, of code `queueFull` when as many pictures wait as
  ///   `limits` allow; `CancellationError`.
  public func classify(contentsOf path: String) async throws -> [ScoredClass] { try await batcher.run(.file(path)) }

  /// Classifies a picture in memory: the bytes of a JPEG, PNG, WebP or BMP file.
  ///
  /// - Throws: as the other form.
  public func classify(decoding blob: Blob) async throws -> [ScoredClass] { try await batcher.run(.bytes(blob)) }

  /// Classifies picture files; one that cannot be read does not harm the others.
  ///
  /// No more than two batches of them wait at a time, so that pictures of other tasks come in between.
  ///
  /// - Returns: a result for each path, in order.
  /// - Throws: `HGNetError` of code `queueFull`; `CancellationError`.
  public func classify(contentsOf paths: [String]) async throws -> [Result<[ScoredClass], HGNetError>] {
    try await batcher.run(paths.map { .file($0) }, window: limits.window)
  }

  /// Classifies pictures in memory: the bytes of JPEG, PNG, WebP or BMP files.
  ///
  /// - Returns: a result for each picture, in order.
  /// - Throws: as the form that is given paths.
  public func classify(decoding blobs: [Blob]) async throws -> [Result<[ScoredClass], HGNetError>] {
    try await batcher.run(blobs.map { .bytes($0) }, window: limits.window)
  }
}
