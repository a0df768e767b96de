import HGNetCore
import HGNetFormats
import HGNetPlatform

/// What weights in 8 bits cost on the pictures that their ranges were read from.
package struct QuantizationReport: Sendable {
  /// How far the result of a layer is from that in float32, with all that comes before in 8 bits, too.
  package struct LayerError: Sendable {
    /// The layer's name.
    package var name: String
    /// The Euclidean norm of the difference ÷ that of the result in float32.
    package var relativeError: Double
    /// Whether the layer is computed in float32.
    package var isFloat: Bool

    /// Ten times the logarithm of signal ÷ noise, in decibels; 200 at most.
    package var signalToNoise: Double { relativeError > 1e-10 ? -20 * log10(relativeError) : 200 }
  }

  /// How ranges were chosen.
  package var rule: RangeRule
  /// How many pictures were run.
  package var pictures: Int
  /// The results in the order of the network.
  package var layers: [LayerError] = []
  /// The layers that have weights of convolutions or products.
  package var weightLayers = 0
  /// The names of those that stay in float32.
  package var floatLayers: [String] = []
  /// The share of pictures with the same class as in float32.
  package var agreement = 0.0
  /// The share of pictures with the right class, in int8 and in float32; nil without labels.
  package var accuracy, floatAccuracy: Double?
  /// The points of top-1 that may be lost, nil for any, and whether no more are.
  package var tolerance: Double?
  package var isToleranceMet = true
  /// What else is to be known, a line each.
  package var notes: [String] = []

  /// The points of top-1 that are lost: of accuracy where there are labels, else of agreement.
  package var lost: Double {
    guard let accuracy, let floatAccuracy else { return 100 * (1 - agreement) }
    return 100 * (floatAccuracy - accuracy)
  }

  /// What `lost` is points of.
  package var lostOf: String { accuracy == nil ? "top-1 agreement" : "top-1 accuracy" }

  /// Makes a report without results.
  package init(rule: RangeRule, pictures: Int) {
    self.rule = rule
    self.pictures = pictures
  }

  /// The key figures: a short name and a value.
  package var figures: [(name: String, value: String)] {
    func percent(_ share: Double) -> String { "\(FixedPoint.text(share * 100, digits: 2)) %" }
    var figures: [(name: String, value: String)] = [("top-1 as in float32", percent(agreement))]
    if let accuracy, let floatAccuracy {
      figures.append(("top-1 accuracy", "\(percent(accuracy)) (float32 \(percent(floatAccuracy)))"))
    }
    if let logits = layers.last { figures.append(("error of the last layer", percent(logits.relativeError))) }
    figures.append(("layers in float32", "\(floatLayers.count) of \(weightLayers)"))
    figures.append(("ranges", "\(rule.rawValue), \(pictures) picture\(pictures == 1 ? "" : "s")"))
    return figures
  }

  /// One line about the tolerance; nil without one.
  package var toleranceLine: String? {
    guard let tolerance else { return nil }
    let found = "\(FixedPoint.text(lost, digits: 2)) points of \(lostOf) are lost"
    let kept =
      floatLayers.isEmpty
      ? "no layer stays in float32"
      : "in float32 \(floatLayers.count == 1 ? "stays" : "stay") \(floatLayers.joined(separator: ", "))"
    let limit = FixedPoint.text(tolerance, digits: 2)
    return isToleranceMet
      ? "\(found), at most \(limit) may be; \(kept)"
      : "expected at most \(limit) points lost, found that \(found); \(kept), and more than half of the layers may not; "
        + "give more pictures, another --calibration, or a larger --tolerance"
  }

  /// What a file of the weights says about how they were made.
  package var metadata: [String: String] {
    var texts = ["quantization.ranges": "\(rule.rawValue), \(pictures) pictures"]
    if !floatLayers.isEmpty { texts["quantization.float32_layers"] = floatLayers.joined(separator: ", ") }
    return texts
  }

  /// The report as text.
  package var text: String {
    var lines = figures.map { name, value in name + String(repeating: " ", count: max(26 - name.count, 1)) + value }
    lines.append("")
    let width = layers.map(\.name.count).max() ?? 0
    for layer in layers {
      let padding = String(repeating: " ", count: width - layer.name.count)
      lines.append(
        "\(layer.name)\(padding)  \(FixedPoint.text(layer.relativeError * 100, digits: 2, width: 7)) %"
          + "  \(FixedPoint.text(layer.signalToNoise, digits: 1, width: 6)) dB\(layer.isFloat ? "  float32" : "")")
    }
    return lines.joined(separator: "\n")
  }

  /// The report for programs.
  package var json: JSONText {
    var entries: [(String, JSONText)] = [
      ("pictures", .integer(pictures)), ("calibration", .text(rule.rawValue)), ("agreement", .number(agreement)),
    ]
    if let accuracy, let floatAccuracy {
      entries += [("accuracy", .number(accuracy)), ("float32_accuracy", .number(floatAccuracy))]
    }
    if let tolerance {
      entries += [
        ("tolerance", .number(tolerance)), ("lost", .number(lost)), ("tolerance_met", .boolean(isToleranceMet)),
      ]
    }
    entries += [
      ("float32_layers", .list(floatLayers.map { .text($0) })),
      (
        "layers",
        .list(
          layers.map { layer in
            .object([
              ("name", .text(layer.name)), ("relative_error", .number(layer.relativeError)),
              ("signal_to_noise_decibels", .number(layer.signalToNoise)), ("float32", .boolean(layer.isFloat)),
            ])
          })
      ), ("notes", .list(notes.map { .text($0) })),
    ]
    return .object(entries)
  }
}
