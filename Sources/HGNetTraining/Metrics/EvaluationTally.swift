import HGNetCore
import HGNetFormats
import HGNetPlatform
import HGNetVision

/// What an evaluation has counted so far, of some batches or of all.
///
/// Losses and accuracies are kept for each batch and averaged at the end in the order of the batches, so that several
/// ranks with a part of them each come to the same bits as one with all.
struct EvaluationTally {
  /// A batch: the number of its pictures, its losses and its accuracies.
  private struct Record {
    var number: Int
    var samples: Int
    var losses: [Double]
    var accuracies: [Double]
  }

  /// A picture that was taken for something else.
  private struct Mistake {
    var index, label, prediction: Int
    var score: Double
  }

  /// The scores of a batch with several labels, and what would be right.
  private struct Scores {
    var number: Int
    var scores, targets: Tensor
  }

  private let lossNames: [String]
  private let accuracyNames: [String]
  private let mistakeLimit: Int
  private let precisionKind: MultiLabelMeanAveragePrecision.Kind?
  private var records: [Record] = []
  private var mistakes: [Mistake] = []
  private var scores: [Scores] = []
  private(set) var confusion: ConfusionMatrix?
  var broken: [Loader.BrokenPicture] = []
  private(set) var pictures = 0
  /// Whether every logit so far was a finite number.
  private(set) var hasFiniteLogits = true

  init(_ evaluator: Evaluator) throws(HGNetError) {
    lossNames = evaluator.loss.map { $0.terms.map(\.loss.name) + ["loss"] } ?? []
    var names: [String] = []
    var kind: MultiLabelMeanAveragePrecision.Kind?
    for metric in evaluator.metrics {
      switch metric {
      case .topK(let ks): names = ks.map { "top\($0)" }
      case .meanAveragePrecision(let own): kind = own
      }
    }
    (accuracyNames, precisionKind) = (names, kind)
    mistakeLimit = evaluator.mistakeLimit
    if case .classes = evaluator.data.dataset.targets {
      confusion = try ConfusionMatrix(classes: evaluator.data.dataset.classCount)
    }
  }

  /// Adds a batch.
  mutating func add(
    number: Int, logits: Tensor, targets: Targets, indices: [Int], losses: [Double], accuracies: [Double]
  ) throws(HGNetError) {
    records.append(Record(number: number, samples: indices.count, losses: losses, accuracies: accuracies))
    pictures += indices.count
    if hasFiniteLogits { hasFiniteLogits = logits.withUnsafeBufferPointer { $0.allSatisfy(\.isFinite) } }
    switch targets {
    case .classes(let labels):
      try confusion?.add(logits: logits, labels: labels)
      note(logits: logits, labels: labels, indices: indices)
    case .vectors(let vectors):
      if precisionKind != nil { scores.append(Scores(number: number, scores: logits, targets: vectors)) }
    }
  }

  /// Adds the mistakes of a batch, and keeps the worst.
  private mutating func note(logits: Tensor, labels: [Int], indices: [Int]) {
    let classes = logits.shape[1]
    logits.withUnsafeBufferPointer { values in
      for (row, label) in labels.enumerated() {
        let scores = values[row * classes..<(row + 1) * classes]
        // The lower index counts first among equals.
        guard let top = scores.max(), let best = scores.firstIndex(of: top) else { continue }
        let prediction = best - row * classes
        guard prediction != label else { continue }
        let sum = scores.reduce(0.0) { $0 + exp(Double($1 - top)) }
        mistakes.append(Mistake(index: indices[row], label: label, prediction: prediction, score: 1 / sum))
      }
    }
    keepWorst()
  }

  private mutating func keepWorst() {
    mistakes.sort { $0.score > $1.score }
    mistakes.removeLast(max(mistakes.count - mistakeLimit, 0))
  }

  // MARK: Results

  /// The means of the losses so far.
  var losses: [(name: String, value: Double)] {
    means(lossNames, records.map { ($0.losses, $0.samples) })
  }

  /// The metrics, and how a log line spells them.
  func metrics() throws(HGNetError) -> (values: [(name: String, value: Double)], text: String) {
    if let precisionKind {
      var precision = MultiLabelMeanAveragePrecision(precisionKind)
      for batch in scores { try precision.add(scores: batch.scores, targets: batch.targets) }
      return ([(precision.name, precision.value)], TrainingLog.metric(precision))
    }
    let values = means(accuracyNames, records.map { ($0.accuracies, $0.samples) })
    return (values, TrainingLog.metrics(values))
  }

  /// The worst mistakes, worst first.
  func mistakes(in dataset: Dataset) -> [Evaluator.Mistake] {
    mistakes.map {
      Evaluator.Mistake(
        path: dataset.paths[$0.index], label: $0.label, prediction: $0.prediction, score: $0.score)
    }
  }

  private func means(_ names: [String], _ batches: [([Double], Int)]) -> [(name: String, value: Double)] {
    var averages = RunningAverages()
    for (values, samples) in batches {
      for (name, value) in zip(names, values) { averages.add(name, value, samples: samples) }
    }
    return averages.means
  }

  // MARK: Several ranks

