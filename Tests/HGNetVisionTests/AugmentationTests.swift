import Foundation
import HGNetCore
import HGNetVision
import Testing

@Suite("Random steps on pictures")
struct AugmentationTests {
  /// Draws until enough numbers are there and compares them with a row of `distributions.tsv`.
  ///
  /// Mean and spread may be off by five standard errors of both samples, the shares at the deciles by four.
  static func compare(
    _ quantity: String, count: Int = 20_000, draw: (inout RandomGenerator) throws -> Double?
  ) throws {
    let table = AugmentationPixelTests.rows("distributions.tsv")
    let row = try #require(table.first { $0[0] == quantity })
    let expected = row.dropFirst().compactMap { Double($0) }
    try #require(expected.count == 11)
    var generator = RandomGenerator(seed: 3, stream: quantity)
    var numbers: [Double] = []
    var attempts = 0
    while numbers.count < count, attempts < 50 * count {
      attempts += 1
      if let number = try draw(&generator) { numbers.append(number) }
    }
    try #require(numbers.count == count)
    numbers.sort()
    let mean = numbers.reduce(0, +) / Double(count)
    let spread = (numbers.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count)).squareRoot()
    let error = 5 * expected[1] * (1 / Double(count) + 1 / 200_000).squareRoot()
    #expect(abs(mean - expected[0]) <= error, "mean \(mean) of \(quantity), expected \(expected[0])")
    #expect(abs(spread - expected[1]) <= error, "spread \(spread) of \(quantity), expected \(expected[1])")
    let shareError = 4 * (0.25 / Double(count) + 0.25 / 200_000).squareRoot()
    for decile in 1...9 {
      // The share of numbers below the expected decile, and up to it, must enclose the decile.
      let limit = expected[decile + 1]
      let unit = expected[1] * 1e-3
      let below = Double(numbers.count { $0 < limit - unit }) / Double(count)
      let upTo = Double(numbers.count { $0 <= limit + unit }) / Double(count)
      let share = Double(decile) / 10
      #expect(
        below <= share + shareError && upTo >= share - shareError,
        "decile \(decile) of \(quantity): \(below) … \(upTo)")
    }
  }

  static let cropped: [(String, Size, Bool)] = [
    ("crop", Size(height: 375, width: 500), false), ("crop-logarithmic", Size(32), true),
    ("crop-wide", Size(height: 100, width: 900), false),
  ]

  @Test("Crops are distributed as PaddleClas'", arguments: cropped)
  func crops(_ group: String, _ size: Size, _ isLogarithmic: Bool) throws {
    var isInside = true
    for part in ["width", "height", "left", "top"] {
      try Self.compare("\(group) \(part)") { generator in
        let window = try Augmentation.cropWindow(
          of: size, drawsRatioEvenlyInLogarithm: isLogarithmic, using: &generator)
        isInside =
          isInside && window.top >= 0 && window.top + window.size.height <= size.height && window.left >= 0
          && window.left + window.size.width <= size.width
        return switch part {
        case "width": Double(window.size.width)
        case "height": Double(window.size.height)
        case "left": Double(window.left)
        default: Double(window.top)
        }
      }
    }
    #expect(isInside)
  }

  static var fineTuning: RandomErasing {
    var erasing = RandomErasing()
    erasing.probability = 0.25
    erasing.area = 0.02...1.0 / 3
    erasing.attempts = 10
    erasing.drawsRatioEvenlyInLogarithm = true
    erasing.fill = .pixels
    return erasing
  }

  @Test(
    "Erased rectangles are distributed as PaddleClas'",
    arguments: [
      ("erase-fine-tuning", Size(224), fineTuning), ("erase-standard", Size(height: 48, width: 64), RandomErasing()),
    ])
  func erasing(_ group: String, _ size: Size, _ erasing: RandomErasing) throws {
    try Self.compare("\(group) erased") { erasing.window(in: size, using: &$0) == nil ? 0 : 1 }
    let parts: [(String, (Augmentation.Window) -> Int)] = [
      ("width", { $0.size.width }), ("height", { $0.size.height }), ("left", { $0.left }), ("top", { $0.top }),
    ]
    for (part, value) in parts {
      try Self.compare("\(group) \(part)") { erasing.window(in: size, using: &$0).map { Double(value($0)) } }
    }
  }

  @Test("A crop is the part of the picture, resized")
  func crop() throws {
    let image = try Fixture.noise(height: 60, width: 80)
    for seed in 0..<20 as Range<UInt64> {
      var first = RandomGenerator(seed: seed)
      var second = first
      let crop = Augmentation.randomCrop(size: Size(height: 30, width: 20), interpolation: .bicubic, backend: .pillow)
      let result = try crop.applying(to: image, using: &first)
      let window = try Augmentation.cropWindow(of: image.size, using: &second)
      let pixels = image.pixels
      let part = try Image(
        size: window.size,
        pixels: (0..<window.size.height).flatMap { row -> ArraySlice<UInt8> in
          let start = 3 * ((window.top + row) * 80 + window.left)
          return pixels[start..<(start + 3 * window.size.width)]
        })
      #expect(
        try result == part.resized(to: Size(height: 30, width: 20), interpolation: .bicubic, backend: .pillow))
    }
    var generator = RandomGenerator(seed: 1)
    let pixel = try Fixture.noise(height: 1, width: 1)
    #expect(try Augmentation.randomCrop(size: Size(2)).applying(to: pixel, using: &generator).size == Size(2))
    for scale in [0.0...1, -1...1, 0.1...Double.infinity] {
      #expect(throws: HGNetError.self) {
        try Augmentation.randomCrop(size: Size(2), scale: scale).applying(to: image, using: &generator)
      }
    }
  }

  @Test("Only the rectangle is erased, with what was asked for")
  func fills() throws {
    for fill in [RandomErasing.Fill.pixels, .color, .constant(1, 2, 3)] {
      var erasing = Self.fineTuning
      erasing.probability = 1
      erasing.fill = fill
      var generator = RandomGenerator(seed: 5)
      var twin = generator
      let size = Size(height: 90, width: 120)
      var batch = Tensor(shape: [3, 90, 120, 3], repeating: 100)
      try batch.withUnsafeMutableBufferPointer { (buffer) throws(HGNetError) in
        try erasing.apply(to: buffer, at: 1, size: size, using: &generator)
      }
      let window = try #require(erasing.window(in: size, using: &twin))
      var inside: [Float] = []
      var isOutsideUntouched = true
      for (index, value) in batch.values.enumerated() {
        let pixel = index / 3 - size.height * size.width
        let (row, column) = (pixel / size.width - window.top, pixel % size.width - window.left)
        if pixel >= 0, (0..<window.size.height).contains(row), (0..<window.size.width).contains(column) {
          inside.append(value)
        } else {
          isOutsideUntouched = isOutsideUntouched && value == 100
        }
      }
      #expect(isOutsideUntouched)
      #expect(inside.count == 3 * window.size.height * window.size.width)
      let mean = inside.reduce(0, +) / Float(inside.count)
      let spread = (inside.reduce(0) { $0 + $1 * $1 } / Float(inside.count)).squareRoot()
      switch fill {
      case .pixels:
        #expect(abs(mean) < 0.05 && abs(spread - 1) < 0.05)
      case .color:
        #expect(Set(inside).count == 3)
      case .constant:
        #expect(Array(inside[..<3]) == [1, 2, 3] && Set(inside).count == 3)
      }
      #expect(throws: HGNetError.self) {
        try batch.withUnsafeMutableBufferPointer { (buffer) throws(HGNetError) in
          try erasing.apply(to: buffer, at: 3, size: size, using: &generator)
        }
      }
    }
    var wrong = Tensor(shape: [4, 5])
    var generator = RandomGenerator(seed: 5)
    #expect(throws: HGNetError.self) { try RandomErasing().apply(to: &wrong, using: &generator) }
  }

  @Test("Holes are distributed as PaddleClas' and of one colour")
  func cutout() throws {
    let grey = try Image(size: Size(448), pixels: [UInt8](repeating: 9, count: 448 * 448 * 3))
    let fixed = Augmentation.cutout(length: 224, fill: .grey(0))
    for part in ["height", "width"] {
      try Self.compare("cutout \(part)", count: 400) { generator in
        let image = try fixed.applying(to: grey, using: &generator)
        return image.withUnsafeBytes { bytes in
          Double(
            (0..<448).count { place in
              (0..<448).contains { bytes[3 * (part == "height" ? place * 448 + $0 : $0 * 448 + place)] == 0 }
            })
        }
      }
    }
    var generator = RandomGenerator(seed: 2)
    let colors = try (0..<30).map { _ in
      Set(try Augmentation.cutout(holes: 1, length: 448).applying(to: grey, using: &generator).pixels).count
    }
    // Nine and three random values.
    #expect(colors.allSatisfy { (2...4).contains($0) } && colors.contains(4))
    #expect(try Augmentation.cutout(holes: 0).applying(to: grey, using: &generator) == grey)
    #expect(try Augmentation.cutout(length: .max, fill: .grey(3)).applying(to: grey, using: &generator).pixels[0] == 3)
  }

  @Test("The same seed gives the same pixels, whatever was drawn before")
  func reproducible() throws {
    let image = try Fixture.noise(height: 50, width: 70)
    let transforms = TrainingTransforms(
      steps: [
        .random(.randomCrop(size: Size(32), interpolation: .bicubic, backend: .pillow)), .random(.randomFlip()),
        .random(.autoAugment(try AutoAugment("rand-m7-mstd0.5-inc1"))),
        .fixed(.normalize(scale: 1.0 / 255, mean: [0.485, 0.456, 0.406], standardDeviation: [0.229, 0.224, 0.225])),
      ], erasing: Self.fineTuning)
    #expect(transforms.outputSize == Size(32))
    func tensor(epoch: Int, sample: Int) throws -> [Float] {
      var generator = RandomGenerator(seed: 11, epoch: epoch, sample: sample)
      return try transforms.tensor(from: image, using: &generator).values
    }
    let forward = try (0..<20).map { try tensor(epoch: 1, sample: $0) }
    let backward = try (0..<20).reversed().map { try tensor(epoch: 1, sample: $0) }
    #expect(forward == backward.reversed())
    #expect(Set(forward).count == 20)
    #expect(try tensor(epoch: 2, sample: 0) != forward[0])
    var batch = Tensor(shape: [2, 32, 32, 3], repeating: -9)
    try batch.withUnsafeMutableBufferPointer { (buffer) throws(HGNetError) in
      var generator = RandomGenerator(seed: 11, epoch: 1, sample: 7)
      try transforms.write(image, into: buffer, at: 1, size: Size(32), using: &generator)
    }
    #expect(Array(batch.values[(32 * 32 * 3)...]) == forward[7])
    #expect(batch.values[..<(32 * 32 * 3)].allSatisfy { $0 == -9 })
  }

  @Test("Steps in an order that makes no sense are an error")
  func order() throws {
    let image = try Fixture.noise(height: 5, width: 7)
    let normalization = Transform.normalize(scale: 1, mean: [0, 0, 0], standardDeviation: [1, 1, 1])
    let transforms = TrainingTransforms(steps: [.fixed(normalization), .random(.randomFlip())])
    var generator = RandomGenerator(seed: 1)
    #expect(throws: HGNetError.self) { try transforms.tensor(from: image, using: &generator) }
    #expect(transforms.outputSize == nil)
    #expect(TrainingTransforms(steps: [.fixed(.resize(Size(3))), .fixed(.resizeShort(2))]).outputSize == nil)
    #expect(TrainingTransforms(steps: [.fixed(.resizeShort(9)), .fixed(.centerCrop(Size(8)))]).outputSize == Size(8))
  }
}
