import HGNetCore

/// A few random operations out of fifteen, of about the same strength: timm's RandAugment as PaddleClas runs it.
///
/// For each picture some operations are drawn, evenly and with replacement; each is applied with probability 1/2 and
/// with a magnitude drawn anew from the normal distribution around `magnitude`, limited to 0 … 10. Threads: a value,
/// safe to share.
///
/// Source: PaddleClas, `ppcls/data/preprocess/ops/timm_autoaugment.py`.
package struct AutoAugment: Hashable, Sendable {
  /// The fifteen operations, in the order of their definition.
  package enum Operation: Int, Sendable, CaseIterable {
    /// Without an argument.
    case autoContrast, equalize, invert
    /// Up to 30 degrees either way.
    case rotate
    /// Down to 0 bits.
    case posterize
    /// Threshold from 256 down.
    case solarize
    /// Up to 110.
    case solarizeAdd
    /// Factors 0.1 … 1.9.
    case color, contrast, brightness, sharpness
    /// Factors up to 0.3 either way.
    case shearX, shearY
    /// Up to 45 % of the side either way.
    case translateX, translateY
  }

  /// The middle of the magnitudes, 0 … 10; beyond 10 counts as 10.
  package var magnitude = 10
  /// The standard deviation of the magnitudes; 0 keeps them at the middle.
  package var magnitudeDeviation = 0.0
  /// How many operations are drawn for a picture.
  package var operationCount = 2
  /// Whether operations are drawn by timm's first set of weights, without replacement.
  package var isWeighted = false
  /// Whether a larger magnitude is always a stronger change; otherwise posterize, solarize and the four factors run
  /// through their range once.
  package var isIncreasing = false
  /// The probability that a picture is changed at all.
  package var probability = 1.0
  /// How geometry interpolates; nil draws bilinear or bicubic for every operation.
  package var interpolation: Interpolation? = .bicubic
  /// The colour of what geometry brings in from outside: ImageNet's mean.
  package var fill = PixelColor(red: 124, green: 116, blue: 104)

  /// Makes the default policy: two operations of magnitude 10.
  package init() {}

  /// Reads a policy such as `rand-m7-mstd0.5-inc1`.
  ///
  /// After `rand`, in any order and separated by `-`: `m` the magnitude, `n` the number of operations, `mstd` the
  /// deviation of the magnitude, `inc` and any number for increasing operations, `w0` for weights. Words without a
  /// number are skipped, as in the reference.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for the policies `augmix` and `auto`, `invalidArgument` for anything else.
  package init(_ text: String) throws(HGNetError) {
    let words = text.split(separator: "-", omittingEmptySubsequences: false)
    guard words.first == "rand" else {
      if text.hasPrefix("augmix") || text.hasPrefix("auto") {
        throw HGNetError(.unsupported, "there are only policies that begin with rand, found \"\(text)\"")
      }
      throw HGNetError(.invalidArgument, "expected a policy such as rand-m7-mstd0.5-inc1, found \"\(text)\"")
    }
    var hasDeviation = false
    for word in words.dropFirst() {
      guard let start = word.firstIndex(where: { ("0"..."9").contains($0) }) else { continue }
      let value = word[start...]
      func whole(_ range: ClosedRange<Int>) throws(HGNetError) -> Int {
        guard let number = Int(value), range.contains(number) else {
          throw HGNetError(
            .invalidArgument,
            "expected a whole number of \(range.lowerBound) … \(range.upperBound) in \"\(word)\" of the policy \"\(text)\""
          )
        }
        return number
      }
      switch word[..<start] {
      case "m": magnitude = try whole(0...1_000_000)
      case "n": operationCount = try whole(0...100)
      case "w": isWeighted = try whole(0...0) == 0
      case "inc": isIncreasing = true
      case "mstd":
        guard let number = Double(value), number.isFinite else {
          throw HGNetError(.invalidArgument, "expected a number in \"\(word)\" of the policy \"\(text)\"")
        }
        // The first of several counts.
        if !hasDeviation { magnitudeDeviation = number }
        hasDeviation = true
      default:
        throw HGNetError(
          .invalidArgument, "expected m, n, w, mstd or inc and a number in the policy \"\(text)\", found \"\(word)\"")
      }
    }
    let possible = AutoAugment.weights.count { $0 > 0 }
    guard !isWeighted || operationCount <= possible else {
      throw HGNetError(
        .invalidArgument,
        "expected at most \(possible) operations with weights in the policy \"\(text)\", found \(operationCount)")
    }
  }

  /// Timm's first set of weights, in the order of the operations.
  static let weights: [Double] = [
    0.025, 0.005, 0, 0.3, 0, 0.005, 0.005, 0.025, 0.005, 0.005, 0.025, 0.2, 0.2, 0.1, 0.1,
  ]

  /// Draws the operations that one picture gets; those that are left out by chance are not in the list.
  ///
  /// - Parameters:
  ///   - size: the size of the picture, which translations are relative to.
  ///   - generator: where chance comes from.
  package func operations(for size: Size, using generator: inout RandomGenerator) -> [PixelOperation] {
    guard probability >= 1 || generator.fraction() < probability else { return [] }
    var weights = isWeighted ? AutoAugment.weights : [Double](repeating: 1, count: Operation.allCases.count)
    var chosen: [Operation] = []
    for _ in 0..<max(operationCount, 0) {
      guard let index = generator.index(weights: weights) else { break }
      if isWeighted { weights[index] = 0 }
      chosen.append(Operation.allCases[index])
    }
    return chosen.compactMap { operation in
      guard generator.coin() else { return nil }
      var strength = Double(magnitude)
      if magnitudeDeviation > 0 { strength += magnitudeDeviation * Double(generator.normal()) }
      return pixelOperation(operation, magnitude: min(max(strength, 0), 10), size: size, using: &generator)
    }
  }

  /// An operation with the argument that belongs to a magnitude of 0 … 10; signs and, if open, the interpolation are
  /// drawn.
  private func pixelOperation(
    _ operation: Operation, magnitude: Double, size: Size, using generator: inout RandomGenerator
  ) -> PixelOperation {
    let level = magnitude / 10
    func eitherWay(_ value: Double) -> Double { generator.coin() ? -value : value }
    func factor() -> Double { isIncreasing ? 1 + eitherWay(level * 0.9) : level * 1.8 + 0.1 }
    func interpolated() -> Interpolation { interpolation ?? (generator.coin() ? .bilinear : .bicubic) }
    switch operation {
    case .autoContrast: return .autoContrast
    case .equalize: return .equalize
    case .invert: return .invert
    case .rotate: return .rotate(degrees: eitherWay(level * 30), interpolated())
    case .posterize: return .posterize(bits: isIncreasing ? 4 - Int(level * 4) : Int(level * 4))
    case .solarize: return .solarize(threshold: Double(isIncreasing ? 256 - Int(level * 256) : Int(level * 256)))
    case .solarizeAdd: return .solarizeAdd(Int(level * 110))
    case .color: return .color(factor())
    case .contrast: return .contrast(factor())
    case .brightness: return .brightness(factor())
    case .sharpness: return .sharpness(factor())
    case .shearX: return .shearX(eitherWay(level * 0.3), interpolated())
    case .shearY: return .shearY(eitherWay(level * 0.3), interpolated())
    case .translateX: return .translateX(pixels: eitherWay(level * 0.45) * Double(size.width), interpolated())
    case .translateY: return .translateY(pixels: eitherWay(level * 0.45) * Double(size.height), interpolated())
    }
  }

  /// The picture after the operations that it draws.
  ///
  /// - Throws: as `PixelOperation.applying(to:fill:)`.
  package func applying(to image: Image, using generator: inout RandomGenerator) throws(HGNetError) -> Image {
    var image = image
    for operation in operations(for: image.size, using: &generator) {
      image = try operation.applying(to: image, fill: fill)
    }
    return image
  }
}
