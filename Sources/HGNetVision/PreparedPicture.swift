import CHGNetKernels
import HGNetCore

/// What a network sees of one picture, on its way to the place that it has in a batch.
///
/// Numbers are four times as large as the bytes that they are made of, so they are made where the network reads them.
/// Threads: a value, safe to share.
package enum PreparedPicture: Sendable {
  /// A decoded picture after all steps but the normalisation, and that.
  case bytes(Image, Normalization)
  /// Numbers `[H, W, 3]`.
  case numbers(Tensor)
  /// Numbers `[3, H, W]` of a size.
  case planes(ArraySlice<Float>, Size)

  /// How bytes become numbers: `(value × scale − mean) / standardDeviation` of red, green, blue.
  package struct Normalization: Sendable {
    fileprivate var (scale, mean, deviation): (Float, [Float], [Float]) = (1, [0, 0, 0], [1, 1, 1])

    /// The last of some steps if it is a normalisation; without one the numbers are 0 … 255.
    ///
    /// - Throws: `HGNetError.Code.invalidArgument` for lists that do not have three numbers.
    init(_ transforms: [Transform]) throws(HGNetError) {
      guard case .normalize(let scale, let mean, let deviation)? = transforms.last else { return }
      guard mean.count == 3, deviation.count == 3 else {
        throw HGNetError(
          .invalidArgument,
          "expected three means and standard deviations, found \(mean.count) and \(deviation.count)")
      }
      (self.scale, self.mean, self.deviation) = (scale, mean, deviation)
    }
  }

  /// Applies the steps in front of the normalisation.
  ///
  /// - Throws: as `Transform.tensor(from:applying:)`.
  package init(_ image: Image, applying transforms: [Transform]) throws(HGNetError) {
    try PreparedPicture.checkMemory(Transform.size(of: image.size, applying: transforms))
    let picture = try Transform.picture(from: image, applying: transforms)
    self = .bytes(picture, try Normalization(transforms))
  }

  /// Says whether the process may have the memory of a picture as a network sees it.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded`.
  private static func checkMemory(_ size: Size) throws(HGNetError) {
    // The picture and the numbers made of it are there at the same time.
    var need = MemoryNeed("a picture of \(size) pixels")
    need.add("its pixels", bytes: 3, size.height, size.width)
    need.add("its numbers", bytes: 12, size.height, size.width)
    try need.check(advice: MemoryNeed.fittingPictures(1, of: size))
  }

  /// The shape of the numbers, `[H, W, 3]`.
  package var shape: Shape {
    switch self {
    case .bytes(let image, _): [image.height, image.width, 3]
    case .numbers(let tensor): tensor.shape
    case .planes(_, let size): [size.height, size.width, 3]
    }
  }

  /// Writes the numbers, `[H, W, 3]` in C order.
  ///
  /// Traps where there is not room for exactly as many.
  package func write(into place: UnsafeMutableBufferPointer<Float>) {
    precondition(place.count == shape.count, "room for \(place.count) numbers for a picture of shape \(shape)")
    guard let base = place.baseAddress else { return }
    switch self {
    case .bytes(let image, let normalization):
      hg_normalize_u8(
        image.storage.base, base, Int64(image.height) * Int64(image.width), normalization.scale, normalization.mean,
        normalization.deviation)
    case .numbers(let tensor): tensor.withUnsafeBufferPointer { _ = place.update(fromContentsOf: $0) }
    case .planes(let values, _):
      values.withUnsafeBufferPointer { ChannelOrder.pixels(fromPlanes: $0, channels: 3, into: place) }
    }
  }

  /// The numbers alone.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` when the process may not have that much memory.
  package func tensor() throws(HGNetError) -> Tensor {
    if case .numbers(let tensor) = self { return tensor }
    return try Tensor(allocating: shape, for: "a picture of \(shape[0])×\(shape[1]) pixels") { write(into: $0) }
  }
}

extension Collection<PreparedPicture> {
  /// Writes the pictures, which have one shape, into a batch `[N, H, W, 3]`, those of several on all threads.
  ///
  /// Traps where the batch has not room for exactly as many.
  package func write(into batch: UnsafeMutableBufferPointer<Float>, pool: ThreadPool) {
    let pictures = Array(self)
    func writeOne(_ index: Int) {
      let count = batch.count / pictures.count
      pictures[index].write(into: UnsafeMutableBufferPointer(rebasing: batch[index * count..<(index + 1) * count]))
    }
    // A lone picture wakes nobody.
    if pictures.count > 1 { pool.forEach(pictures.count, writeOne) } else { pictures.indices.forEach(writeOne) }
  }
}
