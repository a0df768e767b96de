import HGNetBatching
import Testing

func nearest(to picture: String, among paths: [String], extractor: FeatureExtractor) throws -> [String] {
  let wanted = try extractor.features(contentsOf: picture)
  let scored = try paths.map { path in
    (path: path, similarity: try extractor.features(contentsOf: path).similarity(to: wanted))
  }
  return scored.sorted { $0.similarity > $1.similarity }.map(\.path)
}

func embeddings(of pictures: [Blob], extractor: FeatureExtractor) async throws -> [[Float]] {
  let batching = try BatchingFeatureExtractor(extractor)
  return try await batching.embeddings(decoding: pictures).map { try $0.get() }
}

@Suite("Article: taking features")
struct TakingFeaturesCode {
  @Test("Embeddings")
  func embeddings() throws {
    let material = Material()
    let (picture, other) = (try material.picture("a.png", seed: 1), try material.picture("b.png", seed: 7))
    let weights = try material.weights(classCount: 2)
    let extractor = try FeatureExtractor(weights: weights)
    let left = try extractor.features(contentsOf: picture)
    let right = try extractor.features(contentsOf: other)
    print(left.embedding.count, left.similarity(to: right))
    #expect(left.embedding.count == 2048)
    #expect(left.stages.isEmpty)
    #expect(abs(left.similarity(to: left) - 1) < 1e-12)
    #expect(try nearest(to: picture, among: [other, picture], extractor: extractor) == [picture, other])
  }

  @Test("Embeddings of many pictures")
  func batch() async throws {
    let material = Material()
    let paths = [try material.picture("a.png", seed: 1), try material.picture("b.png", seed: 7)]
    let extractor = try FeatureExtractor(weights: material.weights(classCount: 2))
    let blobs = try paths.map { (path) throws(HGNetError) in try Blob(mapping: path) }
    let expected = try paths.map { try extractor.features(contentsOf: $0).embedding }
    #expect(try await DocumentationTests.embeddings(of: blobs, extractor: extractor) == expected)
  }

  @Test("Maps of the stages")
  func stages() throws {
    let material = Material()
    let (weights, picture) = (try material.weights(classCount: 2), try material.picture("a.png", seed: 1))
    let extractor = try FeatureExtractor(weights: weights, keepsStages: true)
    for (index, map) in try extractor.features(contentsOf: picture).stages.enumerated() {
      print("stage \(index + 1): \(map.shape)")
    }
    let shapes = try extractor.features(contentsOf: picture).stages.map(\.shape)
    #expect(shapes == [[56, 56, 64], [28, 28, 256], [14, 14, 512], [7, 7, 1024]])
  }
}
