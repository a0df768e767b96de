import Foundation
import HGNet
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetVision
import Testing

@Suite("Pictures through the tool")
struct PredictionTests {
  let workspace: Workspace
  let weights: String
  let configuration: String

  init() throws {
    workspace = try Workspace()
    weights = workspace.path("b0.pdparams")
    let graph = try Model.b0.graph(options: ModelOptions(classCount: 4, classExpand: 32))
    try PaddleParameters.write(Model.randomParameters(for: graph, seed: 11), to: weights)
    for index in 0..<3 {
      let size = Size(height: 40 + index, width: 50)
      let pixels = (0..<(size.height * size.width * 3)).map { UInt8(truncatingIfNeeded: $0 &* (index + 3) >> 2) }
      try FileManager.default.createDirectory(atPath: workspace.path("pictures"), withIntermediateDirectories: true)
      try Image(size: size, pixels: pixels).write(to: workspace.path("pictures/\(index).png"))
    }
    try workspace.write("not a picture", "pictures/9.jpg")
    try workspace.write("0 red\n1 light green, lime\n2 it's blue\n3 grey\n", "labels.txt")
    configuration = try workspace.write(
      """
      Global: {pretrained_model: null, device: cpu}
      Arch: {name: PPHGNetV2_B0, class_num: 4, class_expand: 32, pretrained: False}
      Infer:
        infer_imgs: pictures
        batch_size: 3
        transforms:
          - DecodeImage: {to_rgb: True, channel_first: False}
          - ResizeImage: {resize_short: 36}
          - CropImage: {size: 32}
          - NormalizeImage: {scale: 1.0/255.0, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], order: ''}
          - ToCHWImage:
        PostProcess: {name: Topk, topk: 2, class_id_map_file: labels.txt}
      """, "small.yaml")
  }

  private func run(_ arguments: [String]) throws -> ToolRun { try ToolRun(arguments, folder: workspace.url.path) }

  @Test("infer prints one line per batch, loses no picture of a batch with a bad one, and says so in its status")
  func infer() throws {
    let run = try run(["infer", "-c", configuration, "-o", "Global.pretrained_model=b0", "-o", "Infer.batch_size=2"])
    #expect(run.status == 65)
    let lines = run.output.split(separator: "\n")
    #expect(lines.count == 2)
    for line in lines {
      #expect(line.wholeMatch(of: /\[[0-9\/]{10} [0-9:]{8}\] ppcls INFO: \[\{.*\}\]/) != nil, "\(line)")
    }
    #expect(lines.last?.contains("'file_name': 'pictures/2.png'") == true)
    #expect(run.errors.contains("pictures/9.jpg"))
    #expect(run.errors.contains("1 of 4 pictures"))
  }

