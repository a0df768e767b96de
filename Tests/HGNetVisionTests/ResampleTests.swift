import CHGNetKernels
import HGNetCore
import HGNetVision
import Testing

@Suite("Resampling")
struct ResampleTests {
  /// One row of `resampling.tsv`.
  struct Case: CustomTestStringConvertible, Sendable {
    let backend: ResizeBackend
    let interpolation: Interpolation
    let source: Size
    let target: Size
    let hash: String

    var testDescription: String { "\(backend.rawValue) \(interpolation.rawValue) \(source) → \(target)" }

    static let all: [Case] = Fixture.rows("resampling.tsv").compactMap { row in
      let sides = row.dropFirst(2).prefix(4).compactMap { Int($0) }
      guard row.count == 7, sides.count == 4, let backend = ResizeBackend(rawValue: row[0]),
        let interpolation = Interpolation(rawValue: row[1])
      else { return nil }
      return Case(
        backend: backend, interpolation: interpolation, source: Size(height: sides[0], width: sides[1]),
        target: Size(height: sides[2], width: sides[3]), hash: row[6])
    }
  }

  @Test("The bytes are those of Pillow and OpenCV", arguments: Case.all)
  func sameBytes(_ expected: Case) throws {
    let image = try Fixture.noise(height: expected.source.height, width: expected.source.width)
    let resized = try image.resized(
      to: expected.target, interpolation: expected.interpolation, backend: expected.backend)
    #expect(resized.size == expected.target)
    #expect(Fixture.hash(resized.pixels) == expected.hash)
  }

  @Test("The table is there")
  func table() { #expect(Case.all.count > 200) }

  @Test("The same size is the same picture", arguments: ResizeBackend.allCases)
  func sameSize(_ backend: ResizeBackend) throws {
    let image = try Fixture.noise(height: 9, width: 14)
    for interpolation in Interpolation.allCases where backend.supports(interpolation) {
      #expect(try image.resized(to: image.size, interpolation: interpolation, backend: backend) == image)
    }
  }

  @Test("A part that is resized alone has the bytes of the whole", arguments: ResizeBackend.allCases)
  func parts(_ backend: ResizeBackend) throws {
    let windows = [(0, 0, 5, 7), (3, 4, 9, 3), (6, 1, 1, 1)]
    for (source, target) in [
      (Size(height: 37, width: 53), Size(height: 19, width: 24)),
      (Size(height: 11, width: 5), Size(height: 40, width: 31)),
      (Size(height: 60, width: 20), Size(height: 12, width: 20)),
      (Size(height: 90, width: 24), Size(height: 15, width: 22)),
      (Size(height: 32, width: 48), Size(height: 16, width: 24)),
      (Size(height: 64, width: 80), Size(height: 16, width: 20)),
      (Size(height: 1, width: 40), Size(height: 12, width: 480)),
    ] {
      let image = try Fixture.noise(height: source.height, width: source.width)
      for interpolation in Interpolation.allCases where backend.supports(interpolation) {
        let whole = try image.resized(to: target, interpolation: interpolation, backend: backend)
        for (top, left, height, width) in windows {
          let window = Augmentation.Window(
            top: min(top, target.height - 1), left: min(left, target.width - 1),
            size: Size(
              height: min(height, target.height - min(top, target.height - 1)),
              width: min(width, target.width - min(left, target.width - 1))))
          let part = try image.resized(to: target, keeping: window, interpolation: interpolation, backend: backend)
          for row in 0..<window.size.height {
            let first = 3 * ((window.top + row) * target.width + window.left)
            #expect(
              part.pixels[(3 * row * window.size.width)..<(3 * (row + 1) * window.size.width)]
                == whole.pixels[first..<(first + 3 * window.size.width)],
              "\(interpolation) \(source) → \(target), \(window), row \(row)")
          }
        }
      }
    }
  }

  @Test("A thin picture takes no more than what the crop keeps", arguments: ResizeBackend.allCases)
  func thin(_ backend: ResizeBackend) throws {
    // As a whole the larger would be 256 × 5 million pixels.
    let image = try Image(size: Size(height: 19_900, width: 1), pixels: [UInt8](repeating: 77, count: 3 * 19_900))
    for interpolation in Interpolation.allCases where backend.supports(interpolation) {
      let tensor = try Transform.tensor(
        from: image,
        applying: [.resizeShort(256, interpolation: interpolation, backend: backend), .centerCrop(Size(24))])
      #expect(tensor.shape == [24, 24, 3])
      #expect(tensor.values.allSatisfy { $0 == 77 })
    }
    let steps: [TrainingTransforms.Step] = [
      .fixed(.resizeShort(256, interpolation: .bicubic, backend: backend)), .fixed(.centerCrop(Size(24))),
    ]
    var generator = RandomGenerator(seed: 1, stream: "thin")
    #expect(try TrainingTransforms(steps: steps).augmented(image, using: &generator).size == Size(24))
  }

