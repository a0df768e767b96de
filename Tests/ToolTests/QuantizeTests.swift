import Foundation
import HGNet
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetVision
import Testing

@Suite("Weights in 8 bits through the tool")
struct QuantizeTests {
  let workspace: Workspace

  init() throws {
    workspace = try Workspace()
    let graph = try Model.b0.graph(options: ModelOptions(classCount: 12))
    try Safetensors.write(Model.randomParameters(for: graph, seed: 5), to: workspace.path("b0.safetensors"))
    var random = RandomGenerator(seed: 9)
    let values = (0..<2 * 3 * 64 * 64).map { _ in random.normal() }
    try NumpyArray.write(Tensor(shape: [2, 3, 64, 64], values: values), to: workspace.path("x.npy"))
    try FileManager.default.createDirectory(
      atPath: workspace.path("pictures"), withIntermediateDirectories: true)
    for number in 0..<3 {
      let pixels = (0..<3 * 60 * 60).map { _ in UInt8(random.uniform() * 256) }
      try Image(size: Size(60), pixels: pixels).write(to: workspace.path("pictures/\(number).png"))
    }
    try Data("0.png 3\n2.png 1\n".utf8).write(to: URL(fileURLWithPath: workspace.path("pictures/list.txt")))
  }

  private func run(_ arguments: [String]) throws -> ToolRun { try ToolRun(arguments, folder: workspace.url.path) }

  private func logits(_ file: String, _ options: [String] = []) throws -> (values: [Float], errors: String) {
    let done = try run(["run", file, "--input", "x.npy", "--output", "y.npy"] + options)
    #expect(done.status == 0, "\(done.errors)")
    return (try NumpyArray.read(Blob(mapping: workspace.path("y.npy"))).values, done.errors)
  }

  private func distance(_ one: [Float], _ two: [Float]) -> Float {
    zip(one, two).reduce(0) { max($0, abs($1.0 - $1.1)) } / two.reduce(0) { max($0, abs($1)) }
  }

  @Test("What it makes is read by other commands, in int8 and in float32") func made() throws {
    let done = try run(["quantize", "b0.safetensors", "--data", "pictures/list.txt", "-o", "q.safetensors"])
    #expect(done.status == 0, "\(done.errors)")
    #expect(done.errors.contains("ranges (mse) of 2 pictures"), "\(done.errors)")
    #expect(done.output.contains("top-1 as in float32") && done.output.contains("top-1 accuracy"), "\(done.output)")
    let exact = try logits("b0.safetensors").values
    let integers = try logits("q.safetensors", ["--precision", "int8", "--threads", "1"]).values
    #expect(distance(integers, exact) > 0 && distance(integers, exact) < 0.2, "\(distance(integers, exact))")
    #expect(try logits("q.safetensors", ["--precision", "int8", "--threads", "2"]).values == integers)
    let auto = try logits("q.safetensors", ["--precision", "auto", "--threads", "2"])
    #expect(auto.values == integers)
    #expect(auto.errors.contains("note: --precision auto: int8"), "\(auto.errors)")
    #expect(distance(try logits("q.safetensors").values, exact) < 0.05)
    let predicted = try run(["predict", "pictures/1.png", "--weights", "q.safetensors", "--precision", "int8"])
    #expect(predicted.status == 0, "\(predicted.errors)")
    // It is no file to train or to convert.
    let convert = try run(["convert", "q.safetensors", "c.pdparams"])
    #expect(convert.status != 0 && convert.errors.contains("in float"), "\(convert.errors)")
    let again = try run(["quantize", "q.safetensors", "--data", "pictures", "-o", "r.safetensors"])
    #expect(again.status != 0 && again.errors.contains("in float"), "\(again.errors)")
  }

