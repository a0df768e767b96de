/// What the pictures of the demonstration show: one class each, in the order of the names.
enum DemoShape: String, CaseIterable, Sendable {
  case arrow, cross, disc, flower, heart, moon, ring, square, star, triangle

  /// The signed distance of a place from the outline, negative inside.
  ///
  /// - Parameter place: x to the right and y down, in units of the shape's radius, the middle at the origin.
  func distance(at place: SIMD2<Float>) -> Float {
    switch self {
    case .disc: length(place) - 0.86
    case .ring: abs(length(place) - 0.7) - 0.24
    case .moon: max(length(place) - 0.95, 0.78 - length(place - SIMD2(0.46, 0)))
    case .flower:
      DemoShape.fifths.reduce(length(place) - 0.4) { min($0, length(place - $1 * 0.58) - 0.38) }
    case .heart: heartDistance(at: SIMD2(abs(place.x), place.y))
    case .arrow: polygonDistance(at: place, corners: DemoShape.arrowCorners)
    case .cross: polygonDistance(at: place, corners: DemoShape.crossCorners)
    case .square: polygonDistance(at: place, corners: DemoShape.squareCorners)
    case .star: polygonDistance(at: place, corners: DemoShape.starCorners)
    case .triangle: polygonDistance(at: place, corners: DemoShape.triangleCorners)
    }
  }

  /// A square on its corner and a disc on each of its upper sides.
  private func heartDistance(at place: SIMD2<Float>) -> Float {
    let half: Float = 0.56
    let diagonal = half * Float(2).squareRoot()
    let point = SIMD2(place.x, place.y - 0.12)
    let square = (point.x + abs(point.y) - diagonal) / Float(2).squareRoot()
    let disc = length(point - SIMD2(diagonal, -diagonal) / 2) - half
    return min(square, disc)
  }

  /// The distance from the nearest edge; inside is where a ray crosses an odd number of them.
  private func polygonDistance(at place: SIMD2<Float>, corners: [SIMD2<Float>]) -> Float {
    var nearest = Float.infinity
    var isInside = false
    var start = corners.last ?? .zero
    for end in corners {
      let edge = end - start
      let offset = place - start
      let along = min(max((offset * edge).sum() / (edge * edge).sum(), 0), 1)
      let gap = offset - edge * along
      nearest = min(nearest, (gap * gap).sum())
      if (start.y > place.y) != (end.y > place.y), offset.x < edge.x * offset.y / edge.y { isInside.toggle() }
      start = end
    }
    return isInside ? -nearest.squareRoot() : nearest.squareRoot()
  }

  /// Five directions, evenly spread from the top: constants, so that every machine draws the same.
  private static let fifths: [SIMD2<Float>] = [
    SIMD2(0, -1), SIMD2(0.951_056_5, -0.309_017), SIMD2(0.587_785_3, 0.809_017), SIMD2(-0.587_785_3, 0.809_017),
    SIMD2(-0.951_056_5, -0.309_017),
  ]

  private static let arrowCorners: [SIMD2<Float>] = [
    SIMD2(0, -1), SIMD2(0.74, -0.18), SIMD2(0.28, -0.18), SIMD2(0.28, 0.92), SIMD2(-0.28, 0.92), SIMD2(-0.28, -0.18),
    SIMD2(-0.74, -0.18),
  ]
  private static let crossCorners: [SIMD2<Float>] = [
    SIMD2(-0.3, -0.92), SIMD2(0.3, -0.92), SIMD2(0.3, -0.3), SIMD2(0.92, -0.3), SIMD2(0.92, 0.3), SIMD2(0.3, 0.3),
    SIMD2(0.3, 0.92), SIMD2(-0.3, 0.92), SIMD2(-0.3, 0.3), SIMD2(-0.92, 0.3), SIMD2(-0.92, -0.3), SIMD2(-0.3, -0.3),
  ]
  private static let squareCorners: [SIMD2<Float>] = [
    SIMD2(-0.76, -0.76), SIMD2(0.76, -0.76), SIMD2(0.76, 0.76), SIMD2(-0.76, 0.76),
  ]
  private static let starCorners: [SIMD2<Float>] = fifths.indices.flatMap {
    [fifths[$0] * 1.05, fifths[($0 + 3) % 5] * -0.44]
  }
  private static let triangleCorners: [SIMD2<Float>] = [SIMD2(0, -1.08), SIMD2(0.935, 0.54), SIMD2(-0.935, 0.54)]
}

/// The length of a vector.
func length(_ vector: SIMD2<Float>) -> Float { (vector * vector).sum().squareRoot() }
