import HGNetCore
import HGNetModels
import Testing

@Suite("Initial and random parameters")
struct InitialParametersTests {
  func moments(_ values: [Float]) -> (mean: Double, deviation: Double) {
    let mean = values.reduce(0) { $0 + Double($1) } / Double(values.count)
    let square = values.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(values.count)
    return (mean, square.squareRoot())
  }

  @Test("Values of the start of training")
  func initial() throws {
    let graph = try Model.b0.graph()
    let store = try Model.initialParameters(for: graph, seed: 7)
    #expect(store.names == graph.parameters.map(\.name))
    func values(_ name: String) throws -> [Float] { try #require(store[name]).tensor().values }
    for (name, fanIn) in [
      ("last_conv.weight", 1024.0), ("stages.3.blocks.0.layers.1.conv2.conv.weight", 25),
      ("stages.2.blocks.0.aggregation_squeeze_conv.conv.weight", 448),
    ] {
      let found = moments(try values(name))
      let expected = (2 / fanIn).squareRoot()
      #expect(abs(found.mean) < 0.05 * expected)
      #expect(abs(found.deviation / expected - 1) < 0.05)
    }
    let classifier = try values("fc.weight")
    let limit = (6.0 / 3048).squareRoot()
    #expect(classifier.allSatisfy { Double(abs($0)) <= limit * 1.000001 })
    #expect(abs(moments(classifier).deviation / (limit / 3.0.squareRoot()) - 1) < 0.01)
    #expect(try values("fc.bias").allSatisfy { $0 == 0 })
    #expect(try values("stem.stem1.bn.weight").allSatisfy { $0 == 1 })
    #expect(try values("stem.stem1.bn._variance").allSatisfy { $0 == 1 })
    #expect(try values("stem.stem1.bn._mean").allSatisfy { $0 == 0 })
    #expect(try values("lab.scale") == [1])
    #expect(try values("lab.bias") == [0])
  }

  @Test("The seed decides everything, and one option leaves the other parameters alone")
  func streams() throws {
    let small = try Model.initialParameters(for: try Model.b0.graph(options: ModelOptions(classCount: 3)), seed: 7)
    let large = try Model.initialParameters(for: try Model.b0.graph(), seed: 7)
    let other = try Model.initialParameters(for: try Model.b0.graph(options: ModelOptions(classCount: 3)), seed: 8)
    let name = "stages.1.blocks.0.layers.2.conv.weight"
    let first = try #require(small[name]).tensor().values
    #expect(try #require(large[name]).tensor().values == first)
    #expect(try #require(other[name]).tensor().values != first)
    let neighbour = try #require(small["stages.1.blocks.0.layers.1.conv.weight"]).tensor().values
    #expect(neighbour != first)
  }

  @Test("Random parameters leave nothing at its neutral value", arguments: [Model.b0, .b4, .tiny])
  func random(_ model: Model) throws {
    let graph = try model.graph(options: ModelOptions(classCount: 10))
    let store = Model.randomParameters(for: graph, seed: 3)
    #expect(store.names == graph.parameters.map(\.name))
    for parameter in graph.parameters {
      let stored = try #require(store[parameter.name])
      #expect(stored.shape == parameter.shape)
      let values = stored.tensor().values
      #expect(values.allSatisfy { $0.isFinite && $0 != 0 && $0 != 1 }, "\(parameter.name)")
      if parameter.role == .runningVariance {
        #expect(values.allSatisfy { $0 > 0.05 && $0 < 20 }, "\(parameter.name)")
      }
    }
  }
}
