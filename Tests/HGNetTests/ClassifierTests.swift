import HGNet
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetVision
import TemporaryFolders
import Testing

@Suite("Pictures to labelled scores")
struct ClassifierTests {
  let folder = TemporaryFolder()

  private func weights(classCount: Int = 5) throws -> WeightsFile {
    let path = folder.file("b0.safetensors")
    let graph = try Model.b0.graph(options: ModelOptions(classCount: classCount, classExpand: 64))
    try Safetensors.write(Model.randomParameters(for: graph, seed: 5), to: path)
    return try WeightsFile(contentsOf: path)
  }

  private func picture(_ name: String, size: Size, seed: Int) throws -> String {
    let image = try Image(
      size: size,
      pixels: (0..<(size.height * size.width * 3)).map { UInt8(truncatingIfNeeded: $0 &* (seed * 2 + 1) >> 3) })
    try image.write(to: folder.file(name))
    return folder.file(name)
  }

  private var small: Recipe {
    Recipe(
      transforms: [
        .resizeShort(72, interpolation: .bicubic, backend: .pillow), .centerCrop(Size(64)),
        .normalize(scale: 1.0 / 255, mean: [0.485, 0.456, 0.406], standardDeviation: [0.229, 0.224, 0.225]),
      ], postProcessing: .topK(2), labels: Labels(["a", "b", "c", "d", "e"]))
  }

  @Test("A batch gives what single pictures give, and a bad picture harms no other")
  func batch() throws {
    let classifier = try Classifier(weights(), recipe: small)
    var paths: [String] = []
    for index in 0..<4 {
      paths.append(try picture("\(index).png", size: Size(height: 80 + index, width: 90), seed: index))
    }
    paths.insert(try folder.write(Array("no picture".utf8), to: "bad.jpg"), at: 2)
    paths.append(folder.file("missing.jpg"))
    let results = try classifier.classify(contentsOf: paths)
    #expect(results.count == 6)
    for (index, path) in paths.enumerated() {
      switch results[index] {
      case .success(let classes):
        #expect(try classifier.classify(contentsOf: path) == classes)
        #expect(classes.count == 2)
        #expect(classes[0].label == ["a", "b", "c", "d", "e"][classes[0].index])
        #expect(classes[0].score >= classes[1].score)
      case .failure(let error):
        #expect(index == 2 || index == 5)
        #expect(error.context.path == path)
      }
    }
  }

  @Test("Pictures of different sizes in one batch")
  func sizes() throws {
    var recipe = small
    recipe.transforms.remove(at: 1)
    let classifier = try Classifier(weights(), recipe: recipe)
    let paths = [
      try picture("a.png", size: Size(height: 80, width: 90), seed: 1),
      try picture("b.png", size: Size(height: 90, width: 80), seed: 2),
      try picture("c.png", size: Size(height: 80, width: 90), seed: 3),
    ]
    let results = try classifier.classify(contentsOf: paths)
    for (path, result) in zip(paths, results) { #expect(try result.get() == classifier.classify(contentsOf: path)) }
  }

  @Test("Several tasks share one classifier")
  func tasks() async throws {
    let classifier = try Classifier(weights(), recipe: small)
    let path = try picture("a.png", size: Size(80), seed: 1)
    let expected = try classifier.classify(contentsOf: path)
    try await withThrowingTaskGroup(of: [ScoredClass].self) { group in
      for _ in 0..<8 { group.addTask { try classifier.classify(contentsOf: path) } }
      for try await found in group { #expect(found == expected) }
    }
  }

  @Test("The standard recipe follows the weights")
  func standard() throws {
    let own = try weights().defaultRecipe
    #expect(own.labels == nil)
    #expect(own.transforms.first == .resizeShort(232, interpolation: .bicubic, backend: .pillow))
    #expect(Recipe.deployment().transforms.first == .resizeShort(256, interpolation: .bilinear, backend: .openCV))
    #expect(
      Recipe.evaluation(of: .small).transforms.first == .resizeShort(236, interpolation: .bicubic, backend: .pillow))
  }
}
