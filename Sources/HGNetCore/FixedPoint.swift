import HGNetPlatform

/// Numbers with a fixed count of decimals.
package enum FixedPoint {
  /// `format(value, ".5f")` of Python for 5 digits: correctly rounded, halves to even, `nan`, `inf`.
  ///
  /// - Parameters:
  ///   - value: any number.
  ///   - digits: the digits behind the point, 0 to 60.
  ///   - width: filled up to with spaces on the left.
  package static func text(_ value: Double, digits: Int, width: Int = 0) -> String {
    let text = bare(value, digits: digits)
    return String(repeating: " ", count: max(0, width - text.utf8.count)) + text
  }

  private static func bare(_ value: Double, digits: Int) -> String {
    if value.isNaN { return "nan" }
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    // The largest number has 309 digits before the point.
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 400) { buffer in
      buffer.initialize(repeating: 0)
      guard let base = buffer.baseAddress else { return "" }
      _ = withVaList([Int32(clamping: digits), value]) { vsnprintf(base, buffer.count, "%.*f", $0) }
      return String(cString: base)
    }
  }
}
