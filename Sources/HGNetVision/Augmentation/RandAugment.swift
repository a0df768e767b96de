import HGNetCore

/// PaddleClas' own RandAugment: a number of operations out of fourteen, always applied, all of one strength.
///
/// Threads: a value, safe to share. Source: PaddleClas, `ppcls/data/preprocess/ops/randaugment.py`.
package struct RandAugment: Hashable, Sendable {
  /// How many operations a picture gets.
  package var operationCount = 2
  /// The strength of all of them, 0 … 10.
  package var magnitude = 5.0
  /// The colour of what shears and translations bring in from outside; rotations bring in grey 128.
  package var fill = PixelColor.grey(128)

  /// Makes the default policy: two operations of strength 5.
  package init() {}

  /// The operations of both versions, in the order of their definition; the first version lacks the last one.
  enum Operation: Int, CaseIterable {
    case shearX, shearY, translateX, translateY, rotate, color, posterize, solarize, contrast, sharpness, brightness
    case autoContrast, equalize, invert, cutout
  }

  /// Draws the operations that one picture gets.
  ///
  /// - Parameters:
  ///   - size: the size of the picture, which translations are relative to.
  ///   - generator: where chance comes from.
  package func operations(for size: Size, using generator: inout RandomGenerator) -> [PixelOperation] {
    (0..<max(operationCount, 0)).map { _ in
      let operation = Operation.allCases[generator.integer(upTo: Operation.allCases.count - 2)]
      let level = magnitude / 10
      // In this version posterize and solarize run the other way.
      switch operation {
      case .posterize: return .posterize(bits: Int(4 * level))
      case .solarize: return .solarize(threshold: 256 * level)
      default: return RandAugment.pixelOperation(operation, level: level, size: size, using: &generator)
      }
    }
  }

  /// The picture after the operations that it draws.
  ///
  /// - Throws: as `PixelOperation.applying(to:fill:)`.
  package func applying(to image: Image, using generator: inout RandomGenerator) throws(HGNetError) -> Image {
    var image = image
    for operation in operations(for: image.size, using: &generator) {
      // Rotations bring in the same grey whatever the fill is.
      let color = if case .rotate = operation { PixelColor.grey(128) } else { fill }
      image = try operation.applying(to: image, fill: color)
    }
    return image
  }

  /// Draws the operations of version 4: two pairs of operation and level (1 … 9 ninths), each kept with probability 1/2.
  package static func version4(for size: Size, using generator: inout RandomGenerator) -> [PixelOperation] {
    let drawn = (0..<2).map { _ in
      (Operation.allCases[generator.integer(upTo: Operation.allCases.count - 1)], 1 + generator.integer(upTo: 8))
    }
    return drawn.compactMap { operation, step in
      guard generator.coin() else { return nil }
      let level = Double(step) / 9
      switch operation {
      case .posterize: return .posterize(bits: Int((8 - 4 * level).rounded(.toNearestOrEven)))
      case .solarize: return .solarize(threshold: 256 - 256 * level)
      case .cutout:
        let half = Int((20 * level).rounded(.toNearestOrEven))
        let row = generator.integer(upTo: size.height)
        let column = generator.integer(upTo: size.width)
        return .paint(
          rows: max(row - half, 0)..<min(row + half, size.height),
          columns: max(column - half, 0)..<min(column + half, size.width), .grey(0))
      default: return pixelOperation(operation, level: level, size: size, using: &generator)
      }
    }
  }

  /// The operations that both versions share, at a level of 0 … 1.
  private static func pixelOperation(
    _ operation: Operation, level: Double, size: Size, using generator: inout RandomGenerator
  ) -> PixelOperation {
    func eitherWay(_ value: Double) -> Double { generator.coin() ? -value : value }
    switch operation {
    case .shearX: return .shearX(eitherWay(0.3 * level), .bicubic)
    case .shearY: return .shearY(eitherWay(0.3 * level), .bicubic)
    case .translateX: return .translateX(pixels: eitherWay(150.0 / 331 * level * Double(size.width)), .nearest)
    case .translateY: return .translateY(pixels: eitherWay(150.0 / 331 * level * Double(size.height)), .nearest)
    case .rotate: return .rotate(degrees: 30 * level, .nearest)
    case .color: return .color(1 + eitherWay(0.9 * level))
    case .contrast: return .contrast(1 + eitherWay(0.9 * level))
    case .sharpness: return .sharpness(1 + eitherWay(0.9 * level))
    case .brightness: return .brightness(1 + eitherWay(0.9 * level))
    case .equalize: return .equalize
    case .invert: return .invert
    // Posterize, solarize and cutout are made where the versions differ.
    case .autoContrast, .posterize, .solarize, .cutout: return .autoContrast
    }
  }
}
