import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetModels
import HGNetVision
import Testing

@Suite("Configurations become transforms of training")
struct TrainingTransformsTests {
  @Test("Every configuration that comes with the package", arguments: Model.all)
  func shipped(model: Model) throws {
    let configuration = try Configuration(contentsOf: "\(RecipeTests.folder)/\(model.name).yaml")
    let transforms = try #require(try configuration.trainingTransforms())
    let isTeacher = !model.name.hasPrefix("PPHGNetV2")
    let isBase = model.name == "PPHGNet_base"
    var policy = AutoAugment()
    policy.magnitude = isBase ? 15 : 7
    policy.magnitudeDeviation = 0.5
    policy.isIncreasing = true
    #expect(transforms.decodingStyle == .openCV)
    #expect(
      transforms.steps == [
        .random(.randomCrop(size: Size(224), interpolation: .bicubic, backend: .pillow)),
        .random(.randomFlip(.horizontal, probability: 0.5)),
        .random(.autoAugment(policy)),
        .fixed(
          .normalize(
            scale: 1.0 / 255, mean: Recipe.imageNetMean, standardDeviation: Recipe.imageNetStandardDeviation)),
      ])
    var erasing = RandomErasing()
    erasing.probability = isBase ? 0.4 : 0.25
    erasing.area = 0.02...1.0 / 3
    erasing.attempts = 10
    erasing.drawsRatioEvenlyInLogarithm = true
    erasing.fill = .pixels
    #expect(transforms.erasing == erasing)
    #expect(
      transforms.mixing
        == (isTeacher
          ? [
            .oneOf([
              .init(.mixup(alpha: isBase ? 0.4 : 0.2), probability: 0.5), .init(.cutmix(alpha: 1), probability: 0.5),
            ])
          ] : []))
    #expect(transforms.outputSize == Size(224))
    // The evaluation's list is read by the same function.
    let evaluation = try #require(try configuration.trainingTransforms(dataset: "DataLoader.Eval.dataset"))
    let recipe = try #require(try configuration.recipe())
    #expect(evaluation.steps == recipe.transforms.map { .fixed($0) })
  }

  private func transforms(_ operators: String, batch: String = "[]") throws -> TrainingTransforms {
    let yaml =
      "DataLoader:\n  Train:\n    dataset:\n      transform_ops: \(operators)\n      batch_transform_ops: \(batch)\n"
    return try #require(
      try Configuration(ConfigurationValue(yaml: yaml), path: "t.yaml").trainingTransforms())
  }

  @Test("Defaults are PaddleClas'")
  func defaults() throws {
    var policy = AutoAugment()
    policy.magnitude = 9
    policy.magnitudeDeviation = 0.5
    policy.isIncreasing = true
    let found = try transforms(
      "[{RandCropImage: {size: [30, 20]}}, {RandCropImage: {size: 8, backend: pil}}, {RandFlipImage: }, "
        + "{TimmAutoAugment: }, {RandAugment: }, {RandAugmentV4: }, {Cutout: }, {NormalizeImage: }, {RandomErasing: }]",
      batch: "[{MixupOperator: }, {CutmixOperator: }]")
    #expect(
      found.steps.dropLast() == [
        .random(.randomCrop(size: Size(height: 20, width: 30), interpolation: .bilinear, backend: .openCV)),
        .random(.randomCrop(size: Size(8), interpolation: .bicubic, backend: .pillow)), .random(.randomFlip()),
        .random(.autoAugment(policy)), .random(.randAugment(RandAugment())), .random(.randAugmentV4),
        .random(.cutout(holes: 1, length: 112, fill: .grey(0))),
      ])
    #expect(found.erasing == RandomErasing())
    #expect(found.mixing == [.mixup(alpha: 1), .cutmix(alpha: 0.2)])
    #expect(try Configuration(ConfigurationValue(yaml: "Global: {}"), path: "t.yaml").trainingTransforms() == nil)
  }

  @Test("The multi-label recipe")
  func multiLabel() throws {
    let found = try transforms(
      "[{DecodeImage: {to_rgb: True}}, {ResizeImage: {size: [448, 448], interpolation: bilinear, backend: pil}}, "
        + "{Cutout: {length: 224, fill_value: none}}, {RandAugmentV4: }, {NormalizeImage: }]")
    #expect(
      found.steps.dropLast() == [
        .fixed(.resize(Size(448), interpolation: .bilinear, backend: .pillow)),
        .random(.cutout(holes: 1, length: 224, fill: nil)), .random(.randAugmentV4),
      ])
    #expect(found.outputSize == Size(448) && found.erasing == nil)
    #expect(try transforms("[{Cutout: {fill_value: null}}]").steps == [.random(.cutout(fill: nil))])
    #expect(
      try transforms("[{Cutout: {fill_value: [1, 2, 3]}}]").steps
        == [.random(.cutout(fill: PixelColor(red: 1, green: 2, blue: 3)))])
  }

  @Test("All arguments")
  func arguments() throws {
    let found = try transforms(
      "[{RandCropImage: {size: 9, scale: [0.2, 1], ratio: [1.0/2, 2], use_log_aspect: True, interpolation: area}}, "
        + "{RandFlipImage: {flip_code: -1}}, {RandomHorizontalFlip: {prob: 0.1}}, "
        + "{TimmAutoAugment: {prob: 0.3, config_str: rand-m3, interpolation: random, img_size: 9}}, "
        + "{NormalizeImage: }, {RandomErasing: {mode: const, mean: [1, 2, 3], EPSILON: 1/4, r1: 0.5}}]",
      batch: "[{OpSampler: {CutmixOperator: {alpha: 1.0, prob: 0.7}, MixupOperator: {}}}]")
    var policy = AutoAugment()
    policy.magnitude = 3
    policy.probability = 0.3
    policy.interpolation = nil
    #expect(
      found.steps.dropLast() == [
        .random(
          .randomCrop(
            size: Size(9), scale: 0.2...1, ratio: 0.5...2, drawsRatioEvenlyInLogarithm: true, interpolation: .area,
            backend: .openCV)),
        .random(.randomFlip(.both)), .random(.randomFlip(.horizontal, probability: 0.1)),
        .random(.autoAugment(policy)),
      ])
    #expect(found.erasing?.fill == .constant(1, 2, 3) && found.erasing?.probability == 0.25)
    #expect(
      found.mixing
        == [.oneOf([.init(.cutmix(alpha: 1), probability: 0.7), .init(.mixup(alpha: 1), probability: 0)])])
  }

  @Test(
    "What cannot be followed is an error with its key",
    arguments: [
      ("{RandCropImage: {size: 0}}", "RandCropImage.size"), ("{RandCropImage: }", "RandCropImage.size"),
      ("{RandCropImage: {size: 9, scale: [1, 0.1]}}", "RandCropImage.scale"),
      ("{RandCropImage: {size: 9, ratio: [0, 1]}}", "RandCropImage.ratio"),
      ("{RandCropImage: {size: 9, ratio: 1}}", "RandCropImage.ratio"),
      ("{RandCropImage: {size: 9, backend: dali}}", "RandCropImage.backend"),
      ("{RandCropImage: {size: 9, backend: pil, interpolation: area}}", "RandCropImage.interpolation"),
      ("{RandFlipImage: {flip_code: 2}}", "RandFlipImage.flip_code"),
      ("{TimmAutoAugment: {config_str: rand-q1}}", "TimmAutoAugment.config_str"),
      ("{TimmAutoAugment: {config_str: augmix-m3}}", "TimmAutoAugment.config_str"),
      ("{TimmAutoAugment: {interpolation: lanczos}}", "TimmAutoAugment.interpolation"),
      ("{TimmAutoAugment: {prob: 2}}", "TimmAutoAugment.prob"),
      ("{RandAugmentV4: {num_layers: 2}}", "RandAugmentV4.num_layers"),
      ("{RandAugment: {magnitude: 11}}", "RandAugment.magnitude"),
      ("{Cutout: {fill_value: [1, 2]}}", "Cutout.fill_value"), ("{Cutout: {length: -1}}", "Cutout.length"),
      ("{RandomErasing: }", "RandomErasing"), ("{ColorJitter: }", "ColorJitter"),
    ])
  func refused(_ text: String, _ key: String) {
    let error = #expect(throws: HGNetError.self) { try transforms("[\(text)]") }
    #expect(error?.context.key == "DataLoader.Train.dataset.transform_ops.0.\(key)")
    #expect(error?.context.path == "t.yaml")
  }

  @Test(
    "What follows the normalisation is judged as well",
    arguments: [
      ("{RandFlipImage: }", "RandFlipImage"), ("{RandomErasing: {sl: 0.5}}", "RandomErasing.sl"),
      ("{RandomErasing: {r1: 0}}", "RandomErasing.r1"), ("{RandomErasing: {mode: red}}", "RandomErasing.mode"),
      ("{RandomErasing: {mean: [1]}}", "RandomErasing.mean"),
      ("{RandomErasing: {EPSILON: 3}}", "RandomErasing.EPSILON"),
    ])
  func refusedBehind(_ text: String, _ key: String) {
    let error = #expect(throws: HGNetError.self) { try transforms("[{NormalizeImage: }, \(text)]") }
    #expect(error?.context.key == "DataLoader.Train.dataset.transform_ops.1.\(key)")
  }

  @Test(
    "Mixing that cannot be followed",
    arguments: [
      "[{MixupOperator: {alpha: 0}}]", "[{OpSampler: }]",
      "[{OpSampler: {MixupOperator: {prob: 0.7}, CutmixOperator: {prob: 0.7}}}]",
      "[{OpSampler: {MixupOperator: {prob: -1}}}]",
    ])
  func refusedMixing(_ text: String) {
    let error = #expect(throws: HGNetError.self) { try transforms("[]", batch: text) }
    #expect(error?.context.key?.hasPrefix("DataLoader.Train.dataset.batch_transform_ops.0") == true)
  }
}
