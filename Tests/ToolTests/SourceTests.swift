import Foundation
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetVision
import Testing

@Suite("Where weights come from and where results go")
struct SourceTests {
  let workspace: Workspace
  let weights: String
  let configuration: String

  init() throws {
    workspace = try Workspace()
    weights = workspace.path("mirror/PPHGNetV2_B0_ssld_stage1_pretrained.pdparams")
    for folder in ["mirror", "pictures"] {
      try FileManager.default.createDirectory(atPath: workspace.path(folder), withIntermediateDirectories: true)
    }
    let graph = try Model.b0.graph(options: ModelOptions(classCount: 4, classExpand: 32))
    try PaddleParameters.write(Model.randomParameters(for: graph, seed: 5), to: weights)
    try Image(size: Size(40), pixels: [UInt8](repeating: 90, count: 4800)).write(to: workspace.path("pictures/0.png"))
    try workspace.write("not a picture", "pictures/1.jpg")
    configuration = try workspace.write(
      "Arch: {name: PPHGNetV2_B0, class_num: 4, class_expand: 32}\nInfer:\n  infer_imgs: pictures\n"
        + "  transforms: [{CropImage: {size: 32}}, {NormalizeImage: }]\n", "c.yaml")
  }

  private func run(_ arguments: [String]) throws -> ToolRun {
    try ToolRun(
      arguments,
      environment: ["HGNET_WEIGHTS_URL": workspace.path("mirror"), "XDG_CACHE_HOME": workspace.path("cache")],
      folder: workspace.url.path)
  }

  @Test("Published weights are known by their names; a damaged copy says how to mend it")
  func publishedName() throws {
    let name = "PPHGNetV2_B0_ssld_stage1_pretrained"
    let arguments = ["predict", "pictures/0.png", "--weights", name]
    let fetched = try run(arguments)
    #expect(fetched.status == 0, "\(fetched.errors)")
    #expect(try run(arguments + ["--offline"]).output == fetched.output)
    let inferred = try run([
      "infer", "-c", configuration, "-o", "Global.pretrained_model=\(name).pdparams", "--offline",
    ])
    #expect(inferred.output.contains("pictures/0.png"), "\(inferred.errors)")
    try workspace.write("junk", "cache/hgnet/\(name).pdparams")
    let damaged = try run(arguments)
    #expect(damaged.status == 65)
    #expect(damaged.errors.contains("cache/hgnet/\(name).pdparams") && damaged.errors.contains("remove it"))
    #expect(try run(["predict", "pictures/0.png", "--weights", "./\(name)"]).status == 66)
  }

  @Test("A file that cannot be written is refused before the work")
  func unwritablePlace() throws {
    let infer = try run([
      "infer", "-c", configuration, "-o", "Global.pretrained_model=\(weights)", "-o", "Infer.save_dir=none/out.json",
    ])
    #expect(infer.status == 73)
    #expect(infer.errors.contains("none/out.json") && !infer.errors.contains("1.jpg"), "\(infer.errors)")
    #expect(try run(["preprocess", "none.jpg", "--output", "none/x.npy"]).status == 73)
    #expect(try run(["run", "none.pdparams", "--input", "none.npy", "--output", "none/x.npy"]).status == 73)
  }

  @Test("Standard streams that are closed take nothing away from files")
  func closedStreams() throws {
    let tool = ToolRun.tool.path
    func shell(_ command: String) throws -> Int32 {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/bin/sh")
      process.arguments = ["-c", command]
      process.currentDirectoryURL = workspace.url
      try process.run()
      process.waitUntilExit()
      return process.terminationStatus
    }
    let infer =
      "'\(tool)' infer -c c.yaml -o Global.pretrained_model='\(weights)' -o Infer.save_dir=out -o Infer.batch_size=1"
    #expect(try shell(infer + " 2>&-") == 65)
    let saved = try JSONSerialization.jsonObject(
      with: Data(contentsOf: workspace.url.appendingPathComponent("out.json")))
    #expect((saved as? [Any])?.count == 1)
    #expect(try shell("'\(tool)' predict pictures/0.png --weights '\(weights)' >&- 2>/dev/null") == 73)
  }

  @Test("What a configuration gets wrong is an error of the configuration")
  func configurationErrors() throws {
    let count = try run([
      "infer", "-c", configuration, "-o", "Global.pretrained_model=\(weights)", "-o", "Arch.class_num=0",
    ])
    #expect(count.status == 78)
    #expect(count.errors.contains("c.yaml: Arch.class_num"), "\(count.errors)")
    try workspace.write("PostProcess: {main_indicator: Topk, Topk: {topk: 1}}\n", "empty.yaml")
    let empty = try run(["predict", "pictures/0.png", "-c", "empty.yaml", "--weights", weights])
    #expect(empty.status == 78)
    #expect(empty.errors.contains("PreProcess.transform_ops"), "\(empty.errors)")
    #expect(try run(["summary", weights, "--class-num", "3"]).status == 64)
  }
}
