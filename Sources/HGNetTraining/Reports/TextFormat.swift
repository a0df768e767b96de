/// Numbers as Python writes them.
enum TextFormat {
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
}
