import Foundation
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetVision
import Testing

@Suite("Bad input gives one clear error and the right exit status")
struct BadInputTests {
  let workspace: Workspace
  let weights: String
  let picture: String
  let yaml =
    "Arch: {name: PPHGNetV2_B0, class_num: 4, class_expand: 32}\nInfer:\n  infer_imgs: p.png\n"
    + "  transforms: [{CropImage: {size: 32}}, {NormalizeImage: }]\n"

  init() throws {
    workspace = try Workspace()
    weights = workspace.path("w.safetensors")
    let graph = try Model.b0.graph(options: ModelOptions(classCount: 4, classExpand: 32))
    try Safetensors.write(Model.randomParameters(for: graph, seed: 11), to: weights)
    picture = workspace.path("p.png")
    try Image(size: Size(40), pixels: [UInt8](repeating: 100, count: 4800)).write(to: picture)
  }

  /// Runs the tool and checks status, the one error line, and that nothing was printed as a result.
  private func refuse(_ arguments: [String], status: Int32, mentions words: [String]) throws {
    let run = try ToolRun(arguments, folder: workspace.url.path)
    #expect(run.status == status, "\(arguments): \(run.errors)")
    #expect(run.output.isEmpty, "\(run.output)")
    let lines = run.errors.split(separator: "\n").filter {
      $0.hasPrefix("hgnet: error:") || $0.hasPrefix("hgnet: warning:")
    }
    #expect(lines.count == 1, "\(run.errors)")
    for word in words { #expect(run.errors.contains(word), "\(arguments): expected \(word) in \(run.errors)") }
  }

  #if !MPI
    @Test("One of several processes that a launcher has started, in a build without MPI")
    func launcher() throws {
      let commands = [
        ["train", "--data", "."], ["eval", "--data", "."], ["predict", picture, "--weights", weights],
      ]
      for command in commands {
        for variable in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"] {
          let run = try ToolRun(command, environment: [variable: "2"], folder: workspace.url.path)
          #expect(run.status == 65 && run.output.isEmpty, "\(run.errors)")
          #expect(run.errors.contains("swift build -c release --product hgnet --traits MPI"), "\(run.errors)")
        }
      }
      let alone = try ToolRun(
        ["predict", picture, "--weights", weights], environment: ["OMPI_COMM_WORLD_SIZE": "1"],
        folder: workspace.url.path)
      #expect(alone.status == 0, "\(alone.errors)")
    }
  #endif

  @Test("Weights")
  func weightsFiles() throws {
    let picture = self.picture
    func predict(_ file: String, _ status: Int32, _ words: String...) throws {
      try refuse(["predict", picture, "--weights", file], status: status, mentions: words)
    }
    try predict("none.pdparams", 66, "none.pdparams", "no such file")
    try predict(".", 66, "inference")
    try predict(try workspace.write("", "empty.pdparams"), 65, "empty.pdparams", "empty")
    try predict(
      try workspace.write(Data((0..<2000).map { UInt8(truncatingIfNeeded: $0 &* 77 >> 3) }), "random.pdparams"), 65,
      "random.pdparams")
    let whole = try Data(contentsOf: URL(fileURLWithPath: weights))
    try predict(try workspace.write(whole.prefix(whole.count / 2), "half.safetensors"), 65, "half.safetensors")
    try predict(try workspace.write(whole.prefix(100), "head.safetensors"), 65, "head.safetensors")
    try predict(try workspace.write("<html>404</html>", "page.pdparams"), 65, "web page")
    try predict(try workspace.write(Data(contentsOf: URL(fileURLWithPath: picture)), "p.pdparams"), 65, "picture")
    let header =
      "{\"stem.stem1.conv.weight\":{\"dtype\":\"F32\",\"shape\":[1152921504606846976],\"data_offsets\":[0,4]}}"
    var huge = Data()
    withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { huge.append(contentsOf: $0) }
    huge.append(Data(header.utf8))
    huge.append(Data(count: 4))
    try predict(try workspace.write(huge, "huge.safetensors"), 65, "huge.safetensors")
    // A pickle that would call os.system.
    let pickle =
      Data([0x80, 2]) + Data("cos\nsystem\nX\u{4}\u{0}\u{0}\u{0}true\u{85}R.".unicodeScalars.map { UInt8($0.value) })
    try predict(try workspace.write(pickle, "evil.pdparams"), 65, "evil.pdparams", "os")
  }

