import HGNetCore

/// A picture that the demonstration draws: a shape with soft edges on a textured ground.
///
/// The same index gives the same pixels everywhere.
struct DemoPicture {
  /// What is drawn.
  enum Figure: String, CaseIterable {
    case disc, ring, square, triangle, star, cross, heart, flower
  }

  /// What it is drawn on.
  enum Ground: String, CaseIterable {
    case gradient, stripes, tiles, clouds, dots, waves
  }

  typealias Color = SIMD3<Float>

  let figure: Figure
  let ground: Ground
  let width: Int
  let height: Int
  /// Red, green, blue; rows from the top.
  let pixels: [UInt8]

  /// The name of the file, without its extension.
  var name: String { "\(figure)-on-\(ground)" }

  /// Draws one picture.
  ///
  /// - Parameters:
  ///   - index: any number, 0 or more; the figure, the ground, the colours and the place follow from it.
  ///   - width: pixels of a row, 1 or more.
  ///   - height: rows, 1 or more.
  init(index: Int, width: Int = 320, height: Int = 240) {
    let figures = Figure.allCases
    let grounds = Ground.allCases
    figure = figures[index % figures.count]
    ground = grounds[index % grounds.count]
    self.width = width
    self.height = height

    var noise = DemoNoise(seed: UInt32(truncatingIfNeeded: index) &* 7919 &+ 17)
    let shade = Self.hue(noise.next())
    let first = shade * 0.35 + 0.45
    let second = Self.hue(noise.next()) * 0.3 + 0.2
    let paint = Self.hue(noise.next() * 0.2 + Float(index % 7) / 7)
    let unit = Float(min(width, height))
    let radius = unit * (0.27 + 0.08 * noise.next())
    let center = SIMD2(
      Float(width) * (0.4 + 0.2 * noise.next()), Float(height) * (0.44 + 0.12 * noise.next()))
    let turn = (noise.next() - 0.5) * 0.8
    let (sine, cosine) = (DemoNoise.sine(turn), DemoNoise.sine(turn + .pi / 2))

    var pixels: [UInt8] = []
    pixels.reserveCapacity(width * height * 3)
    for y in 0..<height {
      for x in 0..<width {
        let place = SIMD2(Float(x) + 0.5, Float(y) + 0.5)
        var color = Self.ground(ground, at: place / unit, first: first, second: second, noise: noise)
        // A soft shadow below and to the right.
        let shadow = Self.turned(place - center - SIMD2(0.05, 0.06) * unit, sine, cosine) / radius
        color *= 1 - 0.45 * min(max(0.5 - figure.distance(shadow) * 4, 0), 1)
        let local = Self.turned(place - center, sine, cosine) / radius
        let distance = figure.distance(local)
        let coverage = min(max(0.5 - distance * radius, 0), 1)
        // Light from the upper left, darker towards the edge.
        let light = 1.05 - 0.22 * (local.x + local.y) - 0.25 * min(max(1 + distance * 3, 0), 1)
        color += (paint * light - color) * coverage
        for channel in 0..<3 {
          let grain = (noise.value(x: x * 3 + channel, y: y) - 0.5) * 0.05
          pixels.append(UInt8(min(max(color[channel] + grain, 0), 1) * 255))
        }
      }
    }
    self.pixels = pixels
  }

  private static func turned(_ place: SIMD2<Float>, _ sine: Float, _ cosine: Float) -> SIMD2<Float> {
    SIMD2(place.x * cosine + place.y * sine, place.y * cosine - place.x * sine)
  }

  /// A bright colour of the colour circle, `0 ..< 1`.
  private static func hue(_ position: Float) -> Color {
    let sixth = (position - position.rounded(.down)) * 6
    func ramp(_ offset: Float) -> Float {
      let place = (sixth + offset).truncatingRemainder(dividingBy: 6)
      return min(max(abs(place - 3) - 1, 0), 1)
    }
    return Color(ramp(0), ramp(4), ramp(2)) * 0.8 + 0.15
  }

  private static func ground(
    _ ground: Ground, at place: SIMD2<Float>, first: Color, second: Color, noise: DemoNoise
  ) -> Color {
    let share: Float
    switch ground {
    case .gradient: share = min(max(place.y + 0.15 * noise.smooth(place * 3), 0), 1)
    case .stripes: share = 0.5 + 0.5 * DemoNoise.sine((place.x + 0.6 * place.y) * 40 + 2 * noise.smooth(place * 4))
    case .tiles:
      let tile = SIMD2((place.x * 8).rounded(.down), (place.y * 8).rounded(.down))
      share = (tile.x + tile.y).truncatingRemainder(dividingBy: 2) * 0.7 + 0.3 * noise.smooth(place * 20)
    case .clouds:
      share = 0.55 * noise.smooth(place * 4) + 0.3 * noise.smooth(place * 9) + 0.15 * noise.smooth(place * 20)
    case .dots:
      let cell = place * 9 - SIMD2((place.x * 9).rounded(.down), (place.y * 9).rounded(.down)) - 0.5
      share = min(max((0.32 - (cell * cell).sum().squareRoot()) * 12, 0), 1)
    case .waves:
      let bend = 0.06 * DemoNoise.sine(place.x * 14)
      share = 0.5 + 0.5 * DemoNoise.sine((place.y + bend) * 50)
    }
    return second + (first - second) * share
  }
}

