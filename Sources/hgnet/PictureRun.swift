import HGNet
import HGNetCore
import HGNetFormats

/// Classifies many pictures in batches; the unreadable ones are named and counted, the others are classified.
struct PictureRun {
  let classifier: Classifier
  let batchSize: Int
  /// The number of pictures that could not be read.
  private(set) var failures = 0

  init(classifier: Classifier, batchSize: Int) {
    self.classifier = classifier
    self.batchSize = batchSize
  }

  /// Calls `body` with the results of each batch as soon as they are there.
  mutating func classify(
    _ paths: [String], _ body: ([(path: String, result: Result<[ScoredClass], HGNetError>)]) throws -> Void
  ) throws {
    var start = 0
    while start < paths.count {
      let batch = Array(paths[start..<min(start + batchSize, paths.count)])
      start += batchSize
      let results = try classifier.classify(contentsOf: batch)
      for (path, result) in zip(batch, results) {
        guard case .failure(let error) = result else { continue }
        failures += 1
        StandardError.write("hgnet: warning: \(error.at(path: path)); the picture is skipped")
      }
      try body(Array(zip(batch, results)).map { (path: $0.0, result: $0.1) })
    }
  }

  /// Ends the command with the status for bad data when pictures were skipped.
  func finish(total: Int) throws {
    guard failures > 0 else { return }
    StandardError.write("hgnet: \(failures) of \(total) pictures could not be read")
    throw ExitStatus.dataError
  }
}

extension JSONText {
  /// One picture as PaddleClas saves it, scores in full unless `rounding` says otherwise.
  static func prediction(
    _ classes: [ScoredClass], fileName: String, hasLabels: Bool, rounding: (Double) -> Double = { $0 }
  ) -> JSONText {
    .object([
      ("class_ids", .list(classes.map { .integer($0.index) })),
      ("scores", .list(classes.map { .number(rounding($0.score)) })),
      ("file_name", .text(fileName)),
      ("label_names", .list(hasLabels ? classes.map { .text($0.label ?? "\($0.index)") } : [])),
    ])
  }

  /// One picture that could not be read.
  static func failure(_ error: HGNetError, fileName: String) -> JSONText {
    .object([("file_name", .text(fileName)), ("error", .text(error.description))])
  }
}