  @Test("An interpolation that a backend lacks is an error that lists what there is")
  func unsupported() throws {
    let image = try Fixture.noise(height: 4, width: 4)
    #expect { _ = try image.resized(to: Size(2), interpolation: .area, backend: .pillow) } throws: {
      ($0 as? HGNetError)?.code == .invalidArgument && "\($0)".contains("bicubic")
    }
    #expect { _ = try image.resized(to: Size(2), interpolation: .hamming, backend: .openCV) } throws: {
      ($0 as? HGNetError)?.code == .invalidArgument && "\($0)".contains("lanczos")
    }
  }

  @Test("Sizes without pixels or beyond any memory are errors", arguments: ResizeBackend.allCases)
  func sizes(_ backend: ResizeBackend) throws {
    let image = try Fixture.noise(height: 4, width: 4)
    for size in [Size(0), Size(height: -1, width: 3), Size(height: 3, width: 0)] {
      #expect { _ = try image.resized(to: size, backend: backend) } throws: {
        ($0 as? HGNetError)?.code == .invalidArgument
      }
    }
    for size in [Size(1 << 20), Size(.max), Size(height: 1, width: .max)] {
      #expect { _ = try image.resized(to: size, backend: backend) } throws: {
        ($0 as? HGNetError)?.code == .limitExceeded
      }
    }
  }

  @Test("The vector loops give what the plain loops give", arguments: [1, 2, 3, 7, 8, 9, 31, 33, 100])
  func vectorLoops(_ width: Int) {
    var random = SeededGenerator(state: UInt64(width))
    let (sourceWidth, rows, taps) = (40, 5, 4)
    let source = (0..<rows * sourceWidth * 3 + 64).map { _ in UInt8.random(in: 0...255, using: &random) }
    let windows = (0..<width).map { _ in
      let count = Int32.random(in: 1...Int32(taps), using: &random)
      return hg_resample_window(first: Int32.random(in: 0...Int32(sourceWidth) - count, using: &random), count: count)
    }
    let weights = (0..<width * taps).map { _ in Int32.random(in: -1_000_000...2_000_000, using: &random) }
    var fast = [UInt8](repeating: 0, count: rows * width * 3 + 64)
    var plain = fast
    hg_resample_horizontal_u8(
      source, Int64(3 * sourceWidth), &fast, Int64(width), Int64(rows), windows, weights, Int64(taps))
    hg_resample_horizontal_u8_scalar(
      source, Int64(3 * sourceWidth), &plain, Int64(width), Int64(rows), windows, weights, Int64(taps))
    #expect(fast.prefix(rows * width * 3) == plain.prefix(rows * width * 3))

    hg_resample_vertical_u8(source, 120, &fast, Int64(min(width, 40) * 3), weights, Int64(min(rows, width)))
    hg_resample_vertical_u8_scalar(source, 120, &plain, Int64(min(width, 40) * 3), weights, Int64(min(rows, width)))
    #expect(fast.prefix(min(width, 40) * 3) == plain.prefix(min(width, 40) * 3))

    let offsets = (0..<width).map { _ in Int32.random(in: 0..<39, using: &random) }
    let pairs = (0..<2 * width).map { _ in Int16.random(in: 0...2048, using: &random) }
    var upper = [Int32](repeating: 0, count: width * 3 + 8)
    var lower = upper
    hg_resample_linear_row_u8(source, &upper, Int64(width), offsets, pairs)
    hg_resample_linear_row_u8_scalar(source, &lower, Int64(width), offsets, pairs)
    #expect(upper.prefix(width * 3) == lower.prefix(width * 3))

    hg_resample_linear_row_u8_scalar(Array(source.dropFirst(120)), &lower, Int64(width), offsets, pairs)
    hg_resample_linear_blend_u8(upper, lower, &fast, Int64(width * 3), 700, 1348)
    hg_resample_linear_blend_u8_scalar(upper, lower, &plain, Int64(width * 3), 700, 1348)
    #expect(fast.prefix(width * 3) == plain.prefix(width * 3))
  }
}
