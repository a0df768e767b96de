import HGNetDownload
import HGNetPlatform
import Synchronization

/// Shows a download on standard error: a bar on a terminal, plain lines elsewhere.
final class DownloadProgress: Sendable {
  private let name: String
  private let isTerminal = isatty(2) == 1
  private let shownPercent = Mutex(-1)

  init(name: String) { self.name = name }

  /// Shows one event.
  func show(_ event: DownloadEvent) {
    switch event {
    case .connecting(let url, let offset):
      line(offset > 0 ? "continuing \(url) at \(offset) bytes" : "fetching \(url)")
    case .received(let count, let total): bar(count, of: total)
    case .waitingForOtherProcess: line("waiting for another process that fetches \(name)")
    case .retrying(let reason, let pause): line("connection lost (\(reason)); next attempt in \(pause) s")
    case .restarting(let reason): line("starting again: \(reason)")
    case .checking: line("checking \(name)")
    }
  }

  /// Leaves the terminal on a fresh line.
  func end() { shownPercent.withLock { if isTerminal, $0 >= 0 { StandardError.write("") } } }

  private func line(_ text: String) { StandardError.write((isTerminal ? "\r\u{1B}[K" : "") + "hgnet: \(text)") }

  private func bar(_ count: Int, of total: Int?) {
    guard let total, total > 0 else { return }
    let percent = min(100, count * 100 / total)
    shownPercent.withLock { shown in
      guard isTerminal ? percent > shown : percent >= shown + 10 else { return }
      shown = percent
      let megabytes = "\(count / 1_000_000) of \(total / 1_000_000) MB"
      if isTerminal {
        let filled = percent * 30 / 100
        let text = String(repeating: "█", count: filled) + String(repeating: "░", count: 30 - filled)
        StandardError.write("\r\u{1B}[K\(name) \(text) \(percent) % \(megabytes)", terminator: "")
      } else {
        StandardError.write("hgnet: \(name) \(percent) % \(megabytes)")
      }
    }
  }
}
