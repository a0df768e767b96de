import HGNetExport
import Testing

func export(_ path: String, to folder: String) throws -> [String] {
  let weights = try WeightsFile(contentsOf: path)
  let network = try ExportedNetwork(weights, activation: .softmax)
  let export = try ModelExport(weights, as: network, format: .onnx(OnnxExport.Options()))
  let result = try export.write(into: folder, stem: "inference")
  print("largest difference: \(result.difference)")
  return result.files
}

@Suite("Article: exporting and embedding")
struct ExportingAndEmbeddingCode {
  @Test("An ONNX model, and back")
  func onnx() throws {
    let material = Material()
    let (weights, picture) = (try material.weights(classCount: 2), try material.picture("a.png", seed: 1))
    let exported = try #require(try export(weights, to: "\(material.folder)/onnx").first)
    let classifier = try Classifier(weights: exported)
    let expected = try Classifier(weights: weights).classify(contentsOf: picture)
    let found = try classifier.classify(contentsOf: picture)
    #expect(found.map(\.index) == expected.map(\.index))
    for (a, b) in zip(found, expected) { #expect(abs(a.score - b.score) < 1e-5) }
  }
}
