import HGNetCore
import HGNetPlatform

/// Overwrites a random rectangle of a normalised picture (`RandomErasing`).
///
/// Source: PaddleClas, `ppcls/data/preprocess/ops/random_erasing.py`. Threads: a value, safe to share.
package struct RandomErasing: Hashable, Sendable {
  /// What is written into the rectangle.
  package enum Fill: Hashable, Sendable {
    /// A standard normal number for every value.
    case pixels
    /// A standard normal number for each channel.
    case color
    /// Fixed normalised values for red, green and blue.
    case constant(Float, Float, Float)
  }

  /// The probability that a picture is changed (`EPSILON`).
  package var probability = 0.5
  /// The rectangle's share of the area (`sl` … `sh`).
  package var area: ClosedRange<Double> = 0.02...0.4
  /// The smallest height-to-width ratio, above 0 (`r1`); the largest is its inverse.
  package var ratio = 0.3
  /// How often a rectangle is drawn anew because it is as high or wide as the picture (`attempt`).
  package var attempts = 100
  /// Whether a ratio is as likely as its inverse; otherwise it is drawn evenly.
  package var drawsRatioEvenlyInLogarithm = false
  /// What is written.
  package var fill = Fill.constant(0, 0, 0)

  /// Makes PaddleClas' default: probability 1/2, zeros.
  package init() {}

  /// Draws the rectangle that is overwritten in one picture, nil for none.
  ///
  /// - Parameters:
  ///   - size: the size of the picture.
  ///   - generator: where chance comes from.
  package func window(in size: Size, using generator: inout RandomGenerator) -> Augmentation.Window? {
    guard generator.fraction() < probability, ratio > 0, size.height >= 1, size.width >= 1 else { return nil }
    let pixels = Double(size.height) * Double(size.width)
    for _ in 0..<max(attempts, 0) {
      let share = generator.number(from: area.lowerBound, to: area.upperBound) * pixels
      let aspect =
        drawsRatioEvenlyInLogarithm
        ? exp(generator.number(from: log(ratio), to: log(1 / ratio))) : generator.number(from: ratio, to: 1 / ratio)
      let height = (share * aspect).squareRoot().rounded(.toNearestOrEven)
      let width = (share / aspect).squareRoot().rounded(.toNearestOrEven)
      // False for what is not a number, too.
      guard height >= 0, width >= 0, height < Double(size.height), width < Double(size.width) else { continue }
      let top = generator.integer(upTo: size.height - Int(height))
      let left = generator.integer(upTo: size.width - Int(width))
      return Augmentation.Window(top: top, left: left, size: Size(height: Int(height), width: Int(width)))
    }
    return nil
  }

  /// Erases in one picture of a batch.
  ///
  /// - Parameters:
  ///   - batch: a batch `[N, H, W, 3]` in C order, normalised.
  ///   - position: the place in the batch, `0 ..< N`.
  ///   - size: the height and width of the batch's pictures.
  ///   - generator: where chance comes from.
  /// - Throws: `HGNetError.Code.shapeMismatch` when the batch has no such position.
  package func apply(
    to batch: UnsafeMutableBufferPointer<Float>, at position: Int = 0, size: Size,
    using generator: inout RandomGenerator
  ) throws(HGNetError) {
    let (pixels, first) = size.height.multipliedReportingOverflow(by: size.width)
    let (count, second) = pixels.multipliedReportingOverflow(by: 3)
    let (end, third) = count.multipliedReportingOverflow(by: position &+ 1)
    guard size.height >= 0, size.width >= 0, position >= 0, !first, !second, !third, end <= batch.count,
      let base = batch.baseAddress
    else {
      throw HGNetError(
        .shapeMismatch, "a batch of \(batch.count) numbers has no position \(position) for pictures of \(size)")
    }
    guard let window = window(in: size, using: &generator) else { return }
    var color: (Float, Float, Float) = (0, 0, 0)
    switch fill {
    case .pixels: break
    case .color: color = (generator.normal(), generator.normal(), generator.normal())
    case .constant(let red, let green, let blue): color = (red, green, blue)
    }
    for row in window.top..<(window.top + window.size.height) {
      var value = base + (end - count) + 3 * (row * size.width + window.left)
      for _ in 0..<window.size.width {
        if fill == .pixels { color = (generator.normal(), generator.normal(), generator.normal()) }
        (value[0], value[1], value[2]) = color
        value += 3
      }
    }
  }

  /// Erases in one picture.
  ///
  /// - Parameters:
  ///   - picture: a normalised picture `[H, W, 3]`.
  ///   - generator: where chance comes from.
  /// - Throws: `HGNetError.Code.shapeMismatch` for another shape.
  package func apply(to picture: inout Tensor, using generator: inout RandomGenerator) throws(HGNetError) {
    let shape = picture.shape
    guard shape.rank == 3, shape[2] == 3 else {
      throw HGNetError(.shapeMismatch, "expected a picture [H, W, 3] to erase in, found \(shape)")
    }
    // A copy of the generator goes in and comes back, since a closure may not change two things at once.
    var chance = generator
    defer { generator = chance }
    try picture.withUnsafeMutableBufferPointer { (buffer) throws(HGNetError) in
      try apply(to: buffer, size: Size(height: shape[0], width: shape[1]), using: &chance)
    }
  }
}
