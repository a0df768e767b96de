import Foundation
import HGNet
import HGNetConfiguration
import HGNetCore
import Testing

@Suite("Keys and typed values")
struct ConfigurationTests {
  static func configuration(_ yaml: String, _ overrides: [String] = []) throws -> Configuration {
    try Configuration(ConfigurationValue(yaml: yaml), path: "test.yaml", overrides: overrides)
  }

  @Test(
    "An unknown key names the nearest known one",
    arguments: [
      ("Infer:\n  infer_img: a\n", [], "Infer.infer_img", "Infer.infer_imgs"),
      ("Infer:\n  topk: 5\n", [], "Infer.topk", "Infer.PostProcess.topk"),
      ("Infer:\n  transforms:\n    - ResizeImg: {size: 1}\n", [], "Infer.transforms.0.ResizeImg", "ResizeImage"),
      (
        "Infer:\n  transforms:\n    - CropImage: {sise: 1}\n", [], "Infer.transforms.0.CropImage.sise", "CropImage.size"
      ),
      ("Arhc: {}\n", [], "Arhc", "Arch"),
      ("Arch: {name: x}\n", ["Arch.class_nun=3"], "-o Arch.class_nun", "Arch.class_num"),
      ("Arch: {name: x}\n", ["Infer.transforms.1.CropImage.sz=3"], "-o Infer.transforms.1.CropImage.sz", "size"),
    ] as [(String, [String], String, String)])
  func unknownKey(yaml: String, overrides: [String], key: String, hint: String) {
    let error = #expect(throws: HGNetError.self) { try Self.configuration(yaml, overrides) }
    #expect(error?.code == .invalidConfiguration)
    #expect(error?.context.key == key)
    #expect(error?.message.contains(hint) == true, "\(error?.description ?? "")")
  }

  @Test("Keys without meaning here are named once, when they ask for something")
  func ignored() throws {
    let configuration = try Self.configuration(
      "Global:\n  device: gpu\n  gpu_mem: 8000\n  use_tensorrt: False\nAMP:\n  level: O1\n  use_promote: True\n")
    #expect(configuration.notice == "these keys have no effect here: Global.device, Global.gpu_mem, AMP.use_promote")
    #expect(try Self.configuration("Global:\n  device: cpu\n  use_gpu: False\n").notice == nil)
  }

  @Test("Typed values")
  func typed() throws {
    let configuration = try Self.configuration(
      """
      Infer:
        batch_size: 10
        infer_list: None
        transforms:
          - NormalizeImage: {scale: 1.0/255.0, mean: [0.5, 1, '1/4']}
          - ToCHWImage:
        PostProcess: {name: Topk, topk: five}
      """)
    #expect(try configuration.integer("Infer.batch_size", in: 1...100) == 10)
    #expect(try configuration.text("Infer.infer_list") == nil)
    #expect(try configuration.number("Infer.transforms.0.NormalizeImage.scale") == 1.0 / 255)
    #expect(try configuration.numbers("Infer.transforms.0.NormalizeImage.mean") == [0.5, 1, 0.25])
    #expect(try configuration.operators("Infer.transforms")?.map(\.name) == ["NormalizeImage", "ToCHWImage"])
    let error = #expect(throws: HGNetError.self) { try configuration.integer("Infer.PostProcess.topk") }
    #expect(error?.description == "test.yaml: Infer.PostProcess.topk: expected a whole number, found the text \"five\"")
    #expect(throws: HGNetError.self) { try configuration.integer("Infer.batch_size", in: 1...5) }
    #expect(throws: HGNetError.self) { try configuration.boolean("Infer.batch_size") }
    #expect(throws: HGNetError.self) { try configuration.numbers("Infer.batch_size") }
  }

  @Test("A file that is no configuration")
  func files() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("hgnet-configuration-\(getpid())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let missing = #expect(throws: HGNetError.self) { try Configuration(contentsOf: folder.path + "/none.yaml") }
    #expect(missing?.code == .fileNotFound)
    let directory = #expect(throws: HGNetError.self) { try Configuration(contentsOf: folder.path) }
    #expect(directory?.code == .unreadableFile)
    for (bytes, code) in [
      (Data([0xFF, 0xFE, 0x00, 0x80]), HGNetError.Code.invalidConfiguration),
      (Data("just text".utf8), .invalidConfiguration), (Data("- a\n- b\n".utf8), .invalidConfiguration),
    ] {
      let path = folder.appendingPathComponent("x.yaml")
      try bytes.write(to: path)
      let error = #expect(throws: HGNetError.self) { try Configuration(contentsOf: path.path) }
      #expect(error?.code == code)
      #expect(error?.context.path == path.path)
    }
  }
}

@Suite("The lines of PaddleClas' tools")
struct PaddleClasTextTests {
  let classes = [
    ScoredClass(index: 3, score: 0.999_994_9, label: "yellow"),
    ScoredClass(index: 1, score: 0.000_010_4, label: "it's"),
    ScoredClass(index: 2, score: 0, label: "green, leaf"),
  ]

  @Test("infer")
  func infer() {
    let topK = PaddleClasText.dictionary(
      classes, fileName: "data/im00.jpg", postProcessing: .topK(3), hasLabels: true)
    #expect(
      topK
        == "{'class_ids': [3, 1, 2], 'scores': [0.99999, 1e-05, 0.0], 'file_name': 'data/im00.jpg', "
        + "'label_names': ['yellow', \"it's\", 'green, leaf']}")
    let threshold = PaddleClasText.dictionary(
      classes, fileName: "a.jpg", postProcessing: .threshold(0.5), hasLabels: false)
    #expect(
      threshold
        == "{'class_ids': [3, 1, 2], 'scores': [0.99999, 1e-05, 0.0], 'label_names': [], 'file_name': 'a.jpg'}")
    let line = PaddleClasText.logLine(["{}", "{}"])
    #expect(line.wholeMatch(of: /\[\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d\] ppcls INFO: \[\{\}, \{\}\]/) != nil)
  }

  @Test("predict")
  func predict() {
    let line = PaddleClasText.deploymentLine(Array(classes.prefix(2)), fileName: "folder/im03.jpg", hasLabels: true)
    #expect(
      line == "im03.jpg:\tclass id(s): [3, 1], score(s): [1.00, 0.00], label_name(s): ['yellow', \"it's\"]")
    #expect(
      PaddleClasText.deploymentLine([], fileName: "a.jpg", hasLabels: false)
        == "a.jpg:\tclass id(s): [], score(s): [], label_name(s): []")
  }
}
