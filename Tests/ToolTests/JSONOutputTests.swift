import Foundation
import HGNet
import HGNetFormats
import Testing

/// What the commands print with `--json` is what `Documentation/json-output.schema.json` says, with no key besides.
@Suite("JSON of the commands")
struct JSONOutputTests {
  let workspace: Workspace
  let schema: JSONSchema

  init() throws {
    workspace = try Workspace()
    schema = try JSONSchema(
      contentsOf: ToolRun.packageRoot.appendingPathComponent("Documentation/json-output.schema.json"))
    for number in 0..<2 {
      for picture in 0..<3 {
        let pixels = (0..<(40 * 40 * 3)).map { UInt8(truncatingIfNeeded: $0 &* (picture * 2 + 1) >> number) }
        try workspace.write("", "data/class \(number)/\(picture).png")
        try Image(size: Size(40), pixels: pixels).write(to: workspace.path("data/class \(number)/\(picture).png"))
      }
    }
    try workspace.write("no picture", "bad.jpg")
    let graph = try Model.b0.graph(options: ModelOptions(classCount: 2))
    try Safetensors.write(Model.randomParameters(for: graph, seed: 5), to: workspace.path("b0.safetensors"))
  }

  private func check(_ name: String, _ arguments: [String], status: Int32 = 0) throws {
    let run = try ToolRun(arguments, folder: workspace.url.path)
    #expect(run.status == status, "\(run.errors)")
    let value = try JSONSerialization.jsonObject(with: Data(run.output.utf8), options: .fragmentsAllowed)
    #expect(schema.faults(value, as: name).isEmpty, "\(schema.faults(value, as: name)) in \(run.output.prefix(500))")
  }

  @Test("Pictures") func pictures() throws {
    let predict = ["predict", "data", "bad.jpg", "--weights", "b0.safetensors", "--threads", "1"]
    try check("predict", predict + ["--json"], status: 65)
    let lines = try ToolRun(predict + ["--json-lines"], folder: workspace.url.path)
    #expect(lines.output.split(separator: "\n").count == 7)
    for line in lines.output.split(separator: "\n") {
      let value = try JSONSerialization.jsonObject(with: Data(line.utf8))
      #expect(schema.faults(value, as: "picture").isEmpty, "\(line)")
    }
    try check(
      "nearest",
      ["embed", "data", "--weights", "b0.safetensors", "--nearest", "data/class 0/0.png", "--json", "--threads", "1"])
  }

  @Test("Folders, networks and devices") func others() throws {
    try check("dataset", ["dataset", "data", "--json"])
    try check("models", ["models", "--json"])
    try check("summary", ["summary", "b0", "--json"])
    try check("devices", ["devices", "--json"])
    try check(
      "evaluation", ["eval", "--data", "data", "--weights", "b0.safetensors", "--input-size", "32", "--json"])
    try check(
      "quantization",
      ["quantize", "b0.safetensors", "--data", "data", "-o", "int8.safetensors", "--json", "--tolerance", "100"])
  }

  @Test("Measurements") func measurements() throws {
    let bench = ["bench", "b0", "--input-size", "32", "--iterations", "2", "--warmup", "1", "--threads", "1", "--json"]
    try check("bench", bench)
    try check("bench", bench + ["--roofline"])
    try check("training_bench", bench + ["--training"])
  }

  @Test("The validator finds what is wrong")
  func validator() throws {
    let good: [String: Any] = ["file_name": "a", "error": "b"]
    #expect(schema.faults(good, as: "failure").isEmpty)
    #expect(!schema.faults(["file_name": "a"], as: "failure").isEmpty)
    #expect(!schema.faults(["file_name": 1, "error": "b"], as: "failure").isEmpty)
    #expect(!schema.faults(good.merging(["more": 1]) { first, _ in first }, as: "failure").isEmpty)
    #expect(schema.faults(good.merging(["more": 1]) { first, _ in first }, as: "failure", isClosed: false).isEmpty)
    #expect(!schema.faults([1, 2, 3], as: "size").isEmpty && schema.faults([1, 2], as: "size").isEmpty)
    #expect(!schema.faults([1, -2], as: "size").isEmpty)
  }
}
