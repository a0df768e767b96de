import Foundation
import Testing

@Suite("Help")
struct HelpTests {
  static let folder = ToolRun.packageRoot.appendingPathComponent("Tests/Fixtures/tool")

  @Test(
    "The help is what people have read before",
    arguments: [
      "", "predict", "infer", "run", "preprocess", "summary", "bench", "dataset", "train", "eval", "export", "convert",
      "demo",
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
