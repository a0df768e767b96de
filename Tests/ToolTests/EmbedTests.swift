import Foundation
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetVision
import Testing

@Suite("Embeddings, lists of pictures, standard input and models through the tool")
struct EmbedTests {
  let workspace: Workspace
  let weights: String
  let parameters: ParameterStore
  let embeddingCount = 32

  init() throws {
    workspace = try Workspace()
    weights = workspace.path("b0.pdparams")
    let graph = try Model.b0.graph(options: ModelOptions(classCount: 4, classExpand: embeddingCount))
    parameters = Model.randomParameters(for: graph, seed: 11)
    try PaddleParameters.write(parameters, to: weights)
    try FileManager.default.createDirectory(
      at: workspace.url.appendingPathComponent("pictures"), withIntermediateDirectories: true)
    for index in 0..<3 {
      let size = Size(height: 40 + index, width: 50)
      let pixels = (0..<(size.height * size.width * 3)).map { UInt8(truncatingIfNeeded: $0 &* (index + 3) >> 2) }
      try Image(size: size, pixels: pixels).write(to: workspace.path("pictures/\(index).png"))
    }
    try workspace.write("not a picture", "pictures/9.jpg")
  }

  private func run(_ arguments: [String], input: String? = nil) throws -> ToolRun {
    try ToolRun(arguments, folder: workspace.url.path, input: input)
  }

  @Test("The classes that the tool predicts are the last layer's of the vectors that it writes")
  func vectors() throws {
    let run = try run(["embed", "pictures", "--weights", weights, "-o", "vectors.npy"])
    #expect(run.status == 65)
    #expect(run.errors.contains("9.jpg"))
    let vectors = try NumpyArray.read(Blob(mapping: workspace.path("vectors.npy")))
    #expect(vectors.shape.dimensions == [3, embeddingCount])
    let names = try String(contentsOfFile: workspace.path("vectors.txt"), encoding: .utf8).split(separator: "\n")
    #expect(names == ["pictures/0.png", "pictures/1.png", "pictures/2.png"])
    let predicted = try self.run(
      ["predict", "pictures/0.png", "pictures/1.png", "pictures/2.png", "--weights", weights, "--top-k", "4", "--json"])
    let list = try #require(try JSONSerialization.jsonObject(with: Data(predicted.output.utf8)) as? [[String: Any]])
    let weight = try #require(parameters["fc.weight"]).tensor().values
    let bias = try #require(parameters["fc.bias"]).tensor().values
    for (index, entry) in list.enumerated() {
      let vector = vectors.values[index * embeddingCount..<(index + 1) * embeddingCount].map(Double.init)
      let logits = (0..<4).map { (column: Int) -> Double in
        vector.indices.reduce(Double(bias[column])) { $0 + vector[$1] * Double(weight[$1 * 4 + column]) }
      }
      let largest = try #require(logits.max())
      let sum = logits.reduce(0) { $0 + exp($1 - largest) }
      let ids = try #require(entry["class_ids"] as? [Int])
      let scores = try #require(entry["scores"] as? [Double])
      #expect(ids.count == 4)
      // Logits are float32.
      for (id, score) in zip(ids, scores) { #expect(abs(score - exp(logits[id] - largest) / sum) < 1e-5) }
    }
  }

  @Test("A table with commas holds the same vectors, and the nearest picture is the picture itself")
  func nearest() throws {
    let csv = try run(["embed", "pictures/2.png", "pictures/0.png", "--weights", weights, "-o", "vectors.csv"])
    #expect(csv.status == 0)
    let rows = try String(contentsOfFile: workspace.path("vectors.csv"), encoding: .utf8).split(separator: "\n")
    #expect(rows.count == 3 && rows[0].hasPrefix("file_name,v0,v1,") && rows[1].hasPrefix("pictures/2.png,"))
    #expect(rows[1].split(separator: ",").count == embeddingCount + 1)
    let run = try run(["embed", "pictures", "--weights", weights, "--nearest", "pictures/1.png", "--count", "2"])
    #expect(run.output.hasPrefix("1.0000  pictures/1.png\n"))
    #expect(run.output.split(separator: "\n").count == 2)
    let json = try self.run(["embed", "pictures", "--weights", weights, "--nearest", "pictures/1.png", "--json"])
    let list = try #require(try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [[String: Any]])
    #expect(list.count == 3 && list[0]["file_name"] as? String == "pictures/1.png")
  }

  @Test("A list names the pictures in its order, and a picture may come on standard input")
  func lists() throws {
    let list = try workspace.write("pictures/2.png\r\n\npictures/0.png\n", "list.txt")
    let expected = try run(["predict", "pictures/2.png", "pictures/0.png", "--weights", weights, "--json"])
    #expect(expected.status == 0)
    #expect(try run(["predict", "--list", "list.txt", "--weights", weights, "--json"]).output == expected.output)
    #expect(try run(["predict", "--list", "-", "--weights", weights, "--json"], input: list).output == expected.output)
    let piped = try run(["predict", "-", "--weights", weights, "--json"], input: workspace.path("pictures/2.png"))
    let named = try run(["predict", "pictures/2.png", "--weights", weights, "--json"])
    #expect(piped.output == named.output.replacingOccurrences(of: "pictures/2.png", with: "-"))
    let empty = try run(["predict", "-", "--weights", weights])
    #expect(empty.status == 65 && empty.errors.contains("-: "))
    #expect(try run(["predict", "--list", "-", "--weights", weights]).status == 66)
    #expect(try run(["predict", "-", "--list", "-", "--weights", weights]).status == 64)
  }

  @Test("models lists every model with the figures of its summary and of PaddleClas' page")
  func models() throws {
    let run = try run(["models", "--json"])
    #expect(run.status == 0)
    let list = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [[String: Any]])
    #expect(list.map { $0["model"] as? String } == Model.all.map(\.name))
    // Source: PaddleClas, docs/zh_CN/models/ImageNet1k/PP-HGNetV2.md and PP-HGNet.md.
    let page = ["PPHGNetV2_B0": 77.77, "PPHGNetV2_B4": 83.57, "PPHGNetV2_B6": 86.30, "PPHGNet_small": 83.82]
    for entry in list {
      let name = try #require(entry["model"] as? String)
      if let top1 = page[name] { #expect(entry["top1"] as? Double == top1) }
      #expect(entry["cached"] as? Bool == false)
      #expect((entry["input_size"] as? [Int]) == [224, 224])
    }
    let summary = try self.run(["summary", "PPHGNetV2_B0", "--json"])
    let b0 = try #require(try JSONSerialization.jsonObject(with: Data(summary.output.utf8)) as? [String: Any])
    #expect(list[0]["parameters"] as? Int == b0["parameters"] as? Int)
    #expect(list[0]["multiply_adds"] as? Int == b0["multiply_adds"] as? Int)
    #expect(try self.run(["models"]).output.split(separator: "\n").count == Model.all.count + 2)
  }
}
