import HGNetCore
import HGNetVision
import Testing

@Suite("Policies of random operations")
struct AugmentationPolicyTests {
  @Test("The text of a policy")
  func grammar() throws {
    let standard = try AutoAugment("rand-m7-mstd0.5-inc1")
    #expect(standard.magnitude == 7 && standard.magnitudeDeviation == 0.5 && standard.isIncreasing)
    #expect(standard.operationCount == 2 && !standard.isWeighted && standard.probability == 1)
    #expect(standard.interpolation == .bicubic && standard.fill == PixelColor(red: 124, green: 116, blue: 104))
    #expect(try AutoAugment("rand") == AutoAugment())
    // Any number switches the increasing operations on; words without a number are skipped; the last magnitude and the
    // first deviation count.
    #expect(try AutoAugment("rand-inc0").isIncreasing)
    #expect(try AutoAugment("rand--xyz-n3").operationCount == 3)
    #expect(try AutoAugment("rand-m3-m9").magnitude == 9)
    #expect(try AutoAugment("rand-mstd1-mstd2e1").magnitudeDeviation == 1)
    #expect(try AutoAugment("rand-m15-w0-n13").isWeighted)
  }

  @Test(
    "A text that is none",
    arguments: [
      "", "random-m7", "m7", "rand-m7.5", "rand-x5", "rand-w1", "rand-n101", "rand-w0-n14", "rand-mstd1x",
      "rand-m99999999999999999999", "augmix-m5-w4", "auto-mstd0.5", "rand-mstd1e999",
    ])
  func refused(_ text: String) {
    let error = #expect(throws: HGNetError.self) { try AutoAugment(text) }
    #expect(error?.code == (text.hasPrefix("au") ? .unsupported : .invalidArgument))
    #expect(error?.message.contains("\"") == true)
  }

  static func name(_ operation: PixelOperation) -> String {
    "\(operation)".split(separator: "(").first.map(String.init) ?? ""
  }

  static let names = [
    "autoContrast", "equalize", "invert", "rotate", "posterize", "solarize", "solarizeAdd", "color", "contrast",
    "brightness", "sharpness", "shearX", "shearY", "translateX", "translateY",
  ]

