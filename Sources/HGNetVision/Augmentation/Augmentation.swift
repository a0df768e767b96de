import HGNetCore
import HGNetPlatform

/// One random step between a decoded picture and what the network sees in training.
///
/// The steps reproduce PaddleClas' single-image operators of training: the pixels exactly (OpenCV's or Pillow's), the
/// chances in distribution. Every draw comes from the generator that the caller passes, so that the result depends on
/// its seed alone. Threads: a value, safe to share.
///
/// Source: PaddleClas, `ppcls/data/preprocess/ops`.
package enum Augmentation: Hashable, Sendable {
  /// Cuts out a random part and resizes it (`RandCropImage`).
  ///
  /// The part has a share `scale` of the area and a width-to-height `ratio`, both drawn evenly; the share is limited to
  /// what fits. With `drawsRatioEvenlyInLogarithm` a ratio is as likely as its inverse.
  case randomCrop(
    size: Size, scale: ClosedRange<Double> = 0.08...1, ratio: ClosedRange<Double> = 3.0 / 4...4.0 / 3,
    drawsRatioEvenlyInLogarithm: Bool = false, interpolation: Interpolation = .bilinear,
    backend: ResizeBackend = .openCV)
  /// Mirrors the picture with a probability (`RandFlipImage`).
  case randomFlip(FlipDirection = .horizontal, probability: Double = 0.5)
  /// Applies a few random operations on colours and geometry (`TimmAutoAugment`).
  case autoAugment(AutoAugment)
  /// Applies one fixed number of operations of one strength (`RandAugment`).
  case randAugment(RandAugment)
  /// Applies two random operations of random strength, each with probability 1/2 (`RandAugmentV4`).
  case randAugmentV4
  /// Paints squares of `length` pixels, cut at the border, around random pixels (`Cutout`).
  ///
  /// Without a `fill` every square gets a random colour.
  case cutout(holes: Int = 1, length: Int = 112, fill: PixelColor? = nil)

  /// Which way a picture is mirrored; the raw values are OpenCV's flip codes.
  package enum FlipDirection: Int, Sendable, CaseIterable {
    /// Left and right change places.
    case horizontal = 1
    /// Top and bottom change places.
    case vertical = 0
    /// Both: a turn by 180 degrees.
    case both = -1
  }

  /// The picture after this step.
  ///
  /// Cost: at most a few passes over the pixels, one allocation each.
  ///
  /// - Parameters:
  ///   - image: the picture.
  ///   - generator: where chance comes from.
  /// - Throws: `HGNetError.Code.invalidArgument` for an empty size, a share or ratio that is not above 0 or an
  ///   interpolation that the backend lacks; `limitExceeded` for a size that no memory holds.
  package func applying(to image: Image, using generator: inout RandomGenerator) throws(HGNetError) -> Image {
    switch self {
    case .randomCrop(let size, let scale, let ratio, let isLogarithmic, let interpolation, let backend):
      let window = try Augmentation.cropWindow(
        of: image.size, scale: scale, ratio: ratio, drawsRatioEvenlyInLogarithm: isLogarithmic, using: &generator)
      return try image.cropped(to: window).resized(to: size, interpolation: interpolation, backend: backend)
    case .randomFlip(let direction, let probability):
      guard generator.fraction() < probability else { return image }
      return switch direction {
      case .horizontal: try image.oriented(.mirrored)
      case .vertical: try image.oriented(.flipped)
      case .both: try image.oriented(.upsideDown)
      }
    case .autoAugment(let policy): return try policy.applying(to: image, using: &generator)
    case .randAugment(let policy): return try policy.applying(to: image, using: &generator)
    case .randAugmentV4:
      var image = image
      for operation in RandAugment.version4(for: image.size, using: &generator) {
        image = try operation.applying(to: image, fill: .grey(128))
      }
      return image
    case .cutout(let holes, let length, let fill):
      var image = image
      for _ in 0..<max(holes, 0) {
        let (rows, columns) = Augmentation.hole(in: image.size, length: length, using: &generator)
        let color =
          fill
          ?? PixelColor(
            red: UInt8(generator.integer(upTo: 255)), green: UInt8(generator.integer(upTo: 255)),
            blue: UInt8(generator.integer(upTo: 255)))
        image = try image.painted(rows: rows, columns: columns, color)
      }
      return image
    }
  }

  /// A rectangle of pixels.
  package struct Window: Hashable, Sendable {
    /// The first row and column.
    package var top: Int, left: Int
    /// Its height and width.
    package var size: Size

    /// The rows that it covers.
    var rows: Range<Int> { top..<(top + size.height) }
    /// The columns that it covers.
    var columns: Range<Int> { left..<(left + size.width) }

    /// The middle of a picture; the offsets are rounded down.
    init(center size: Size, of whole: Size) {
      self.init(top: (whole.height - size.height) / 2, left: (whole.width - size.width) / 2, size: size)
    }

    /// Makes a window from its corner and size.
    package init(top: Int, left: Int, size: Size) {
      self.top = top
      self.left = left
      self.size = size
    }
  }

  /// Draws the part of a picture that a random crop takes.
  ///
  /// - Returns: a window of at least 1×1 pixel inside the picture.
  /// - Throws: `HGNetError.Code.invalidArgument` for shares or ratios that are not above 0.
  package static func cropWindow(
    of size: Size, scale: ClosedRange<Double> = 0.08...1, ratio: ClosedRange<Double> = 3.0 / 4...4.0 / 3,
    drawsRatioEvenlyInLogarithm: Bool = false, using generator: inout RandomGenerator
  ) throws(HGNetError) -> Window {
    guard scale.lowerBound > 0, ratio.lowerBound > 0, scale.upperBound.isFinite, ratio.upperBound.isFinite else {
      throw HGNetError(
        .invalidArgument, "expected a crop's shares of the area and ratios above 0, found \(scale) and \(ratio)")
    }
    let aspect =
      drawsRatioEvenlyInLogarithm
      ? exp(generator.number(from: log(ratio.lowerBound), to: log(ratio.upperBound)))
      : generator.number(from: ratio.lowerBound, to: ratio.upperBound)
    let (height, width) = (Double(size.height), Double(size.width))
    // The largest share whose width and height both fit.
    let bound = min(width / height / aspect, height / width * aspect)
    let area =
      width * height * generator.number(from: min(scale.lowerBound, bound), to: min(scale.upperBound, bound))
    let root = aspect.squareRoot()
    let columns = min(max(Int(area.squareRoot() * root), 1), size.width)
    let rows = min(max(Int(area.squareRoot() / root), 1), size.height)
    let left = generator.integer(upTo: size.width - columns)
    let top = generator.integer(upTo: size.height - rows)
    return Window(top: top, left: left, size: Size(height: rows, width: columns))
  }

  /// Draws one hole; the far corner belongs to it, as OpenCV draws rectangles.
  static func hole(
    in size: Size, length: Int, using generator: inout RandomGenerator
  ) -> (rows: Range<Int>, columns: Range<Int>) {
    // Longer than any picture makes no difference, and sums stay small.
    let half = min(max(length, 0) / 2, Image.maximumPixels)
    func span(_ count: Int) -> Range<Int> {
      let center = generator.integer(upTo: count - 1)
      return max(center - half, 0)..<min(center + half + 1, count)
    }
    let rows = span(size.height)
    return (rows, span(size.width))
  }
}

extension Image {
  /// A part of the picture, copied.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` for a window that does not lie inside.
  func cropped(to window: Augmentation.Window) throws(HGNetError) -> Image {
    if window.size == size { return self }
    guard window.top >= 0, window.left >= 0, window.size.height >= 1, window.size.width >= 1,
      window.size.height <= height - window.top, window.size.width <= width - window.left
    else {
      throw HGNetError(
        .shapeMismatch,
        "cannot crop \(window.size) pixels at row \(window.top), column \(window.left) from a picture of \(size)")
    }
    return try Image(size: window.size) { (target) throws(HGNetError) in
      for row in 0..<window.size.height {
        (target.baseAddress.map { $0 + 3 * row * window.size.width })?
          .update(from: storage.base + 3 * ((window.top + row) * width + window.left), count: 3 * window.size.width)
      }
    }
  }
}
