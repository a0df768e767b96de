extension TrainingReport {
  /// Above this many classes a matrix is no longer readable.
  private static let widestMatrix = 30

  func confusionHTML(_ matrix: ConfusionMatrix) -> String {
    let accuracy = "<p>\(matrix.total) pictures, \(HTML.percent(matrix.accuracy)) classified correctly.</p>"
    guard matrix.classes <= TrainingReport.widestMatrix else { return accuracy + worstHTML(matrix) }
    var rows = "<tr><th class=\"corner\">is ↓ taken for →</th>"
    for index in 0..<matrix.classes { rows += "<th class=\"column\"><span>\(HTML.escaped(name(index)))</span></th>" }
    rows += "</tr>\n"
    for label in 0..<matrix.classes {
      let counts = (0..<matrix.classes).map { matrix[label: label, prediction: $0] }
      let support = max(counts.reduce(0, +), 1)
      rows += "<tr><th>\(HTML.escaped(name(label)))</th>"
      for (index, count) in counts.enumerated() {
        let share = Double(count) / Double(support)
        let kind = index == label ? "right" : "wrong"
        // Rare mistakes must still be visible.
        let strength = count == 0 ? 0 : 0.12 + 0.88 * share
        let shade = HTML.fixed(strength, 2)
        let contrast = strength > 0.55 ? " strong" : ""
        rows +=
          "<td class=\"\(kind)\(contrast)\" style=\"--s:\(shade)\" title=\"\(HTML.escaped(name(label))) taken for "
          + "\(HTML.escaped(name(index))): \(count) (\(HTML.percent(share)))\">\(count == 0 ? "" : "\(count)")</td>"
      }
      rows += "</tr>\n"
    }
    return accuracy + "<div class=\"scroll\"><table class=\"matrix\">\(rows)</table></div>"
  }

  private func worstHTML(_ matrix: ConfusionMatrix) -> String {
    let rows = matrix.worstConfusions(30).map {
      "<tr><td>\(HTML.escaped(name($0.label)))</td><td>\(HTML.escaped(name($0.prediction)))</td><td>\($0.count)</td></tr>"
    }
    guard !rows.isEmpty else { return "<p>No picture was taken for something else.</p>" }
    return "<p>The most frequent confusions:</p><div class=\"scroll\"><table class=\"classes\"><thead><tr><th>is</th>"
      + "<th>taken for</th><th>pictures</th></tr></thead><tbody>\(rows.joined(separator: "\n"))</tbody></table></div>"
  }

  func classesHTML(_ matrix: ConfusionMatrix) -> String {
    let rows = matrix.qualities.enumerated().map { index, quality in
      func cell(_ value: Double) -> String {
        "<td data-v=\"\(HTML.fixed(value, 6))\"><i style=\"width:\(HTML.fixed(value * 60, 1))px\"></i>\(HTML.percent(value))</td>"
      }
      return "<tr><td data-v=\"\(index)\">\(HTML.escaped(name(index)))</td>\(cell(quality.precision))"
        + "\(cell(quality.recall))\(cell(quality.f1))<td data-v=\"\(quality.support)\">\(quality.support)</td></tr>"
    }
    return "<div class=\"scroll tall\"><table class=\"classes sortable\"><thead><tr><th>class</th><th>precision</th>"
      + "<th>recall</th><th>F1</th><th>pictures</th></tr></thead><tbody>\n\(rows.joined(separator: "\n"))\n"
      + "</tbody></table></div><p class=\"note\">Click a heading to sort.</p>"
  }
}
