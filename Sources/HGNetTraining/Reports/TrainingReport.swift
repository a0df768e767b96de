import HGNetCore

/// What a training run came to, as one HTML file that needs nothing else: key figures, curves, confusion matrix, table of
/// classes, worst mistakes with thumbnails, configuration.
///
/// It follows the reader's choice of a light or dark screen and can be printed. Threads: a value.
public struct TrainingReport: Sendable {
  /// A line in a diagram.
  public struct Series: Sendable {
    /// The name in the legend.
    public var name: String
    /// Points in order; those that are not finite are left out.
    public var points: [(x: Double, y: Double)]

    /// Makes a line.
    public init(_ name: String, points: [(x: Double, y: Double)]) {
      self.name = name
      self.points = points
    }
  }

  /// A diagram of a few lines.
  public struct Curves: Sendable {
    /// What it shows.
    public var title: String
    /// The name of the horizontal axis.
    public var axis: String
    /// The lines, at most four.
    public var series: [Series]
    /// Whether the values are shares, shown in percent.
    public var isShare: Bool

    /// Makes a diagram.
    public init(_ title: String, axis: String = "epoch", isShare: Bool = false, series: [Series]) {
      self.title = title
      self.axis = axis
      self.isShare = isShare
      self.series = series
    }
  }

  /// A picture that was taken for something else.
  public struct Mistake: Sendable {
    /// A small JPEG file, about 160 pixels wide.
    public var thumbnail: [UInt8]
    /// The name of the picture's file.
    public var fileName: String
    /// The class that it has, and the one that it was taken for.
    public var label, prediction: Int
    /// The probability of the prediction, 0 … 1.
    public var score: Double

    /// Makes a mistake.
    public init(thumbnail: [UInt8], fileName: String, label: Int, prediction: Int, score: Double) {
      self.thumbnail = thumbnail
      self.fileName = fileName
      self.label = label
      self.prediction = prediction
      self.score = score
    }
  }

  /// The heading.
  public var title: String
  /// A sentence below it.
  public var subtitle: String
  /// Key figures: a short name and a value.
  public var figures: [(name: String, value: String)] = []
  /// The diagrams.
  public var curves: [Curves] = []
  /// How the evaluated pictures were classified, nil without an evaluation.
  public var confusion: ConfusionMatrix?
  /// The names of the classes; a class without one is shown by its number.
  public var labels: [String] = []
  /// Mistakes, worst first.
  public var mistakes: [Mistake] = []
  /// The configuration that was run, as text.
  public var configuration = ""

  /// Makes an empty report.
  public init(title: String, subtitle: String) {
    self.title = title
    self.subtitle = subtitle
  }

  /// Writes the file, which appears under its name once it is complete.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile`.
  public func write(to path: String) throws(HGNetError) {
    var output = try FileOutput(path: path)
    try output.write(html)
    try output.commit()
  }

  /// The whole document.
  public var html: String {
    var body = "<header><h1>\(HTML.escaped(title))</h1><p>\(HTML.escaped(subtitle))</p></header>\n"
    if !figures.isEmpty { body += HTML.figures(figures.map { ($0.name, $0.value) }) + "\n" }
    let drawn = curves.map { LineDiagram($0).html }.filter { !$0.isEmpty }
    if !drawn.isEmpty { body += section("Curves", "<div class=\"curves\">\(drawn.joined(separator: "\n"))</div>") }
    if let confusion {
      body += section("Confusion", confusionHTML(confusion))
      body += section("Classes", classesHTML(confusion))
    }
    if !mistakes.isEmpty { body += section("Worst mistakes", mistakesHTML) }
    if !configuration.isEmpty {
      body += section(
        "Configuration",
        "<details open><summary>what was run</summary><pre>\(HTML.escaped(configuration))</pre></details>")
    }
    return """
      <!DOCTYPE html>
      <html lang="en"><head><meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>\(HTML.escaped(title))</title>
      <style>
      \(HTML.style)
      </style></head>
      <body><main>
      \(body)</main>
      <script>
      \(HTML.script)
      </script></body></html>

      """
  }

  private func section(_ title: String, _ content: String) -> String {
    "<section><h2>\(title)</h2>\n\(content)\n</section>\n"
  }

  func name(_ index: Int) -> String {
    labels.indices.contains(index) && !labels[index].isEmpty ? labels[index] : "\(index)"
  }

  private var mistakesHTML: String {
    let cards = mistakes.map { mistake in
      "<figure><img src=\"data:image/jpeg;base64,\(Base64.encoded(mistake.thumbnail))\" alt=\"\(HTML.escaped(mistake.fileName))\">"
        + "<figcaption><b>\(HTML.escaped(name(mistake.prediction)))</b> \(HTML.percent(mistake.score))"
        + "<span>is \(HTML.escaped(name(mistake.label)))</span>"
        + "<small title=\"\(HTML.escaped(mistake.fileName))\">\(HTML.escaped(mistake.fileName))</small></figcaption></figure>"
    }
    return "<div class=\"mistakes\">\(cards.joined(separator: "\n"))</div>"
  }
}
