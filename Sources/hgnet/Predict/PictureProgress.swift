import FoundationEssentials
import HGNetCore
import HGNetPlatform
import HGNetTraining

/// How far a run over pictures is, on one line of a terminal: count, speed, time left.
struct PictureProgress {
  private let total: Int
  private let isShown: Bool
  private let start = Date()
  private var done = 0
  private var shownAt = Date()
  private var isOnLine = false

  /// Nothing is shown where standard error is no terminal, or where results appear on one themselves.
  init(total: Int, isFirst: Bool) {
    self.total = total
    isShown = isFirst && total > 1 && isatty(2) == 1 && isatty(1) == 0
  }

  /// Counts pictures that are done.
  mutating func add(_ count: Int) {
    done = min(done + count, total)
    let now = Date()
    guard isShown, now.timeIntervalSince(shownAt) > 0.2 else { return }
    shownAt = now
    isOnLine = true
    let rate = Double(done) / max(now.timeIntervalSince(start), 1e-6)
    let left = Int((Double(total - done) / max(rate, 1e-6)).rounded(.up))
    let clock =
      "\(left / 3600):\(left / 60 % 60 < 10 ? "0" : "")\(left / 60 % 60):\(left % 60 < 10 ? "0" : "")\(left % 60)"
    StandardError.write(
      "\r\u{1B}[K\(done) of \(total) pictures, \(FixedPoint.text(rate, digits: 1)) pictures/s, \(clock) left",
      terminator: "")
  }

  /// Leaves the line free for other text.
  mutating func clear() {
    if isOnLine { StandardError.write("\r\u{1B}[K", terminator: "") }
    isOnLine = false
  }
}
