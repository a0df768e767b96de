import HGNetBatching
import Testing

struct PictureService: Sendable {
  let classifier: BatchingClassifier

  init(weights: String, threads: Int) throws {
    classifier = try BatchingClassifier(
      weights: weights, threads: threads, limits: BatchingLimits(batchSize: 8, queueCapacity: 128))
  }

  /// The classes of the bytes of a JPEG, PNG, WebP or BMP file, best first.
  func classes(of body: [UInt8]) async throws -> [ScoredClass] {
    try await classifier.classify(decoding: Blob(body))
  }
}

func status(of error: HGNetError) -> Int {
  switch error.code {
  case .malformedData, .unsupported, .shapeMismatch: 422
  case .limitExceeded: 413
  case .queueFull: 503
  default: 500
  }
}

func report(on paths: [String], classifier: Classifier) throws -> [String] {
  try zip(paths, classifier.classify(contentsOf: paths)).map { path, result in
    switch result {
    case .success(let classes): "\(path): \(classes.first?.label ?? "no class")"
    case .failure(let error): "\(error)"
    }
  }
}

@Suite("Article: classifying pictures")
struct ClassifyingPicturesCode {
  @Test("The first lines")
  func first() throws {
    let material = Material()
    let (weights, picture) = (try material.weights(classCount: 2), try material.picture("a.png", seed: 1))
    let classifier = try Classifier(weights: weights)
    for result in try classifier.classify(contentsOf: picture) {
      print(result.score, result.label ?? "class \(result.index)")
    }
  }

  @Test("A service")
  func service() async throws {
    let material = Material()
    let service = try PictureService(weights: material.weights(classCount: 2), threads: 1)
    let good = try Blob(mapping: material.picture("a.png", seed: 1)).withUnsafeBytes { Array($0) }
    let classes = try await service.classes(of: good)
    #expect(classes.count == 2)
    do {
      _ = try await service.classes(of: Array("no picture".utf8))
      Issue.record("no picture was classified")
    } catch let error as HGNetError {
      #expect(status(of: error) == 422)
    }
    let lines = try report(on: ["/none.jpg"], classifier: service.classifier.classifier)
    #expect(lines.count == 1)
  }

  @Test("A recipe of one's own")
  func recipe() throws {
    let material = Material()
    let (weights, picture) = (try material.weights(classCount: 2), try material.picture("a.png", seed: 1))
    var recipe = Recipe.evaluation(shortSide: 292, crop: 288)
    recipe.labels = Labels(["cat", "dog"])
    recipe.postProcessing = .topK(1)
    let classifier = try Classifier(weights: weights, recipe: recipe)
    let classes = try classifier.classify(contentsOf: picture)
    #expect(classes.count == 1 && ["cat", "dog"].contains(classes[0].label))
  }
}
