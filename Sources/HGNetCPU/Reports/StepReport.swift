import HGNetCore
import HGNetPlatform

/// The lines that `HGNET_VERBOSE` asks for, on standard error: with 1 or 2 one per step of each run, with 2 also one per
/// layer when a session is made, with the chosen implementation and why better ones refused.
enum StepReport {
  private static var level: String? { getenv("HGNET_VERBOSE").map { String(cString: $0) } }

  /// Whether the environment asks for the time of each step.
  static var isWanted: Bool { level == "1" || level == "2" }

  /// Prints which implementation each layer has, if the environment asks for it.
  static func printChoices(_ steps: [Step]) {
    guard level == "2" else { return }
    var told: Set<Int> = []
    var text = ""
    for step in steps where !step.work.algorithm.isEmpty && (step.pictures == 0 || told.insert(step.layer).inserted) {
      text += "\(step.name): \(step.work.algorithm)"
      for (name, reason) in step.refusals { text += "; \(name): \(reason)" }
      text += "\n"
    }
    write(text)
  }

  private static func write(_ text: String) {
    let bytes = Array(text.utf8)
    _ = bytes.withUnsafeBytes { HGNetPlatform.write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }

  static func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  /// A line: what is told about a step beside its time.
  struct Line {
    var name: String
    var algorithm: String
    var shapes: String
    var multiplyAdds: Int
  }

  static func print(plan: Plan, times: UnsafeMutablePointer<UInt64>?) {
    // Runs allocate nothing unless somebody asks.
    guard let times else { return }
    print(
      plan.layers.map { step in
        Line(
          name: step.name, algorithm: step.work.algorithm,
          shapes: [step.inputShape, step.outputShape].compactMap { $0?.description }.joined(separator: " -> "),
          multiplyAdds: step.multiplyAdds)
      }, nanoseconds: plan.layerNanoseconds(times))
  }

  static func print(_ lines: [Line], nanoseconds: [UInt64]) {
    var rows: [[String]] = []
    for (line, nanoseconds) in zip(lines, nanoseconds) {
      let milliseconds = Double(nanoseconds) / 1e6
      let rate = line.multiplyAdds == 0 ? "" : rounded(Double(line.multiplyAdds) * 2 / milliseconds / 1e6, 1)
      let unit = rate.isEmpty ? "" : " GFLOP/s"
      rows.append([line.name, line.algorithm, line.shapes, rounded(milliseconds, 3), " ms  ", rate, unit])
    }
    var text = ""
    let widths = (0..<7).map { column in rows.map { $0[column].count }.max() ?? 0 }
    for row in rows {
      var line = ""
      for (column, cell) in row.enumerated() {
        let space = String(repeating: " ", count: widths[column] - cell.count)
        // Numbers end, words begin below one another.
        line += column == 3 || column == 5 ? space + cell : column < 3 ? cell + space + "  " : cell
      }
      while line.last == " " { line.removeLast() }
      text += line + "\n"
    }
    write(text)
  }

  private static func rounded(_ value: Double, _ digits: Int) -> String {
    var factor = 1.0
    for _ in 0..<digits { factor *= 10 }
    let scaled = (value * factor).rounded()
    guard scaled.isFinite, abs(scaled) < 1e15 else { return "\(value)" }
    let whole = Int(scaled) / Int(factor)
    let rest = abs(Int(scaled) % Int(factor))
    let padded = String(rest)
    return "\(whole)." + String(repeating: "0", count: max(0, digits - padded.count)) + padded
  }
}
