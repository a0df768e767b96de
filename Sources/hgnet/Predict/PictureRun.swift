import ArgumentParser
import HGNet
import HGNetCore
import HGNetFormats
import HGNetTraining
import HGNetVision

/// Classifies many pictures in batches; the unreadable ones are named and counted, the others are classified.
///
/// Results are told as soon as their batch is complete. SIGINT and SIGTERM end the run after the batch that is on its way, a
/// second one at once. Several ranks share the batches.
final class PictureRun {
  private let classifier: Classifier
  private let batchSize: Int
  private let communicator: any Communicator
  private var progress: PictureProgress
  private let signals = StopSignals {}
  private let start = ContinuousClock.now
  /// Pictures that were looked at, and those of them that could not be read, of all ranks.
  private var counts = (pictures: 0, failures: 0)

  /// Makes a run; from now on signals end it orderly.
  ///
  /// - Parameter total: the number of pictures.
  init(
    classifier: Classifier, batchSize: Int, total: Int, communicator: any Communicator = SingleProcess()
  ) {
    self.classifier = classifier
    self.batchSize = batchSize
    self.communicator = communicator
    progress = PictureProgress(total: total, isFirst: communicator.isFirst)
  }

  deinit { signals.end() }

  /// Calls `text` with each result, and `write` with the texts in the order of the pictures, at rank 0.
  func classify(
    _ paths: [String], text: (_ path: String, Result<[ScoredClass], HGNetError>) throws -> String?,
    write: (String) throws -> Void
  ) throws {
    if communicator.rankCount > 1 {
      try communicator.agree(on: [("pictures", SingleProcess.hash(of: paths.joined(separator: "\0")))])
    }
    var shared = SharedPictures(communicator, batchSize: batchSize)
    try shared.run(paths) {
      signals.signalNumber != nil
    } classify: { batch in
      var texts: [String] = []
      let failures = try classify(batch) { results in
        for (path, result) in results { texts.append(try text(path, result) ?? "") }
      }
      return (texts, failures)
    } write: { line in
      progress.clear()
      try write(line)
    }
    counts = (shared.pictures, shared.failures)
  }

  /// Calls `body` with the results of each batch as soon as they are there.
  func classify(
    batchesOf paths: [String], _ body: ([(path: String, result: Result<[ScoredClass], HGNetError>)]) throws -> Void
  ) throws {
    var start = 0
    while start < paths.count, signals.signalNumber == nil {
      let batch = Array(paths[start..<min(start + batchSize, paths.count)])
      start += batch.count
      counts.failures += try classify(batch, body)
      counts.pictures += batch.count
    }
  }

  /// Classifies one batch and gives the number of its unreadable pictures.
  private func classify(
    _ batch: [String], _ body: ([(path: String, result: Result<[ScoredClass], HGNetError>)]) throws -> Void
  ) throws -> Int {
    let results = try self.results(of: batch)
    progress.clear()
    var failures = 0
    for (path, result) in zip(batch, results) {
      guard case .failure(let error) = result else { continue }
      failures += 1
      StandardError.write("hgnet: warning: \(error.at(path: path)); the picture is skipped")
    }
    try body(Array(zip(batch, results)).map { (path: $0.0, result: $0.1) })
    progress.add(batch.count * communicator.rankCount)
    return failures
  }

  /// The results of pictures, half as many at once where they do not fit into the memory.
  private func results(of batch: [String]) throws(HGNetError) -> [Result<[ScoredClass], HGNetError>] {
    guard !batch.contains(PictureArguments.standardInput) else {
      return batch.map { path in
        Result { () throws(HGNetError) in try classifier.classify(decoding: PictureArguments.blob(path)) }
      }
    }
    do throws(HGNetError) {
      return try classifier.classify(contentsOf: batch)
    } catch {
      guard error.code == .limitExceeded, batch.count > 1 else { throw error }
      let half = batch.count / 2
      return try results(of: Array(batch[..<half])) + results(of: Array(batch[half...]))
    }
  }

  /// Says what was done, and ends the command with the status for bad data when pictures were skipped, or with that of the
  /// signal that stopped it.
  func finish(total: Int) throws {
    progress.clear()
    // A signal may have reached one rank only.
    let received = try communicator.sums(of: StopSignals.numbers.map { signals.signalNumber == $0 ? 1 : 0 })
    let signal = zip(StopSignals.numbers, received).first { $0.1 > 0 }?.0
    if communicator.isFirst {
      let seconds = (ContinuousClock.now - start).milliseconds / 1000
      if total > 1 {
        let rate = FixedPoint.text(Double(counts.pictures) / max(seconds, 1e-6), digits: 1)
        StandardError.write(
          "hgnet: \(counts.pictures) pictures, \(counts.failures) skipped, \(FixedPoint.text(seconds, digits: 1)) s, "
            + "\(rate) pictures/s")
      }
      if counts.failures > 0 {
        StandardError.write("hgnet: \(counts.failures) of \(counts.pictures) pictures could not be read")
      }
      if signal != nil {
        StandardError.write("hgnet: stopped by a signal after \(counts.pictures) of \(total) pictures")
      }
    }
    if let signal { throw ExitCode(128 + signal) }
    if counts.failures > 0 { throw ExitStatus.dataError }
  }
}

extension PictureRun {
  /// How many pictures run together where nobody says it, no more than each rank's share.
  static func batchSize(for recipe: Recipe, pictures: Int, ranks: Int = 1) -> Int {
    max(1, min(recipe.usualBatch, (pictures + ranks - 1) / max(ranks, 1)))
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
