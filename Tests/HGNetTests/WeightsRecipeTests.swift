import HGNet
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetVision
import TemporaryFolders
import Testing

@Suite("Weights find their recipe by one rule")
struct WeightsRecipeTests {
  let folder = TemporaryFolder()

  private func writeWeights(_ name: String = "best_model.safetensors", classCount: Int = 4) throws -> String {
    let path = folder.file(name)
    let graph = try Model.b0.graph(options: ModelOptions(classCount: classCount, classExpand: 32))
    try Safetensors.write(Model.randomParameters(for: graph, seed: 7), to: path)
    return path
  }

  private func write(_ text: String, _ name: String) throws { try folder.write(Array(text.utf8), to: name) }

  private func configuration(
    classCount: Int = 4, global: String = "image_shape: [3, 64, 64]", rest: String = "", post: String = "Topk, topk: 2"
  ) -> String {
    """
    Global: {\(global)}
    Arch: {name: PPHGNetV2_B0, class_num: \(classCount), class_expand: 32\(rest)}
    Infer:
      transforms:
        - DecodeImage: {to_rgb: True, channel_first: False}
        - ResizeImage: {resize_short: 66, interpolation: bilinear, backend: pil}
        - CropImage: {size: 64}
        - NormalizeImage: {scale: 1.0/255.0, mean: [0.5, 0.4, 0.5], std: [0.5, 0.5, 0.6], order: ''}
        - ToCHWImage:
      PostProcess: {name: \(post), class_id_map_file: somewhere/else/labels.txt}
    """
  }

  private func picture() throws -> String {
    let size = Size(height: 90, width: 80)
    let image = try Image(
      size: size, pixels: (0..<(size.height * size.width * 3)).map { UInt8(truncatingIfNeeded: $0 &* 7 >> 3) })
    try image.write(to: folder.file("p.png"))
    return folder.file("p.png")
  }

  @Test("The first lines of the page give what the configuration of the run says")
  func besideTraining() throws {
    let path = try writeWeights()
    try write(configuration(), "config.yaml")
    try write("0 red\n1 green\n2 blue\n3 grey\n", "labels.txt")
    let classifier = try Classifier(weights: path)
    #expect(classifier.recipeOrigin == .beside(path: folder.file("config.yaml")))
    #expect(classifier.warnings.isEmpty)
    #expect(classifier.recipe.inputSize == Size(64))
    #expect(classifier.recipe.postProcessing == .topK(2))
    #expect(classifier.recipe.activation == .softmax)
    #expect(classifier.recipe.labels == Labels(["red", "green", "blue", "grey"]))
    let answer = try classifier.classify(contentsOf: picture())
    #expect(answer.count == 2 && answer[0].label == ["red", "green", "blue", "grey"][answer[0].index])
    // The same values by hand.
    let recipe = Recipe(
      transforms: [
        .resizeShort(66, interpolation: .bilinear, backend: .pillow), .centerCrop(Size(64)),
        .normalize(scale: 1.0 / 255, mean: [0.5, 0.4, 0.5], standardDeviation: [0.5, 0.5, 0.6]),
      ], postProcessing: .topK(2), labels: Labels(["red", "green", "blue", "grey"]))
    #expect(try Classifier(weights: path, recipe: recipe).classify(contentsOf: picture()) == answer)
    let extractor = try FeatureExtractor(weights: path)
    #expect(extractor.recipe == classifier.recipe)
    #expect(extractor.recipeOrigin == classifier.recipeOrigin)
  }

  @Test("A training configuration without Infer means the transforms of its evaluation")
  func evaluationTransforms() throws {
    let path = try writeWeights()
    try write(
      """
      Arch: {name: PPHGNetV2_B0, class_num: 4, class_expand: 32}
      DataLoader:
        Eval:
          dataset:
            name: ImageNetDataset
            image_root: data
            cls_label_path: val.txt
            transform_ops:
              - DecodeImage: {to_rgb: True, channel_first: False}
              - ResizeImage: {size: 48}
              - NormalizeImage: {scale: 1.0/255.0, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], order: ''}
      """, "config.yaml")
    #expect(try Classifier(weights: path).recipe.inputSize == Size(48))
  }

  @Test("Nothing beside the weights: the evaluation is assumed, and said")
  func assumed() throws {
    let found = try WeightsFile(contentsOf: writeWeights()).findRecipe()
    #expect(found.origin == .assumed)
    #expect(found.recipe.inputSize == Size(224))
    #expect(found.recipe.labels == nil)
    #expect(found.assumption?.contains("crop 224×224, softmax") == true)
    #expect(found.warnings.isEmpty)
  }

  @Test("An inference.yml beside weights of any format is used, unless it is of another model")
  func exportedBeside() throws {
    let path = try writeWeights()
    func text(_ model: String) -> String {
      """
      Global: {model_name: \(model)}
      PreProcess:
        transform_ops:
          - ResizeImage: {size: 96}
          - NormalizeImage: {scale: 1.0/255.0, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], order: ''}
      PostProcess:
        Topk: {topk: 5, label_list: [red, green, blue, grey]}
      """
    }
    try write(text("PPHGNetV2_B4"), "inference.yml")
    let other = try WeightsFile(contentsOf: path).findRecipe()
    #expect(other.origin == .assumed)
    #expect(other.warnings.first?.contains("is of PPHGNetV2_B4, the weights are of PPHGNetV2_B0") == true)
    try write(text("PPHGNetV2_B0"), "inference.yml")
    let found = try WeightsFile(contentsOf: path).findRecipe()
    #expect(found.origin == .beside(path: folder.file("inference.yml")))
    #expect(found.recipe.inputSize == Size(96))
    #expect(found.recipe.labels == Labels(["red", "green", "blue", "grey"]))
    #expect(found.warnings.isEmpty)
    // What training wrote comes first.
    try write(configuration(classCount: 4), "config.yaml")
    #expect(try WeightsFile(contentsOf: path).findRecipe().origin == .beside(path: folder.file("config.yaml")))
  }

