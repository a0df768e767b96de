import Foundation
import HGNetBatching
import HGNetFormats
import TemporaryFolders
import Testing

@Suite("Classification for many tasks")
struct BatchingClassifierTests {
  let folder = TemporaryFolder()

  private func weights() throws -> WeightsFile {
    let path = folder.file("b0.safetensors")
    let graph = try Model.b0.graph(options: ModelOptions(classCount: 5, classExpand: 64))
    try Safetensors.write(Model.randomParameters(for: graph, seed: 5), to: path)
    return try WeightsFile(contentsOf: path)
  }

  private func picture(_ name: String, size: Size, seed: Int) throws -> String {
    let pixels = (0..<(size.height * size.width * 3)).map { UInt8(truncatingIfNeeded: $0 &* (seed * 2 + 1) >> 3) }
    try Image(size: size, pixels: pixels).write(to: folder.file(name))
    return folder.file(name)
  }

  private var small: Recipe {
    var recipe = Recipe.evaluation(shortSide: 72, crop: 64)
    recipe.postProcessing = .topK(2)
    return recipe
  }

  private func classifier(_ limits: BatchingLimits = BatchingLimits()) throws -> BatchingClassifier {
    try BatchingClassifier(Classifier(weights(), recipe: small, device: .cpu(threads: 2)), limits: limits)
  }

