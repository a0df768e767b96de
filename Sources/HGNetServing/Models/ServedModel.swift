import HGNet
import HGNetCore
import HGNetFormats
import HGNetVision

/// One version of a model, ready to answer.
///
/// Whoever holds it may finish with it, even after it has been replaced or unloaded. Threads: safe to share.
package final class ServedModel: Sendable {
  /// The name in addresses.
  package let name: String
  /// The version in addresses, a whole number.
  package let version: String
  /// What is run.
  package let network: ServedNetwork
  /// The picture size that the recipe makes.
  package let inputSize: Size
  /// What has happened so far; outlives a reload.
  package let statistics: ModelStatistics
  private let batcher: Batcher
  /// The picture whose input is the usual one.
  private static let exampleSize = Size(256)
  private let limits: Batcher.Limits

  /// Makes a model ready, without running it.
  ///
  /// - Throws: as the recipe, for one that cannot make an input.
  package init(
    name: String, version: String, network: ServedNetwork, limits: Batcher.Limits,
    statistics: ModelStatistics
  ) throws(HGNetError) {
    self.name = name
    self.version = version
    self.network = network
    self.limits = limits
    self.statistics = statistics
    let size = try Transform.size(of: ServedModel.exampleSize, applying: network.recipe.transforms)
    inputSize = size
    batcher = Batcher(network: network, usualSize: size, limits: limits) { statistics.note($0) }
  }

  /// Runs one picture, so that memory and caches are in place.
  ///
  /// - Throws: what a request would.
  package func warmUp() async throws(ServingError) {
    let blank: Image
    do throws(HGNetError) {
      blank = try Image(size: ServedModel.exampleSize) { $0.update(repeating: 128) }
    } catch { throw ServingError(error) }
    let result = try await batcher.run([.pixels(blank)])
    for logits in result.logits {
      do throws(HGNetError) { _ = try scored(logits.get()) } catch { throw ServingError(error) }
    }
  }

  /// The number of pictures that wait.
  package var queueLength: Int { batcher.queueLength }

  /// The pictures that one request may hold.
  package var pictureLimit: Int { limits.queueCapacity }

  /// The pixels that one picture may have.
  package var pixelLimit: Int { limits.pixelLimit }

  /// Runs pictures through the network.
  ///
  /// - Throws: as `Batcher.run`, and `tooLarge` for too many pictures.
  package func run(
    _ pictures: [PictureInput], deadline: ContinuousClock.Instant?
  ) async throws(ServingError) -> BatchResult {
    guard pictures.count <= pictureLimit else {
      throw ServingError(
        .tooLarge, "expected at most \(pictureLimit) pictures in a request, found \(pictures.count)")
    }
    return try await batcher.run(pictures, deadline: deadline)
  }

  /// The classes that the recipe tells of a picture.
  ///
  /// - Parameter topK: the number of classes, highest first; nil for what the recipe says.
  /// - Throws: `HGNetError.Code.malformedData` for results that are no numbers.
  package func scored(_ logits: [Float], topK: Int? = nil) throws(HGNetError) -> [ScoredClass] {
    try (topK.map { .topK($0) } ?? network.recipe.postProcessing)
      .classes(of: logits, activation: network.activation, labels: network.recipe.labels)
  }
}
