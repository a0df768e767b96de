import HGNet
import HGNetCore
import HGNetExport
import HGNetFormats
import HGNetModels
import HGNetVision
import TemporaryFolders
import Testing

@Suite("What leaves with a network")
struct ExportPlanTests {
  let folder = TemporaryFolder()

  /// Weights for four classes with the configuration of their training beside them.
  private func weights(global: String, architecture: String = "", post: String = "Topk, topk: 3") throws -> WeightsFile
  {
    let graph = try Model.b0.graph(options: ModelOptions(classCount: 4, classExpand: 32))
    let path = folder.file("best_model.safetensors")
    try Safetensors.write(Model.randomParameters(for: graph, seed: 3), to: path)
    let text = """
      Global: {\(global)}
      Arch: {name: PPHGNetV2_B0, class_num: 4, class_expand: 32\(architecture)}
      Infer:
        transforms:
          - DecodeImage: {to_rgb: True, channel_first: False}
          - ResizeImage: {resize_short: 66, interpolation: bicubic, backend: pil}
          - CropImage: {size: [64, 48]}
          - NormalizeImage: {scale: 1.0/255.0, mean: [0.5, 0.4, 0.5], std: [0.5, 0.5, 0.6], order: ''}
          - ToCHWImage:
        PostProcess: {name: \(post), label_list: [red, green, blue, grey]}
      """
    try folder.write(Array(text.utf8), to: "config.yaml")
    return try WeightsFile(contentsOf: path)
  }

  private func picture() throws -> String {
    let size = Size(height: 70, width: 110)
    let image = try Image(
      size: size, pixels: (0..<(size.height * size.width * 3)).map { UInt8(truncatingIfNeeded: $0 &* 11 >> 3) })
    try image.write(to: folder.file("p.png"))
    return folder.file("p.png")
  }

  private func format(_ name: String, _ plan: ExportPlan) -> (ModelExport.Format, file: String) {
    switch name {
    case "onnx": (.onnx(OnnxExport.Options(metadata: plan.metadata)), "inference.onnx")
    case "preprocessing":
      (
        .onnx(OnnxExport.Options(preprocessing: plan.recipe.transforms, metadata: plan.metadata)), "inference.onnx"
      )
    case "safetensors":
      (
        .safetensors(.paddle, metadata: Dictionary(plan.metadataOfWeights) { first, _ in first }),
        "inference.safetensors"
      )
    case "json": (.paddle(.intermediate), "inference.json")
    default: (.paddle(.description), "inference.pdmodel")
    }
  }

