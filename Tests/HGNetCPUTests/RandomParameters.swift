import HGNetCore
import HGNetModels

/// A small seeded generator for test data.
struct TestRandom {
  private var state: UInt64

  init(seed: UInt64) { state = seed &* 2_862_933_555_777_941_757 &+ 3_037_000_493 }

  /// The next value in [0, 1).
  mutating func uniform() -> Float {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(state >> 40) * 0x1p-24
  }

  /// A value of mean 0 and variance 1.
  mutating func normal() -> Float {
    var sum: Float = 0
    for _ in 0..<4 { sum += uniform() }
    return (sum - 2) * 1.732_050_8
  }

  mutating func values(_ count: Int) -> [Float] { (0..<count).map { _ in normal() } }

  mutating func tensor(_ shape: Shape) -> Tensor { Tensor(shape: shape, values: values(shape.count)) }
}

/// Well-scaled random parameters for a graph, running statistics and affine blocks included.
func randomParameters(_ graph: Graph, seed: UInt64) -> ParameterStore {
  var random = TestRandom(seed: seed)
  var store = ParameterStore()
  for declaration in graph.parameters {
    let shape = declaration.shape
    let fanIn = shape.rank == 4 ? shape[1] * shape[2] * shape[3] : 1
    let values = (0..<shape.count).map { _ -> Float in
      switch declaration.role {
      case .convolutionWeight: random.normal() * (2 / Float(fanIn)).squareRoot()
      case .linearWeight: random.normal() * 0.03
      case .normalizationWeight, .runningVariance, .affineScale: 0.8 + 0.4 * random.uniform()
      default: (random.uniform() - 0.5) * 0.2
      }
    }
    store[declaration.name] = Parameter(Tensor(shape: shape, values: values))
  }
  return store
}
