import Foundation
import HGNet
import HGNetCore
import TemporaryFolders
import Testing

/// The models of `Tests/Fixtures/onnx`, which other people's programs have written.
@Suite("ONNX models of other exporters")
struct OnnxExportersTests {
  static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/onnx").path

  /// What ONNX Runtime computes, by the name of the model.
  static let expected: [(name: String, values: [Float])] =
    ((try? String(contentsOfFile: "\(folder)/expected.tsv", encoding: .utf8)) ?? "").split(separator: "\n").map {
      line in
      let parts = line.split(separator: "\t")
      return (String(parts[0]), parts.dropFirst().compactMap { Float($0) })
    }

  private func scores(_ weights: WeightsFile) throws -> [Float] {
    let picture = Tensor(shape: [32, 32, 3], values: (0..<3072).map { Float(7 * $0 % 23) / 11 - 1 })
    var recipe = weights.defaultRecipe
    recipe.postProcessing = .topK(3)
    recipe.activation = weights.activation == .softmax ? .softmax : Activation.none
    let classes = try Classifier(weights, recipe: recipe).classes(of: [picture])[0]
    return classes.sorted { $0.index < $1.index }.map { Float($0.score) }
  }

  @Test("Every model gives the numbers of ONNX Runtime", arguments: expected)
  func numbers(name: String, values: [Float]) throws {
    let weights = try WeightsFile(contentsOf: "\(Self.folder)/\(name)")
    #expect(weights.format == .onnxModel)
    let found = try scores(weights)
    #expect(found.count == values.count)
    for (own, other) in zip(found, values) { #expect(abs(own - other) < 1e-6, "\(found) \(values)") }
  }

  @Test("All of them are there") func count() { #expect(Self.expected.count == 8) }

  @Test("Weights beside a model are found by its path only, and nowhere else")
  func otherFiles() throws {
    let name = "timm-dynamo-files.onnx"
    let bytes = [UInt8](try Data(contentsOf: URL(filePath: "\(Self.folder)/\(name)")))
    let lone = #expect(throws: HGNetError.self) { try WeightsFile(decoding: Blob(bytes)) }
    #expect(lone?.code == .unsupported)
    let folder = TemporaryFolder()
    let missing = #expect(throws: HGNetError.self) { try WeightsFile(contentsOf: try folder.write(bytes, to: name)) }
    #expect(missing?.code == .fileNotFound)
    // A place of the same length outside the folder.
    for place in ["../../../../../../data", "/timm-dynamo-file.data", "..\\\\..\\\\..\\\\dynamo.data"] {
      var text = bytes
      let wanted = Array("\(name).data".utf8)
      let other = Array(place.utf8) + [UInt8](repeating: 0x61, count: max(0, wanted.count - place.utf8.count))
      for start in 0..<text.count - wanted.count where Array(text[start..<start + wanted.count]) == wanted {
        text.replaceSubrange(start..<start + wanted.count, with: other.prefix(wanted.count))
      }
      let error = #expect(throws: HGNetError.self) { try WeightsFile(contentsOf: try folder.write(text, to: "x.onnx")) }
      #expect(error?.code == .unsafeContent, "\(error?.description ?? "")")
    }
    // Shorter than the model says.
    _ = try folder.write([UInt8](repeating: 0, count: 100), to: "\(name).data")
    let short = #expect(throws: HGNetError.self) { try WeightsFile(contentsOf: folder.file(name)) }
    #expect(short?.code == .malformedData)
  }
}
