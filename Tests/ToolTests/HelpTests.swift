import Foundation
import Testing

@Suite("Help")
struct HelpTests {
  static let folder = ToolRun.packageRoot.appendingPathComponent("Tests/Fixtures/tool")

  @Test(
    "The help is what people have read before",
    arguments: [
      "", "predict", "infer", "embed", "models", "run", "preprocess", "summary", "bench", "dataset", "train", "eval",
      "export", "convert",
      "quantize",
      "demo", "devices",
    ])
  func snapshot(command: String) throws {
    let run = try ToolRun(command.isEmpty ? ["--help"] : [command, "--help"], environment: ["COLUMNS": "100"])
    #expect(run.status == 0)
    let file = Self.folder.appendingPathComponent("help\(command.isEmpty ? "" : "-" + command).txt")
    if ProcessInfo.processInfo.environment["HGNET_RECORD_HELP"] != nil {
      try Data(run.output.utf8).write(to: file)
    }
    #expect(run.output == (try String(contentsOf: file, encoding: .utf8)))
  }

  @Test(
    "What somebody meant",
    arguments: [
      (["trian"], "did you mean \"train\"?"), (["evaluate"], "did you mean \"eval\"?"),
      (["tools/train.py", "-c", "a.yaml"], "hgnet train"), (["deploy/python/predict_cls.py"], "hgnet predict"),
      (["python", "-m", "paddle.distributed.launch", "--gpus=0,1", "tools/eval.py"], "mpirun -n N hgnet eval"),
      (["-m", "paddle.distributed.launch", "tools/train.py"], "mpirun -n N hgnet train"),
      (["train", "--gpus", "0,1"], "mpirun -n N hgnet train"), (["train", "--gpus=0"], "on the processor"),
      (["Package.swift"], "hgnet predict Package.swift"), (["predict", "x.jpg", "--treads", "3"], "--threads"),
      (["serve2"], "serve"), (["xyzzy-and-more"], "expected one of train"),
    ])
  func hint(arguments: [String], expected: String) throws {
    let run = try ToolRun(arguments, folder: ToolRun.packageRoot.path)
    #expect(run.status == 64)
    #expect(run.output.isEmpty)
    #expect(run.errors.contains(expected), "\(run.errors)")
  }

  @Test("More threads than are allowed are told in one line, and so is a part that is not built in")
  func threads() throws {
    let wish = try ToolRun(
      ["predict", "/nonexistent.png", "--model", "b0", "--offline"], environment: ["HGNET_NUM_THREADS": "100000"])
    #expect(wish.status == 66)
    #expect(try ToolRun(["bench", "b0", "--threads", "0"]).status == 64)
    let serve = try ToolRun(["serve", "--model", "nonsense", "--offline"])
    // A build with the trait knows no such model.
    #expect(serve.status == (serve.errors.contains("--traits Serving") ? 69 : 64))
  }

  @Test(
    "Wrong usage",
    arguments: [
      ["nonsense"], ["demo", "--pictures", "3"], ["predict"], ["run"], ["bench", "b0", "--batch", "0"],
      ["bench", "b0", "--input-size", "0x5"],
      ["bench", "b0", "--training", "--warmup", "10000001"],
      ["predict", "x.jpg", "--top-k", "0"],
    ])
  func usage(arguments: [String]) throws {
    let run = try ToolRun(arguments)
    #expect(run.status == 64)
    #expect(run.output.isEmpty)
    #expect(!run.errors.isEmpty)
  }
}