  @Test("Models and classes")
  func models() throws {
    try refuse(["predict", picture, "--weights", weights, "--model", "b1"], status: 65, mentions: ["PPHGNetV2_B0"])
    try refuse(["summary", "PPHGNetV2_B9"], status: 64, mentions: ["PPHGNetV2_B"])
    let file = try workspace.write(yaml, "c.yaml")
    try refuse(
      ["infer", "-c", file, "-o", "Arch.class_num=9", "-o", "Global.pretrained_model=w.safetensors"], status: 65,
      mentions: ["fc.weight", "class_num"])
    try refuse(["predict", picture, "--offline"], status: 66, mentions: ["--weights FILE", "make demo"])
    try refuse(["infer", "-c", file], status: 78, mentions: ["Global.pretrained_model", "make demo"])
  }

  @Test("Pictures")
  func pictures() throws {
    func predict(_ path: String, _ status: Int32, _ words: String...) throws {
      try refuse(["predict", path, "--weights", weights], status: status, mentions: words)
    }
    try predict("none.jpg", 66, "none.jpg")
    try FileManager.default.createDirectory(atPath: workspace.path("nothing"), withIntermediateDirectories: true)
    try predict("nothing", 66, "not found any img file in nothing")
    try predict(try workspace.write("", "empty.jpg"), 65, "empty.jpg")
    try predict(try workspace.write("text", "text.png"), 65, "text.png")
    let whole = try Data(contentsOf: URL(fileURLWithPath: picture))
    try predict(try workspace.write(whole.prefix(whole.count - 20), "cut.png"), 65, "cut.png")
    // 60 000 × 60 000 pixels, said in the header of a bitmap.
    var bitmap = Data("BM".utf8)
    for number in [54 + 3_000_000, 0, 54, 40, 60_000, 60_000, 1 | 24 << 16, 0, 0, 2835, 2835, 0, 0] as [UInt32] {
      withUnsafeBytes(of: number.littleEndian) { bitmap.append(contentsOf: $0) }
    }
    try predict(try workspace.write(bitmap, "huge.bmp"), 65, "huge.bmp", "60000")
  }

  @Test("Configurations")
  func configurations() throws {
    func infer(_ text: String, _ status: Int32, _ words: String...) throws {
      let file = try workspace.write(text, "c.yaml")
      try refuse(["infer", "-c", file], status: status, mentions: words + ["c.yaml"])
    }
    try refuse(["infer", "-c", "none.yaml"], status: 66, mentions: ["none.yaml"])
    try refuse(["infer", "-c", "."], status: 66, mentions: ["folder"])
    try refuse(["infer"], status: 64, mentions: ["-c FILE"])
    try infer("Infer:\n\tinfer_imgs: a\n", 78, "tab", ":2")
    try infer("Infer:\n  infer_img: a\n", 78, "Infer.infer_img", "did you mean Infer.infer_imgs")
    try infer("Infer: {infer_imgs: a}\nInfer: {}\n", 78, "again")
    try infer("just text", 78, "configuration")
    try infer("", 78, "Infer.infer_imgs")
    let file = try workspace.write(yaml, "c.yaml")
    try refuse(["infer", "-c", file, "-o", "nonsense"], status: 64, mentions: ["KEY=VALUE"])
    try refuse(["infer", "-c", file, "-o", "Arch.nam=x"], status: 78, mentions: ["Arch.name"])
    try refuse(
      ["infer", "-c", file, "-o", "Arch.name=PPHGNetV2_B7"], status: 78, mentions: ["Arch.name", "PPHGNetV2_B"])
  }

  @Test("Tensors and outputs")
  func tensors() throws {
    try NumpyArray.write(Tensor(shape: [1, 4, 32, 32]), to: workspace.path("x.npy"))
    try refuse(["run", weights, "--input", "x.npy", "--output", "y.npy"], status: 65, mentions: ["[N, 3, H, W]"])
    try NumpyArray.write(Tensor(shape: [1, 3, 8, 8]), to: workspace.path("x.npy"))
    let small = try ToolRun(["run", weights, "--input", "x.npy", "--output", "y.npy"], folder: workspace.url.path)
    #expect(small.status == 65 || small.status == 0)
    try NumpyArray.write(Tensor(shape: [1, 3, 32, 32]), to: workspace.path("x.npy"))
    try refuse(["run", weights, "--input", "x.npy", "--output", "no/y.npy"], status: 73, mentions: ["no/y.npy"])
    try refuse(["run", weights, "--input", "none.npy", "--output", "y.npy"], status: 66, mentions: ["none.npy"])
    try refuse(["preprocess", picture, "--output", "no/x.npy"], status: 73, mentions: ["no/x.npy"])
  }
}
