import Foundation
import HGNet
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetVision
import Testing

/// The recipe of weights through every command.
@Suite("One recipe through every command")
struct RecipeTests {
  let workspace: Workspace
  let names = ["ash", "birch", "cedar", "date"]

  init() throws {
    workspace = try Workspace()
    let graph = try Model.b0.graph(options: ModelOptions(classCount: 4, classExpand: 32))
    for name in ["run/best_model.pdparams", "bare.pdparams"] {
      try workspace.write("", name)
      try PaddleParameters.write(
        Model.randomParameters(for: graph, seed: 21), to: workspace.path(name),
        internalNames: graph.internalParameterNames)
    }
    try workspace.write(names.enumerated().map { "\($0.offset) \($0.element)\n" }.joined(), "run/labels.txt")
    try workspace.write(
      "1 ash\n2 birch\n3 cedar\n4 date\n", "one-based.txt")
    try configure()
    try write("photo.png", seed: 3)
  }

  private func write(_ name: String, seed: Int) throws {
    let size = Size(height: 70, width: 100)
    let pixels = (0..<(size.height * size.width * 3)).map { UInt8(truncatingIfNeeded: $0 &* (2 * seed + 1) >> 3) }
    try workspace.write("", name)
    try Image(size: size, pixels: pixels).write(to: workspace.path(name))
  }

  private func configure(
    global: String = "", architecture: String = "", post: String = "Topk, topk: 2", labels: String = "run/labels.txt"
  ) throws {
    try workspace.write(
      """
      Global: {image_shape: [3, 64, 64]\(global)}
      Arch: {name: PPHGNetV2_B0, class_num: 4, class_expand: 32\(architecture)}
      Infer:
        transforms:
          - DecodeImage: {to_rgb: True, channel_first: False}
          - ResizeImage: {resize_short: 66, interpolation: bicubic, backend: pil}
          - CropImage: {size: 64}
          - NormalizeImage: {scale: 1.0/255.0, mean: [0.5, 0.4, 0.5], std: [0.5, 0.5, 0.6], order: ''}
          - ToCHWImage:
        PostProcess: {name: \(post), class_id_map_file: \(labels)}
      """, "run/config.yaml")
  }

  private func run(_ line: String, status: Int32 = 0) throws -> ToolRun {
    let run = try ToolRun(line.split(separator: " ").map(String.init), folder: workspace.url.path)
    #expect(run.status == status, "\(line): \(run.errors)")
    return run
  }

  private struct Answer: Equatable {
    var indices: [Int]
    var names: [String]
    var scores: [Double]
  }

  private func predict(_ weights: String, _ more: String = "") throws -> Answer {
    let run = try run("predict photo.png --json --weights \(weights) \(more)")
    let list = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [[String: Any]])
    return Answer(
      indices: try #require(list[0]["class_ids"] as? [Int]), names: try #require(list[0]["label_names"] as? [String]),
      scores: try #require(list[0]["scores"] as? [Double]))
  }

  @Test("The library and the tool answer alike")
  func library() throws {
    let answer = try Classifier(weights: workspace.path("run/best_model.pdparams")).classify(
      contentsOf: workspace.path("photo.png"))
    let told = try predict("run/best_model")
    #expect(told.indices == answer.map(\.index) && told.names == answer.map(\.label))
    #expect(zip(told.scores, answer).allSatisfy { abs($0 - $1.score) < 1e-12 })
    _ = try run("preprocess photo.png --weights run/best_model --output seen.npy")
    #expect(try NumpyArray.read(Blob(mapping: workspace.path("seen.npy"))).shape == [1, 3, 64, 64])
  }

  @Test(
    "The short and the long form of export write the same bytes, which answer alike",
    arguments: ["paddle", "paddle-json", "onnx", "safetensors"],
    [
      ("", "", "Topk, topk: 2"), (", use_multilabel: True", "", "MultiLabelThreshOutput, threshold: 0.3"),
      (", pdx_model_name: mine", ", infer_add_softmax: False", "Topk, topk: 3"),
    ] as [(String, String, String)])
  func export(format: String, kind: (global: String, architecture: String, post: String)) throws {
    try configure(global: kind.global, architecture: kind.architecture, post: kind.post)
    _ = try run("export --weights run/best_model --format \(format) --output short")
    _ = try run(
      "export -c run/config.yaml -o Global.pretrained_model=run/best_model --format \(format) --output long")
    let files = try FileManager.default.contentsOfDirectory(atPath: workspace.path("short")).sorted()
    #expect(files == (try FileManager.default.contentsOfDirectory(atPath: workspace.path("long")).sorted()))
    for file in files {
      let (short, long) = (workspace.path("short/\(file)"), workspace.path("long/\(file)"))
      #expect(FileManager.default.contents(atPath: short) == FileManager.default.contents(atPath: long), "\(file)")
    }
    let (expected, found) = (try predict("run/best_model"), try predict("short"))
    #expect(found.indices == expected.indices && found.names == expected.names)
    if !kind.architecture.contains("False") || format == "safetensors" {
      #expect(zip(found.scores, expected.scores).allSatisfy { abs($0 - $1) < 1e-5 })
    }
  }

