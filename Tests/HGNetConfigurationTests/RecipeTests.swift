import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetModels
import HGNetVision
import Testing

@Suite("Configurations become models and recipes")
struct RecipeTests {
  /// The folder of the configurations that come with the package.
  static let folder =
    #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/") + "/Configs"

  @Test("Every configuration that comes with the package", arguments: Model.all)
  func shipped(model: Model) throws {
    let configuration = try Configuration(contentsOf: "\(Self.folder)/\(model.name).yaml")
    #expect(configuration.notice == nil)
    let found = try #require(try configuration.model())
    #expect(found.model == model)
    #expect(found.options == ModelOptions(classCount: 1000))
    let recipe = try #require(try configuration.recipe())
    #expect(recipe == Recipe.evaluation(of: model, labels: .imageNet))
    let input = try configuration.input()
    #expect(input.batchSize == 10)
    #expect(input.list == nil)
    #expect(input.saveFile == nil)
  }

  @Test("The deployment configuration differs from the evaluation")
  func deployment() throws {
    let configuration = try Configuration(contentsOf: "\(Self.folder)/inference_cls.yaml")
    #expect(configuration.notice == nil)
    #expect(try configuration.recipe() == Recipe.deployment(labels: .imageNet))
    #expect(try configuration.input().batchSize == 1)
  }

  private func configuration(_ transforms: String, rest: String = "") throws -> Configuration {
    try Configuration(ConfigurationValue(yaml: "Infer:\n  transforms: \(transforms)\n\(rest)"), path: "t.yaml")
  }

