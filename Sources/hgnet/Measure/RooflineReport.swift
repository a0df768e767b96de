import HGNet
import HGNetCPU
import HGNetCore
import HGNetFormats
import HGNetProgram

/// The steps of a network with their times, beside what the machine's arithmetic and memory allow at most where that is
/// known.
struct RooflineReport {
  /// Of the processor; nil leaves bounds out.
  let peak: MachinePeak?
  let steps: [LayerDescription]
  /// The best time of each step.
  let seconds: [Double]

  private var bounds: [Double] { peak.map { peak in steps.map { $0.bound(on: peak) } } ?? [] }
  private var total: Double { seconds.reduce(0, +) }

  /// The table for people.
  var text: String {
    func number(_ value: Double, _ digits: Int) -> String { FixedPoint.text(value, digits: digits) }
    func percent(_ part: Double, of whole: Double) -> String { whole > 0 ? number(part / whole * 100, 0) + " %" : "" }
    var rows = [
      ["step", "by", "from", "to", "ms", "of run", "GFLOP/s", "GB/s"]
        + (peak == nil ? [] : ["bound by", "of the bound"])
    ]
    for (index, step) in steps.enumerated() {
      let time = seconds[index]
      var row = [
        step.name, step.algorithm, "\(step.inputShape)", "\(step.outputShape)", number(time * 1e3, 3),
        percent(time, of: total), step.operations > 0 ? number(Double(step.operations) / time / 1e9, 1) : "",
        number(Double(step.byteCount) / time / 1e9, 1),
      ]
      if let peak {
        let isArithmetic = Double(step.operations) / peak.arithmetic >= Double(step.byteCount) / peak.reading
        row += [isArithmetic ? "arithmetic" : "memory", percent(bounds[index], of: time)]
      }
      rows.append(row)
    }
    let isText = [true, true, true, true, false, false, false, false, true, false]
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    var lines = rows.map { row in
      row.indices.map { column in
        let space = String(repeating: " ", count: widths[column] - row[column].count)
        return isText[column] ? row[column] + space : space + row[column]
      }.joined(separator: "  ")
    }
    guard let peak else {
      lines.append("\nThe steps take \(number(total * 1e3, 2)) ms at their best.")
      return lines.joined(separator: "\n")
    }
    lines.append(
      """

      The machine: \(number(peak.arithmetic / 1e9, 1)) GFLOP/s in registers, \(number(peak.reading / 1e9, 1)) GB/s from \
      memory with these threads.
      The steps take \(number(total * 1e3, 2)) ms at their best, their bounds \
      \(number(bounds.reduce(0, +) * 1e3, 2)) ms: \(percent(bounds.reduce(0, +), of: total)). Operations are those of the \
      algorithm, bytes the
      least that move; what lies in a cache is read faster than memory, hence more than 100 %.
      """)
    return lines.joined(separator: "\n")
  }

  /// The members for programs.
  var json: [(String, JSONText)] {
    let list = steps.indices.map { index in
      var members: [(String, JSONText)] = [
        ("name", .text(steps[index].name)), ("algorithm", .text(steps[index].algorithm)),
        ("milliseconds", .number(seconds[index] * 1e3)), ("operations", .integer(steps[index].operations)),
        ("bytes", .integer(steps[index].byteCount)),
      ]
      if peak != nil { members.append(("bound_milliseconds", .number(bounds[index] * 1e3))) }
      return JSONText.object(members)
    }
    guard let peak else { return [("steps", .list(list))] }
    return [
      ("peak_gflops", .number(peak.arithmetic / 1e9)), ("peak_gigabytes_per_second", .number(peak.reading / 1e9)),
      ("steps", .list(list)),
    ]
  }
}
