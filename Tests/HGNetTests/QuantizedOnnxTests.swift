import Foundation
import HGNet
import HGNetCore
import TemporaryFolders
import Testing

/// The models of `Tests/Fixtures/onnx-quantized`, which ONNX Runtime and NNCF have quantised.
@Suite("Quantised ONNX models of other programs")
struct QuantizedOnnxTests {
  static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/onnx-quantized").path

  /// What ONNX Runtime computes, by the name of the model.
  static let expected: [(name: String, values: [Float])] =
    ((try? String(contentsOfFile: "\(folder)/expected.tsv", encoding: .utf8)) ?? "").split(separator: "\n").map {
      line in
      let parts = line.split(separator: "\t")
      return (String(parts[0]), parts.dropFirst().compactMap { Float($0) })
    }

  @Test("All of them are there") func count() { #expect(Self.expected.count == 7) }

  /// Logits or probabilities for the input of the file of expectations.
  private func scores(_ weights: WeightsFile, _ precision: Precision) throws -> [Float] {
    let picture = Tensor(shape: [32, 32, 3], values: (0..<3072).map { Float(7 * $0 % 23) / 11 - 1 })
    var recipe = weights.defaultRecipe
    recipe.postProcessing = .topK(3)
    recipe.activation = weights.activation == .softmax ? .softmax : Activation.none
    let classes = try Classifier(weights, recipe: recipe, device: .cpu(threads: 1, precision: precision))
      .classes(of: [picture])[0]
    return classes.sorted { $0.index < $1.index }.map { Float($0.score) }
  }

  @Test("Each gives the numbers of ONNX Runtime, in int8 and with its weights in float32", arguments: expected)
  func numbers(name: String, values: [Float]) throws {
    let weights = try WeightsFile(contentsOf: "\(Self.folder)/\(name)")
    #expect(weights.parameters.isQuantized)
    let largest = values.reduce(0) { max($0, abs($1)) }
    // NNCF corrects biases for its own rounding, which float32 does not do.
    for precision in name.hasPrefix("ort") ? [Precision.int8, .float32] : [.int8] {
      let found = try scores(weights, precision)
      #expect(found.count == values.count)
      // Of ONNX Runtime's own models a few of the steps to which it rounds the scores; NNCF's have been fitted to random
      // weights that amplify every rounding.
      let bound: Float = precision == .int8 && name.hasPrefix("ort") ? 0.03 : 0.06
      for (own, other) in zip(found, values) {
        #expect(abs(own - other) < bound * largest, "\(precision): \(found) \(values)")
      }
    }
  }

  @Test(
    "What cannot be computed is refused by name",
    arguments: [
      ("refused-qoperator", "QuantFormat.QDQ"), ("refused-int4", "int4"), ("refused-int16", "uint16"),
      ("refused-quantised-input", "quantised pictures"),
    ])
  func refused(name: String, word: String) throws {
    let error = try #require(throws: HGNetError.self) { try WeightsFile(contentsOf: "\(Self.folder)/\(name).onnx") }
    #expect(error.code == .unsupported && error.message.contains(word), "\(error)")
  }

  @Test("Weights that are int8 stay so")
  func weights() throws {
    for (name, share) in [("ort", 0.8), ("ort-defaults", 0.8), ("nncf", 0.8)] {
      let parameters = try WeightsFile(contentsOf: "\(Self.folder)/\(name).onnx").parameters
      let all = parameters.names.compactMap { parameters[$0] }.filter { $0.shape.rank == 2 || $0.shape.rank == 4 }
      let bytes = all.filter { $0.scales != nil }
      #expect(Double(bytes.count) >= share * Double(all.count), "\(name): \(bytes.count) of \(all.count)")
    }
  }
}
