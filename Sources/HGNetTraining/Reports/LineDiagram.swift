import HGNetPlatform

/// A line diagram as inline SVG.
struct LineDiagram {
  let curves: TrainingReport.Curves
  private let width = 520.0
  private let height = 260.0
  private let left = 52.0
  private let right = 14.0
  private let top = 12.0
  private let bottom = 36.0
  /// More points than pixels only make the file larger.
  private static let mostPoints = 600

  init(_ curves: TrainingReport.Curves) { self.curves = curves }

  /// A card with legend and diagram; empty without a finite point.
  var html: String {
    let series = curves.series.prefix(4).map { series in
      (series.name, LineDiagram.thinned(series.points.filter { $0.x.isFinite && $0.y.isFinite }))
    }
    let points = series.flatMap(\.1)
    guard let first = points.first else { return "" }
    var x = (first.x, first.x)
    var y = (first.y, first.y)
    for point in points {
      x = (min(x.0, point.x), max(x.1, point.x))
      y = (min(y.0, point.y), max(y.1, point.y))
    }
    if curves.isShare { y.1 = min(max(y.1, y.0 + 0.05), 1) }
    let yTicks = LineDiagram.ticks(y.0, y.1)
    let xTicks = LineDiagram.ticks(x.0, x.1, wanted: 6).filter { $0 >= x.0 && $0 <= x.1 }
    y = (min(y.0, yTicks.first ?? y.0), max(y.1, yTicks.last ?? y.1))
    func place(_ point: (x: Double, y: Double)) -> (Double, Double) {
      let horizontal = x.1 > x.0 ? (point.x - x.0) / (x.1 - x.0) : 0.5
      let vertical = y.1 > y.0 ? (point.y - y.0) / (y.1 - y.0) : 0.5
      return (left + horizontal * (width - left - right), height - bottom - vertical * (height - top - bottom))
    }
    var svg = ""
    for tick in yTicks {
      let line = HTML.fixed(place((x.0, tick)).1, 1)
      svg +=
        "<line class=\"grid\" x1=\"\(Int(left))\" x2=\"\(Int(width - right))\" y1=\"\(line)\" y2=\"\(line)\"/>"
        + "<text x=\"\(Int(left - 7))\" y=\"\(line)\" class=\"y\">\(label(tick))</text>"
    }
    for tick in xTicks {
      let line = HTML.fixed(place((tick, y.0)).0, 1)
      svg += "<text x=\"\(line)\" y=\"\(Int(height - bottom + 16))\" class=\"x\">\(LineDiagram.plain(tick))</text>"
    }
    svg +=
      "<text x=\"\(Int((left + width - right) / 2))\" y=\"\(Int(height - 3))\" class=\"x axis\">"
      + "\(HTML.escaped(curves.axis))</text>"
    for (index, (name, points)) in series.enumerated() where !points.isEmpty {
      let path = points.map { point in
        let (horizontal, vertical) = place(point)
        return "\(HTML.fixed(horizontal, 1)),\(HTML.fixed(vertical, 1))"
      }
      svg += "<polyline class=\"s\(index)\" points=\"\(path.joined(separator: " "))\"/>"
      // Points only where they do not run together; each carries its value.
      for point in points.count <= 60 ? points : Array(points.suffix(1)) {
        let (horizontal, vertical) = place(point)
        svg +=
          "<circle class=\"s\(index)\" cx=\"\(HTML.fixed(horizontal, 1))\" cy=\"\(HTML.fixed(vertical, 1))\" r=\"2.6\">"
          + "<title>\(HTML.escaped(name)), \(HTML.escaped(curves.axis)) \(LineDiagram.plain(point.x)): "
          + "\(curves.isShare ? HTML.percent(point.y) : LineDiagram.plain(point.y))</title></circle>"
      }
    }
    let legend = series.enumerated().filter { !$0.element.1.isEmpty }.map { index, entry in
      let value = entry.1.last.map { curves.isShare ? HTML.percent($0.y) : LineDiagram.plain($0.y) } ?? ""
      return "<span><i class=\"s\(index)\"></i>\(HTML.escaped(entry.0)) <b>\(value)</b></span>"
    }
    return "<div class=\"curve\"><h3>\(HTML.escaped(curves.title))</h3><div class=\"legend\">\(legend.joined())</div>"
      + "<svg viewBox=\"0 0 \(Int(width)) \(Int(height))\" role=\"img\" aria-label=\"\(HTML.escaped(curves.title))\">"
      + "\(svg)</svg></div>"
  }

  private func label(_ value: Double) -> String {
    curves.isShare ? "\(LineDiagram.plain((value * 1000).rounded() / 10))%" : LineDiagram.plain(value)
  }

  /// Every n-th point and the last, at most a few hundred.
  static func thinned(_ points: [(x: Double, y: Double)]) -> [(x: Double, y: Double)] {
    guard points.count > mostPoints, let last = points.last else { return points }
    let stride = (points.count + mostPoints - 1) / mostPoints
    return points.indices.filter { $0 % stride == 0 }.map { points[$0] } + [last]
  }

  /// Round numbers that cover a range.
  static func ticks(_ low: Double, _ high: Double, wanted: Int = 4) -> [Double] {
    guard high > low else { return [low] }
    let raw = (high - low) / Double(wanted)
    guard raw.isFinite, raw > 0 else { return [low, high] }
    let magnitude = pow(10, log10(raw).rounded(.down))
    guard magnitude > 0, magnitude.isFinite else { return [low, high] }
    let step = ([1, 2, 2.5, 5, 10].first { $0 * magnitude >= raw } ?? 10) * magnitude
    let start = (low / step).rounded(.down)
    let end = (high / step).rounded(.up)
    guard end - start >= 1, end - start <= 20 else { return [low, high] }
    return (0...Int(end - start)).map { (start + Double($0)) * step }
  }

  /// A number with four significant digits, without zeros at its end.
  static func plain(_ value: Double) -> String {
    let size = abs(value)
    if size == 0 { return "0" }
    if size >= 1e7 || size < 1e-4 {
      let exponent = Int(log10(size).rounded(.down))
      return "\(trimmed(HTML.fixed(value / pow(10, Double(exponent)), 2)))e\(exponent)"
    }
    let digits = max(0, 3 - Int(log10(size).rounded(.down)))
    return trimmed(HTML.fixed(value, digits))
  }

  private static func trimmed(_ text: String) -> String {
    guard text.contains(".") else { return text }
    var result = Substring(text)
    while result.hasSuffix("0") { result = result.dropLast() }
    return String(result.hasSuffix(".") ? result.dropLast() : result)
  }
}
