import HGNetCore
import HGNetTraining

/// One line about each epoch, for a terminal.
struct EpochLines {
  private var training = ""
  private var evaluation = ""
  private var isBest = false
  private var (pictures, epochs) = (0, 0)

  /// The line about an epoch, once its checkpoint is written.
  mutating func line(after event: Trainer.Event) -> String? {
    switch event {
    case .step(let step):
      pictures += step.pictures
      epochs = step.position.epochs
    case .epochEnded(let epoch, let averages, _, let took):
      let number = "\(epoch)".padded(to: "\(epochs)".count)
      let pace = FixedPoint.text(Double(pictures) / max(took, 1e-9), digits: 0)
      training =
        "epoch \(number)/\(epochs)  \(pace) pictures/s  "
        + EpochLines.text(metrics: averages.filter { $0.name.hasPrefix("top") }, losses: averages)
      pictures = 0
    case .evaluated(_, let result):
      evaluation = "; evaluation " + EpochLines.text(metrics: result.metrics, losses: result.losses)
    case .averageEvaluated(_, let result):
      evaluation += "; average " + EpochLines.text(metrics: result.metrics, losses: result.losses)
    case .saved(let paths):
      if paths.contains(where: { $0.hasSuffix("/best_model") }) {
        isBest = true
        return nil
      }
      guard !training.isEmpty || !evaluation.isEmpty else { return nil }
      defer { (training, evaluation, isBest) = ("", "", false) }
      return training + evaluation + (isBest ? " (best)" : "")
    default: break
    }
    return nil
  }

  private static func text(
    metrics: [(name: String, value: Double)], losses: [(name: String, value: Double)]
  ) -> String {
    let loss = losses.last { $0.name == "loss" }.map { "loss \(FixedPoint.text($0.value, digits: 3))" }
    let metric = metrics.first.map { "\($0.name) \(FixedPoint.text($0.value * 100, digits: 1)) %" }
    return [loss, metric].compactMap { $0 }.joined(separator: ", ")
  }
}
