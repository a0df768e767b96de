import HGNet
import HGNetCore

/// The report of quantised weights as one HTML file that needs nothing else: key figures, and a bar for each layer.
///
/// Threads: a value.
package struct QuantizationPage: Sendable {
  private let title: String
  private let report: QuantizationReport

  /// Names what was quantised.
  package init(title: String, report: QuantizationReport) {
    self.title = title
    self.report = report
  }

  /// Writes the file, which appears under its name once it is complete.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile`.
  package func write(to path: String) throws(HGNetError) {
    var output = try FileOutput(path: path)
    try output.write(html)
    try output.commit()
  }

  /// The whole document.
  package var html: String {
    let lines = ([report.toleranceLine].compactMap { $0 } + report.notes).map {
      "<p class=\"note\">\(HTML.escaped($0))</p>"
    }
    return """
      <!DOCTYPE html>
      <html lang="en"><head><meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>\(HTML.escaped(title))</title>
      <style>
      \(HTML.style)
      .bars td { padding:3px 14px 3px 0; } .bars td.bar { width:50%; min-width:160px; }
      .bars i { display:block; height:10px; border-radius:3px; margin:0; } .bars i.s1 { background:var(--c1); }
      .bars td.number { text-align:right; }
      </style></head>
      <body><main>
      <header><h1>\(HTML.escaped(title))</h1><p>Weights and results in 8 bits beside float32</p></header>
      \(HTML.figures(report.figures.map { ($0.name, $0.value) }))
      <section><h2>Error of each layer</h2>
      <div class="legend"><span><i class="s0"></i>int8</span><span><i class="s1"></i>float32</span></div>
      <div class="scroll"><table class="classes bars sortable"><thead><tr><th>layer</th><th></th><th>error</th>
      <th>signal to noise</th></tr></thead><tbody>
      \(rows.joined(separator: "\n"))
      </tbody></table></div>
      <p class="note">The norm of the difference from float32 ÷ that of the result in float32, with everything before the
      layer in 8 bits, too. Layers in the order of the network; a click on a head sorts.</p>
      \(lines.joined(separator: "\n"))
      </section>
      </main>
      <script>
      \(HTML.script)
      </script></body></html>

      """
  }

  private var rows: [String] {
    let most = max(report.layers.map(\.relativeError).max() ?? 0, 1e-9)
    return report.layers.enumerated().map { index, layer in
      let width = HTML.fixed(100 * layer.relativeError / most, 1)
      return "<tr><td data-v=\"\(index)\">\(HTML.escaped(layer.name))</td>"
        + "<td class=\"bar\" data-v=\"\(layer.relativeError)\"><i class=\"\(layer.isFloat ? "s1" : "s0")\" "
        + "style=\"width:\(width)%\"></i></td>"
        + "<td class=\"number\" data-v=\"\(layer.relativeError)\">\(HTML.fixed(layer.relativeError * 100, 2)) %</td>"
        + "<td class=\"number\" data-v=\"\(layer.signalToNoise)\">\(HTML.fixed(layer.signalToNoise, 1)) dB</td></tr>"
    }
  }
}
