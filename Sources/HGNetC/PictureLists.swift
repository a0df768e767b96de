// The names of the functions are C's, and hgnet.h documents them.
// swift-format-ignore-file: AlwaysUseLowerCamelCase, AllPublicDeclarationsHaveDocumentation

import CHGNet
import HGNet
import HGNetCore
import HGNetVision

/// Several pictures as a caller hands them over, and the place for what becomes of each.
private struct PictureList: Sendable {
  let open: OpenClassifier
  private nonisolated(unsafe) let pictures: [Picture]
  private nonisolated(unsafe) let outcomes: UnsafeMutablePointer<hgnet_outcome>?

  private static let largestCount = 1 << 30

  init(
    _ handle: hgnet_classifier, _ pictures: UnsafePointer<hgnet_picture>?, count: Int,
    outcomes: UnsafeMutablePointer<hgnet_outcome>?
  ) throws {
    open = try Classifiers.open(handle)
    guard 0...PictureList.largestCount ~= count else {
      throw CallFailure.invalidArgument(
        "expected 0 to \(PictureList.largestCount) pictures, found \(UInt(bitPattern: count))")
    }
    self.outcomes = outcomes
    guard count > 0 else {
      self.pictures = []
      return
    }
    let base = try Call.required(pictures, "the pictures")
    self.pictures = try (0..<count).map { try Picture(base[$0]) }
  }

  /// Runs the pictures, some at a time.
  ///
  /// - Parameters:
  ///   - run: gives a result for each of some pictures of one size.
  ///   - write: writes the result of a picture into the caller's memory, and tells its outcome.
  func run<Output>(
    _ run: ([PreparedPicture]) throws(HGNetError) -> [Output],
    write: (_ index: Int, Output) throws -> (status: hgnet_status, count: Int)
  ) throws {
    let step = open.classifier.recipe.usualBatch
    for first in stride(from: 0, to: pictures.count, by: step) {
      guard !open.hooks.isCancelled else { throw CallFailure.cancelled }
      let part = first..<min(first + step, pictures.count)
      for (index, result) in zip(part, try results(part, run)) {
        switch result {
        case .success(let output):
          let (status, count) = try write(index, output)
          try tell(index, status, count: count, "")
        case .failure(let error): try tell(index, Call.status(of: error.code), count: 0, error.description, error)
        }
      }
    }
  }

  /// The results of some pictures, half as many at once where they do not fit into the memory.
  private func results<Output>(
    _ part: Range<Int>, _ run: ([PreparedPicture]) throws(HGNetError) -> [Output]
  ) throws(HGNetError) -> [Result<Output, HGNetError>] {
    do throws(HGNetError) {
      return try PictureBatch.results(part.count, pool: open.classifier.device.pool) { (index) throws(HGNetError) in
        try pictures[part.lowerBound + index].picture(open.classifier.recipe)
      } run: { (prepared) throws(HGNetError) in
        try run(prepared)
      }
    } catch {
      guard error.code == .limitExceeded, part.count > 1 else { throw error }
      let middle = part.lowerBound + part.count / 2
      return try results(part.lowerBound..<middle, run) + results(middle..<part.upperBound, run)
    }
  }

  private func tell(
    _ index: Int, _ status: hgnet_status, count: Int, _ text: String, _ error: HGNetError? = nil
  ) throws {
    guard let outcomes else {
      if let error { throw error }
      return
    }
    var outcome = hgnet_outcome()
    outcome.status = status
    outcome.count = count
    withUnsafeMutableBytes(of: &outcome.text) { Call.write(text, into: $0) }
    (outcomes + index).initialize(to: outcome)
  }

  /// The memory of a caller for a row of numbers for each picture.
  func rows<Element>(
    _ pointer: UnsafeMutablePointer<Element>?, capacity: Int, columns: Int, _ name: String, of unit: String
  ) throws -> UnsafeMutableBufferPointer<Element> {
    let target = try Call.target(pointer, capacity: capacity, name)
    let needed = pictures.count * columns
    guard needed <= target.count else {
      throw CallFailure.tooSmall(expected: needed, found: target.count, of: unit)
    }
    return target
  }
}

extension Picture {
  /// What the network sees of it, with the one kind of error that pictures of a batch have.
  fileprivate func picture(_ recipe: Recipe) throws(HGNetError) -> PreparedPicture {
    do {
      return try prepared(recipe)
    } catch let error as HGNetError {
      throw error
    } catch let failure as CallFailure {
      throw HGNetError(.invalidArgument, failure.text)
    } catch {
      throw HGNetError(.internalInconsistency, "\(error)")
    }
  }
}

