/// A name and a value by which series of one family differ.
package struct PrometheusLabel: Hashable, Sendable, Comparable {
  /// The name, valid as Prometheus has it.
  package let name: String
  /// The value, any text.
  package let value: String

  /// Takes both as they are.
  package init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }

  package static func < (left: PrometheusLabel, right: PrometheusLabel) -> Bool {
    (left.name, left.value) < (right.name, right.value)
  }
}

/// A page in the text format of Prometheus, version 0.0.4, as it grows.
package struct PrometheusText: Sendable {
  /// What has been written.
  package private(set) var text = ""

  /// An empty page.
  package init() {}

  /// Begins a family.
  package mutating func family(_ name: String, kind: String, help: String) {
    let help = help.replacing("\\", with: "\\\\").replacing("\n", with: "\\n")
    text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n"
  }

  /// Writes a value.
  package mutating func sample(_ name: String, _ labels: [PrometheusLabel], _ value: Double) {
    text += name
    if !labels.isEmpty {
      text += "{"
      for (index, label) in labels.enumerated() {
        text += "\(index > 0 ? "," : "")\(label.name)=\"\(PrometheusText.escaped(label.value))\""
      }
      text += "}"
    }
    text += " \(PrometheusText.number(value))\n"
  }

  /// Writes a histogram, each of whose counts holds those below it.
  package mutating func histogram(_ name: String, _ labels: [PrometheusLabel], _ histogram: Histogram) {
    var count = 0
    for (index, bound) in histogram.bounds.enumerated() {
      count += histogram.counts[index]
      sample("\(name)_bucket", labels + [PrometheusLabel("le", "\(bound)")], Double(count))
    }
    sample("\(name)_bucket", labels + [PrometheusLabel("le", "+Inf")], Double(histogram.count))
    sample("\(name)_sum", labels, histogram.sum)
    sample("\(name)_count", labels, Double(histogram.count))
  }

  private static func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
    return value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)"
  }

  private static func escaped(_ text: String) -> String {
    guard text.utf8.contains(where: { $0 == 0x5C || $0 == 0x22 || $0 == 0x0A }) else { return text }
    return text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
  }
}

/// Names as Prometheus wants them, of names that other packages use.
package enum PrometheusName {
  /// The characters of a name or a value that are kept; nobody reads more, and a hostile text must not fill the memory.
  private static let lengthLimit = 256
  /// The labels of one series that are kept.
  private static let labelLimit = 32

  /// A valid name of a family: dots and whatever else Prometheus does not know become underscores.
  ///
  /// - Parameter suffix: the unit or `_total`, which is appended unless it is there.
  package static func family(_ label: String, suffix: String = "") -> String {
    let name = valid(label, allowsColon: true)
    return name.hasSuffix(suffix) ? name : name + suffix
  }

  /// Valid labels, each name once, sorted.
  package static func labels(_ dimensions: [(String, String)]) -> [PrometheusLabel] {
    var labels: [PrometheusLabel] = []
    for (given, value) in dimensions.prefix(labelLimit) {
      var name = valid(given, allowsColon: false)
      // Prometheus keeps names with two underscores in front for itself, and `le` for the bounds of histograms.
      while name.hasPrefix("__") { name.removeFirst() }
      if name == "le" { name = "le_" }
      while labels.contains(where: { $0.name == name }) { name += "_" }
      labels.append(PrometheusLabel(name, String(String.UnicodeScalarView(value.unicodeScalars.prefix(lengthLimit)))))
    }
    return labels.sorted()
  }

  private static func valid(_ text: String, allowsColon: Bool) -> String {
    var name = ""
    for scalar in text.unicodeScalars.prefix(lengthLimit) {
      switch scalar {
      case "a"..."z", "A"..."Z", "_": name.unicodeScalars.append(scalar)
      case ":" where allowsColon: name.unicodeScalars.append(scalar)
      case "0"..."9":
        if name.isEmpty { name = "_" }
        name.unicodeScalars.append(scalar)
      default: name += "_"
      }
    }
    return name.isEmpty ? "_" : name
  }
}
