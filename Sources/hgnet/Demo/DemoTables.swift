import HGNet
import HGNetCore
import HGNetTraining

/// The tables at the end of the demonstration.
enum DemoTables {
  /// A picture and what the network says.
  struct Prediction {
    var path: String
    var truth: String
    /// The best classes, the best first.
    var classes: [ScoredClass]
  }

  /// How many of each class are right, and what the others were taken for.
  static func classes(_ confusion: ConfusionMatrix, names: [String]) -> String {
    var table = TextTable(titles: ["shape", "right", "of", "", "taken for"])
    table.rightAligned = [1, 2]
    for (label, name) in names.enumerated() where label < confusion.classes {
      let row = (0..<confusion.classes).map { confusion[label: label, prediction: $0] }
      let (right, count) = (row[label], row.reduce(0, +))
      let filled = count == 0 ? 0 : right * 20 / count
      let others = row.indices.filter { $0 != label && row[$0] > 0 }.sorted { (row[$1], $0) < (row[$0], $1) }
      let mistakes = others.prefix(4).map { row[$0] == 1 ? names[$0] : "\(row[$0]) × \(names[$0])" }
      table.append([
        name, "\(right)", "\(count)",
        String(repeating: "█", count: filled) + String(repeating: "░", count: 20 - filled),
        mistakes.joined(separator: ", ") + (others.count > 4 ? ", …" : ""),
      ])
    }
    return table.text
  }

  /// The answer for each picture.
  static func predictions(_ predictions: [Prediction]) -> String {
    var table = TextTable(titles: ["picture", "answer", "score", "", "next best"])
    table.rightAligned = [2]
    for prediction in predictions {
      let name = prediction.path.split(separator: "/").last.map(String.init) ?? prediction.path
      let answers = prediction.classes.map { $0.label ?? "class \($0.index)" }
      func score(_ place: Int) -> String { FixedPoint.text(prediction.classes[place].score * 100, digits: 1) + " %" }
      guard let answer = answers.first else { continue }
      table.append([
        name, answer, score(0), answer == prediction.truth ? "right" : "WRONG",
        answers.count > 1 ? "\(answers[1]) \(score(1))" : "",
      ])
    }
    return table.text
  }
}
