import Dispatch
import HGNet
import HGNetCore
import HGNetVision
import Synchronization

/// Shows where in a picture the evidence for a class is, one picture at a time.
///
/// It is the network that serves, running on one thread beside the batcher's. Threads: safe to share.
package final class HeatMaps: Sendable {
  /// A map with what a viewer needs to lay it over the picture.
  package struct HeatMap: Sendable {
    /// The shares of the class.
    package let map: ClassActivation.Map
    /// The part of the picture that the network sees, as fractions of its width and height.
    package let part: (left: Double, top: Double, width: Double, height: Double)
  }

  /// Requests that may wait.
  private static let capacity = 8

  private let activation: Result<ClassActivation, HGNetError>
  private let recipe: Recipe
  private let queue = DispatchQueue(label: "heat maps")
  private let waiting = Atomic<Int>(0)

  /// - Parameter activation: shows the evidence in the network that serves, or why it cannot.
  init(_ activation: Result<ClassActivation, HGNetError>, recipe: Recipe) {
    self.activation = activation
    self.recipe = recipe
  }

  /// The map of a class; nil for the most likely one.
  ///
  /// - Throws: `overloaded`, `deadlineExceeded`, and what is wrong with the picture, the class or the network.
  package func map(
    of bytes: BlobSlice, classIndex: Int?, pixelLimit: Int, deadline: ContinuousClock.Instant?
  ) async throws(ServingError) -> HeatMap {
    defer { waiting.subtract(1, ordering: .relaxed) }
    guard waiting.add(1, ordering: .relaxed).newValue <= HeatMaps.capacity else {
      throw ServingError(.overloaded, "\(HeatMaps.capacity) maps are waited for already", retryAfter: 1)
    }
    let result: Result<HeatMap, ServingError> = await withCheckedContinuation { continuation in
      queue.async {
        continuation.resume(
          returning: Result { () throws(ServingError) in
            if let deadline, deadline <= .now {
              throw ServingError(.deadlineExceeded, "the time was over before the map was begun")
            }
            do throws(HGNetError) {
              return try self.map(of: bytes, classIndex: classIndex, pixelLimit: pixelLimit)
            } catch { throw ServingError(error) }
          })
      }
    }
    return try result.get()
  }

  private func map(of bytes: BlobSlice, classIndex: Int?, pixelLimit: Int) throws(HGNetError) -> HeatMap {
    let image = try Image(decoding: bytes, style: recipe.decodingStyle, pixelLimit: pixelLimit)
    let part = try recipe.visiblePart(of: image.size)
    let picture = try PreparedPicture(image, applying: recipe.transforms)
    return HeatMap(map: try activation.get().map(ofPrepared: picture, classIndex: classIndex), part: part)
  }
}
