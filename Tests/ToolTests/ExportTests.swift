import Foundation
import HGNet
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetVision
import Testing

@Suite("Export and conversion through the tool")
struct ExportTests {
  let workspace: Workspace
  let weights: String
  let configuration: String

  init() throws {
    workspace = try Workspace()
    weights = workspace.path("best_model.pdparams")
    let graph = try Model.b0.graph(options: ModelOptions(classCount: 4, classExpand: 32))
    try PaddleParameters.write(
      Model.randomParameters(for: graph, seed: 11), to: weights, internalNames: graph.internalParameterNames)
    let size = Size(height: 60, width: 50)
    let pixels = (0..<(size.height * size.width * 3)).map { UInt8(truncatingIfNeeded: $0 &* 5 >> 2) }
    try Image(size: size, pixels: pixels).write(to: workspace.path("photo.png"))
    try workspace.write("0 red\n1 light green, lime\n2 it's blue\n3 grey\n", "labels.txt")
    configuration = try workspace.write(
      """
      Global: {pretrained_model: null, device: cpu, image_shape: [3, 32, 48], save_inference_dir: ./inference}
      Arch: {name: PPHGNetV2_B0, class_num: 4, class_expand: 32, pretrained: False}
      Infer:
        transforms:
          - DecodeImage: {to_rgb: True, channel_first: False}
          - ResizeImage: {size: [56, 40], interpolation: bilinear, backend: pil}
          - CropImage: {size: [48, 32]}
          - NormalizeImage: {scale: 1.0/255.0, mean: [0.5, 0.4, 0.5], std: [0.5, 0.5, 0.6], order: ''}
          - ToCHWImage:
        PostProcess: {name: Topk, topk: 2, class_id_map_file: labels.txt}
      """, "config.yaml")
  }