  @Test("Every operation is as likely as the next, and applied half of the time")
  func frequencies() throws {
    let policy = try AutoAugment("rand-m7-mstd0.5-inc1")
    var generator = RandomGenerator(seed: 1)
    var counts: [String: Int] = [:]
    var lengths = [0, 0, 0]
    let draws = 30_000
    for _ in 0..<draws {
      let operations = policy.operations(for: Size(224), using: &generator)
      lengths[operations.count] += 1
      for operation in operations { counts[Self.name(operation), default: 0] += 1 }
    }
    #expect(counts.keys.sorted() == Self.names.sorted())
    // One in fifteen, five standard errors.
    for (name, count) in counts { #expect(abs(count - draws / 15) < 5 * 45, "\(name): \(count)") }
    #expect(zip(lengths, [0.25, 0.5, 0.25]).allSatisfy { abs(Double($0) / Double(draws) - $1) < 0.015 })
  }

  @Test("Weighted operations are drawn without replacement")
  func weights() throws {
    let policy = try AutoAugment("rand-w0-n2-inc1")
    var generator = RandomGenerator(seed: 1)
    var counts: [String: Int] = [:]
    var isRepeated = false
    let draws = 30_000
    for _ in 0..<draws {
      let operations = policy.operations(for: Size(224), using: &generator)
      isRepeated = isRepeated || Set(operations.map(Self.name)).count < operations.count
      for operation in operations { counts[Self.name(operation), default: 0] += 1 }
    }
    #expect(!isRepeated && counts["posterize"] == nil && counts["invert"] == nil)
    // The chance of being first, or second behind each other operation, times one half.
    let weights = [0.025, 0.005, 0, 0.3, 0, 0.005, 0.005, 0.025, 0.005, 0.005, 0.025, 0.2, 0.2, 0.1, 0.1]
    for (index, weight) in weights.enumerated() where weight > 0 {
      let second = weights.enumerated().reduce(0) { $0 + ($1.offset == index ? 0 : $1.element / (1 - $1.element)) }
      let expected = 0.5 * weight * (1 + second) * Double(draws)
      let found = Double(counts[Self.names[index]] ?? 0)
      #expect(abs(found - expected) < 5 * expected.squareRoot(), "\(Self.names[index]): \(found), expected \(expected)")
    }
  }

  @Test("Magnitudes are distributed as PaddleClas'")
  func magnitudes() throws {
    let policy = try AutoAugment("rand-m7-mstd0.5-inc1")
    try AugmentationTests.compare("magnitude degrees", count: 4000) { generator in
      for operation in policy.operations(for: Size(9), using: &generator) {
        if case .rotate(let degrees, .bicubic) = operation { return abs(degrees) }
      }
      return nil
    }
    try AugmentationTests.compare("magnitude add", count: 4000) { generator in
      for operation in policy.operations(for: Size(9), using: &generator) {
        if case .solarizeAdd(let number) = operation { return Double(number) }
      }
      return nil
    }
  }

  /// Every operation that a policy without noise draws.
  static func all(_ text: String, size: Size = Size(height: 100, width: 200)) throws -> Set<PixelOperation> {
    let policy = try AutoAugment(text)
    var generator = RandomGenerator(seed: 4)
    var found: Set<PixelOperation> = []
    for _ in 0..<4000 { found.formUnion(policy.operations(for: size, using: &generator)) }
    return found
  }

  @Test("The arguments that belong to a magnitude")
  func arguments() throws {
    let seven: Set<PixelOperation> = [
      .autoContrast, .equalize, .invert, .posterize(bits: 2), .solarize(threshold: 77), .solarizeAdd(77),
      .color(1 + 0.7 * 0.9), .color(1 - 0.7 * 0.9), .contrast(1 + 0.7 * 0.9), .contrast(1 - 0.7 * 0.9),
      .brightness(1 + 0.7 * 0.9), .brightness(1 - 0.7 * 0.9), .sharpness(1 + 0.7 * 0.9), .sharpness(1 - 0.7 * 0.9),
      .rotate(degrees: 0.7 * 30, .bicubic), .rotate(degrees: -0.7 * 30, .bicubic),
      .shearX(0.7 * 0.3, .bicubic), .shearX(-0.7 * 0.3, .bicubic), .shearY(0.7 * 0.3, .bicubic),
      .shearY(-0.7 * 0.3, .bicubic), .translateX(pixels: 0.7 * 0.45 * 200, .bicubic),
      .translateX(pixels: -0.7 * 0.45 * 200, .bicubic), .translateY(pixels: 0.7 * 0.45 * 100, .bicubic),
      .translateY(pixels: -0.7 * 0.45 * 100, .bicubic),
    ]
    #expect(try Self.all("rand-m7-inc1") == seven)
    // Without inc the factors run through their range and more bits stay with a larger magnitude.
    let plain = try Self.all("rand-m7")
    for operation: PixelOperation in [
      .posterize(bits: 2), .solarize(threshold: 179), .color(0.7 * 1.8 + 0.1), .sharpness(0.7 * 1.8 + 0.1),
    ] { #expect(plain.contains(operation)) }
    #expect(plain.count == 20)
    // Beyond 10 counts as 10.
    #expect(try Self.all("rand-m15-inc1") == Self.all("rand-m10-inc1"))
    #expect(
      try Self.all("rand-inc1").isSuperset(of: [.posterize(bits: 0), .solarize(threshold: 0), .solarizeAdd(110)]))
  }

  @Test("An open interpolation is drawn for every operation, and a policy may be left out")
  func options() throws {
    var policy = try AutoAugment("rand-m7-inc1")
    policy.interpolation = nil
    var generator = RandomGenerator(seed: 4)
    var counts: [Interpolation: Int] = [:]
    for _ in 0..<5000 {
      for case .shearX(_, let interpolation) in policy.operations(for: Size(9), using: &generator) {
        counts[interpolation, default: 0] += 1
      }
    }
    #expect(counts.count == 2 && counts.values.allSatisfy { (120...210).contains($0) }, "\(counts)")
    policy.probability = 0
    #expect((0..<100).allSatisfy { _ in policy.operations(for: Size(9), using: &generator).isEmpty })
  }

  @Test("Version 4 of RandAugment draws each operation and level evenly")
  func version4() {
    var generator = RandomGenerator(seed: 6)
    var counts: [String: Int] = [:]
    var found: Set<PixelOperation> = []
    let draws = 30_000
    for _ in 0..<draws {
      for operation in RandAugment.version4(for: Size(331), using: &generator) {
        counts[Self.name(operation), default: 0] += 1
        found.insert(operation)
      }
    }
    #expect(counts.count == 15)
    for (name, count) in counts { #expect(abs(count - draws / 15) < 5 * 45, "\(name): \(count)") }
    let bits = found.compactMap { if case .posterize(let bits) = $0 { bits } else { nil } }
    #expect(bits.sorted() == [4, 5, 6, 7, 8])
    let angles = found.compactMap { if case .rotate(let angle, .nearest) = $0 { angle } else { nil } }
    #expect(angles.count == 9 && angles.allSatisfy { $0 > 3.3 && $0 <= 30 })
    let moves = found.compactMap { if case .translateX(let pixels, .nearest) = $0 { pixels } else { nil } }
    #expect(moves.count == 18 && moves.allSatisfy { abs($0) > 16 && abs($0) <= 150 })
    let holes = found.compactMap { if case .paint(let rows, _, .grey(0)) = $0 { rows.count } else { nil } }
    #expect(holes.max() == 40 && holes.min().map { $0 >= 2 } == true)
  }

  @Test("The first version of RandAugment applies every operation that it draws")
  func version1() throws {
    var generator = RandomGenerator(seed: 6)
    var policy = RandAugment()
    policy.operationCount = 3
    var names: Set<String> = []
    for _ in 0..<1000 {
      let operations = policy.operations(for: Size(64), using: &generator)
      #expect(operations.count == 3)
      names.formUnion(operations.map(Self.name))
    }
    #expect(names == Set(Self.names).subtracting(["solarizeAdd"]))
    // Rotations bring in grey whatever the fill is.
    policy.fill = PixelColor(red: 255, green: 0, blue: 0)
    let image = try Fixture.noise(height: 20, width: 20)
    for _ in 0..<50 { #expect(try policy.applying(to: image, using: &generator).size == image.size) }
    #expect(try Augmentation.randAugmentV4.applying(to: image, using: &generator).size == image.size)
  }
}