  @Test("Every task gets the answer to its picture, as the direct form gives it")
  func answers() async throws {
    let classifier = try classifier(BatchingLimits(batchSize: 6, queueCapacity: 100))
    var paths: [String] = []
    for index in 0..<20 {
      paths.append(try picture("\(index).png", size: Size(height: 70 + index, width: 90), seed: index))
    }
    let expected = try paths.map { try classifier.classifier.classify(contentsOf: $0) }
    #expect(Set(expected.map { "\($0)" }).count > 10)
    try await withThrowingTaskGroup(of: (Int, [ScoredClass]).self) { group in
      for round in 0..<60 {
        let (index, path) = (round % 20, paths[round % 20])
        group.addTask {
          let blob = try Blob(mapping: path)
          return (
            index,
            round % 2 == 0
              ? try await classifier.classify(contentsOf: path) : try await classifier.classify(decoding: blob)
          )
        }
      }
      for try await (index, classes) in group { #expect(classes == expected[index]) }
    }
    #expect(classifier.waitingCount == 0)
  }

  @Test("Many pictures in one call: in order, and a bad one harms no other")
  func several() async throws {
    let classifier = try classifier(BatchingLimits(batchSize: 3, queueCapacity: 4))
    var paths: [String] = []
    for index in 0..<11 { paths.append(try picture("\(index).png", size: Size(80 + index), seed: index)) }
    paths.insert(try folder.write(Array("no picture".utf8), to: "bad.jpg"), at: 4)
    paths.append(folder.file("missing.jpg"))
    let expected = try classifier.classifier.classify(contentsOf: paths)
    let found = try await classifier.classify(contentsOf: paths)
    #expect(found.count == expected.count)
    for (index, path) in paths.enumerated() {
      switch (found[index], expected[index]) {
      case (.success(let classes), .success(let other)): #expect(classes == other)
      case (.failure(let error), .failure(let other)):
        #expect(error.context.path == path && error.code == other.code)
      default: Issue.record("\(path): \(found[index]), \(expected[index])")
      }
    }
    let blobs = try paths.dropLast().map { (path) throws(HGNetError) in try Blob(mapping: path) }
    let decoded = try await classifier.classify(decoding: blobs)
    #expect(decoded.indices.filter { (try? decoded[$0].get()) == nil } == [4])
    for (left, right) in zip(decoded, found) { #expect((try? left.get()) == (try? right.get())) }
    #expect(try await classifier.classify(contentsOf: [String]()).isEmpty)
    let error = await #expect(throws: HGNetError.self) { try await classifier.classify(contentsOf: paths[4]) }
    #expect(error?.code == .unsupported)
  }

  @Test("Pictures of different sizes run together")
  func sizes() async throws {
    var recipe = small
    recipe.transforms.remove(at: 1)
    let classifier = try BatchingClassifier(Classifier(weights(), recipe: recipe, device: .cpu(threads: 2)))
    let paths = [
      try picture("a.png", size: Size(height: 80, width: 90), seed: 1),
      try picture("b.png", size: Size(height: 90, width: 80), seed: 2),
      try picture("c.png", size: Size(height: 80, width: 90), seed: 3),
    ]
    let found = try await classifier.classify(contentsOf: paths)
    for (path, result) in zip(paths, found) {
      #expect(try result.get() == classifier.classifier.classify(contentsOf: path))
    }
  }

  @Test("A full queue refuses, and what it took is answered")
  func full() async throws {
    let classifier = try classifier(BatchingLimits(batchSize: 1, queueCapacity: 1))
    let path = try picture("large.png", size: Size(1500), seed: 3)
    let expected = try classifier.classifier.classify(contentsOf: path)
    let refused = try await withThrowingTaskGroup(of: Bool.self) { group in
      for _ in 0..<40 {
        group.addTask {
          do {
            let classes = try await classifier.classify(contentsOf: path)
            #expect(classes == expected)
            return false
          } catch let error as HGNetError where error.code == .queueFull {
            #expect(error.description.contains("expected at most 1 waiting pictures"))
            return true
          }
        }
      }
      return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    #expect(refused > 0 && refused < 40)
    #expect(try await classifier.classify(contentsOf: path) == expected)
  }

  @Test("A cancelled task stops waiting, and its picture leaves the queue")
  func cancellation() async throws {
    let classifier = try classifier(BatchingLimits(batchSize: 1, queueCapacity: 100))
    let path = try picture("large.png", size: Size(1500), seed: 3)
    let expected = try classifier.classifier.classify(contentsOf: path)
    let waiting = (0..<8).map { _ in Task { try await classifier.classify(contentsOf: path) } }
    for task in waiting.dropFirst(2) { task.cancel() }
    var cancelled = 0
    for task in waiting {
      do {
        let classes = try await task.value
        #expect(classes == expected)
      } catch is CancellationError {
        cancelled += 1
      }
    }
    // One that began before it was cancelled may have its answer.
    #expect(cancelled >= 1 && cancelled <= 6)
    #expect(classifier.waitingCount == 0)
    let late = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      return try await classifier.classify(contentsOf: path)
    }
    await #expect(throws: CancellationError.self) { try await late.value }
    let several = Task { try await classifier.classify(contentsOf: Array(repeating: path, count: 50)) }
    several.cancel()
    await #expect(throws: CancellationError.self) { try await several.value }
    #expect(try await classifier.classify(contentsOf: path) == expected)
  }

  @Test("The last reference takes thread and queue along")
  func ending() async throws {
    let path = try picture("a.png", size: Size(80), seed: 1)
    let device = try Device.cpu(threads: 1)
    let direct = try Classifier(weights(), recipe: small, device: device)
    func threads() throws -> Int { try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count }
    weak var gone: BatchingClassifier?
    for _ in 0..<40 {
      let classifier = try BatchingClassifier(direct)
      gone = classifier
      _ = try await classifier.classify(contentsOf: path)
    }
    #expect(gone == nil)
    // Other tests start threads meanwhile, but not forty.
    let before = try threads()
    for _ in 0..<40 { _ = try await BatchingClassifier(direct).classify(contentsOf: path) }
    var count = try threads()
    for _ in 0..<1000 where count >= before + 20 {
      try await Task.sleep(for: .milliseconds(5))
      count = try threads()
    }
    #expect(count < before + 20)
  }

  @Test("Limits are checked", arguments: [(0, 10), (257, 10), (8, 0), (8, 1 << 21)])
  func limits(batch: Int, capacity: Int) throws {
    #expect { _ = try classifier(BatchingLimits(batchSize: batch, queueCapacity: capacity)) } throws: { error in
      (error as? HGNetError)?.code == .invalidArgument
    }
  }

  @Test("Embeddings, of tasks and in batches")
  func embeddings() async throws {
    let extractor = try FeatureExtractor(weights(), recipe: small, device: .cpu(threads: 2))
    let batching = try BatchingFeatureExtractor(extractor, limits: BatchingLimits(batchSize: 4, queueCapacity: 20))
    var paths: [String] = []
    for index in 0..<9 { paths.append(try picture("\(index).png", size: Size(80 + index), seed: index)) }
    let expected = try paths.map { try extractor.features(contentsOf: $0).embedding }
    let blobs = try paths.map { (path) throws(HGNetError) in try Blob(mapping: path) }
    #expect(try extractor.embeddings(decoding: blobs).map { try $0.get() } == expected)
    #expect(try extractor.embeddings(of: blobs.map { try small.tensor(decoding: $0) }) == expected)
    #expect(try await batching.embeddings(contentsOf: paths).map { try $0.get() } == expected)
    #expect(try await batching.embeddings(decoding: blobs).map { try $0.get() } == expected)
    #expect(try await batching.embedding(contentsOf: paths[3]) == expected[3])
    #expect(try await batching.embedding(decoding: blobs[5]) == expected[5])
    #expect(expected[0].count == extractor.embeddingCount)
  }
}
