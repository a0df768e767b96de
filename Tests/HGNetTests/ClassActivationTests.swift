import HGNet
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetVision
import TemporaryFolders
import Testing

@Suite("Where the evidence for a class is")
struct ClassActivationTests {
  let folder = TemporaryFolder()

  private func weights(_ model: Model, options: ModelOptions = ModelOptions(classCount: 7)) throws -> WeightsFile {
    let graph = try model.graph(options: options)
    let parameters = Model.randomParameters(for: graph, seed: 3)
    try Safetensors.write(parameters, to: folder.file("\(model.name).safetensors"))
    return try WeightsFile(contentsOf: folder.file("\(model.name).safetensors"), model: model, options: options)
  }

  private let picture = Tensor(
    shape: [96, 64, 3], values: (0..<18432).map { (index: Int) -> Float in Float(index * 7919 % 255) / 127 - 1 })

  /// Besides `fc.bias` only the offset of the affine block reaches a logit without the map.
  @Test(
    "The shares add up to what the head makes of the map", arguments: ["PPHGNetV2_B0", "PPHGNetV2_B4", "PPHGNet_small"])
  func sum(_ name: String) throws {
    let model = try Model.named(name)
    let weights = try weights(model)
    let activation = try ClassActivation(weights, device: .cpu(threads: 2))
    let classifier = try InferenceModel(
      graph: weights.graph, parameters: weights.parameters, device: .cpu(threads: 1))
    var session = try classifier.session(batch: 1, inputSize: Size(height: 96, width: 64))
    let values: [Float] = picture.withUnsafeBufferPointer { Array($0) }
    let results = try session.run(Tensor(shape: [1, 96, 64, 3], values: values))
    let logits: [Float] = results[0].withUnsafeBufferPointer { Array($0) }
    let largest: Float = logits.map(abs).max() ?? 1
    for index in 0..<7 {
      let map = try activation.map(of: picture, classIndex: index)
      #expect(map.size == Size(height: 3, width: 2))
      #expect(map.values.count == 6)
      #expect(map.logit == logits[index])
      // The head's own constant: what it gives for each class beside the products with the map.
      #expect(abs(map.constant - (try constant(weights, index))) <= 1e-4 * largest, "\(name), class \(index)")
    }
    let best = try activation.map(of: picture)
    #expect(logits[best.classIndex] == logits.max())
  }

  /// `fc.bias`, and the offset of the affine block through dropout and `fc.weight`.
  private func constant(_ weights: WeightsFile, _ index: Int) throws -> Float {
    func values(_ name: String) -> [Float]? {
      weights.parameters[name].map { $0.tensor().withUnsafeBufferPointer { Array($0) } }
    }
    let bias = try #require(values("fc.bias"))[index]
    guard let offset = values("lab.bias")?.first else { return bias }
    let table = try #require(values("fc.weight"))
    var sum: Float = 0
    for input in 0..<(table.count / 7) { sum += table[input * 7 + index] }
    var kept: Float = 1
    for case .dropout(let probability) in weights.graph.nodes.map(\.operation) { kept *= 1 - probability }
    return bias + kept * offset * sum
  }

  @Test("A decoder's classes are not read from a mean")
  func decoder() throws {
    var options = ModelOptions(classCount: 7)
    options.decoder = MLDecoder()
    let weights = try weights(.b0, options: options)
    let error = #expect(throws: HGNetError.self) { try ClassActivation(weights) }
    #expect(error?.code == .unsupported)
  }

  @Test("The part of a picture that is seen")
  func visiblePart() throws {
    let recipe = Recipe.evaluation()
    let part = try recipe.visiblePart(of: Size(height: 464, width: 928))
    // 232 × 464 after the resize; 224 × 224 of it.
    #expect(abs(part.width - 224.0 / 464) < 1e-12 && abs(part.height - 224.0 / 232) < 1e-12)
    #expect(abs(part.left - 120.0 / 464) < 1e-12 && abs(part.top - 4.0 / 232) < 1e-12)
  }
}
