import HGNetCore

/// One operation on colours or geometry with everything that chance decides already in it.
///
/// Numeric promise: the bytes of Pillow 13. Threads: a value, safe to share.
package enum PixelOperation: Hashable, Sendable {
  /// Stretches every channel to 0 … 255.
  case autoContrast
  /// Spreads the values of every channel evenly.
  case equalize
  /// Turns a value `v` into `255 − v`.
  case invert
  /// Keeps the upper bits of every value; 0 gives black.
  case posterize(bits: Int)
  /// Inverts the values from a threshold on.
  case solarize(threshold: Double)
  /// Adds a number to the values below 128.
  case solarizeAdd(Int)
  /// Blends with the grey picture: 0 is grey, 1 changes nothing.
  case color(Double)
  /// Blends with the mean grey.
  case contrast(Double)
  /// Blends with black.
  case brightness(Double)
  /// Blends with the smoothed picture.
  case sharpness(Double)
  /// Turns counter-clockwise about the centre.
  case rotate(degrees: Double, Interpolation)
  /// Slides rows by a factor of the row.
  case shearX(Double, Interpolation)
  /// Slides columns by a factor of the column.
  case shearY(Double, Interpolation)
  /// Moves to the left, in pixels.
  case translateX(pixels: Double, Interpolation)
  /// Moves up, in pixels.
  case translateY(pixels: Double, Interpolation)
  /// Paints a rectangle.
  case paint(rows: Range<Int>, columns: Range<Int>, PixelColor)

  /// The picture after the operation.
  ///
  /// - Parameters:
  ///   - image: the picture.
  ///   - fill: the colour of what geometry brings in from outside.
  /// - Throws: `HGNetError.Code.invalidArgument` for an interpolation other than nearest, bilinear and bicubic, or an
  ///   angle that is no number.
  package func applying(to image: Image, fill: PixelColor) throws(HGNetError) -> Image {
    switch self {
    case .autoContrast: try image.withStretchedContrast()
    case .equalize: try image.withEqualizedHistogram()
    case .invert: try image.inverted()
    case .posterize(let bits): try image.posterized(bits: bits)
    case .solarize(let threshold): try image.solarized(threshold: threshold)
    case .solarizeAdd(let number): try image.solarized(adding: number)
    case .color(let factor): try image.withColor(factor)
    case .contrast(let factor): try image.withContrast(factor)
    case .brightness(let factor): try image.withBrightness(factor)
    case .sharpness(let factor): try image.withSharpness(factor)
    case .rotate(let degrees, let interpolation):
      try image.rotated(degrees: degrees, interpolation: interpolation, fill: fill)
    case .shearX(let factor, let interpolation):
      try image.transformed(by: .shearX(factor), interpolation: interpolation, fill: fill)
    case .shearY(let factor, let interpolation):
      try image.transformed(by: .shearY(factor), interpolation: interpolation, fill: fill)
    case .translateX(let pixels, let interpolation):
      try image.transformed(by: .translateX(pixels), interpolation: interpolation, fill: fill)
    case .translateY(let pixels, let interpolation):
      try image.transformed(by: .translateY(pixels), interpolation: interpolation, fill: fill)
    case .paint(let rows, let columns, let color): try image.painted(rows: rows, columns: columns, color)
    }
  }
}
