import CHGNetKernels
import HGNetCore

/// A colour of 8-bit red, green and blue.
package struct PixelColor: Hashable, Sendable {
  /// Red, 0 … 255.
  package var red: UInt8
  /// Green, 0 … 255.
  package var green: UInt8
  /// Blue, 0 … 255.
  package var blue: UInt8

  /// Makes a colour.
  package init(red: UInt8, green: UInt8, blue: UInt8) {
    self.red = red
    self.green = green
    self.blue = blue
  }

  /// A grey: the same value three times.
  package static func grey(_ value: UInt8) -> PixelColor { PixelColor(red: value, green: value, blue: value) }
}

// The functions below reproduce Pillow 13's `ImageOps` and `ImageEnhance` on RGB pictures byte for byte.
extension Image {
  /// The picture with each channel stretched so that its darkest value becomes 0 and its lightest 255.
  ///
  /// A channel of a single value stays. Numeric promise: the bytes of Pillow's `ImageOps.autocontrast` without cutoff.
  package func withStretchedContrast() throws(HGNetError) -> Image {
    try withTables { counts, channel in
      let values = 0..<256
      guard let low = values.first(where: { counts[256 * channel + $0] > 0 }),
        let high = values.last(where: { counts[256 * channel + $0] > 0 }), low < high
      else { return nil }
      let scale = 255 / Double(high - low)
      let offset = -Double(low) * scale
      return values.map { UInt8(min(max(Double($0) * scale + offset, 0), 255)) }
    }
  }

  /// The picture with each channel's values spread so that they are about equally frequent.
  ///
  /// Numeric promise: the bytes of Pillow's `ImageOps.equalize`.
  package func withEqualizedHistogram() throws(HGNetError) -> Image {
    try withTables { counts, channel in
      let counts = (0..<256).map { Int(counts[256 * channel + $0]) }
      guard let last = counts.last(where: { $0 > 0 }), counts.count(where: { $0 > 0 }) > 1 else { return nil }
      let step = (counts.reduce(0, +) - last) / 255
      guard step > 0 else { return nil }
      var sum = step / 2
      return counts.map { count in
        defer { sum += count }
        return UInt8(min(sum / step, 255))
      }
    }
  }

  /// The picture with every value `v` as `255 − v`.
  package func inverted() throws(HGNetError) -> Image { try lookedUp { 255 - $0 } }

  /// The picture with only the upper bits of every value.
  ///
  /// - Parameter bits: how many bits stay: 8 or more change nothing, 0 or less leave black (as Pillow before 12; later
  ///   versions refuse it).
  package func posterized(bits: Int) throws(HGNetError) -> Image {
    if bits >= 8 { return self }
    let mask = bits <= 0 ? 0 : UInt8(truncatingIfNeeded: 0xFF << (8 - bits))
    return try lookedUp { $0 & mask }
  }

  /// The picture with every value `v` from a threshold on as `255 − v`.
  package func solarized(threshold: Double) throws(HGNetError) -> Image {
    try lookedUp { Double($0) < threshold ? $0 : 255 - $0 }
  }

  /// The picture with a number added to every value below 128, at most up to 255.
  ///
  /// - Parameter number: what is added, 0 or more.
  package func solarized(adding number: Int) throws(HGNetError) -> Image {
    let number = min(max(number, 0), 255)
    return try lookedUp { $0 < 128 ? UInt8(min(Int($0) + number, 255)) : $0 }
  }

  /// The picture with stronger (above 1) or weaker colours; 0 is grey, 1 the picture itself.
  ///
  /// Numeric promise: the bytes of Pillow's `ImageEnhance.Color`.
  package func withColor(_ factor: Double) throws(HGNetError) -> Image {
    try rewritten { hg_blend_grey_u8(storage.base, $0, Int64(height * width), Float(factor)) }
  }

  /// The picture with more (above 1) or less contrast; 0 is the mean grey, 1 the picture itself.
  ///
  /// Numeric promise: the bytes of Pillow's `ImageEnhance.Contrast`.
  package func withContrast(_ factor: Double) throws(HGNetError) -> Image {
    let pixels = height * width
    let mean = Int(Double(hg_grey_sum_u8(storage.base, Int64(pixels))) / Double(pixels) + 0.5)
    return try lookedUp { Image.blended(from: mean, to: Int($0), by: Float(factor)) }
  }

  /// The picture brighter (above 1) or darker; 0 is black, 1 the picture itself.
  ///
  /// Numeric promise: the bytes of Pillow's `ImageEnhance.Brightness`.
  package func withBrightness(_ factor: Double) throws(HGNetError) -> Image {
    try lookedUp { Image.blended(from: 0, to: Int($0), by: Float(factor)) }
  }

  /// The picture sharper (above 1) or smoother; 0 is smoothed over 3 × 3 pixels, 1 the picture itself.
  ///
  /// Numeric promise: the bytes of Pillow's `ImageEnhance.Sharpness`.
  package func withSharpness(_ factor: Double) throws(HGNetError) -> Image {
    try rewritten { hg_blend_smooth_u8(storage.base, $0, Int64(height), Int64(width), Float(factor)) }
  }

  /// A rectangle in one colour; what lies outside the picture is left out.
  func painted(rows: Range<Int>, columns: Range<Int>, _ color: PixelColor) throws(HGNetError) -> Image {
    let rows = rows.clamped(to: 0..<height)
    let columns = columns.clamped(to: 0..<width)
    return try rewritten { target in
      target.update(from: storage.base, count: storage.count)
      for row in rows {
        var pixel = target + 3 * (row * width + columns.lowerBound)
        for _ in columns {
          pixel[0] = color.red
          pixel[1] = color.green
          pixel[2] = color.blue
          pixel += 3
        }
      }
    }
  }

  /// One value moved away from another in single precision, as `Image.blend` does it.
  private static func blended(from: Int, to: Int, by factor: Float) -> UInt8 {
    let value = Float(from) + factor * Float(to - from)
    // Written so that a factor that is not a number gives 0 instead of a trap.
    guard value > 0 else { return 0 }
    return value >= 255 ? 255 : UInt8(value)
  }

  /// A picture of the same size whose bytes `body` writes.
  private func rewritten(_ body: (UnsafeMutablePointer<UInt8>) -> Void) throws(HGNetError) -> Image {
    let target = try PixelStorage(count: storage.count)
    body(target.base)
    return Image(size: size, storage: target)
  }

  /// Every value through one function.
  private func lookedUp(_ value: (UInt8) -> UInt8) throws(HGNetError) -> Image {
    let table = (0..<256).map { value(UInt8($0)) }
    return try lookedUp(in: table + table + table)
  }

  private func lookedUp(in tables: [UInt8]) throws(HGNetError) -> Image {
    try rewritten { hg_lookup_u8(storage.base, $0, Int64(height * width), tables) }
  }

  /// Every channel through a table made from its histogram (`counts[256 × channel + value]`); nil leaves it alone.
  private func withTables(_ table: (_ counts: [UInt32], _ channel: Int) -> [UInt8]?) throws(HGNetError) -> Image {
    let counts = [UInt32](unsafeUninitializedCapacity: 768) { buffer, count in
      buffer.initialize(repeating: 0)
      hg_histogram_u8(storage.base, Int64(height * width), buffer.baseAddress)
      count = 768
    }
    let tables = (0..<3).map { table(counts, $0) }
    if tables.allSatisfy({ $0 == nil }) { return self }
    return try lookedUp(in: tables.flatMap { $0 ?? (0...255).map { $0 } })
  }
}