@c @implementation
public func hgnet_pictures_classify(
  _ classifier: hgnet_classifier, _ pictures: UnsafePointer<hgnet_picture>?, _ pictureCount: Int, _ topK: Int32,
  _ classes: UnsafeMutablePointer<hgnet_scored_class>?, _ capacity: Int,
  _ outcomes: UnsafeMutablePointer<hgnet_outcome>?
) -> hgnet_status {
  Call.status {
    let list = try PictureList(classifier, pictures, count: pictureCount, outcomes: outcomes)
    guard topK >= 0 else { throw CallFailure.invalidArgument("expected top_k of 0 or more, found \(topK)") }
    let (needed, overflows) = capacity.multipliedReportingOverflow(by: pictureCount)
    guard capacity >= 0, !overflows else {
      throw CallFailure.invalidArgument("expected the capacity of classes, found \(UInt(bitPattern: capacity))")
    }
    let target = try Call.target(classes, capacity: needed, "classes")
    let (open, recipe) = (list.open, list.open.classifier.recipe)
    let chosen = topK == 0 ? recipe.postProcessing : .topK(Int(topK))
    let activation = recipe.activation ?? recipe.postProcessing.activation
    try list.run { (prepared) throws(HGNetError) -> [[ScoredClass]] in
      var results: [[ScoredClass]] = []
      for row in try open.classifier.logits(ofPrepared: prepared) {
        results.append(try chosen.classes(of: row, activation: activation, labels: nil))
      }
      return results
    } write: { index, results in
      for (place, result) in results.prefix(capacity).enumerated() {
        target.initializeElement(
          at: index * capacity + place,
          to: hgnet_scored_class(index: result.index, score: result.score, label: open.labels?[result.index]))
      }
      guard results.count > capacity else { return (HGNET_OK, results.count) }
      guard outcomes != nil else {
        throw CallFailure.tooSmall(expected: results.count, found: capacity, of: "classes of a picture")
      }
      return (HGNET_BUFFER_TOO_SMALL, results.count)
    }
  }
}

@c @implementation
public func hgnet_pictures_scores(
  _ classifier: hgnet_classifier, _ pictures: UnsafePointer<hgnet_picture>?, _ pictureCount: Int,
  _ scores: UnsafeMutablePointer<Double>?, _ capacity: Int, _ outcomes: UnsafeMutablePointer<hgnet_outcome>?
) -> hgnet_status {
  Call.status {
    let list = try PictureList(classifier, pictures, count: pictureCount, outcomes: outcomes)
    let (open, recipe) = (list.open, list.open.classifier.recipe)
    let count = open.classCount
    let target = try list.rows(scores, capacity: capacity, columns: count, "the scores", of: "doubles")
    let activation = recipe.activation ?? recipe.postProcessing.activation
    try list.run { (prepared) throws(HGNetError) -> [[Double]] in
      var results: [[Double]] = []
      for row in try open.classifier.logits(ofPrepared: prepared) {
        try PostProcessing.requireFinite(row)
        results.append(activation.scores(of: row))
      }
      return results
    } write: { index, row in
      _ = UnsafeMutableBufferPointer(rebasing: target[index * count..<(index + 1) * count]).update(fromContentsOf: row)
      return (HGNET_OK, count)
    }
  }
}

@c @implementation
public func hgnet_pictures_embed(
  _ classifier: hgnet_classifier, _ pictures: UnsafePointer<hgnet_picture>?, _ pictureCount: Int,
  _ embeddings: UnsafeMutablePointer<Float>?, _ capacity: Int, _ outcomes: UnsafeMutablePointer<hgnet_outcome>?
) -> hgnet_status {
  Call.status {
    let list = try PictureList(classifier, pictures, count: pictureCount, outcomes: outcomes)
    let extractor = try list.open.extractor()
    let count = extractor.embeddingCount
    let target = try list.rows(embeddings, capacity: capacity, columns: count, "the embeddings", of: "floats")
    try list.run { (prepared) throws(HGNetError) -> [[Float]] in
      try extractor.embeddings(ofPrepared: prepared)
    } write: { index, row in
      _ = UnsafeMutableBufferPointer(rebasing: target[index * count..<(index + 1) * count]).update(fromContentsOf: row)
      return (HGNET_OK, count)
    }
  }
}

@c @implementation
public func hgnet_embedding(
  _ classifier: hgnet_classifier, _ picture: UnsafePointer<hgnet_picture>?, _ embedding: UnsafeMutablePointer<Float>?,
  _ capacity: Int, _ count: UnsafeMutablePointer<Int>?
) -> hgnet_status {
  Call.status {
    let open = try Classifiers.open(classifier)
    let place = try Call.required(count, "the place for the number of values")
    let picture = try Picture(Call.required(picture, "a picture").pointee)
    let target = try Call.target(embedding, capacity: capacity, "the embedding")
    let extractor = try open.extractor()
    place.pointee = extractor.embeddingCount
    guard extractor.embeddingCount <= target.count else {
      throw CallFailure.tooSmall(expected: extractor.embeddingCount, found: target.count, of: "floats")
    }
    let row = try extractor.embeddings(ofPrepared: [picture.prepared(open.classifier.recipe)])[0]
    _ = UnsafeMutableBufferPointer(rebasing: target[..<row.count]).update(fromContentsOf: row)
  }
}