  @Test("Conversion takes the recipe along", arguments: ["c.onnx", "c.safetensors", "c.json", "c.pdmodel", "c/"])
  func convert(name: String) throws {
    try configure(global: ", use_multilabel: True", post: "Topk, topk: 3")
    let told = try run("convert run/best_model.pdparams \(name)")
    #expect(!told.errors.contains("note:"))
    let (expected, found) = (try predict("run/best_model"), try predict(name))
    #expect(found.indices == expected.indices && found.names == expected.names)
    #expect(zip(found.scores, expected.scores).allSatisfy { abs($0 - $1) < 1e-5 })
  }

  @Test("A format without a place for the recipe says so, and bare weights stay bare")
  func noPlace() throws {
    #expect(try run("convert run/best_model.pdparams other.pdparams").errors.contains("no place for the recipe"))
    _ = try run("convert bare.pdparams bare/")
    #expect(!FileManager.default.fileExists(atPath: workspace.path("bare/inference.yml")))
  }

  @Test("One line says what is assumed; a declared size is kept")
  func assumed() throws {
    #expect(try run("predict photo.png --weights bare.pdparams").errors.contains("crop 224×224, softmax"))
    #expect(try run("predict photo.png --weights run/best_model").errors.isEmpty)
    _ = try run("export --weights bare.pdparams --input-size 64 --format onnx --output small")
    try FileManager.default.removeItem(atPath: workspace.path("small/inference.yml"))
    let model = try OnnxModel(contentsOf: workspace.path("small/inference.onnx"))
    #expect(model.declaredInputSize == Size(64))
  }

  @Test("A threshold filters the scores of the weights' own head, exported or not")
  func threshold() throws {
    let whole = try predict("run/best_model", "--threshold 0")
    #expect(abs(whole.scores.reduce(0, +) - 1) < 1e-9)
    _ = try run("export --weights run/best_model --format onnx --output out")
    let exported = try predict("out", "--threshold 0")
    #expect(exported.indices == whole.indices)
    #expect(zip(exported.scores, whole.scores).allSatisfy { abs($0 - $1) < 1e-5 })
  }

  @Test("Names that cannot be those of the classes: an error where they were named, a line where they were found")
  func labels() throws {
    for command in [
      "predict photo.png --weights run/best_model --labels one-based.txt",
      "export --weights run/best_model --labels one-based.txt --output no",
    ] { #expect(try run(command, status: 65).errors.contains("number them from 0")) }
    try configure(labels: "ppcls/utils/imagenet1k_label_list.txt")
    let found = try run("predict photo.png --weights run/best_model")
    #expect(found.errors.contains("1000 of ImageNet") && !found.output.contains("tench"))
    let configured = try run(
      "infer -c run/config.yaml -o Global.pretrained_model=run/best_model -o Infer.infer_imgs=photo.png")
    #expect(configured.errors.contains("1000 of ImageNet") && configured.output.contains("'label_names': []"))
  }

  // MARK: Evaluation of folders

  private func top1(_ run: ToolRun) throws -> (value: Double, pictures: Int) {
    let object = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
    let metrics = try #require(object["metrics"] as? [String: Any])
    return (try #require(metrics["top1"] as? Double), try #require(object["pictures"] as? Int))
  }

  @Test("The names of folders say which class they are")
  func evaluation() throws {
    // What the network says is the truth of these pictures; then every one of them is right.
    var counts: [String: Int] = [:]
    for seed in 1...8 {
      try write("photo.png", seed: seed * 5)
      let name = try predict("run/best_model").names[0]
      try FileManager.default.createDirectory(
        atPath: workspace.path("some/\(name)"), withIntermediateDirectories: true)
      try FileManager.default.copyItem(
        atPath: workspace.path("photo.png"), toPath: workspace.path("some/\(name)/\(seed).png"))
      counts[name, default: 0] += 1
    }
    let some = try top1(run("eval --data some --weights run/best_model --json"))
    #expect(some.value == 1 && some.pictures == 8)
    try write("some/yew/1.png", seed: 2)
    let unknown = try run("eval --data some --weights run/best_model", status: 65)
    #expect(
      unknown.errors.contains("yew: no class of the network") && unknown.errors.contains("ash, birch, cedar, date"))
  }

  @Test("Some folders that are named by ImageNet's synsets are its classes")
  func synsets() throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../..")
    let list = try String(contentsOf: root.appendingPathComponent("Scripts/imagenet_wnids.txt"), encoding: .utf8)
    let synsets = list.split(separator: "\n")
    let graph = try Model.b0.graph(options: ModelOptions(classExpand: 32))
    try PaddleParameters.write(
      Model.randomParameters(for: graph, seed: 22), to: workspace.path("whole.pdparams"),
      internalNames: graph.internalParameterNames)
    // What the network says is the truth of these pictures; then every one of them is right.
    for seed in 1...4 {
      try write("photo.png", seed: seed * 5)
      let answer = try run("predict photo.png --json --weights whole.pdparams")
      let answers = try #require(try JSONSerialization.jsonObject(with: Data(answer.output.utf8)) as? [[String: Any]])
      let number = try #require((answers.first?["class_ids"] as? [Int])?.first)
      try write("part/\(synsets[number])/\(seed).png", seed: seed * 5)
    }
    let part = try run("eval --data part --weights whole.pdparams --json")
    #expect(try top1(part).value == 1 && top1(part).pictures == 4)
    #expect(part.errors.contains("named by synset"), "\(part.errors)")
    // A synset of WordNet that is no class of ImageNet-1k, and a name that nobody knows.
    try write("part/n00001740/1.png", seed: 2)
    try write("part/yew/1.png", seed: 2)
    let unknown = try run("eval --data part --weights whole.pdparams", status: 65)
    #expect(unknown.errors.contains("n00001740, yew: no class of the network"), "\(unknown.errors)")
    #expect(unknown.errors.contains("n01440764"))
  }

