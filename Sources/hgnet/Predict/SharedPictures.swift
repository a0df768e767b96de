import HGNet
import HGNetCore
import HGNetFormats
import HGNetTraining

/// Pictures that several ranks classify together: batches go round, and rank 0 writes all results in order.
struct SharedPictures {
  /// Batches of a rank between two times at which results are collected: ranks seldom wait for each other, and rank 0
  /// keeps few results.
  private static let batchesPerRound = 8

  let communicator: any Communicator
  let batchSize: Int
  /// The number of pictures that could not be read, of all ranks.
  private(set) var failures = 0
  /// The number of pictures that were looked at, of all ranks.
  private(set) var pictures = 0

  init(_ communicator: any Communicator, batchSize: Int) {
    self.communicator = communicator
    self.batchSize = batchSize
  }

  /// Classifies all pictures; every rank calls it with the same ones.
  ///
  /// - Parameters:
  ///   - paths: the pictures.
  ///   - isStopped: whether this rank was asked to stop; all ranks then do.
  ///   - classify: gives the results of some pictures, one text each, empty for none, and how many were unreadable.
  ///   - write: receives all texts in the order of the pictures, at rank 0.
  mutating func run(
    _ paths: [String], isStopped: () -> Bool, classify: ([String]) throws -> (texts: [String], failures: Int),
    write: (String) throws -> Void
  ) throws {
    let batchCount = (paths.count + batchSize - 1) / batchSize
    let ranks = communicator.rankCount
    // A rank alone shows each batch as soon as it is there.
    let perRound = ranks == 1 ? 1 : SharedPictures.batchesPerRound
    for first in stride(from: 0, to: batchCount, by: perRound * ranks) {
      if try communicator.sums(of: [isStopped() ? 1 : 0])[0] > 0 { break }
      let own = stride(from: first + communicator.rank, to: min(first + perRound * ranks, batchCount), by: ranks)
      var texts: [[String]] = []
      for index in own {
        let batch = Array(paths[(index * batchSize)..<min((index + 1) * batchSize, paths.count)])
        let result = try classify(batch)
        pictures += batch.count
        texts.append(result.texts)
        failures += result.failures
      }
      guard ranks > 1 else {
        for text in texts.joined() where !text.isEmpty { try write(text) }
        continue
      }
      // A name may hold any separator, so texts travel as JSON.
      let told = JSONText.list(texts.map { .list($0.map { .text($0) }) })
      let all = try communicator.gather(Array(told.line.utf8)).map { bytes -> [JSON] in
        try bytes.withUnsafeBytes { try JSON($0) }.elements ?? []
      }
      for turn in 0..<perRound {
        for batches in all where turn < batches.count {
          for text in (batches[turn].elements ?? []).compactMap(\.text) where !text.isEmpty { try write(text) }
        }
      }
    }
    let sums = try communicator.sums(of: [Double(failures), Double(pictures)])
    failures = Int(sums[0])
    pictures = Int(sums[1])
  }
}
