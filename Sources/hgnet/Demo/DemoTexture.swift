import HGNetCore

/// A surface of two colours.
struct DemoTexture {
  /// How the two colours meet.
  enum Pattern: CaseIterable {
    case gradient, stripes, tiles, clouds, dots, waves, grain
  }

  var pattern: Pattern
  var first: DemoColor
  var second: DemoColor
  /// How fine the pattern is: figures a picture's side.
  var frequency: Float
  /// Where the pattern points: a unit vector.
  var direction: SIMD2<Float>
  var noise: DemoNoise

  /// The colour of a place, which is in units of the picture's side.
  func color(at place: SIMD2<Float>) -> DemoColor {
    second + (first - second) * share(at: place)
  }

  /// The part of the first colour, 0 … 1.
  private func share(at place: SIMD2<Float>) -> Float {
    let across = (place * direction).sum()
    let along = place.y * direction.x - place.x * direction.y
    let turned = SIMD2(across, along) * frequency
    switch pattern {
    case .gradient: return inUnit(across + 0.2 * noise.smooth(place * 3))
    case .stripes: return inUnit(0.5 + 2 * DemoNoise.sine(turned.x * 2 * .pi + 3 * noise.smooth(place * 4)))
    case .tiles:
      let isDark = (floorIndex(turned.x) ^ floorIndex(turned.y)) & 1 == 0
      return (isDark ? 0 : 0.7) + 0.3 * noise.smooth(place * 20)
    case .clouds: return inUnit(1.6 * noise.cloud(place * frequency) - 0.3)
    case .dots:
      let cell = turned - SIMD2(Float(floorIndex(turned.x)), Float(floorIndex(turned.y))) - 0.5
      return inUnit((0.3 - length(cell)) * 9)
    case .waves:
      let bend = 0.35 * DemoNoise.sine(turned.y * 3)
      return 0.5 + 0.5 * DemoNoise.sine((turned.x + bend) * 2 * .pi)
    case .grain: return inUnit(1.8 * noise.cloud(SIMD2(turned.x * 4, turned.y * 0.5)) - 0.4)
    }
  }
}

/// Red, green and blue, 0 … 1.
typealias DemoColor = SIMD3<Float>

extension DemoColor {
  /// A random colour whose brightest channel lies within some bounds.
  static func random(_ random: inout RandomGenerator, light: ClosedRange<Float> = 0.25...1) -> DemoColor {
    let sixth = 6 * random.uniform()
    func ramp(_ offset: Float) -> Float {
      inUnit(abs((sixth + offset).truncatingRemainder(dividingBy: 6) - 3) - 1)
    }
    let pure = DemoColor(ramp(0), ramp(4), ramp(2))
    let saturation = random.uniform(from: 0.25, to: 0.9)
    return (pure * saturation + (1 - saturation))
      * random.uniform(from: light.lowerBound, to: light.upperBound)
  }

  /// How bright the eye finds the colour, 0 … 1.
  var luminance: Float { (self * DemoColor(0.3, 0.59, 0.11)).sum() }
}

/// A number held within 0 … 1.
func inUnit(_ value: Float) -> Float { min(max(value, 0), 1) }

/// The whole number at or below a small number, faster than the library's way on old processors.
func floorIndex(_ value: Float) -> Int {
  let whole = Int(value)
  return Float(whole) > value ? whole - 1 : whole
}

/// Repeatable noise from integers, and the sine that drawing needs.
struct DemoNoise {
  private let key: UInt32

  init(_ random: inout RandomGenerator) { key = UInt32(truncatingIfNeeded: random.next() >> 32) }

  /// The value of a lattice point, 0 … 1.
  func value(_ x: Int, _ y: Int) -> Float {
    var hash = UInt32(truncatingIfNeeded: x) &* 374_761_393 &+ UInt32(truncatingIfNeeded: y) &* 668_265_263 &+ key
    hash = (hash ^ (hash >> 13)) &* 1_274_126_177
    return Float((hash ^ (hash >> 16)) >> 8) * 0x1p-24
  }

  /// Smooth noise between the lattice points, 0 … 1.
  func smooth(_ place: SIMD2<Float>) -> Float {
    let (x, y) = (floorIndex(place.x), floorIndex(place.y))
    var part = place - SIMD2(Float(x), Float(y))
    part = part * part * (3 - 2 * part)
    let top = value(x, y) * (1 - part.x) + value(x + 1, y) * part.x
    let bottom = value(x, y + 1) * (1 - part.x) + value(x + 1, y + 1) * part.x
    return top * (1 - part.y) + bottom * part.y
  }

  /// Smooth noise of three scales, 0 … 1.
  func cloud(_ place: SIMD2<Float>) -> Float {
    0.55 * smooth(place) + 0.3 * smooth(place * 2.1 + 7) + 0.15 * smooth(place * 4.3 + 31)
  }

  /// The sine, within 1e-3: the pictures must not depend on a mathematics library.
  static func sine(_ angle: Float) -> Float {
    let turns = angle / (2 * .pi)
    let half = (turns - Float(floorIndex(turns + 0.5))) * 2
    let parabola = 4 * half * (1 - abs(half))
    return parabola * (0.775 + 0.225 * abs(parabola))
  }
}
