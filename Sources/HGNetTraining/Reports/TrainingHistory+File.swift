import HGNetCore
import HGNetFormats

/// The history as a file beside the checkpoints, so that the report of a run that went on shows all of it.
///
/// The file is for this tool alone: one of another version is not read, and the report then begins where the run went on.
extension TrainingHistory {
  private static let version = 1

  /// Writes the history.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile`.
  public func write(to path: String) throws(HGNetError) {
    typealias Points = [(epoch: Double, value: Double)]
    typealias Means = [(epoch: Int, values: [(name: String, value: Double)])]
    func points(_ points: Points) -> JSONText {
      .list(points.map { .list([.number($0.epoch), .number($0.value)]) })
    }
    func named(_ values: [(name: String, value: Double)]) -> JSONText {
      .list(values.map { .list([.text($0.name), .number($0.value)]) })
    }
    func means(_ means: Means) -> JSONText { .list(means.map { .list([.integer($0.epoch), named($0.values)]) }) }
    var members: [(String, JSONText)] = [
      ("version", .integer(TrainingHistory.version)), ("training", means(training)), ("evaluation", means(evaluation)),
      ("learning_rates", points(learningRates)), ("losses", points(losses)), ("training_time", .number(trainingTime)),
      ("waiting_time", .number(waitingTime)), ("pictures", .integer(pictureCount)),
    ]
    if let best {
      var entry: [(String, JSONText)] = [
        ("epoch", .integer(best.epoch)), ("losses", named(best.result.losses)), ("metrics", named(best.result.metrics)),
        ("pictures", .integer(best.result.pictures)), ("rate", .number(best.result.rate)),
        (
          "mistakes",
          .list(
            best.result.mistakes.map {
              .list([.text($0.path), .integer($0.label), .integer($0.prediction), .number($0.score)])
            })
        ),
      ]
      if let confusion = best.result.confusion {
        entry.append(("classes", .integer(confusion.classes)))
        // Most pairs of classes are never taken for each other.
        var cells: [JSONText] = []
        for label in 0..<confusion.classes {
          for prediction in 0..<confusion.classes where confusion[label: label, prediction: prediction] > 0 {
            cells.append(
              .list([
                .integer(label), .integer(prediction), .integer(confusion[label: label, prediction: prediction]),
              ]))
          }
        }
        entry.append(("confusion", .list(cells)))
      }
      members.append(("best", .object(entry)))
    }
    var file = try FileOutput(path: path)
    try file.write(JSONText.object(members).line + "\n")
    try file.commit()
  }

  /// What was written of a run; empty for a file that is missing or of no use.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - classCount: the classes of the run; a confusion matrix of others is left out.
  public init(contentsOf path: String, classCount: Int) {
    self.init()
    guard let blob = try? Blob(mapping: path), let document = try? blob.withUnsafeBytes({ try JSON($0) }),
      document["version"]?.integer == TrainingHistory.version
    else { return }
    func points(_ key: String) -> [(epoch: Double, value: Double)] {
      (document[key]?.elements ?? []).compactMap { pair in
        guard let pair = pair.elements, pair.count == 2, let epoch = pair[0].double, let value = pair[1].double else {
          return nil
        }
        return (epoch, value)
      }
    }
    func means(_ key: String) -> [(epoch: Int, values: [(name: String, value: Double)])] {
      (document[key]?.elements ?? []).compactMap { pair in
        guard let pair = pair.elements, pair.count == 2, let epoch = pair[0].integer else { return nil }
        return (epoch, TrainingHistory.named(pair[1]))
      }
    }
    restore(
      training: means("training"), evaluation: means("evaluation"), learningRates: points("learning_rates"),
      losses: points("losses"), trainingTime: document["training_time"]?.double ?? 0,
      waitingTime: document["waiting_time"]?.double ?? 0, pictureCount: document["pictures"]?.integer ?? 0,
      best: TrainingHistory.best(document["best"], classCount: classCount))
  }

  private static func named(_ list: JSON?) -> [(name: String, value: Double)] {
    (list?.elements ?? []).compactMap { pair in
      guard let pair = pair.elements, pair.count == 2, let name = pair[0].text, let value = pair[1].double else {
        return nil
      }
      return (name, value)
    }
  }

  private static func best(_ entry: JSON?, classCount: Int) -> (epoch: Int, result: Evaluator.Result)? {
    guard let entry, let epoch = entry["epoch"]?.integer else { return nil }
    var confusion: ConfusionMatrix?
    if entry["classes"]?.integer == classCount, var matrix = try? ConfusionMatrix(classes: classCount) {
      for cell in entry["confusion"]?.elements ?? [] {
        let numbers = (cell.elements ?? []).compactMap(\.integer)
        guard numbers.count == 3, numbers.prefix(2).allSatisfy({ (0..<classCount).contains($0) }) else { continue }
        matrix.set(label: numbers[0], prediction: numbers[1], to: numbers[2])
      }
      confusion = matrix
    }
    let mistakes: [Evaluator.Mistake] = (entry["mistakes"]?.elements ?? []).compactMap { mistake in
      guard let parts = mistake.elements, parts.count == 4, let path = parts[0].text, let label = parts[1].integer,
        let prediction = parts[2].integer, let score = parts[3].double
      else { return nil }
      return Evaluator.Mistake(path: path, label: label, prediction: prediction, score: score)
    }
    return (
      epoch,
      Evaluator.Result(
        losses: named(entry["losses"]), metrics: named(entry["metrics"]), metricText: "", confusion: confusion,
        mistakes: mistakes, broken: [], pictures: entry["pictures"]?.integer ?? 0, rate: entry["rate"]?.double ?? 0)
    )
  }
}
