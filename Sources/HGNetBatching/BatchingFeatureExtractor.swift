import HGNet
import HGNetCore

/// Takes the embeddings of pictures for many tasks, several in one run of the network.
///
/// Queue, threads and cancellation are those of `BatchingClassifier`; the values are those of `FeatureExtractor`, bit for bit.
///
/// Threads: safe to share.
public final class BatchingFeatureExtractor: Sendable {
  /// The network and the recipe.
  public let extractor: FeatureExtractor
  /// The bounds.
  public let limits: BatchingLimits
  private let batcher: PictureBatcher<[Float]>

  /// Takes embeddings with the network and the recipe of an extractor, which stays usable.
  ///
  /// - Throws: as `BatchingClassifier.init(_:limits:)`.
  public init(_ extractor: FeatureExtractor, limits: BatchingLimits = BatchingLimits()) throws(HGNetError) {
    self.extractor = extractor
    self.limits = limits
    batcher = try PictureBatcher(model: extractor.model, recipe: extractor.recipe, limits: limits) {
      (values) throws(HGNetError) in
      values
    }
  }

  /// The number of pictures that wait, without those that run.
  public var waitingCount: Int { batcher.waitingCount }

  /// The embedding of a picture file: `extractor.embeddingCount` values.
  ///
  /// - Throws: `HGNetError` naming the file when it is no readable picture, of code `queueFull` when as many pictures wait as
  ///   `limits` allow; `CancellationError`.
  public func embedding(contentsOf path: String) async throws -> [Float] { try await batcher.run(.file(path)) }

  /// The embedding of a picture in memory: the bytes of a JPEG, PNG, WebP or BMP file.
  ///
  /// - Throws: as the other form.
  public func embedding(decoding blob: Blob) async throws -> [Float] { try await batcher.run(.bytes(blob)) }

  /// The embeddings of picture files; one that cannot be read does not harm the others.
  ///
  /// - Returns: a result for each path, in order.
  /// - Throws: `HGNetError` of code `queueFull`; `CancellationError`.
  public func embeddings(contentsOf paths: [String]) async throws -> [Result<[Float], HGNetError>] {
    try await batcher.run(paths.map { .file($0) }, window: limits.window)
  }

  /// The embeddings of pictures in memory: the bytes of JPEG, PNG, WebP or BMP files.
  ///
  /// - Returns: a result for each picture, in order.
  /// - Throws: as the form that is given paths.
  public func embeddings(decoding blobs: [Blob]) async throws -> [Result<[Float], HGNetError>] {
    try await batcher.run(blobs.map { .bytes($0) }, window: limits.window)
  }
}