  @Test("Names of classes that begin with a synset are known by it")
  func synsetsInNames() throws {
    try workspace.write("0 n01440764 ash\n1 n01443537, birch\n2 cedar\n3 n04\n", "run/labels.txt")
    for (name, seed) in [("n01440764", 1), ("n01443537", 2), ("cedar", 3)] {
      try write("some/\(name)/1.png", seed: seed)
    }
    let found = try run("eval --data some --weights run/best_model --json")
    #expect(try top1(found).pictures == 3)
    try write("some/n01484850/1.png", seed: 4)
    let unknown = try run("eval --data some --weights run/best_model", status: 65)
    #expect(unknown.errors.contains("n01484850: no class of the network"), "\(unknown.errors)")
  }

  @Test("Weights of several labels are not measured as if a picture had one")
  func severalLabels() throws {
    try configure(global: ", use_multilabel: True", post: "MultiLabelThreshOutput, threshold: 0.5")
    for (index, name) in names.prefix(2).enumerated() {
      for number in 0..<3 { try write("some/\(name)/\(number).png", seed: 3 * index + number + 1) }
    }
    let run = try run("eval --data some --weights run/best_model --json")
    let object = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
    let metrics = try #require(object["metrics"] as? [String: Any])
    let losses = try #require(object["losses"] as? [String: Any])
    #expect(Array(metrics.keys) == ["MultiLabelMAP(integral)"])
    #expect(losses["MultiLabelLoss"] != nil)
    #expect(run.errors.contains("several labels") && run.errors.contains("MultiLabelMAP"), "\(run.errors)")
    // The mean over the two classes that have pictures, from the scores that predict tells.
    var scores: [String: [(score: Double, name: String)]] = [:]
    for name in names.prefix(2) {
      let answer = try self.run("predict some/\(name) --json --threshold 0 --weights run/best_model")
      let list = try #require(try JSONSerialization.jsonObject(with: Data(answer.output.utf8)) as? [[String: Any]])
      for picture in list {
        let labels = try #require(picture["label_names"] as? [String])
        for (label, score) in zip(labels, try #require(picture["scores"] as? [Double])) {
          scores[label, default: []].append((score, name))
        }
      }
    }
    let precisions = names.prefix(2).map { label -> Double in
      let order = (scores[label] ?? []).sorted { $0.score > $1.score }
      let hits = order.indices.filter { order[$0].name == label }
      return hits.enumerated().reduce(0) { $0 + Double($1.offset + 1) / Double($1.element + 1) } / 3
    }
    let expected = precisions.reduce(0, +) / 2
    #expect(abs(try #require(metrics["MultiLabelMAP(integral)"] as? Double) - expected) < 1e-9)
  }

  @Test("Of the folder that was trained on, the pictures count that were held out")
  func heldOut() throws {
    for (index, name) in ["left", "right"].enumerated() {
      for number in 0..<10 { try write("data/\(name)/\(number).png", seed: 20 * index + number + 1) }
    }
    _ = try run(
      "train --data data --from-scratch --input-size 32 --batch 9 --epochs 1 --threads 1 --seed 4 --output output")
    let own = try run("eval --data data --weights output/best_model --json")
    #expect(try top1(own).pictures == 2)
    #expect(own.errors.contains("held out"))
    let all = try run("eval --data data --weights output/best_model --json --all")
    #expect(try top1(all).pictures == 20)
    #expect(all.errors.contains("18 of 20 pictures were trained on"))
    // A copy under other folders above, with a stranger.
    try FileManager.default.copyItem(atPath: workspace.path("data"), toPath: workspace.path("copy"))
    try write("copy/left/new.png", seed: 77)
    let copy = try run("eval --data copy --weights output/best_model --json")
    #expect(try top1(copy).pictures == 21)
    #expect(copy.errors.contains("18 of 21 pictures were trained on"))
    // From elsewhere the same.
    let elsewhere = try ToolRun(
      ["eval", "--data", "../data", "--weights", "../output/best_model", "--json"], folder: workspace.path("run"))
    #expect(try top1(elsewhere).pictures == 2, "\(elsewhere.errors)")
  }
}
