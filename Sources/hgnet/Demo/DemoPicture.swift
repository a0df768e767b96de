import HGNetCore
import HGNetVision

/// A picture of the demonstration: a shape, turned, stretched, painted and partly hidden, on a textured ground.
///
/// Colours, textures, sizes and places are drawn from the same distributions for every shape, so that nothing but the
/// outline tells the class. The same generator gives the same pixels on every machine.
struct DemoPicture {
  /// What it shows.
  let shape: DemoShape
  private let side: Int
  private let ground: DemoTexture
  private let paint: DemoTexture
  /// The middle of the shape, in units of the side as all lengths here.
  private let center: SIMD2<Float>
  private let radius: Float
  /// Cosine and sine of the turn.
  private let turn: SIMD2<Float>
  private let stretch: SIMD2<Float>
  private let wobble: Float
  private let shadow: (depth: Float, offset: SIMD2<Float>)
  /// What lies about behind the shape.
  private let crumbs: [Patch]
  /// What lies over it.
  private let covers: [Patch]
  private let light: SIMD2<Float>
  private let exposure: Float
  private let grain: Float
  private let noise: DemoNoise

  /// A disc or an endless bar of one colour.
  private struct Patch {
    var center: SIMD2<Float>
    var color: DemoColor
    /// The radius of a disc, half the width of a bar.
    var extent: Float
    /// The normal of a bar; nil for a disc.
    var normal: SIMD2<Float>?

    func distance(at place: SIMD2<Float>) -> Float {
      guard let normal else { return length(place - center) - extent }
      return abs(((place - center) * normal).sum()) - extent
    }
  }

  /// Decides everything about one picture.
  ///
  /// - Parameters:
  ///   - shape: what it shows.
  ///   - side: pixels of a row and of a column, 1 or more.
  ///   - random: the generator of this picture.
  init(of shape: DemoShape, side: Int, random: inout RandomGenerator) {
    self.shape = shape
    self.side = side
    noise = DemoNoise(&random)
    let dark: ClosedRange<Float> = 0.15...0.6
    let base = DemoColor.random(&random, light: dark)
    let other = base + (DemoColor.random(&random, light: dark) - base) * random.uniform(from: 0.1, to: 0.75)
    ground = DemoPicture.texture(base, other, &random)
    paint = DemoPicture.paint(on: ground, &random)
    radius = random.uniform(from: 0.32, to: 0.44)
    // The shape may touch the border, but its middle does not come near it.
    let room = 0.5 - radius
    let middle = SIMD2(random.uniform(from: -room, to: room), random.uniform(from: -room, to: room)) + 0.5
    center = middle
    turn = DemoPicture.tilt(&random)
    let ratio = random.uniform(from: 0.85, to: 1.18)
    stretch = SIMD2(ratio, 1 / ratio)
    wobble = random.uniform(from: 0, to: 0.08)
    shadow = (
      random.uniform(from: 0, to: 0.5),
      SIMD2(random.uniform(from: -0.05, to: 0.05), random.uniform(from: 0.01, to: 0.06))
    )
    crumbs = (0..<Int(random.uniform(from: 0, to: 4))).map { _ in
      Patch(
        center: SIMD2(random.uniform(), random.uniform()), color: .random(&random),
        extent: random.uniform(from: 0.008, to: 0.05),
        normal: random.uniform() < 0.2 ? DemoPicture.direction(&random) : nil)
    }
    var covers: [Patch] = []
    let radius = radius
    if random.uniform() < 0.25 {
      let normal = DemoPicture.direction(&random)
      covers.append(
        Patch(
          center: middle + normal * random.uniform(from: -0.7, to: 0.7) * radius, color: .random(&random),
          extent: random.uniform(from: 0.07, to: 0.15) * radius, normal: normal))
    }
    if random.uniform() < 0.3 {
      covers.append(
        Patch(
          center: middle + DemoPicture.direction(&random) * random.uniform(from: 0.8, to: 1.1) * radius,
          color: .random(&random), extent: random.uniform(from: 0.2, to: 0.4) * radius))
    }
    self.covers = covers
    light = DemoPicture.direction(&random) * random.uniform(from: 0, to: 0.5)
    exposure = random.uniform(from: 0.75, to: 1.15)
    grain = random.uniform(from: 0.01, to: 0.1)
  }