extension DemoPicture.Figure {
  /// The distance from the edge, roughly, in units of the figure's radius; negative inside.
  fileprivate func distance(_ place: SIMD2<Float>) -> Float {
    let length = (place * place).sum().squareRoot()
    let folded = SIMD2(abs(place.x), abs(place.y))
    switch self {
    case .disc: return length - 1
    case .ring: return abs(length - 0.75) - 0.25
    case .square: return max(folded.x, folded.y) - 0.85
    case .triangle: return max(folded.x * 0.87 + place.y * 0.5, -place.y) - 0.6 + 0.1 * place.y
    case .cross:
      let arm = max(folded.x - 0.3, folded.y - 1)
      return min(arm, max(folded.y - 0.3, folded.x - 1))
    case .star: return length - Self.petals(place, count: 5, inner: 0.45, sharp: true)
    case .flower: return length - Self.petals(place, count: 6, inner: 0.6, sharp: false)
    case .heart:
      // A square on its corner and two discs on its upper sides.
      let half: Float = 0.6
      let point = SIMD2(folded.x, 0.15 - place.y)
      let square = (point.x + abs(point.y)) / Float(2).squareRoot() - half
      let offset = point - half / Float(2).squareRoot()
      return min(square, (offset * offset).sum().squareRoot() - half)
    }
  }

  /// The radius of a star or flower in the direction of a place.
  private static func petals(_ place: SIMD2<Float>, count: Float, inner: Float, sharp: Bool) -> Float {
    let angle = DemoNoise.angle(of: place) * count / (2 * .pi) + 0.25 * count
    let phase = abs(angle - angle.rounded()) * 2
    let share = sharp ? 1 - phase : 1 - phase * phase
    return inner + (1 - inner) * share
  }
}

/// Repeatable noise from integers, and the few functions that drawing needs.
struct DemoNoise {
  private var state: UInt32

  init(seed: UInt32) { state = seed }

  /// The next number of the sequence, `0 ..< 1`.
  mutating func next() -> Float {
    state = state &* 1_664_525 &+ 1_013_904_223
    return Float(state >> 8) / Float(1 << 24)
  }

  /// The value of a lattice point, `0 ..< 1`.
  func value(x: Int, y: Int) -> Float {
    var hash = UInt32(truncatingIfNeeded: x) &* 374_761_393 &+ UInt32(truncatingIfNeeded: y) &* 668_265_263 &+ state
    hash = (hash ^ (hash >> 13)) &* 1_274_126_177
    return Float((hash ^ (hash >> 16)) >> 8) / Float(1 << 24)
  }

  /// Smooth noise between the lattice points, `0 ..< 1`.
  func smooth(_ place: SIMD2<Float>) -> Float {
    let base = SIMD2(place.x.rounded(.down), place.y.rounded(.down))
    var part = place - base
    part = part * part * (3 - 2 * part)
    let (x, y) = (Int(base.x), Int(base.y))
    let top = value(x: x, y: y) * (1 - part.x) + value(x: x + 1, y: y) * part.x
    let bottom = value(x: x, y: y + 1) * (1 - part.x) + value(x: x + 1, y: y + 1) * part.x
    return top * (1 - part.y) + bottom * part.y
  }

  /// The sine, within 1e-3: the pictures must not depend on a mathematics library.
  static func sine(_ angle: Float) -> Float {
    let turns = angle / (2 * .pi)
    let half = (turns - turns.rounded()) * 2
    let parabola = 4 * half * (1 - abs(half))
    return parabola * (0.775 + 0.225 * abs(parabola))
  }

  /// The direction of a place from the origin, `-π … π`, within 1e-2.
  static func angle(of place: SIMD2<Float>) -> Float {
    let (x, y) = (abs(place.x), abs(place.y))
    guard x + y > 0 else { return 0 }
    let ratio = min(x, y) / max(x, y)
    var angle = ratio * (.pi / 4 + 0.273 * (1 - ratio))
    if y > x { angle = .pi / 2 - angle }
    if place.x < 0 { angle = .pi - angle }
    return place.y < 0 ? -angle : angle
  }
}
