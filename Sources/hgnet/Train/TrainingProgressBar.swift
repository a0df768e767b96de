import FoundationEssentials
import HGNetCore
import HGNetPlatform
import HGNetTraining

/// The bar on a terminal: where the run is, loss, accuracy, pictures a second, time left.
struct TrainingProgressBar {
  private let isShown: Bool
  private var isOnLine = false
  private var shownAt = Date.distantPast
  private var started: (fraction: Double, time: Date)?
  private var pace = 0.0

  /// Makes a bar; nothing is shown where there is no terminal.
  init(isShown: Bool) { self.isShown = isShown }

  /// Shows an event.
  mutating func show(_ event: Trainer.Event) {
    guard isShown else { return }
    switch event {
    case .step(let step):
      let rate = Double(step.pictures) / max(step.took, 1e-9)
      pace = pace == 0 ? rate : pace * 0.9 + rate * 0.1
      let now = Date()
      let first = started ?? (step.fraction, now)
      if started == nil { started = first }
      guard now.timeIntervalSince(shownAt) > 0.1 else { return }
      var text = "epoch \(step.position.epoch)/\(step.position.epochs) \(bar(step.fraction))"
      text += FixedPoint.text(step.fraction * 100, digits: 0, width: 4) + " %"
      for (name, value) in step.averages where name == "top1" || name == "loss" {
        text += name == "loss" ? "  loss \(FixedPoint.text(value, digits: 3))" : "  top-1 \(percent(value))"
      }
      text += "  \(FixedPoint.text(pace, digits: 0)) pictures/s"
      if step.fraction > first.fraction, step.fraction < 1 {
        let left = now.timeIntervalSince(first.time) / (step.fraction - first.fraction) * (1 - step.fraction)
        text += "  \(duration(left)) left"
      }
      draw(text, at: now)
    case .evaluating(let epoch, let done, let count):
      let now = Date()
      guard now.timeIntervalSince(shownAt) > 0.1 else { return }
      draw("evaluating after epoch \(epoch) \(bar(Double(done) / Double(max(count, 1))))", at: now)
    default: break
    }
  }

  /// Leaves the line free for other text.
  mutating func clear() {
    if isOnLine { StandardError.write("\r\u{1B}[K", terminator: "") }
    isOnLine = false
  }

  private mutating func draw(_ text: String, at time: Date) {
    StandardError.write("\r\u{1B}[K" + text, terminator: "")
    isOnLine = true
    shownAt = time
  }

  private func bar(_ fraction: Double) -> String {
    let filled = min(max(Int(fraction * 20), 0), 20)
    return String(repeating: "█", count: filled) + String(repeating: "░", count: 20 - filled)
  }

  private func percent(_ share: Double) -> String { FixedPoint.text(share * 100, digits: 1) + " %" }

  private func duration(_ seconds: Double) -> String {
    let whole = Int(min(max(seconds, 0), 1e9).rounded())
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let minutes = "\(whole / 60 % 60):\(two(whole % 60))"
    return whole < 3600 ? minutes : "\(whole / 3600):\(two(whole / 60 % 60)):\(two(whole % 60))"
  }
}