  @Test("Defaults are PaddleClas'")
  func defaults() throws {
    let recipe = try #require(
      try configuration("[{ResizeImage: {resize_short: 200}}, {NormalizeImage: }, {ToCHWImage: }]").recipe())
    #expect(
      recipe.transforms == [
        .resizeShort(200, interpolation: .bilinear, backend: .openCV),
        .normalize(
          scale: 1.0 / 255, mean: Recipe.imageNetMean, standardDeviation: Recipe.imageNetStandardDeviation),
      ])
    let sizes = try #require(
      try configuration(
        "[{ResizeImage: {size: [30, 20], backend: pil, interpolation: lanczos}}, {CropImage: {size: [10, 5]}}]"
      )
      .recipe())
    #expect(
      sizes.transforms == [
        .resize(Size(height: 20, width: 30), interpolation: .lanczos, backend: .pillow),
        .centerCrop(Size(height: 5, width: 10)),
      ])
  }

  @Test(
    "Without an interpolation, each library follows its own default",
    arguments: Golden.rows(of: "vision/unnamed.tsv"))
  func unnamedInterpolation(row: [String]) throws {
    let sides = row.dropFirst().prefix(4).compactMap { Int($0) }
    try #require(row.count == 6 && sides.count == 4)
    let text = "[{ResizeImage: {size: [\(sides[3]), \(sides[2])], backend: \(row[0].uppercased())}}]"
    let recipe = try #require(try configuration(text).recipe())
    let resized = try recipe.transforms[0].applying(to: Golden.noise(height: sides[0], width: sides[1]))
    #expect(resized.size == Size(height: sides[2], width: sides[3]))
    #expect(Golden.hash(resized.pixels) == row[5])
  }

  @Test(
    "What cannot be followed is an error with its key",
    arguments: [
      ("[{RandCropImage: {size: 224}}]", .unsupported, "Infer.transforms.0.RandCropImage"),
      ("[{ResizeImage: {size: 2, resize_short: 3}}]", .invalidConfiguration, "Infer.transforms.0.ResizeImage"),
      ("[{ResizeImage: {resize_short: 0}}]", .invalidConfiguration, "Infer.transforms.0.ResizeImage.resize_short"),
      (
        "[{ResizeImage: {resize_short: 9, interpolation: area, backend: pil}}]", .invalidConfiguration,
        "Infer.transforms.0.ResizeImage.interpolation"
      ),
      ("[{DecodeImage: {to_rgb: False}}]", .unsupported, "Infer.transforms.0.DecodeImage.to_rgb"),
      ("[{NormalizeImage: {scale: 1.0e999}}]", .invalidConfiguration, "Infer.transforms.0.NormalizeImage.scale"),
      ("[{NormalizeImage: {mean: [1, 2]}}]", .invalidConfiguration, "Infer.transforms.0.NormalizeImage.mean"),
      ("[{NormalizeImage: {std: [1, 0, 1]}}]", .invalidConfiguration, "Infer.transforms.0.NormalizeImage.std"),
      ("[{CropImage: }]", .invalidConfiguration, "Infer.transforms.0.CropImage.size"),
      ("5", .invalidConfiguration, "Infer.transforms"),
    ] as [(String, HGNetError.Code, String)])
  func refused(transforms: String, code: HGNetError.Code, key: String) {
    let error = #expect(throws: HGNetError.self) { try configuration(transforms).recipe() }
    #expect(error?.code == code)
    #expect(error?.context.key == key)
  }

  @Test("Post-processing of both kinds of files")
  func postProcessing() throws {
    let training = try configuration("[]", rest: "  PostProcess: {name: MultiLabelThreshOutput, threshold: 0.4}\n")
    #expect(try training.recipe()?.postProcessing == .threshold(0.4))
    let exported = try Configuration(
      ConfigurationValue(
        yaml: "PreProcess:\n  transform_ops: []\nPostProcess:\n  Topk:\n    topk: 3\n    label_list: [x, y z, '2']\n"),
      path: "inference.yml")
    let recipe = try #require(try exported.recipe())
    #expect(recipe.postProcessing == .topK(3))
    #expect(recipe.labels == Labels(["x", "y z", "2"]))
  }

  @Test("A label file that is missing is told, except ImageNet's")
  func labels() throws {
    var warnings: [String] = []
    let missing = try configuration("[]", rest: "  PostProcess: {name: Topk, class_id_map_file: none.txt}\n")
    #expect(try missing.recipe { warnings.append($0) }?.labels == nil)
    #expect(warnings.count == 1)
    #expect(warnings.first?.contains("none.txt") == true)
  }

  @Test("Where weights come from")
  func weights() throws {
    func source(_ yaml: String, _ overrides: [String] = []) throws -> Configuration.WeightsSource {
      try Configuration(ConfigurationValue(yaml: yaml), path: "t.yaml", overrides: overrides).weightsSource()
    }
    let yaml = "Global: {pretrained_model: null}\nArch: {name: PPHGNetV2_B0, pretrained: True}\n"
    let published = try #require(PublishedWeights.pretrained(for: .b0))
    #expect(published.kind == .stage1)
    #expect(try source(yaml) == .published(published))
    #expect(try source(yaml, ["Global.pretrained_model=a/best=1"]) == .file("a/best=1"))
    #expect(try source(yaml, ["Arch.pretrained=own.pdparams"]) == .file("own.pdparams"))
    let error = #expect(throws: HGNetError.self) { try source(yaml, ["Arch.pretrained=false"]) }
    #expect(error?.message.contains("make demo") == true)
  }

  @Test("A distillation configuration means its student")
  func distillation() throws {
    let configuration = try Configuration(
      ConfigurationValue(
        yaml: """
          Arch:
            name: DistillationModel
            class_num: &class_num 10
            models:
              - Teacher: {name: PPHGNet_small, class_num: *class_num, pretrained: True}
              - Student: {name: PPHGNetV2_B4, class_num: *class_num, pretrained: False}
          """), path: "t.yaml", overrides: ["Arch.class_num=20"])
    let found = try #require(try configuration.model())
    #expect(found.model == .b4)
    #expect(found.options.classCount == 20)
  }

  @Test("The name of the result file")
  func saveFile() throws {
    func name(_ text: String) throws -> String? {
      try Configuration(ConfigurationValue(yaml: "Infer: {save_dir: \(text)}"), path: "t.yaml").input().saveFile
    }
    #expect(try name("out") == "out.json")
    #expect(try name("./a.b/out.json") == "./a.b/out.json")
    #expect(try name("null") == nil)
    #expect(throws: HGNetError.self) { try name("out.txt") }
  }
}