  @Test("Published weights are known by their name")
  func published() throws {
    let found = try WeightsFile(
      contentsOf: writeWeights("PPHGNetV2_B0_ssld_pretrained.pdparams.safetensors")
    ).findRecipe()
    #expect(found.origin == .assumed)
    let graph = try Model.b0.graph(options: ModelOptions(classCount: 3, classExpand: 32))
    let path = folder.file("PPHGNetV2_B0_ssld_pretrained.pdparams")
    try PaddleParameters.write(Model.randomParameters(for: graph, seed: 1), to: path)
    let named = try WeightsFile(contentsOf: path).findRecipe()
    #expect(named.origin == .published(name: "PPHGNetV2_B0_ssld_pretrained.pdparams"))
    #expect(named.assumption == nil)
  }

  @Test("A configuration of another network, or one that cannot be read, is named and not used")
  func foreign() throws {
    let path = try writeWeights()
    try write(configuration(classCount: 5), "config.yaml")
    let other = try Classifier(weights: path)
    #expect(other.recipeOrigin == .assumed)
    #expect(other.warnings.first?.contains("for 5 classes") == true)
    try write("Nonsense: 1\n", "config.yaml")
    let broken = try Classifier(weights: path)
    #expect(broken.recipeOrigin == .assumed)
    #expect(broken.warnings.first?.contains("config.yaml") == true)
  }

  @Test(
    "Names that cannot be those of the classes",
    arguments: [
      ("0 a\n1 b\n2 c\n3 d\n", nil), ("0 a\n2 c\n", nil), ("1 a\n2 b\n3 c\n4 d\n", "number them from 0"),
      ("1 a\n2 b\n3 c\n", "numbered from 0"), ("0 a\n1 b\n2 c\n3 d\n4 e\n", "0 to 4"),
    ] as [(String, String?)])
  func names(text: String, fault: String?) throws {
    let path = try writeWeights()
    try write(configuration(), "config.yaml")
    try write(text, "labels.txt")
    let classifier = try Classifier(weights: path)
    #expect(classifier.recipe.labels == nil || fault == nil)
    #expect(classifier.warnings.isEmpty == (fault == nil))
    if let fault { #expect(classifier.warnings.first?.contains(fault) == true) }
    // Who gives such names is told so.
    guard fault != nil else { return }
    var recipe = classifier.recipe
    recipe.labels = try Labels(contentsOf: folder.file("labels.txt"))
    let error = #expect(throws: HGNetError.self) { try Classifier(weights: path, recipe: recipe) }
    #expect(error?.code == .invalidArgument)
  }

  @Test("ImageNet's built-in names belong to 1000 classes")
  func builtIn() throws {
    let path = try writeWeights()
    try write(
      configuration().replacing("somewhere/else/labels.txt", with: "ppcls/utils/imagenet1k_label_list.txt"),
      "config.yaml")
    let classifier = try Classifier(weights: path)
    #expect(classifier.recipe.labels == nil)
    #expect(classifier.warnings.first?.contains("ImageNet") == true)
  }

  @Test("A threshold leaves the head as it is")
  func threshold() throws {
    let path = try writeWeights()
    try write(configuration(), "config.yaml")
    let photo = try picture()
    func sum(_ post: PostProcessing) throws -> Double {
      var recipe = try WeightsFile(contentsOf: path).findRecipe().recipe
      recipe.postProcessing = post
      return try Classifier(weights: path, recipe: recipe).classify(contentsOf: photo).map(\.score).reduce(0, +)
    }
    #expect(abs(try sum(.threshold(0)) - 1) < 1e-9)
    // Of several labels a picture the best few are told by their sigmoid.
    try write(configuration(global: "use_multilabel: True"), "config.yaml")
    let classifier = try Classifier(weights: path)
    #expect(classifier.recipe.activation == .sigmoid)
    #expect(abs(try sum(.topK(4)) - 1) > 1e-3)
    // Another recipe for the same weights has the same head.
    #expect(try Classifier(weights: path, recipe: Recipe.evaluation()).recipe.activation == .sigmoid)
    try write(configuration(post: "MultiLabelThreshOutput, threshold: 0.25"), "config.yaml")
    #expect(try Classifier(weights: path).recipe.activation == .sigmoid)
  }

  @Test("What leaves no parameter comes from the configuration, too")
  func dropout() throws {
    let path = try writeWeights()
    try write(configuration(rest: ", dropout_prob: 0.5"), "config.yaml")
    func probability() throws -> Float? {
      for case .dropout(let probability) in try WeightsFile(contentsOf: path).graph.nodes.map(\.operation) {
        return probability
      }
      return nil
    }
    #expect(try probability() == 0.5)
    try write(configuration(), "config.yaml")
    #expect(try probability() != 0.5)
  }

  @Test("A recipe for another size keeps its proportions")
  func resized() {
    let recipe = Recipe.evaluation().resized(to: Size(64))
    #expect(recipe.transforms.first == .resizeShort(66, interpolation: .bicubic, backend: .pillow))
    #expect(recipe.inputSize == Size(64))
    let wide = Recipe(transforms: [.resize(Size(448), interpolation: .bilinear, backend: .pillow)])
    #expect(wide.resized(to: Size(height: 32, width: 64)).inputSize == Size(height: 32, width: 64))
    #expect(Recipe(transforms: [.resizeShort(50)]).resized(to: Size(32)).inputSize == nil)
  }
}
