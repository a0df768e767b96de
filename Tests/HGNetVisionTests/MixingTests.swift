import HGNetCore
import HGNetVision
import Testing

@Suite("Mixing of batches")
struct MixingTests {
  @Test("Shares are distributed as NumPy's beta", arguments: [0.2, 0.4, 1.0, 3.0])
  func beta(_ alpha: Double) throws {
    try AugmentationTests.compare("beta-\(alpha) share") { generator in
      try BatchMixing.mixup(alpha: alpha).draw(count: 1, size: Size(1), using: &generator)?.share
    }
  }

  @Test("Rectangles are distributed as PaddleClas'", arguments: [(1.0, Size(224)), (0.2, Size(height: 48, width: 64))])
  func cutmix(_ alpha: Double, _ size: Size) throws {
    var isInside = true
    for part in ["share", "top", "width"] {
      try AugmentationTests.compare("cutmix-\(alpha) \(part)") { generator in
        let mix = try BatchMixing.cutmix(alpha: alpha).draw(count: 1, size: size, using: &generator)
        guard let window = mix?.window else { return nil }
        isInside =
          isInside && window.top >= 0 && window.top + window.size.height <= size.height && window.left >= 0
          && window.left + window.size.width <= size.width
        return switch part {
        case "share": mix?.share
        case "top": Double(window.top)
        default: Double(window.size.width)
        }
      }
    }
    #expect(isInside)
  }

  static func batch(_ count: Int, _ generator: inout RandomGenerator) -> (pictures: Tensor, labels: Tensor) {
    let pictures = (0..<count * 5 * 4 * 3).map { _ in generator.normal() }
    let labels = (0..<count * 7).map { $0 % 7 == $0 / 7 % 7 ? Float(1) : 0 }
    return (
      Tensor(shape: [count, 5, 4, 3], values: pictures), Tensor(shape: [count, 7], values: labels)
    )
  }

  @Test("Pictures and labels are those of the definition", arguments: [1, 2, 3, 8, 13])
  func definition(_ count: Int) throws {
    var generator = RandomGenerator(seed: UInt64(count))
    for round in 0..<20 {
      let (pictures, labels) = Self.batch(count, &generator)
      let mixing = round % 2 == 0 ? BatchMixing.mixup(alpha: 0.4) : .cutmix(alpha: 1)
      let mix = try #require(try mixing.draw(count: count, size: Size(height: 5, width: 4), using: &generator))
      #expect(mix.partners.sorted() == Array(0..<count))
      var (mixedPictures, mixedLabels) = (pictures, labels)
      try mix.apply(toPictures: &mixedPictures, labels: &mixedLabels)
      let (own, others) = (Float(mix.share), Float(1 - mix.share))
      let expectedPictures = (0..<count * 60).map { index -> Float in
        let (mine, other) = (pictures[index], pictures[mix.partners[index / 60] * 60 + index % 60])
        guard let window = mix.window else { return own * mine + others * other }
        let (row, column) = (index % 60 / 12 - window.top, index % 12 / 3 - window.left)
        let isInside = (0..<window.size.height).contains(row) && (0..<window.size.width).contains(column)
        return isInside ? other : mine
      }
      let expectedLabels = (0..<count * 7).map { own * labels[$0] + others * labels[mix.partners[$0 / 7] * 7 + $0 % 7] }
      #expect(mixedPictures.values == expectedPictures)
      #expect(mixedLabels.values == expectedLabels)
      if let window = mix.window {
        #expect(abs(mix.share - (1 - Double(window.size.height * window.size.width) / 20)) < 1e-12)
      }
    }
  }

  @Test("Every order of partners is as likely as the next")
  func permutations() throws {
    var generator = RandomGenerator(seed: 9)
    var counts: [[Int]: Int] = [:]
    for _ in 0..<12_000 {
      let mix = try BatchMixing.mixup().draw(count: 4, size: Size(1), using: &generator)
      counts[mix?.partners ?? [], default: 0] += 1
    }
    #expect(counts.count == 24)
    #expect(counts.values.allSatisfy { abs($0 - 500) < 5 * 23 })
  }

  @Test("One of several by probability, or none")
  func sampler() throws {
    let mixing = BatchMixing.oneOf([
      .init(.mixup(alpha: 0.4), probability: 0.5), .init(.cutmix(alpha: 1), probability: 0.2),
    ])
    var generator = RandomGenerator(seed: 9)
    var counts = [0, 0, 0]
    for _ in 0..<10_000 {
      let mix = try mixing.draw(count: 2, size: Size(8), using: &generator)
      counts[mix == nil ? 2 : mix?.window == nil ? 0 : 1] += 1
    }
    #expect(zip(counts, [5000, 2000, 3000]).allSatisfy { abs($0 - $1) < 250 }, "\(counts)")
    #expect(try BatchMixing.oneOf([]).draw(count: 2, size: Size(8), using: &generator) == nil)
    #expect(try BatchMixing.cutmix().draw(count: 0, size: Size(0), using: &generator)?.partners == [])
  }

  @Test(
    "Numbers that make no sense are errors",
    arguments: [
      .mixup(alpha: 0), .cutmix(alpha: -1), .mixup(alpha: .nan), .cutmix(alpha: .infinity),
      .oneOf([.init(.mixup(), probability: 0.6), .init(.cutmix(), probability: 0.6)]),
      .oneOf([.init(.mixup(), probability: -0.1)]), .oneOf([.init(.mixup(alpha: 0), probability: 0.1)]),
    ] as [BatchMixing])
  func nonsense(_ mixing: BatchMixing) {
    var generator = RandomGenerator(seed: 9)
    #expect(throws: HGNetError.self) { try mixing.draw(count: 2, size: Size(8), using: &generator) }
  }

  @Test("A mix that does not fit the batch is an error")
  func misfit() throws {
    var generator = RandomGenerator(seed: 9)
    let (pictures, labels) = Self.batch(3, &generator)
    let mix = try #require(try BatchMixing.cutmix().draw(count: 3, size: Size(9), using: &generator))
    var wrong: [BatchMix] = []
    for partners in [[0, 1], [0, 0, 1], [0, 1, 3], [-1, 0, 1]] {
      var other = mix
      other.partners = partners
      wrong.append(other)
    }
    var outside = mix
    outside.window = Augmentation.Window(top: 0, left: 3, size: Size(2))
    wrong.append(outside)
    outside.window = Augmentation.Window(top: -1, left: 0, size: Size(2))
    wrong.append(outside)
    for mix in wrong {
      var (mixedPictures, mixedLabels) = (pictures, labels)
      #expect(throws: HGNetError.self) { try mix.apply(toPictures: &mixedPictures, labels: &mixedLabels) }
      #expect(mixedPictures.values == pictures.values)
    }
    var (mixedPictures, fewLabels) = (pictures, Tensor(shape: [2, 7]))
    #expect(throws: HGNetError.self) { try mix.apply(toPictures: &mixedPictures, labels: &fewLabels) }
  }
}
