import Foundation
import HGNet
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetVision
import Testing

@Suite("Backbones and transformers' classifiers through the tool")
struct BackboneTests {
  let workspace: Workspace
  let backbone: ParameterStore

  init() throws {
    workspace = try Workspace()
    let graph = try Model.b0.backboneGraph(options: ModelOptions(useLastConvolution: false))
    backbone = Model.randomParameters(for: graph, seed: 5)
    // As a detector's checkpoint holds it.
    let timm = try NameTranslation.fromPaddle(backbone, to: .timm)
    var detector = ParameterStore()
    for name in timm.names { detector["backbone.\(name)"] = timm[name] }
    detector["decoder.score.weight"] = Parameter(Tensor(shape: [3, 4]))
    try Safetensors.write(detector, to: workspace.path("detector.safetensors"))
    let values: [Float] = (0..<6144).map { (index: Int) -> Float in Float(index % 31) / 15 - 1 }
    try NumpyArray.write(Tensor(shape: [2, 3, 32, 32], values: values), to: workspace.path("x.npy"))
  }

  private func run(_ arguments: [String]) throws -> ToolRun { try ToolRun(arguments, folder: workspace.url.path) }

  @Test("run writes features, and says that there are no logits")
  func features() throws {
    let arguments = ["run", "detector.safetensors", "--input", "x.npy", "--output", "y.npy"]
    let refused = try run(arguments)
    #expect(refused.status == 65)
    #expect(refused.errors.contains("found a backbone without one (PPHGNetV2_B0)"), "\(refused.errors)")
    let done = try run(arguments + ["--features"])
    #expect(done.status == 0, "\(done.errors)")
    #expect(done.errors.contains("note: a backbone without a classifier"))
    let embedding = try NumpyArray.read(Blob(mapping: workspace.path("y.npy")))
    let last = try NumpyArray.read(Blob(mapping: workspace.path("y.stages.3.npy")))
    #expect(embedding.shape == [2, 1024])
    #expect(last.shape == [2, 1024, 1, 1])
    #expect(embedding.values == last.values)
  }

  @Test("predict and eval say what a backbone is good for")
  func classes() throws {
    try Image(size: Size(40), pixels: [UInt8](repeating: 90, count: 4800)).write(to: workspace.path("a.png"))
    let run = try run(["predict", "a.png", "--weights", "detector.safetensors"])
    #expect(run.status == 65)
    #expect(run.output.isEmpty)
    #expect(run.errors.contains("detector.safetensors: expected a classifier, found a backbone without one"))
    #expect(run.errors.contains("hgnet train"))
    #expect(run.errors.contains("hgnet run --features"))
  }

  @Test("convert turns a backbone into any names, and names what has no place")
  func conversion() throws {
    for (name, names) in [("a.safetensors", "huggingface"), ("b.safetensors", "timm"), ("c.safetensors", "paddle")] {
      let run = try run(["convert", "detector.safetensors", name, "--names", names])
      #expect(run.status == 0, "\(run.errors)")
      #expect(run.errors.contains("a backbone without a classifier"))
      #expect(run.errors.contains("1 around the network ignored (decoder.score.weight)"), "\(run.errors)")
      #expect(!run.errors.contains("warning"))
      let file = try WeightsFile(contentsOf: workspace.path(name))
      #expect(backbone.names.allSatisfy { file.parameters[$0]?.tensor().values == backbone[$0]?.tensor().values })
    }
    let refused = try run(["convert", "a.safetensors", "d.onnx"])
    #expect(refused.status == 65)
    #expect(refused.errors.contains("found a backbone without one, which is written as a state dictionary"))
    var whole = backbone
    let graph = try Model.b0.graph(options: ModelOptions(classCount: 3, classExpand: 16))
    let fresh = Model.randomParameters(for: graph, seed: 6)
    for name in fresh.names where whole[name] == nil { whole[name] = fresh[name] }
    try PaddleParameters.write(whole, to: workspace.path("whole.pdparams"))
    let run = try run(["convert", "whole.pdparams", "e.safetensors", "--names", "huggingface"])
    #expect(run.status == 0, "\(run.errors)")
    #expect(
      run.errors.contains(
        "warning: the names of transformers have no place for last_conv.weight, lab.scale, lab.bias, fc.weight, fc.bias"
      ),
      "\(run.errors)")
  }

  @Test("train puts a new head on a backbone, and says so")
  func training() throws {
    for picture in 0..<8 {
      let pixels = (0..<4800).map { UInt8(truncatingIfNeeded: $0 &* (picture % 2 == 0 ? 3 : 7)) }
      let name = "data/\(picture % 2 == 0 ? "even" : "odd")/\(picture).png"
      try workspace.write("", name)
      try Image(size: Size(40), pixels: pixels).write(to: workspace.path(name))
    }
    let run = try run([
      "train", "--data", "data", "--weights", "detector.safetensors", "--input-size", "32", "--batch", "4", "--epochs",
      "1",
      "--threads", "1",
    ])
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.output.contains("5 new with fresh values (last_conv.weight; lab.scale; lab.bias; fc.weight; fc.bias)"))
    #expect(try WeightsFile(contentsOf: workspace.path("output/latest")).graph.classCount == 2)
    // An inference model has other names, which are found again by its structure.
    let graph = try Model.b0.graph(options: ModelOptions(classCount: 5))
    try PaddleParameters.write(Model.randomParameters(for: graph, seed: 6), to: workspace.path("whole.pdparams"))
    let converted = try self.run(["convert", "whole.pdparams", "five.pdmodel"])
    #expect(converted.status == 0, "\(converted.errors)")
    let again = try self.run([
      "train", "--data", "data", "--weights", "five.pdmodel", "--input-size", "32", "--batch", "4", "--epochs", "1",
      "--threads", "1", "--output", "again",
    ])
    #expect(again.status == 0, "\(again.errors)")
    #expect(again.output.contains("2 new with fresh values (fc.weight; fc.bias)"))
  }
}
