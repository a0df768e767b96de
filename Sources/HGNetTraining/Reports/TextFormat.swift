import HGNetPlatform

/// Numbers as Python writes them.
enum TextFormat {
  /// `format(value, ".5f")` for 5 digits: correctly rounded, `nan`, `inf`.
  static func fixed(_ value: Double, digits: Int) -> String {
    if value.isNaN { return "nan" }
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 400) { buffer in
      buffer.initialize(repeating: 0)
      guard let base = buffer.baseAddress else { return "" }
      _ = withVaList([Int32(clamping: digits), value]) { vsnprintf(base, buffer.count, "%.*f", $0) }
      return String(cString: base)
    }
  }

  /// `repr(value)`: the shortest digits that read back as the same number.
  static func shortest(_ value: Double) -> String {
    if value.isNaN { return "nan" }
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    return "\(value)"
  }

  /// `str(timedelta(seconds: int(seconds)))`: `0:01:30`, `1 day, 0:00:00`.
  static func duration(_ seconds: Double) -> String {
    guard seconds.isFinite else { return "unknown" }
    let whole = Int(max(min(seconds, 1e12), -1e12))
    let days = whole >= 0 ? whole / 86_400 : -((-whole + 86_399) / 86_400)
    let rest = whole - days * 86_400
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let clock = "\(rest / 3600):\(two(rest / 60 % 60)):\(two(rest % 60))"
    return days == 0 ? clock : "\(days) day\(abs(days) == 1 ? "" : "s"), \(clock)"
  }

  /// `YYYY/MM/DD HH:MM:SS` in local time.
  static func timestamp(_ secondsSince1970: Double) -> String {
    guard secondsSince1970.isFinite, abs(secondsSince1970) < 1e11 else { return "" }
    var seconds = time_t(secondsSince1970)
    var parts = tm()
    localtime_r(&seconds, &parts)
    func padded(_ number: Int32, _ width: Int) -> String {
      let text = "\(number)"
      return String(repeating: "0", count: max(width - text.count, 0)) + text
    }
    return "\(padded(parts.tm_year + 1900, 4))/\(padded(parts.tm_mon + 1, 2))/\(padded(parts.tm_mday, 2)) "
      + "\(padded(parts.tm_hour, 2)):\(padded(parts.tm_min, 2)):\(padded(parts.tm_sec, 2))"
  }
}