  private func predict(_ arguments: [String]) throws -> [[String: Any]] {
    let run = try ToolRun(["predict", "photo.png", "--json"] + arguments, folder: workspace.url.path)
    #expect(run.status == 0, "\(run.errors)")
    return try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [[String: Any]])
  }

  @Test(
    "With a configuration as tools/export_model.py, and prediction with what was written",
    arguments: ["paddle", "paddle-json", "paddle-pdmodel", "onnx"])
  func configured(format: String) throws {
    let run = try ToolRun(
      [
        "export", "-c", "config.yaml", "-o", "Global.pretrained_model=best_model", "-o",
        "Global.save_inference_dir=out/model", "--format", format,
      ], folder: workspace.url.path)
    #expect(run.status == 0, "\(run.errors)")
    #expect(
      run.output.contains(
        " ppcls INFO: Export succeeded! The inference model exported has been saved in \"out/model/inference\".\n"))
    let files: [String: [String]] = [
      "paddle": [
        "inference.json", "inference.pdiparams", "inference.pdiparams.info", "inference.pdmodel", "inference.yml",
      ],
      "paddle-pdmodel": ["inference.pdiparams", "inference.pdiparams.info", "inference.pdmodel", "inference.yml"],
      "paddle-json": ["inference.json", "inference.pdiparams", "inference.yml"],
      "onnx": ["inference.onnx", "inference.yml"],
    ]
    #expect(try FileManager.default.contentsOfDirectory(atPath: workspace.path("out/model")).sorted() == files[format])
    // Transforms, names and top-k come from inference.yml; the numbers are those of the checkpoint beside its configuration.
    let expected = try predict(["--weights", weights])
    let source = "out/model"
    if format == "paddle" {
      for program in ["inference.json", "inference.pdmodel"] {
        #expect(
          try predict(["--weights", "\(source)/\(program)"])[0]["class_ids"] as? [Int] == expected[0]["class_ids"]
            as? [Int])
      }
    }
    let found = try predict(["--weights", source])
    #expect(found[0]["class_ids"] as? [Int] == expected[0]["class_ids"] as? [Int])
    #expect(found[0]["label_names"] as? [String] == expected[0]["label_names"] as? [String])
    #expect((found[0]["label_names"] as? [String])?.count == 2)
    let scores = zip(
      try #require(found[0]["scores"] as? [Double]), try #require(expected[0]["scores"] as? [Double]))
    #expect(scores.allSatisfy { abs($0 - $1) < 1e-6 })
    // inference.yml alone says where the model is and how to use it.
    let line = try ToolRun(["predict", "photo.png", "-c", "out/model/inference.yml"], folder: workspace.url.path)
    #expect(line.status == 0 && line.output.hasPrefix("photo.png:\tclass id(s): ["), "\(line.errors)")
    // An ONNX model carries its recipe also without the file.
    if format == "onnx" {
      try FileManager.default.removeItem(atPath: workspace.path("out/model/inference.yml"))
      #expect(
        try predict(["--weights", source])[0]["label_names"] as? [String] == expected[0]["label_names"] as? [String])
    }
  }

  @Test("The short form, with labels and preprocessing inside")
  func short() throws {
    let run = try ToolRun(
      [
        "export", "--weights", "best_model.pdparams", "--format", "onnx", "--with-preprocessing", "--output", "raw",
        "--labels", "labels.txt", "--input-size", "32x48",
      ], folder: workspace.url.path)
    #expect(run.status == 0, "\(run.errors)")
    let model = try OnnxModel(contentsOf: workspace.path("raw/inference.onnx"))
    #expect(model.metadata["labels"] == #"["red", "light green, lime", "it's blue", "grey"]"#)
    #expect(model.metadata["model"] == "PPHGNetV2_B0")
    #expect(model.graph.inputSize == Size(height: 32, width: 48))
  }

  @Test(
    "Conversions come back to the same bytes",
    arguments: ["a.safetensors", "a.pdmodel", "a.json", "folder/", "folder", "deep/er/a.json"])
  func conversion(name: String) throws {
    let there = try ToolRun(["convert", "best_model.pdparams", name], folder: workspace.url.path)
    #expect(there.status == 0, "\(there.errors)")
    let back = try ToolRun(["convert", name, "back.pdparams"], folder: workspace.url.path)
    #expect(back.status == 0, "\(back.errors)")
    #expect(
      FileManager.default.contents(atPath: workspace.path("back.pdparams"))
        == FileManager.default.contents(atPath: weights))
  }

  @Test("An older program beside new parameters is named")
  func otherProgram() throws {
    let export = ["export", "--weights", "best_model.pdparams", "--input-size", "32x32", "--output", "out", "--format"]
    for (format, other) in [
      ("paddle", nil), ("paddle-json", "inference.pdmodel"), ("paddle-pdmodel", "inference.json"),
    ] {
      let run = try ToolRun(export + [format], folder: workspace.url.path)
      #expect(run.status == 0, "\(run.errors)")
      #expect(run.errors.contains("is of an earlier export") == (other != nil), "\(format): \(run.errors)")
      if let other { #expect(run.errors.contains("warning: out/\(other)"), "\(run.errors)") }
    }
  }

  @Test("timm's names come back")
  func timm() throws {
    for arguments in [["best_model.pdparams", "t.safetensors", "--names", "timm"], ["t.safetensors", "t.pdparams"]] {
      let run = try ToolRun(["convert"] + arguments, folder: workspace.url.path)
      #expect(run.status == 0, "\(run.errors)")
    }
    #expect(
      FileManager.default.contents(atPath: workspace.path("t.pdparams"))
        == FileManager.default.contents(atPath: weights))
  }

  private static let wrong: [([String], Int32)] = [
    (words("export"), 64),
    (words("export --weights best_model.pdparams --opset 17"), 64),
    (words("export --weights best_model.pdparams --format onnx --opset 10"), 64),
    (words("export -c config.yaml --model PPHGNetV2_B0"), 64),
    (words("export --weights best_model.pdparams --names timm"), 64),
    (words("export --weights missing.pdparams"), 66),
    (words("export --weights labels.txt"), 65),
    (words("export --weights best_model.pdparams --output labels.txt"), 73),
    (words("export -c config.yaml"), 78),
    (words("export -c config.yaml -o Global.pretrained_model=best_model -o Global.image_shape=[1,2]"), 78),
    (words("convert best_model.pdparams a.pth"), 64),
    (words("convert best_model.pdparams"), 64),
    (words("convert best_model.pdparams a.pdparams --names timm"), 64),
    (words("convert labels.txt a.safetensors"), 65),
  ]

  private static func words(_ line: String) -> [String] { line.split(separator: " ").map(String.init) }

  @Test("Mistakes are told", arguments: wrong)
  func mistakes(arguments: [String], status: Int32) throws {
    let run = try ToolRun(arguments, folder: workspace.url.path)
    #expect(run.status == status, "\(run.errors)")
    #expect(run.output.isEmpty)
    #expect(!run.errors.isEmpty)
  }

  @Test("--precision decides what the numbers are; what does not go together is refused") func precision() throws {
    func export(_ arguments: [String]) throws -> ToolRun {
      try ToolRun(
        ["export", "--weights", "best_model.pdparams", "--output", "halves"] + arguments, folder: workspace.url.path)
    }
    let run = try export(["--format", "safetensors", "--precision", "float16"])
    #expect(run.status == 0, "\(run.errors)")
    let half = try Safetensors.read(Blob(mapping: workspace.path("halves/model.safetensors"))).parameters
    #expect(half.names.allSatisfy { half[$0]?.elementType == .float16 })
    let integers = try export(["--format", "onnx", "--precision", "int8"])
    #expect(integers.status == 65 && integers.errors.contains("hgnet quantize"), "\(integers.errors)")
    for wrong in [
      ["--symmetric"], ["--format", "onnx", "--symmetric"],
      ["--format", "onnx", "--symmetric", "--precision", "float16"],
    ] {
      let run = try export(wrong)
      #expect(run.status == 64 && run.errors.contains("--symmetric"), "\(run.errors)")
    }
  }
}