  @Test("The report is text, JSON and a page with a bar for each layer") func report() throws {
    let done = try run([
      "quantize", "b0.safetensors", "--data", "pictures", "-o", "q.safetensors", "--json", "--report", "r.html",
      "--calibration", "percentile", "--tolerance", "100",
    ])
    #expect(done.status == 0, "\(done.errors)")
    let found = try #require(
      JSONSerialization.jsonObject(with: Data(done.output.utf8)) as? [String: Any])
    let layers = try #require(found["layers"] as? [[String: Any]])
    #expect(layers.count > 40 && layers.last?["name"] as? String == "fc")
    #expect(found["tolerance_met"] as? Bool == true && found["accuracy"] == nil)
    #expect((found["float32_layers"] as? [String])?.isEmpty == true)
    let page = try String(contentsOfFile: workspace.path("r.html"), encoding: .utf8)
    #expect(page.components(separatedBy: "<td class=\"bar\"").count - 1 == layers.count)
    #expect(page.contains("100.00 may be"))
  }

  @Test("Pictures that cannot be read are told and left out, and are an error where there are no others")
  func unreadable() throws {
    for name in ["half", "none"] {
      try FileManager.default.createDirectory(atPath: workspace.path(name), withIntermediateDirectories: true)
      try Data("no picture".utf8).write(to: URL(fileURLWithPath: workspace.path("\(name)/a.png")))
    }
    try FileManager.default.copyItem(atPath: workspace.path("pictures/0.png"), toPath: workspace.path("half/b.png"))
    let half = try run(["quantize", "b0.safetensors", "--data", "half", "-o", "q.safetensors"])
    #expect(half.status == 0 && half.errors.contains("warning: half/a.png"), "\(half.errors)")
    #expect(half.errors.contains("of 1 picture"), "\(half.errors)")
    let none = try run(["quantize", "b0.safetensors", "--data", "none", "-o", "n.safetensors"])
    #expect(none.status != 0 && none.errors.contains("none/a.png"), "\(none.errors)")
    #expect(!FileManager.default.fileExists(atPath: workspace.path("n.safetensors")))
  }

  @Test("Labels that the network does not have are named with their line") func labels() throws {
    for (text, line) in [("0.png 3\n2.png 12\n", "2"), ("0.png 3\n2.png\n", "2"), ("0.png -1\n2.png 3\n", "1")] {
      try Data(text.utf8).write(to: URL(fileURLWithPath: workspace.path("pictures/wrong.txt")))
      let done = try run(["quantize", "b0.safetensors", "--data", "pictures/wrong.txt", "-o", "q.safetensors"])
      #expect(done.status == 65 && done.errors.contains("line \(line):"), "\(done.errors)")
    }
  }

  @Test("The names of folders are classes where the weights know names, all of them or none") func folders() throws {
    for name in ["named", "classes/cat", "classes/dog"] {
      try FileManager.default.createDirectory(atPath: workspace.path(name), withIntermediateDirectories: true)
    }
    try FileManager.default.moveItem(
      atPath: workspace.path("b0.safetensors"), toPath: workspace.path("named/b0.safetensors"))
    try workspace.write(
      (["cat", "dog"] + (2..<12).map { "other\($0)" }).enumerated().map { "\($0) \($1)\n" }.joined(),
      "named/labels.txt")
    try workspace.write(
      """
      Global: {image_shape: [3, 64, 64]}
      Arch: {name: PPHGNetV2_B0, class_num: 12}
      Infer:
        transforms:
          - DecodeImage: {to_rgb: True, channel_first: False}
          - ResizeImage: {size: 64, interpolation: bicubic, backend: pil}
          - NormalizeImage: {scale: 1.0/255.0, mean: [0.5, 0.4, 0.5], std: [0.5, 0.5, 0.6], order: ''}
          - ToCHWImage:
        PostProcess: {name: Topk, topk: 2, class_id_map_file: labels.txt}
      """, "named/config.yaml")
    for (number, name) in ["cat", "dog"].enumerated() {
      try FileManager.default.copyItem(
        atPath: workspace.path("pictures/\(number).png"), toPath: workspace.path("classes/\(name)/0.png"))
    }
    let arguments = ["quantize", "named/b0.safetensors", "--data", "classes", "-o", "q.safetensors", "--json"]
    let done = try run(arguments)
    #expect(done.status == 0, "\(done.errors)")
    let found = try #require(JSONSerialization.jsonObject(with: Data(done.output.utf8)) as? [String: Any])
    #expect(found["accuracy"] as? Double != nil && found["float32_accuracy"] as? Double != nil)
    try FileManager.default.moveItem(atPath: workspace.path("classes/dog"), toPath: workspace.path("classes/dgo"))
    let wrong = try run(arguments)
    #expect(wrong.status == 65 && wrong.errors.contains("\"dgo\""), "\(wrong.errors)")
  }

  @Test("What cannot be is refused, and says what to do") func refused() throws {
    let float = try run([
      "run", "b0.safetensors", "--input", "x.npy", "--output", "z.npy", "--precision", "int8",
    ])
    #expect(float.status == 65 && float.errors.contains("hgnet quantize"), "\(float.errors)")
    let name = try run(["quantize", "b0.safetensors", "--data", "pictures", "-o", "q.pdparams"])
    #expect(name.status == 64 && name.errors.contains(".safetensors"), "\(name.errors)")
    let missing = try run(["quantize", "b0.safetensors", "--data", "nowhere", "-o", "q.safetensors"])
    #expect(missing.status == 66, "\(missing.errors)")
    let none = try run(["quantize", "b0.safetensors", "--data", "pictures", "-o", "q.safetensors", "--pictures", "0"])
    #expect(none.status == 64, "\(none.errors)")
    for points in ["-1", "nan", "101"] {
      let tolerance = try run([
        "quantize", "b0.safetensors", "--data", "pictures", "-o", "q.safetensors", "--tolerance=\(points)",
      ])
      #expect(tolerance.status == 64 && tolerance.errors.contains("--tolerance of 0 to 100"), "\(tolerance.errors)")
    }
    try FileManager.default.createDirectory(atPath: workspace.path("empty"), withIntermediateDirectories: true)
    let empty = try run(["quantize", "b0.safetensors", "--data", "empty", "-o", "q.safetensors"])
    #expect(empty.status == 66 && empty.errors.contains("empty"), "\(empty.errors)")
  }
}