  @Test("infer saves one JSON list", arguments: ["out", "out.json"])
  func save(name: String) throws {
    let run = try run([
      "infer", "-c", configuration, "-o", "Global.pretrained_model=\(weights)", "-o", "Infer.save_dir=\(name)",
    ])
    #expect(run.status == 65)
    #expect(run.output.isEmpty)
    let saved = try #require(
      try JSONSerialization.jsonObject(with: Data(contentsOf: workspace.url.appendingPathComponent("out.json")))
        as? [[String: Any]])
    #expect(saved.map { $0["file_name"] as? String } == ["pictures/0.png", "pictures/1.png", "pictures/2.png"])
    #expect((saved.first?["scores"] as? [Double])?.count == 2)
    #expect((saved.first?["label_names"] as? [String])?.count == 2)
  }

  @Test("A list file names the pictures")
  func list() throws {
    try workspace.write("2.png 1\n0.png 0\n", "list.txt")
    let run = try run([
      "infer", "-c", configuration, "-o", "Global.pretrained_model=b0.pdparams", "-o", "Infer.infer_list=list.txt",
    ])
    #expect(run.status == 0)
    #expect(run.output.contains("pictures/0.png"))
    #expect(!run.output.contains("pictures/1.png"))
  }

  @Test("Multi-label: every class that reaches the threshold, in PaddleClas' order of keys")
  func multiLabel() throws {
    let run = try run(
      [
        "infer", "-c", configuration, "-o", "Global.pretrained_model=b0", "-o", "Infer.infer_imgs=pictures/0.png", "-o",
        "Infer.PostProcess={'name': 'MultiLabelThreshOutput', 'threshold': 0.0, 'class_id_map_file': 'labels.txt'}",
      ])
    #expect(run.status == 0)
    #expect(run.output.contains("{'class_ids': [0, 1, 2, 3], 'scores': ["))
    #expect(
      run.output.contains(
        "'label_names': ['red', 'light green, lime', \"it's blue\", 'grey'], 'file_name': 'pictures/0.png'}"))
  }

  @Test("Another number of classes needs --new-head")
  func newHead() throws {
    let arguments = [
      "infer", "-c", configuration, "-o", "Global.pretrained_model=b0", "-o", "Infer.infer_imgs=pictures/0.png", "-o",
      "Arch.class_num=6",
    ]
    #expect(try run(arguments).status == 65)
    let allowed = try run(arguments + ["--new-head"])
    #expect(allowed.status == 0)
    #expect(allowed.errors.contains("new and untrained"))
  }

  @Test("predict with -c prints the deployment's lines")
  func deployment() throws {
    let run = try run([
      "predict", "-c", ToolRun.packageRoot.path + "/Configs/inference_cls.yaml", "-o", "Global.infer_imgs=pictures",
      "-o",
      "PostProcess.Topk.class_id_map_file=labels.txt", "-o", "PostProcess.Topk.topk=2", "--weights", weights,
    ])
    #expect(run.status == 65)
    let lines = run.output.split(separator: "\n")
    #expect(lines.count == 3)
    #expect(
      lines.first?.wholeMatch(
        of: /0\.png:\tclass id\(s\): \[\d, \d\], score\(s\): \[\d\.\d\d, \d\.\d\d\], label_name\(s\): \[.*\]/) != nil,
      "\(run.output)")
  }

  @Test("predict, short form: JSON with scores in full, and an entry for each picture that cannot be read")
  func json() throws {
    let run = try run(["predict", "pictures", "--weights", weights, "--top-k", "3", "--labels", "labels.txt", "--json"])
    #expect(run.status == 65)
    let list = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [[String: Any]])
    #expect(list.count == 4)
    #expect((list[0]["class_ids"] as? [Int])?.count == 3)
    #expect((list[3]["error"] as? String)?.contains("9.jpg") == true)
    let text = try self.run(["predict", "pictures/0.png", "--weights", weights])
    #expect(text.status == 0)
    #expect(text.output.split(separator: "\n").count == 5)
    #expect(text.output.contains("class "))
  }

  @Test("CSV: a header, a line a class, names in quotes where they need them, a line for what cannot be read")
  func csv() throws {
    for name in ["a, b.png", "say \"x\".png", "two\nlines.png"] {
      try FileManager.default.copyItem(
        atPath: workspace.path("pictures/0.png"), toPath: workspace.path("pictures/\(name)"))
    }
    let run = try run(["predict", "pictures", "--weights", weights, "--top-k", "2", "--labels", "labels.txt", "--csv"])
    #expect(run.status == 65)
    #expect(run.output.hasPrefix("file_name,rank,class_id,score,label_name,error\npictures/0.png,1,"))
    #expect(run.output.contains("\n\"pictures/a, b.png\",1,"))
    #expect(run.output.contains("\n\"pictures/say \"\"x\"\".png\",2,"))
    #expect(run.output.contains("\n\"pictures/two\nlines.png\",1,"))
    #expect(run.output.contains(",\"light green, lime\",\n"))
    #expect(run.output.contains("\npictures/9.jpg,,,,,\"pictures/9.jpg: expected a picture"))
    #expect(run.errors.contains("hgnet: 7 pictures, 1 skipped, "))
  }

  @Test("JSON lines and the JSON list hold the same, whatever the batch")
  func jsonLines() throws {
    let arguments = ["predict", "pictures", "--weights", weights]
    let list = try run(arguments + ["--json"]).output
    let lines = try run(arguments + ["--json-lines"]).output.split(separator: "\n")
    #expect(lines.count == 4)
    let parsed = try JSONSerialization.jsonObject(with: Data("[\(lines.joined(separator: ","))]".utf8)) as? NSArray
    #expect(parsed == (try JSONSerialization.jsonObject(with: Data(list.utf8)) as? NSArray))
    for batch in ["1", "2", "64"] { #expect(try run(arguments + ["--json", "--batch", batch]).output == list) }
    #expect(try run(arguments + ["--json", "--csv"]).status == 64)
    let infer = ["infer", "-c", configuration, "-o", "Global.pretrained_model=b0"]
    #expect(try run(infer + ["--json-lines"]).output.split(separator: "\n").count == 4)
    #expect(try run(infer + ["--csv"]).output.hasPrefix("file_name,rank,"))
  }

  @Test("Ctrl-C ends after the batch and leaves a complete JSON list")
  func interrupted() throws {
    try FileManager.default.createDirectory(atPath: workspace.path("many"), withIntermediateDirectories: true)
    for index in 0..<4000 {
      try FileManager.default.linkItem(
        atPath: workspace.path("pictures/0.png"), toPath: workspace.path("many/\(index).png"))
    }
    let process = Process()
    process.executableURL = ToolRun.tool
    process.arguments = ["predict", workspace.path("many"), "--weights", weights, "--json"]
    let (output, errors) = (Pipe(), Pipe())
    process.standardOutput = output
    process.standardError = errors
    try process.run()
    var data = output.fileHandleForReading.availableData
    process.interrupt()
    data += output.fileHandleForReading.readDataToEndOfFile()
    let told = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationReason == .exit)
    #expect(process.terminationStatus == 130)
    let list = try #require(try JSONSerialization.jsonObject(with: data) as? [[String: Any]])
    #expect((1..<4000).contains(list.count))
    #expect(told.contains("stopped by a signal after \(list.count) of 4000 pictures"), "\(told)")
  }

  @Test("preprocess and run give what the classifier computes")
  func seeingInside() throws {
    let input = workspace.path("x.npy")
    let made = try run(["preprocess", "pictures/0.png", "pictures/1.png", "-c", configuration, "--output", input])
    #expect(made.status == 0, "\(made.errors)")
    let tensor = try NumpyArray.read(Blob(mapping: input))
    #expect(tensor.shape == [2, 3, 32, 32])
    let ran = try run(["run", weights, "--input", input, "--output", "y.npy", "--features"])
    #expect(ran.status == 0, "\(ran.errors)")
    let logits = try NumpyArray.read(Blob(mapping: workspace.path("y.npy")))
    #expect(logits.shape == [2, 4])
    let classifier = try Classifier(
      WeightsFile(contentsOf: weights),
      recipe: Recipe(
        transforms: [
          .resizeShort(36, interpolation: .bilinear, backend: .openCV), .centerCrop(Size(32)),
          .normalize(scale: 1.0 / 255, mean: [0.5, 0.5, 0.5], standardDeviation: [0.5, 0.5, 0.5]),
        ], postProcessing: .threshold(-.infinity), activation: Activation.none))
    for index in 0..<2 {
      let expected = try classifier.classify(contentsOf: workspace.path("pictures/\(index).png"))
      #expect(expected.map { Float($0.score) } == Array(logits.values[(index * 4)..<(index * 4 + 4)]))
    }
    let channels = [64, 256, 512, 1024]
    for stage in 0..<4 {
      let features = try NumpyArray.read(Blob(mapping: workspace.path("y.stages.\(stage).npy")))
      #expect(features.shape.dimensions == [2, channels[stage], 8 >> stage, 8 >> stage])
    }
  }

  @Test("summary and bench in JSON")
  func numbers() throws {
    let summary = try #require(
      try JSONSerialization.jsonObject(with: Data(run(["summary", "PPHGNetV2_B0", "--json"]).output.utf8))
        as? [String: Any])
    #expect(summary["parameters"] as? Int == 5_996_550)
    #expect(summary["state_entries"] as? Int == 275)
    #expect(summary["multiply_adds"] as? Int == 321_326_464)
    let bench = try run(["bench", weights, "--iterations", "3", "--input-size", "64x96", "--batch", "2", "--json"])
    #expect(bench.status == 0, "\(bench.errors)")
    let report = try #require(try JSONSerialization.jsonObject(with: Data(bench.output.utf8)) as? [String: Any])
    #expect((report["iteration_milliseconds"] as? [Double])?.count == 3)
    #expect(report["input_size"] as? [Int] == [64, 96])
    for key in ["load_milliseconds", "median_milliseconds", "percentile_99_milliseconds", "peak_memory_bytes"] {
      #expect(report[key] as? Double ?? 0 > 0, "\(key)")
    }
    let roofline = try run(["bench", weights, "--iterations", "2", "--input-size", "64", "--roofline", "--json"])
    let lines = try #require(try JSONSerialization.jsonObject(with: Data(roofline.output.utf8)) as? [String: Any])
    #expect(lines["peak_gflops"] as? Double ?? 0 > 0)
    let steps = try #require(lines["steps"] as? [[String: Any]])
    #expect(steps.first?["name"] as? String == "stem.stem1.conv")
    #expect(steps.count { $0["bound_milliseconds"] as? Double ?? 0 > 0 } == steps.count)
    let text = try run(["summary", "b0"])
    #expect(text.output.contains("5,996,550"))
  }
}
