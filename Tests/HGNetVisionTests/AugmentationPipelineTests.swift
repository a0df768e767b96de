import HGNetCore
import HGNetVision
import Testing

@Suite("Whole pipelines of training")
struct AugmentationPipelineTests {
  /// The pipelines of `pipelines.py`.
  static func transforms(_ name: String) throws -> TrainingTransforms {
    var erasing = RandomErasing()
    erasing.area = 0.02...1.0 / 3
    erasing.attempts = 10
    erasing.drawsRatioEvenlyInLogarithm = true
    var crop = Augmentation.randomCrop(size: Size(48), interpolation: .bicubic, backend: .pillow)
    var policy: AutoAugment
    switch name {
    case "fine-tuning":
      policy = try AutoAugment("rand-m7-mstd0.5-inc1")
      erasing.probability = 0.25
      erasing.fill = .pixels
    case "teacher":
      policy = try AutoAugment("rand-m15-mstd0.5-inc1")
      erasing.probability = 0.4
      erasing.fill = .color
    default:
      policy = try AutoAugment("rand-m5-mstd1-n4")
      policy.interpolation = nil
      crop = .randomCrop(size: Size(40), drawsRatioEvenlyInLogarithm: true)
      erasing = RandomErasing()
    }
    let normalization = Transform.normalize(
      scale: 1.0 / 255, mean: TransformTests.mean, standardDeviation: TransformTests.deviation)
    let flip: [TrainingTransforms.Step] = name == "other" ? [] : [.random(.randomFlip())]
    return TrainingTransforms(
      steps: [.random(crop)] + flip + [.random(.autoAugment(policy)), .fixed(normalization)], erasing: erasing)
  }

  static let goldens = Dictionary(grouping: AugmentationPixelTests.rows("pipelines.tsv")) { $0[0] }

  @Test("With the same random numbers the tensor is that of Pillow and NumPy", arguments: goldens.keys.sorted())
  func pipelines(_ name: String) throws {
    let rows = try #require(Self.goldens[name])
    #expect(rows.count == 120)
    let transforms = try Self.transforms(name)
    for row in rows {
      let numbers = row[1...5].compactMap { Int($0) }
      try #require(numbers.count == 5)
      var generator = RandomGenerator(seed: UInt64(numbers[0]), epoch: numbers[1], sample: numbers[2])
      let image = try Fixture.noise(height: numbers[3], width: numbers[4])
      let tensor = try transforms.tensor(from: image, using: &generator)
      let bytes = tensor.values.flatMap { value in
        (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) }
      }
      #expect(Fixture.hash(bytes) == row[6], "\(row)")
    }
  }
}