  /// Paints it.
  ///
  /// - Throws: as `Image.init(size:pixels:)`.
  func image() throws(HGNetError) -> Image {
    var pixels: [UInt8] = []
    pixels.reserveCapacity(side * side * 3)
    let scale = 1 / Float(side)
    for y in 0..<side {
      for x in 0..<side {
        let place = SIMD2(Float(x) + 0.5, Float(y) + 0.5) * scale
        var color = color(at: place)
        color *= exposure * (1 + ((place - 0.5) * light).sum())
        for channel in 0..<3 {
          let speck = noise.value(x * 3 + channel, y) + noise.value(x * 3 + channel, y + side) - 1
          pixels.append(UInt8(inUnit(color[channel] + grain * speck) * 255 + 0.5))
        }
      }
    }
    return try Image(size: Size(side), pixels: pixels)
  }

  /// The layers from the ground up, each edge one pixel soft.
  private func color(at place: SIMD2<Float>) -> DemoColor {
    func coverage(_ distance: Float) -> Float { inUnit(0.5 - distance * Float(side)) }
    func lay(_ patch: Patch, over color: inout DemoColor) {
      color += (patch.color - color) * coverage(patch.distance(at: place))
    }
    var color = ground.color(at: place)
    for patch in crumbs { lay(patch, over: &color) }
    let dark = shapeDistance(at: place - shadow.offset)
    color *= 1 - shadow.depth * inUnit(0.5 - dark * 30)
    let distance = shapeDistance(at: place)
    if distance * Float(side) < 1 {
      // A little darker towards the edge.
      let body = paint.color(at: place) * (1 - 0.3 * inUnit(1 + distance / radius * 6))
      color += (body - color) * coverage(distance)
    }
    for patch in covers { lay(patch, over: &color) }
    return color
  }

  /// The distance from the outline of the shape where it lies.
  private func shapeDistance(at place: SIMD2<Float>) -> Float {
    let offset = (place - center) / radius
    // Far away the outline does not matter.
    let far = length(offset)
    guard far < 1.6 else { return (far - 1.4) * radius }
    var local = SIMD2(offset.x * turn.x + offset.y * turn.y, offset.y * turn.x - offset.x * turn.y) * stretch
    local += (SIMD2(noise.smooth(offset * 1.7), noise.smooth(offset * 1.7 + 40)) - 0.5) * wobble * 2
    return shape.distance(at: local) * radius
  }

  /// The cosine and sine of a turn of at most thirty degrees to either side.
  private static func tilt(_ random: inout RandomGenerator) -> SIMD2<Float> {
    let vector = SIMD2(1, random.uniform(from: -0.577, to: 0.577))
    return vector / length(vector)
  }

  /// A unit vector of any direction, without trigonometry.
  private static func direction(_ random: inout RandomGenerator) -> SIMD2<Float> {
    while true {
      let vector = SIMD2(random.uniform(from: -1, to: 1), random.uniform(from: -1, to: 1))
      let size = length(vector)
      if size > 0.1, size < 1 { return vector / size }
    }
  }

  private static func texture(
    _ first: DemoColor, _ second: DemoColor, _ random: inout RandomGenerator
  ) -> DemoTexture {
    let patterns = DemoTexture.Pattern.allCases
    return DemoTexture(
      pattern: patterns[Int(random.uniform() * Float(patterns.count)) % patterns.count], first: first, second: second,
      frequency: random.uniform(from: 3, to: 9), direction: direction(&random), noise: DemoNoise(&random))
  }

  /// A texture that is brighter than the ground: the brightest of a few if none clearly is.
  private static func paint(on ground: DemoTexture, _ random: inout RandomGenerator) -> DemoTexture {
    let dark = max(ground.first.luminance, ground.second.luminance)
    var best = DemoColor.zero
    for _ in 0..<16 where best.luminance < dark + 0.26 {
      let color = DemoColor.random(&random, light: 0.6...1)
      if color.luminance > best.luminance { best = color }
    }
    let other = best * random.uniform(from: 0.75, to: 1) + DemoColor.random(&random) * 0.1
    return texture(best, other, &random)
  }
}
