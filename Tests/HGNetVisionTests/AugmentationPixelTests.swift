import CHGNetKernels
import Foundation
import HGNetCore
import HGNetVision
import Testing

@Suite("Operations on colours and geometry")
struct AugmentationPixelTests {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/augment")

  static func rows(_ table: String) -> [[String]] {
    let text = (try? String(contentsOf: folder.appendingPathComponent(table), encoding: .utf8)) ?? ""
    return text.split(separator: "\n").map { $0.split(separator: "\t").map(String.init) }
  }

  static let goldens = Dictionary(grouping: rows("operations.tsv")) { $0[0] }

  /// The picture of a row of the table; see `make.py`.
  static func picture(_ kind: String, height: Int, width: Int) throws -> Image {
    let noise = try Fixture.noise(height: height, width: width)
    let pixels = noise.pixels.enumerated().map { index, value -> UInt8 in
      switch (kind, index % 3) {
      case ("dim", let channel): value / 2 + UInt8(20 * (channel + 1))
      case ("flat", 2): 50
      case ("flat", let channel): value / 128 * 90 + [7, 11][channel]
      default: value
      }
    }
    return try Image(size: noise.size, pixels: pixels)
  }

  static func operation(_ name: String, _ argument: Double, _ interpolation: Interpolation) -> PixelOperation? {
    switch name {
    case "autoContrast": .autoContrast
    case "equalize": .equalize
    case "invert": .invert
    case "posterize": .posterize(bits: Int(argument))
    case "solarize": .solarize(threshold: argument)
    case "solarizeAdd": .solarizeAdd(Int(argument))
    case "color": .color(argument)
    case "contrast": .contrast(argument)
    case "brightness": .brightness(argument)
    case "sharpness": .sharpness(argument)
    case "rotate": .rotate(degrees: argument, interpolation)
    case "shearX": .shearX(argument, interpolation)
    case "shearY": .shearY(argument, interpolation)
    case "translateX": .translateX(pixels: argument, interpolation)
    case "translateY": .translateY(pixels: argument, interpolation)
    default: nil
    }
  }

  @Test("The pixels are Pillow's", arguments: goldens.keys.filter { $0 != "flip" }.sorted())
  func pillow(_ name: String) throws {
    let rows = try #require(Self.goldens[name])
    #expect(rows.count >= 18)
    for row in rows {
      try #require(row.count == 8)
      let argument = try #require(Double(row[1]))
      let interpolation = try #require(Interpolation(rawValue: row[2]))
      let fill = row[3].split(separator: ",").compactMap { UInt8($0) }
      let sides = row[5...6].compactMap { Int($0) }
      let image = try Self.picture(row[4], height: sides[0], width: sides[1])
      let operation = try #require(Self.operation(name, argument, interpolation))
      let result = try operation.applying(to: image, fill: PixelColor(red: fill[0], green: fill[1], blue: fill[2]))
      #expect(result.size == image.size)
      #expect(Fixture.hash(result.pixels) == row[7], "\(row)")
    }
  }

  @Test("Mirrored pictures are OpenCV's", arguments: goldens["flip"] ?? [])
  func flips(_ row: [String]) throws {
    let sides = row[5...6].compactMap { Int($0) }
    let image = try Self.picture(row[4], height: sides[0], width: sides[1])
    let direction = try #require(Augmentation.FlipDirection(rawValue: Int(Double(row[1]) ?? 9)))
    var generator = RandomGenerator(seed: 1)
    let flipped = try Augmentation.randomFlip(direction, probability: 1).applying(to: image, using: &generator)
    #expect(Fixture.hash(flipped.pixels) == row[7])
    #expect(try Augmentation.randomFlip(direction, probability: 0).applying(to: image, using: &generator) == image)
  }

  @Test("Vector and scalar geometry agree", arguments: 0..<60)
  func implementations(_ index: Int) throws {
    var generator = SeededGenerator(state: UInt64(index))
    func number(_ range: ClosedRange<Double>) -> Double { Double.random(in: range, using: &generator) }
    let (height, width) = (Int.random(in: 1...40, using: &generator), Int.random(in: 1...40, using: &generator))
    var matrix = hg_affine(
      a: number(-2...2), b: number(-1...1), c: number(-20...20), d: number(-1...1), e: number(-2...2),
      f: number(-20...20))
    // Positions that fall on pixels, also from a hair beside.
    if index % 3 == 0 { matrix = hg_affine(a: 1, b: number(-1...1), c: 0.5, d: 0, e: 1, f: 0) }
    if index % 3 == 1 { matrix = hg_affine(a: 1, b: 0, c: number(-1...1) * 1e-15, d: 0, e: 1, f: number(-3...3)) }
    let count = height * width * 3
    let source = (0..<count + 64).map { _ in UInt8.random(in: 0...255, using: &generator) }
    let fill: [UInt8] = [1, 2, 3]
    func run(
      _ kernel: (
        UnsafePointer<UInt8>?, UnsafeMutablePointer<UInt8>?, Int64, Int64, UnsafePointer<hg_affine>?,
        UnsafePointer<UInt8>?
      ) -> Void
    ) -> [UInt8] {
      var target = [UInt8](repeating: 0, count: count + 64)
      kernel(source, &target, Int64(height), Int64(width), &matrix, fill)
      return Array(target[..<count])
    }
    #expect(run(hg_affine_bicubic_u8) == run(hg_affine_bicubic_u8_scalar))
    #expect(run(hg_affine_bilinear_u8) == run(hg_affine_bilinear_u8_scalar))
  }

  @Test(
    "Numbers that make no sense do no harm",
    arguments: [Double.nan, .infinity, -.infinity, 1e300, -1e300, 1e9, 40000, .leastNonzeroMagnitude])
  func nonsense(_ number: Double) throws {
    let image = try Fixture.noise(height: 5, width: 7)
    for interpolation in [Interpolation.nearest, .bilinear, .bicubic] {
      for position in 0..<6 {
        var matrix: [Double] = [1, 0.1, 0, 0.1, 1, 0]
        matrix[position] = number
        let transform = AffineTransform(matrix[0], matrix[1], matrix[2], matrix[3], matrix[4], matrix[5])
        #expect(try image.transformed(by: transform, interpolation: interpolation).size == image.size)
      }
    }
    for operation: PixelOperation in [
      .color(number), .contrast(number), .brightness(number), .sharpness(number), .solarize(threshold: number),
      .posterize(bits: .min), .posterize(bits: .max), .solarizeAdd(.max), .solarizeAdd(.min),
    ] {
      #expect(try operation.applying(to: image, fill: .grey(0)).size == image.size)
    }
    if number.isFinite {
      #expect(try image.rotated(degrees: number).size == image.size)
    } else {
      #expect(throws: HGNetError.self) { try image.rotated(degrees: number) }
    }
    #expect(throws: HGNetError.self) { try image.transformed(by: .shearX(0), interpolation: .lanczos) }
  }
}
