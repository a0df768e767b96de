import Foundation
import HGNet
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetVision
import Testing

@Suite("Precisions through the tool")
struct PrecisionTests {
  let workspace: Workspace

  init() throws {
    workspace = try Workspace()
    let graph = try Model.b0.graph(options: ModelOptions(classCount: 12))
    try Safetensors.write(Model.randomParameters(for: graph, seed: 5), to: workspace.path("b0.safetensors"))
    var random = RandomGenerator(seed: 9)
    let values = (0..<2 * 3 * 64 * 64).map { _ in random.normal() }
    try NumpyArray.write(Tensor(shape: [2, 3, 64, 64], values: values), to: workspace.path("x.npy"))
  }

  private func run(_ arguments: [String]) throws -> ToolRun { try ToolRun(arguments, folder: workspace.url.path) }

  private func logits(_ precision: String, threads: Int = 1) throws -> [Float] {
    let done = try run([
      "run", "b0.safetensors", "--input", "x.npy", "--output", "y.npy", "--precision", precision, "--threads",
      "\(threads)",
    ])
    #expect(done.status == 0, "\(done.errors)")
    return try NumpyArray.read(Blob(mapping: workspace.path("y.npy"))).values
  }

  @Test("bfloat16 is near float32, and the same bits for any number of threads") func bfloat16() throws {
    let exact = try logits("float32")
    let halves = try logits("bfloat16")
    let largest = exact.reduce(0) { max($0, abs($1)) }
    let worst = zip(exact, halves).reduce(0) { max($0, abs($1.0 - $1.1)) }
    #expect(worst > 0 && worst <= 1e-2 * largest, "\(worst) of \(largest)")
    #expect(try logits("bfloat16", threads: 2) == halves)
  }

  @Test(
    "bench measures every precision of a network by its name",
    arguments: PrecisionChoice.allCases.filter { $0 != .float16 })
  func bench(precision: PrecisionChoice) throws {
    let done = try run([
      "bench", "PPHGNetV2_B0", "--precision", precision.rawValue, "--input-size", "32", "--iterations", "1", "--json",
    ])
    #expect(done.status == 0, "\(done.errors)")
    #expect(done.output.contains("\"minimum_milliseconds\""))
  }

  @Test("auto says what it took") func auto() throws {
    let done = try run(["run", "b0.safetensors", "--input", "x.npy", "--output", "z.npy", "--precision", "auto"])
    #expect(done.status == 0)
    #expect(
      ["float32", "bfloat16"].contains { done.errors.contains("note: --precision auto: \($0)") }, "\(done.errors)")
  }

  @Test("What cannot be is refused") func refusals() throws {
    let unknown = try run(["run", "b0.safetensors", "--input", "x.npy", "--output", "z.npy", "--precision", "float8"])
    #expect(unknown.status == 64)
    #expect(unknown.errors.contains("float32"))
    #expect(try run(["train", "--data", "x", "--precision", "int8"]).status == 64)
    let training = try run(["bench", "PPHGNetV2_B0", "--training", "--precision", "int8"])
    #expect(training.status == 64)
    #expect(training.errors.contains("training computes in float32 or bfloat16"))
    let reference = try run([
      "run", "b0.safetensors", "--input", "x.npy", "--output", "z.npy", "--device", "reference", "--precision",
      "bfloat16",
    ])
    #expect(reference.status != 0)
    #expect(reference.errors.contains("float64"), "\(reference.errors)")
  }

  @Test(
    "A configuration's own keys ask for it",
    arguments: [
      ("precision", "bfloat16", true), ("use_fp16", "True", true), ("enable_mkldnn_bfloat16", "True", true),
      ("use_fp16", "False", false),
    ])
  func configuration(key: String, value: String, isHalf: Bool) throws {
    try Image(size: Size(40), pixels: (0..<4800).map { UInt8(truncatingIfNeeded: $0 &* 31) }).write(
      to: workspace.path("a.png"))
    func scores(_ global: String) throws -> String {
      let text = """
        Global:
          infer_imgs: a.png
          inference_model_dir: b0.safetensors
        \(global)PreProcess:
          transform_ops:
            - ResizeImage: {size: [64, 64]}
            - NormalizeImage: {scale: 1.0/255.0, mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2], order: ''}
            - ToCHWImage:
        PostProcess:
          Topk: {topk: 5}
        """
      try Data(text.utf8).write(to: URL(fileURLWithPath: workspace.path("c.yaml")))
      let done = try run(["predict", "-c", "c.yaml", "--json"])
      #expect(done.status == 0, "\(done.errors)")
      #expect(!done.errors.contains("have no effect here"), "\(done.errors)")
      return done.output
    }
    #expect(try (scores("") != scores("  \(key): \(value)\n")) == isHalf)
    let wrong = try run(["predict", "-c", "c.yaml", "-o", "Global.precision=fp8"])
    #expect(wrong.status == 78 || wrong.status == 65)
    #expect(wrong.errors.contains("expected one of float32, bfloat16"), "\(wrong.errors)")
  }
}
