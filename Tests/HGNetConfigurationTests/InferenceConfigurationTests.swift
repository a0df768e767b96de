import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetVision
import Testing

@Suite("inference.yml")
struct InferenceConfigurationTests {
  private static let recipes: [Recipe] = [
    Recipe.evaluation(), Recipe.deployment(labels: Labels(["red", "light green, lime", "it's \"blue\"", "no", "7"])),
    Recipe(
      decodingStyle: .pillow,
      transforms: [
        .resize(Size(height: 40, width: 56), interpolation: .lanczos, backend: .pillow),
        .centerCrop(Size(height: 32, width: 48)),
        .normalize(scale: 0.00392156862, mean: [0, 0.5, 1], standardDeviation: [1, 0.25, 0.1]),
      ], postProcessing: .threshold(0.375), labels: Labels(["a", "b"])),
  ]

  @Test("A recipe that is written reads back as the same recipe", arguments: recipes)
  func roundTrip(recipe: Recipe) throws {
    let value = recipe.inferenceConfiguration(modelName: "PPHGNetV2_B0", classCount: recipe.labels?.count ?? 0)
    let text = value.yaml
    let configuration = try Configuration(try ConfigurationValue(yaml: text), path: "inference.yml")
    #expect(configuration.ignoredKeys.isEmpty)
    #expect(try configuration.recipe() == recipe, "\(text)")
    #expect(try configuration.text("Global.model_name") == "PPHGNetV2_B0")
  }

  @Test(
    "What a configuration says about the export",
    arguments: [
      ("Global: {}", "./inference", nil, true),
      ("Global: {save_inference_dir: out, image_shape: [3, 32, 48]}", "out", Size(height: 32, width: 48), true),
      ("Global: {use_multilabel: True}", "./inference", nil, true),
      ("Global: {use_multilabel: True}\nArch: {infer_add_softmax: False}", "./inference", nil, false),
    ] as [(String, String, Size?, Bool)])
  func export(text: String, folder: String, size: Size?, addsHead: Bool) throws {
    let export = try Configuration(try ConfigurationValue(yaml: text), path: "c.yaml").export()
    #expect(export.folder == folder)
    #expect(export.inputSize == size)
    #expect(export.addsHead == addsHead)
  }

  @Test("Sizes that no picture has", arguments: ["[3, 32]", "[1, 32, 32]", "[3, 0, 32]", "[3, 1.5, 32]", "7"])
  func sizes(text: String) throws {
    let configuration = try Configuration(
      try ConfigurationValue(yaml: "Global: {image_shape: \(text)}"), path: "c.yaml")
    let error = #expect(throws: HGNetError.self) { _ = try configuration.export() }
    #expect(error?.code == .invalidConfiguration)
  }
}
