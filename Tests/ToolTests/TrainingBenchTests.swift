import Foundation
import HGNetCore
import HGNetFormats
import HGNetModels
import Testing

@Suite("Training steps measured by the tool")
struct TrainingBenchTests {
  let workspace: Workspace
  let weights: String

  init() throws {
    workspace = try Workspace()
    weights = workspace.path("b0.safetensors")
    let graph = try Model.b0.graph(options: ModelOptions(classCount: 4, classExpand: 32))
    try Safetensors.write(Model.randomParameters(for: graph, seed: 11), to: weights)
  }

  private func report(_ arguments: [String]) throws -> [String: Any] {
    let run = try ToolRun(["bench", weights, "--training", "--input-size", "64", "--batch", "4", "--json"] + arguments)
    #expect(run.status == 0, "\(run.errors)")
    return try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
  }

  @Test("Every step learns from the batch, and gives the same losses with any number of threads")
  func steps() throws {
    let report = try report(["--iterations", "4", "--warmup", "1", "--threads", "1"])
    let losses = try #require(report["losses"] as? [Double])
    #expect(losses.count == 5)
    #expect(losses[4] < losses[0], "\(losses)")
    #expect((report["iteration_milliseconds"] as? [Double])?.count == 4)
    #expect(report["model"] as? String == "PPHGNetV2_B0")
    #expect(report["random_weights"] as? Bool == false)
    for key in ["minimum_milliseconds", "median_milliseconds", "pictures_per_second", "gigaflops_per_second"] {
      #expect(report[key] as? Double ?? 0 > 0, "\(key)")
    }
    let minimum = try #require(report["minimum_milliseconds"] as? Double)
    let median = try #require(report["median_milliseconds"] as? Double)
    let maximum = try #require(report["maximum_milliseconds"] as? Double)
    #expect(minimum <= median && median <= maximum)
    // Values, gradients and velocities at the least.
    #expect(try #require(report["peak_memory_bytes"] as? Int) > 3 * (try #require(report["weight_bytes"] as? Int)))
    let others = try self.report(["--iterations", "5", "--warmup", "0", "--threads", "2"])
    #expect(others["losses"] as? [Double] == losses)
  }

  @Test(
    "Mixed precision learns from the batch, too, with the same losses for any number of threads",
    arguments: ["O1", "O2"])
  func mixed(level: String) throws {
    let options = ["--warmup", "0", "--precision", "bfloat16", "--level", level, "--threads"]
    let report = try report(["--iterations", "4"] + options + ["1"])
    #expect(report["mixed_precision"] as? String == level)
    let losses = try #require(report["losses"] as? [Double])
    #expect(losses[3] < losses[0], "\(losses)")
    let others = try self.report(["--iterations", "4"] + options + ["3"])
    #expect(others["losses"] as? [Double] == losses)
    let exact = try self.report(["--iterations", "1", "--warmup", "0"])
    let first = try #require((exact["losses"] as? [Double])?.first)
    #expect(first != losses[0] && abs(first - losses[0]) < 0.01 * first, "\(first), \(losses)")
  }

  @Test("A report for people")
  func text() throws {
    let run = try ToolRun([
      "bench", weights, "--training", "--input-size", "32", "--batch", "2", "--iterations", "1", "--warmup", "0",
    ])
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.output.hasPrefix("training steps of PPHGNetV2_B0, input 2×3×32×32"))
    for word in ["minimum", "median", "pictures/s", "GFLOP/s", "99 %", "loss", "MB at the peak"] {
      #expect(run.output.contains(word), "\(word)")
    }
  }

  @Test(
    "What cannot be measured is an error",
    arguments: [
      ("nothing.pdparams", ["--batch", "2"], 66), ("b0", ["--batch", "65536", "--input-size", "4000"], 65),
      ("b0", ["--iterations", "0"], 64), ("b0", ["--batch", "0"], 64),
    ] as [(String, [String], Int32)])
  func refused(subject: String, arguments: [String], status: Int32) throws {
    let run = try ToolRun(["bench", subject, "--training"] + arguments)
    #expect(run.status == status, "\(run.errors)")
    #expect(run.output.isEmpty)
    #expect(run.errors.lowercased().contains("error:"), "\(run.errors)")
  }
}
