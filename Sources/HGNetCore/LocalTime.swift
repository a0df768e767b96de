import HGNetPlatform

/// Points in time as people read them.
package enum LocalTime {
  /// `YYYY/MM/DD HH:MM:SS` in local time; empty for what is no time.
  package static func text(_ secondsSince1970: Double) -> String {
    guard secondsSince1970.isFinite, abs(secondsSince1970) < 1e11 else { return "" }
    return text(time_t(secondsSince1970))
  }

  /// Now, as `YYYY/MM/DD HH:MM:SS` in local time.
  package static var now: String { text(time(nil)) }

  private static func text(_ time: time_t) -> String {
    var (seconds, parts) = (time, tm())
    localtime_r(&seconds, &parts)
    func padded(_ number: Int32, _ width: Int) -> String {
      let text = "\(number)"
      return String(repeating: "0", count: max(width - text.count, 0)) + text
    }
    return "\(padded(parts.tm_year + 1900, 4))/\(padded(parts.tm_mon + 1, 2))/\(padded(parts.tm_mday, 2)) "
      + "\(padded(parts.tm_hour, 2)):\(padded(parts.tm_min, 2)):\(padded(parts.tm_sec, 2))"
  }
}
