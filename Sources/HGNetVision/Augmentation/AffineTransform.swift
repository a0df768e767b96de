import CHGNetKernels
import HGNetCore
import HGNetPlatform

/// Where the pixels of a transformed picture are looked up.
///
/// The centre `(x + 0.5, y + 0.5)` of a target pixel comes from `(a·x + b·y + c, d·x + e·y + f)` of the source, in
/// pixels from the upper left corner. Threads: a value, safe to share.
package struct AffineTransform: Hashable, Sendable {
  /// The factors of x and y and the offset for the position along a row.
  package var a: Double, b: Double, c: Double
  /// The factors of x and y and the offset for the row.
  package var d: Double, e: Double, f: Double

  /// Makes a transform from its six numbers, in the order of Pillow's `Image.transform`.
  package init(_ a: Double, _ b: Double, _ c: Double, _ d: Double, _ e: Double, _ f: Double) {
    (self.a, self.b, self.c) = (a, b, c)
    (self.d, self.e, self.f) = (d, e, f)
  }

  /// Rows slide along themselves by `factor` pixels per row.
  package static func shearX(_ factor: Double) -> AffineTransform { AffineTransform(1, factor, 0, 0, 1, 0) }
  /// Columns slide along themselves by `factor` pixels per column.
  package static func shearY(_ factor: Double) -> AffineTransform { AffineTransform(1, 0, 0, factor, 1, 0) }
  /// The picture moves to the left by a number of pixels.
  package static func translateX(_ pixels: Double) -> AffineTransform { AffineTransform(1, 0, pixels, 0, 1, 0) }
  /// The picture moves up by a number of pixels.
  package static func translateY(_ pixels: Double) -> AffineTransform { AffineTransform(1, 0, 0, 0, 1, pixels) }

  /// The picture turns counter-clockwise about its centre.
  ///
  /// Sine and cosine are rounded to 15 decimals, as Pillow does it.
  ///
  /// - Parameters:
  ///   - degrees: the angle.
  ///   - size: the size of the picture.
  package static func rotation(degrees: Double, size: Size) -> AffineTransform {
    let angle = -(degrees * (.pi / 180))
    let cosine = rounded(cos(angle))
    let sine = rounded(sin(angle))
    let (x, y) = (Double(size.width) / 2, Double(size.height) / 2)
    return AffineTransform(
      cosine, sine, (cosine * -x + sine * -y + 0) + x, rounded(-sin(angle)), cosine,
      (rounded(-sin(angle)) * -x + cosine * -y + 0) + y)
  }

  /// A number to 15 decimals, correctly rounded in decimal.
  private static func rounded(_ value: Double) -> Double {
    guard value.isFinite else { return value }
    var text = [CChar](repeating: 0, count: 400)
    withVaList([value]) { _ = vsnprintf(&text, text.count, "%.15f", $0) }
    return strtod(text, nil)
  }
}

extension Image {
  /// The picture under an affine transform, at the same size.
  ///
  /// Numeric promise: the bytes of Pillow 13's `Image.transform(size, AFFINE, …, fillcolor=…)` on x86-64. Its bicubic
  /// has a = −1, other than that of a resize.
  ///
  /// - Parameters:
  ///   - transform: where pixels are looked up.
  ///   - interpolation: nearest, bilinear or bicubic.
  ///   - fill: the colour of what comes from outside.
  /// - Throws: `HGNetError.Code.invalidArgument` for another interpolation, `limitExceeded`.
  package func transformed(
    by transform: AffineTransform, interpolation: Interpolation = .nearest, fill: PixelColor = .grey(0)
  ) throws(HGNetError) -> Image {
    var matrix = hg_affine(
      a: transform.a, b: transform.b, c: transform.c, d: transform.d, e: transform.e, f: transform.f)
    let color = [fill.red, fill.green, fill.blue]
    let target = try PixelStorage(count: storage.count)
    let (rows, columns) = (Int64(height), Int64(width))
    switch interpolation {
    case .nearest: hg_affine_nearest_u8(storage.base, target.base, rows, columns, &matrix, color)
    case .bilinear: hg_affine_bilinear_u8(storage.base, target.base, rows, columns, &matrix, color)
    case .bicubic: hg_affine_bicubic_u8(storage.base, target.base, rows, columns, &matrix, color)
    default:
      throw HGNetError(
        .invalidArgument,
        "a picture is turned and moved with nearest, bilinear or bicubic interpolation, found \(interpolation.rawValue)"
      )
    }
    return Image(size: size, storage: target)
  }

  /// The picture turned counter-clockwise about its centre, at the same size.
  ///
  /// Numeric promise: the bytes of Pillow's `Image.rotate`: turns by 0 and 180 degrees, and by 90 and 270 of a square,
  /// move pixels only.
  ///
  /// - Parameters:
  ///   - degrees: the angle.
  ///   - interpolation: nearest, bilinear or bicubic.
  ///   - fill: the colour of the corners that come from outside.
  /// - Throws: `HGNetError.Code.invalidArgument` for another interpolation or an angle that is no number.
  package func rotated(
    degrees: Double, interpolation: Interpolation = .nearest, fill: PixelColor = .grey(0)
  ) throws(HGNetError) -> Image {
    guard degrees.isFinite else {
      throw HGNetError(.invalidArgument, "expected an angle in degrees, found \(degrees)")
    }
    var angle = fmod(degrees, 360)
    if angle < 0 { angle += 360 }
    switch angle {
    case 0: return self
    case 180: return try oriented(.upsideDown)
    case 90 where height == width: return try oriented(.turnedLeft)
    case 270 where height == width: return try oriented(.turnedRight)
    default:
      return try transformed(by: .rotation(degrees: angle, size: size), interpolation: interpolation, fill: fill)
    }
  }
}
