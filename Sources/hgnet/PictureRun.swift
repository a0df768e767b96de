import HGNet
import HGNetCore
import HGNetFormats
import HGNetTraining

/// Classifies many pictures in batches; the unreadable ones are named and counted, the others are classified.
///
/// Several ranks share the batches.
struct PictureRun {
  let classifier: Classifier
  let batchSize: Int
  private let communicator: any Communicator
  /// The number of pictures that could not be read.
  private(set) var failures = 0

  init(classifier: Classifier, batchSize: Int, communicator: any Communicator = SingleProcess()) {
    self.classifier = classifier
    self.batchSize = batchSize
    self.communicator = communicator
  }

  /// Calls `text` with each result, and `write` with the texts in the order of the pictures, at rank 0.
  mutating func classify(
    _ paths: [String], text: (_ path: String, Result<[ScoredClass], HGNetError>) throws -> String?,
    write: (String) throws -> Void
  ) throws {
    try communicator.agree(on: [("pictures", SingleProcess.hash(of: paths.joined(separator: "\0")))])
    var shared = SharedPictures(communicator, batchSize: batchSize)
    var run = self
    try shared.run(paths) { batch in
      run.failures = 0
      var texts: [String] = []
      try run.classify(batch) { results in
        for (path, result) in results { texts.append(try text(path, result) ?? "") }
      }
      return (texts, run.failures)
    } write: { line in
      try write(line)
    }
    failures += shared.failures
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
    if communicator.isFirst { StandardError.write("hgnet: \(failures) of \(total) pictures could not be read") }
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