  @Test(
    "Every format answers as the weights do",
    arguments: ["pdmodel", "json", "onnx", "preprocessing", "safetensors"],
    [
      ("image_shape: [3, 224, 224]", "Topk, topk: 3", .softmax),
      ("image_shape: [3, 48, 64], use_multilabel: True", "MultiLabelThreshOutput, threshold: 0.4", .sigmoid),
      ("use_multilabel: True", "Topk, topk: 2", .sigmoid),
    ] as [(String, String, Activation)])
  func answers(name: String, kind: (global: String, post: String, head: Activation)) throws {
    let weights = try weights(global: kind.global, post: kind.post)
    let expected = try Classifier(weights: weights.path).classify(contentsOf: picture())
    let plan = try ExportPlan(weights, recipe: weights.findRecipe())
    #expect(plan.network.activation == kind.head)
    #expect(plan.network.graph.inputSize == Size(height: 48, width: 64))
    #expect(plan.notes.isEmpty == !kind.global.contains("224"))
    let (format, file) = format(name, plan)
    var export = try ModelExport(weights, as: plan.network, format: format)
    export.texts = [("inference.yml", plan.description)]
    export.recipe = plan.recipe
    _ = try export.write(into: folder.file("out"), stem: "inference")
    let classifier = try Classifier(weights: folder.file("out/\(file)"))
    #expect(classifier.recipeOrigin == .beside(path: folder.file("out/inference.yml")))
    let found = try classifier.classify(contentsOf: picture())
    #expect(found.map(\.index) == expected.map(\.index))
    #expect(found.map(\.label) == expected.map(\.label))
    for (left, right) in zip(found, expected) { #expect(abs(left.score - right.score) < 1e-5) }
  }

  @Test("Without a head the answers are logits, and the recipe says nothing else")
  func logits() throws {
    let weights = try weights(global: "image_shape: [3, 48, 64]", architecture: ", infer_add_softmax: False")
    let plan = try ExportPlan(weights, recipe: weights.findRecipe())
    #expect(plan.network.activation == Activation.none)
    #expect(plan.recipe.activation == .softmax)
    var export = try ModelExport(
      weights, as: plan.network, format: .onnx(OnnxExport.Options(metadata: plan.metadata)))
    export.recipe = plan.recipe
    _ = try export.write(into: folder.file("out"), stem: "inference")
    let classifier = try Classifier(weights: folder.file("out/inference.onnx"))
    #expect(classifier.recipeOrigin == .inside(path: folder.file("out/inference.onnx")))
    #expect(classifier.recipe.activation == Activation.none)
  }

  @Test("The check refuses a recipe that gives other answers")
  func refused() throws {
    let weights = try weights(global: "image_shape: [3, 48, 64]")
    let plan = try ExportPlan(weights, recipe: weights.findRecipe())
    let wrong: [(inout Recipe) -> Void] = [
      { $0.activation = .sigmoid }, { $0.labels = Labels(["green", "red", "blue", "grey"]) },
      { $0.postProcessing = .topK(1) }, { $0.transforms.removeFirst() }, { $0 = $0.resized(to: Size(96)) },
    ]
    for change in wrong {
      var export = try ModelExport(weights, as: plan.network, format: .paddle(.description))
      export.texts = [("inference.yml", plan.description)]
      var recipe = plan.recipe
      change(&recipe)
      export.recipe = recipe
      let error = #expect(throws: HGNetError.self) { try export.write(into: folder.file("refused"), stem: "inference") }
      #expect(error?.code == .internalInconsistency)
      #expect(TemporaryFolder.names(in: folder.file("refused")).isEmpty)
    }
  }

  @Test("A size that is ordered resizes the recipe as well")
  func ordered() throws {
    let weights = try weights(global: "image_shape: [3, 48, 64]")
    let plan = try ExportPlan(weights, recipe: weights.findRecipe(), inputSize: Size(128))
    #expect(plan.network.graph.inputSize == Size(128))
    #expect(plan.recipe.inputSize == Size(128))
    #expect(plan.recipe.transforms.first == .resizeShort(132, interpolation: .bicubic, backend: .pillow))
  }

  @Test("A model without recipe is fed the size that it declares")
  func declared() throws {
    let weights = try weights(global: "image_shape: [3, 48, 64]")
    let network = try ExportedNetwork(weights, inputSize: Size(64))
    let formats: [(ModelExport.Format, String)] = [
      (.onnx(OnnxExport.Options()), "inference.onnx"), (.paddle(.intermediate), "inference.json"),
      (.paddle(.description), "inference.pdmodel"),
    ]
    for (format, file) in formats {
      let target = folder.file(file + "-folder")
      _ = try ModelExport(weights, as: network, format: format).write(into: target, stem: "inference")
      let opened = try WeightsFile(contentsOf: "\(target)/\(file)")
      #expect(opened.declaredInputSize == Size(64))
      let found = try opened.findRecipe()
      #expect(found.origin == .assumed)
      #expect(found.recipe.inputSize == Size(64))
      #expect(found.recipe.transforms.first == .resizeShort(66, interpolation: .bicubic, backend: .pillow))
    }
    // A recipe that says otherwise gives way to an ONNX model, which runs at no other size.
    let text = try ExportPlan(weights, recipe: weights.findRecipe()).description
    try folder.write(Array(text.utf8), to: "inference.onnx-folder/inference.yml")
    let contradicted = try WeightsFile(contentsOf: folder.file("inference.onnx-folder")).findRecipe()
    #expect(contradicted.recipe.inputSize == Size(64))
    #expect(contradicted.warnings.count == 1)
  }
}
