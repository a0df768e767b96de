import Foundation
import HGNetFormats
import Synchronization

/// Lines about what happens, for people or for machines, on standard error.
///
/// Threads: safe to share; lines do not mix.
package final class ServingLog: Sendable {
  /// How much a line matters.
  package enum Level: Int, Sendable, Comparable, CaseIterable {
    case debug, info, warning, error

    /// The name in the lines.
    package var name: String {
      switch self {
      case .debug: "debug"
      case .info: "info"
      case .warning: "warning"
      case .error: "error"
      }
    }

    package static func < (left: Level, right: Level) -> Bool { left.rawValue < right.rawValue }
  }

  /// The least that is written.
  package let level: Level
  private let isJSON: Bool
  private let output: @Sendable (String) -> Void
  private let turn = Mutex<Void>(())

  /// Makes a log.
  ///
  /// - Parameters:
  ///   - level: the least that is written.
  ///   - isJSON: one JSON object per line instead of text.
  ///   - output: takes a line without its end; nil for standard error.
  package init(level: Level, isJSON: Bool, output: (@Sendable (String) -> Void)? = nil) {
    self.level = level
    self.isJSON = isJSON
    self.output =
      output ?? { line in
        let bytes = Array((line + "\n").utf8)
        var start = 0
        while start < bytes.count {
          let written = bytes.withUnsafeBytes {
            Foundation.write(2, $0.baseAddress.map { $0 + start }, bytes.count - start)
          }
          guard written > 0 else { return }
          start += written
        }
      }
  }

  /// Writes a line, unless it matters too little.
  ///
  /// - Parameter fields: names with their values, in order.
  package func write(_ level: Level, _ message: String, _ fields: [(String, String)] = []) {
    guard level >= self.level else { return }
    let time = Date().formatted(.iso8601.year().month().day().time(includingFractionalSeconds: true))
    let line: String
    if isJSON {
      let all = [("time", time), ("level", level.name), ("message", message)] + fields
      line = JSONText.object(all.map { ($0.0, .text($0.1)) }).line
    } else {
      line = "\(time) \(level.name): \(message)" + fields.map { " \($0.0)=\(ServingLog.value($0.1))" }.joined()
    }
    turn.withLock { _ in output(line) }
  }

  /// A value that cannot be taken for something else.
  private static func value(_ text: String) -> String {
    let isPlain = !text.isEmpty && text.unicodeScalars.allSatisfy { $0.value > 0x20 && $0.value < 0x7F && $0 != "\"" }
    return isPlain ? text : JSON.quoted(text)
  }
}