  /// Makes the tally that of all ranks, in all of them.
  mutating func unite(over communicator: any Communicator, dataset: Dataset) throws(HGNetError) {
    guard communicator.rankCount > 1 else { return }
    let (losses, accuracies) = (lossNames.count, accuracyNames.count)
    hasFiniteLogits = try communicator.sums(of: [hasFiniteLogits ? 0 : 1])[0] == 0
    func all(_ own: [Double]) throws(HGNetError) -> [Double] {
      let gathered = try communicator.gather(EvaluationTally.bytes(of: own)).flatMap { $0 }
      return EvaluationTally.doubles(of: try communicator.broadcast(gathered))
    }
    let width = 2 + losses + accuracies
    // A batch may come without labels, and so without accuracies.
    let rows = try all(
      records.flatMap { record -> [Double] in
        var row = [Double(record.number), Double(record.samples)]
        row += record.losses + record.accuracies
        return row + [Double](repeating: .nan, count: accuracies - record.accuracies.count)
      })
    records = stride(from: 0, to: rows.count - rows.count % width, by: width).map { start -> Record in
      let row = Array(rows[start..<start + width])
      return Record(
        number: Int(row[0]), samples: Int(row[1]), losses: Array(row[2..<2 + losses]),
        accuracies: row[(2 + losses)...].filter { !$0.isNaN })
    }
    records.sort { $0.number < $1.number }
    pictures = records.reduce(0) { $0 + $1.samples }
    let wrong = try all(
      mistakes.flatMap { mistake -> [Double] in
        [Double(mistake.index), Double(mistake.label), Double(mistake.prediction), mistake.score]
      })
    mistakes = stride(from: 0, to: wrong.count - wrong.count % 4, by: 4).map { start -> Mistake in
      let row = Array(wrong[start..<start + 4])
      return Mistake(index: Int(row[0]), label: Int(row[1]), prediction: Int(row[2]), score: row[3])
    }
    mistakes.sort { $0.index < $1.index }
    keepWorst()
    if let own = confusion { confusion = try own.added(over: communicator) }
    try uniteScores(all)
    try uniteBroken(over: communicator, dataset: dataset)
  }

  private mutating func uniteScores(_ all: ([Double]) throws(HGNetError) -> [Double]) throws(HGNetError) {
    guard precisionKind != nil else { return }
    let values = try all(
      scores.flatMap { batch -> [Double] in
        let shape = batch.scores.shape
        var row = [Double(batch.number), Double(shape[0]), Double(shape[1])]
        for tensor in [batch.scores, batch.targets] { row += tensor.values.map { Double($0) } }
        return row
      })
    scores = []
    var start = 0
    while start + 3 <= values.count {
      let shape: Shape = [Int(values[start + 1]), Int(values[start + 2])]
      func tensor(_ first: Int) -> Tensor {
        Tensor(shape: shape, values: values[first..<first + shape.count].map { Float($0) })
      }
      scores.append(
        Scores(
          number: Int(values[start]), scores: tensor(start + 3), targets: tensor(start + 3 + shape.count)))
      start += 3 + 2 * shape.count
    }
    scores.sort { $0.number < $1.number }
  }

  /// Errors travel as their texts.
  private mutating func uniteBroken(over communicator: any Communicator, dataset: Dataset) throws(HGNetError) {
    let own = JSONText.list(
      broken.map { .list([.integer($0.index), .text($0.error.message), .text($0.error.cause ?? "")]) })
    let gathered = try communicator.gather(Array(own.line.utf8))
    var all: [JSON] = []
    for bytes in gathered { all += try EvaluationTally.list(bytes) }
    let told = try communicator.broadcast(Array(JSONText.list(all.map(JSONText.init)).line.utf8))
    broken = try EvaluationTally.list(told).compactMap { entry in
      guard let parts = entry.elements, parts.count == 3, let index = parts[0].integer, let message = parts[1].text,
        let cause = parts[2].text, dataset.paths.indices.contains(index)
      else { return nil }
      return Loader.BrokenPicture(
        index: index, path: dataset.paths[index],
        error: HGNetError(.malformedData, message, cause: cause.isEmpty ? nil : cause))
    }
    broken.sort { $0.index < $1.index }
  }

  private static func list(_ bytes: [UInt8]) throws(HGNetError) -> [JSON] {
    let blob = Blob(bytes)
    return try blob.withUnsafeBytes { (bytes) throws(HGNetError) in try JSON(bytes) }.elements ?? []
  }

  private static func bytes(of values: [Double]) -> [UInt8] { values.withUnsafeBytes { Array($0) } }

  private static func doubles(of bytes: [UInt8]) -> [Double] {
    bytes.withUnsafeBytes { raw in
      (0..<raw.count / 8).map { raw.loadUnaligned(fromByteOffset: $0 * 8, as: Double.self) }
    }
  }
}

extension ConfusionMatrix {
  /// The counts of all ranks.
  fileprivate func added(over communicator: any Communicator) throws(HGNetError) -> ConfusionMatrix {
    var result = self
    let own = (0..<classes * classes).map { Double(self[label: $0 / classes, prediction: $0 % classes]) }
    for (index, count) in try communicator.sums(of: own).enumerated() {
      result.set(label: index / classes, prediction: index % classes, to: Int(count))
    }
    return result
  }
}
