import HGNetCore
import HGNetVision
import Testing

@Suite("Transforms")
struct TransformTests {
  static let mean: [Float] = [0.485, 0.456, 0.406]
  static let deviation: [Float] = [0.229, 0.224, 0.225]

  @Test("The tensor is PaddleClas' bit for bit", arguments: Fixture.rows("tensors.tsv"))
  func tensors(_ row: [String]) throws {
    try #require(row.count == 8)
    let backend = try #require(ResizeBackend(rawValue: row[1]))
    let interpolation = try #require(Interpolation(rawValue: row[2]))
    let sides = row[3...5].compactMap { Int($0) }
    let scale = try #require(Double(row[6]))
    let transforms: [Transform] = [
      .resizeShort(sides[0], interpolation: interpolation, backend: backend),
      .centerCrop(Size(height: sides[1], width: sides[2])),
      .normalize(scale: Float(scale), mean: Self.mean, standardDeviation: Self.deviation),
    ]
    let tensor = try Transform.tensor(from: Image(contentsOf: Fixture.path(row[0])), applying: transforms)
    #expect(tensor.shape == [sides[1], sides[2], 3])
    let bytes = tensor.values.flatMap { value in
      (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) }
    }
    #expect(Fixture.hash(bytes) == row[7])
  }

  @Test(
    "Sides are rounded half to even",
    arguments: [
      // 2.5 → 2, 3.5 → 4, and ImageNet's usual shapes.
      (Size(height: 2, width: 5), 1, Size(height: 1, width: 2)),
      (Size(height: 2, width: 7), 1, Size(height: 1, width: 4)),
      (Size(height: 375, width: 500), 232, Size(height: 232, width: 309)),
      (Size(height: 500, width: 375), 256, Size(height: 341, width: 256)),
      (Size(height: 7, width: 7), 224, Size(224)),
    ])
  func rounding(_ source: Size, _ short: Int, _ expected: Size) throws {
    #expect(try Transform.size(of: source, applying: [.resizeShort(short)]) == expected)
  }

  @Test("The crop's offsets are rounded down")
  func crop() throws {
    let image = try Fixture.noise(height: 8, width: 9)
    let part = try Transform.centerCrop(Size(height: 5, width: 4)).applying(to: image)
    #expect(part.size == Size(height: 5, width: 4))
    for row in 0..<5 {
      let first = 3 * ((1 + row) * 9 + 2)
      #expect(Array(part.pixels[(row * 12)..<(row * 12 + 12)]) == Array(image.pixels[first..<(first + 12)]))
    }
  }

  @Test("A picture that is smaller than the crop is an error with both sizes")
  func tooSmall() throws {
    let image = try Fixture.noise(height: 8, width: 9)
    #expect { _ = try Transform.tensor(from: image, applying: [.centerCrop(Size(224))]) } throws: {
      ($0 as? HGNetError)?.code == .shapeMismatch && "\($0)".contains("224×224") && "\($0)".contains("8×9")
    }
  }

  @Test("Without a normalisation the numbers are the pixels")
  func raw() throws {
    let image = try Fixture.noise(height: 20, width: 30)
    #expect(try Transform.tensor(from: image, applying: []).values == image.pixels.map(Float.init))
  }

  @Test("A small picture and a large one are normalised alike")
  func normalization() throws {
    let all: [Transform] = [.normalize(scale: 1.0 / 255, mean: Self.mean, standardDeviation: Self.deviation)]
    for size in [Size(height: 3, width: 5), Size(height: 40, width: 50)] {
      let image = try Fixture.noise(height: size.height, width: size.width)
      let tensor = try Transform.tensor(from: image, applying: all)
      let scale: Float = 1.0 / 255
      let expected = image.pixels.enumerated().map { index, value in
        (Float(value) * scale - Self.mean[index % 3]) / Self.deviation[index % 3]
      }
      #expect(tensor.values == expected)
    }
  }

  @Test("A place in a batch is written, the others are left alone")
  func batch() throws {
    let image = try Fixture.noise(height: 4, width: 6)
    var batch = Tensor(shape: [3, 4, 6, 3], repeating: -7)
    try batch.withUnsafeMutableBufferPointer { (buffer) throws(HGNetError) in
      try Transform.write(image, applying: [], into: buffer, at: 1, size: image.size)
    }
    let values = batch.values
    #expect(values[..<72].allSatisfy { $0 == -7 } && values[144...].allSatisfy { $0 == -7 })
    #expect(Array(values[72..<144]) == image.pixels.map(Float.init))
    for (position, size) in [(3, Size(height: 4, width: 6)), (-1, Size(height: 4, width: 6)), (0, Size(4))] {
      #expect(throws: HGNetError.self) {
        try batch.withUnsafeMutableBufferPointer { (buffer) throws(HGNetError) in
          try Transform.write(image, applying: [], into: buffer, at: position, size: size)
        }
      }
    }
  }

  @Test(
    "Transforms that make no sense are errors",
    arguments: [
      [.resizeShort(0)], [.resizeShort(-5)], [.resizeShort(.max)], [.resize(Size(0))], [.centerCrop(Size(0))],
      [.resize(Size(.max))], [.normalize(scale: 1, mean: [0], standardDeviation: [1])],
      [.normalize(scale: 1, mean: [0, 0, 0], standardDeviation: [1, 1, 1]), .resize(Size(5))],
    ] as [[Transform]])
  func nonsense(_ transforms: [Transform]) throws {
    let image = try Fixture.noise(height: 4, width: 6)
    #expect(throws: HGNetError.self) { _ = try Transform.tensor(from: image, applying: transforms) }
  }

  @Test("Each orientation puts the first stored pixel and row where EXIF says")
  func orientations() throws {
    // 2 × 3 pixels, numbered 1 … 6.
    let image = try Image(size: Size(height: 2, width: 3), pixels: (1...6).flatMap { [UInt8($0), 0, 0] })
    let expected: [Orientation: [UInt8]] = [
      .upright: [1, 2, 3, 4, 5, 6], .mirrored: [3, 2, 1, 6, 5, 4], .upsideDown: [6, 5, 4, 3, 2, 1],
      .flipped: [4, 5, 6, 1, 2, 3], .transposed: [1, 4, 2, 5, 3, 6], .turnedRight: [4, 1, 5, 2, 6, 3],
      .transversed: [6, 3, 5, 2, 4, 1], .turnedLeft: [3, 6, 2, 5, 1, 4],
    ]
    for orientation in Orientation.allCases {
      let turned = try image.oriented(orientation)
      #expect(turned.size == (orientation.swapsSides ? Size(height: 3, width: 2) : image.size))
      #expect(stride(from: 0, to: 18, by: 3).map { turned.pixels[$0] } == expected[orientation])
    }
  }
}
