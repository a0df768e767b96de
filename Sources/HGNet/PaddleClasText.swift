import HGNetConfiguration
import HGNetCore

/// The lines that PaddleClas' tools print for predictions, letter by letter.
///
/// People have scripts that read them.
package enum PaddleClasText {
  /// One picture of `tools/infer.py`: a Python dictionary.
  ///
  /// Scores are rounded to five decimals. Top-k: `class_ids`, `scores`, `file_name`, `label_names`; with a threshold the
  /// label names come before the file name.
  package static func dictionary(
    _ classes: [ScoredClass], fileName: String, postProcessing: PostProcessing, hasLabels: Bool
  ) -> String {
    let indices = "'class_ids': [\(classes.map { "\($0.index)" }.joined(separator: ", "))]"
    let scores = "'scores': [\(classes.map { rounded($0.score).description }.joined(separator: ", "))]"
    let file = "'file_name': \(PythonLiteral.quoted(fileName))"
    let labels = "'label_names': \(labelList(classes, hasLabels: hasLabels))"
    switch postProcessing {
    case .topK: return "{\(indices), \(scores), \(file), \(labels)}"
    case .threshold: return "{\(indices), \(scores), \(labels), \(file)}"
    }
  }

  /// One batch of `tools/infer.py` as it is logged: time, logger, level, a Python list.
  package static func logLine(_ dictionaries: [String]) -> String {
    logLine("[\(dictionaries.joined(separator: ", "))]")
  }

  /// A text as PaddleClas' tools log it: time, logger, level.
  package static func logLine(_ text: String) -> String {
    "[\(LocalTime.now)] ppcls INFO: \(text)"
  }

  /// One picture of `deploy/python/predict_cls.py`: base name, a tab, indices, scores with two decimals, names.
  package static func deploymentLine(_ classes: [ScoredClass], fileName: String, hasLabels: Bool) -> String {
    let name = fileName.split(separator: "/").last.map(String.init) ?? fileName
    let indices = classes.map { "\($0.index)" }.joined(separator: ", ")
    let scores = classes.map { FixedPoint.text($0.score, digits: 2) }.joined(separator: ", ")
    return
      "\(name):\tclass id(s): [\(indices)], score(s): [\(scores)], "
      + "label_name(s): \(labelList(classes, hasLabels: hasLabels))"
  }

  /// Rounds to five decimals, halves to even, as NumPy's `around` does.
  package static func rounded(_ score: Double) -> Double { (score * 1e5).rounded(.toNearestOrEven) / 1e5 }

  private static func labelList(_ classes: [ScoredClass], hasLabels: Bool) -> String {
    guard hasLabels else { return "[]" }
    return "[\(classes.map { PythonLiteral.quoted($0.label ?? "\($0.index)") }.joined(separator: ", "))]"
  }
}
