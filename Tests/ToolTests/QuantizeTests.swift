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
    #expect(done.errors.contains("ranges (percentile) of 2 pictures"), "\(done.errors)")
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
  }
}
