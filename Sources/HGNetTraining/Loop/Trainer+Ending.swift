import HGNetCore

extension Trainer {
  /// The key in a checkpoint that holds the last epoch whose evaluation was better than all before.
  private static let improvedEpoch = "improved epoch"

  /// Writes the checkpoints that are due.
  ///
  /// - Returns: their paths without endings.
  @discardableResult
  func save(
    _ step: borrowing TrainingStep, _ progress: TrainingProgress, report: (Event) -> Void
  ) throws(HGNetError) -> [String] {
    guard let folder else { return [] }
    let written = try folder.save(contents(of: step, progress))
    report(.saved(written))
    return written
  }

  /// Notes whether an evaluation is better than the best one so far, before it becomes that.
  func noteImprovement(_ result: Evaluator.Result, in progress: inout TrainingProgress) {
    guard configuration.earlyStopPatience != nil, result.isFinite else { return }
    guard result.decisive > progress.bestMetric ?? -.infinity else { return }
    progress.values[Trainer.improvedEpoch] = Double(progress.epoch)
  }

  /// Whether as many evaluations as `earlyStopPatience` in a row were not better than the best one before them.
  func hasEndedEarly(_ progress: TrainingProgress) -> Bool {
    guard let patience = configuration.earlyStopPatience, progress.stepInEpoch == 0 else { return false }
    let improved = progress.values[Trainer.improvedEpoch].map { Int($0) } ?? progress.bestEpoch ?? 0
    guard improved < progress.epoch else { return false }
    return (improved + 1...progress.epoch).count(where: configuration.evaluates) >= patience
  }
}
