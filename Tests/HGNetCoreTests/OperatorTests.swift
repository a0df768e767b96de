import HGNetCore
import Testing

@Suite("Operators")
struct OperatorTests {
  private static let convolution = Convolution(
    weight: "c.weight", bias: "c.bias", inputChannels: 4, outputChannels: 8, kernel: Size(3), stride: Size(1),
    padding: Padding(1), groups: 2)
  private static let norm = BatchNormalization(
    weight: "n.weight", bias: "n.bias", mean: "n.mean", variance: "n.variance")

  @Test(
    "Renaming reaches every parameter and nothing else",
    arguments: [
      (Operator.input(channels: 3), [String]()), (.convolution(convolution), ["c.weight", "c.bias"]),
      (.batchNormalization(norm), ["n.weight", "n.bias", "n.mean", "n.variance"]),
      (.affine(scale: "a.scale", bias: "a.bias"), ["a.scale", "a.bias"]),
      (.linear(weight: "l.weight", bias: nil, inputFeatures: 2, outputFeatures: 3), ["l.weight"]),
      (.relu, []), (.maxPool(kernel: Size(2), stride: Size(2), padding: Padding(0)), []),
      (.decoder(.queries(weight: "q", count: 2, features: 4)), ["q"]),
      (.decoder(.layerNormalization(weight: "w", bias: "b", features: 4, epsilon: 1e-5)), ["w", "b"]),
      (.decoder(.attention(heads: 2, dropoutProbability: 0)), []),
      (
        .decoder(.groupedLinear(weight: "g", bias: "h", tokens: 2, features: 4, classesPerToken: 1, classes: 2)),
        ["g", "h"]
      ),
    ])
  func renaming(operation: Operator, names: [String]) {
    #expect(operation.parameterNames == names)
    let renamed = operation.mapParameters { "Student." + $0 }
    #expect(renamed.parameterNames == names.map { "Student." + $0 })
    #expect(renamed.mapParameters { String($0.dropFirst("Student.".count)) } == operation)
    #expect(renamed.title == operation.title)
  }

  @Test(
    "Too few and too many inputs are refused by the layer's name",
    arguments: [Operator.add, .relu, .multiplyPerChannel])
  func arity(operation: Operator) {
    for count in [0, 3] where !operation.arity.contains(count) {
      var builder = GraphBuilder()
      let input = builder.append(.input(channels: 3), name: "input", inputs: [])
      let node = builder.append(operation, name: "layer", inputs: [Graph.NodeID](repeating: input, count: count))
      builder.markOutput(.logits, node)
      let error = #expect(throws: HGNetError.self) { try builder.graph(output: .logits, inputSize: Size(4)) }
      #expect(error?.code == .shapeMismatch && error?.context.layer == "layer")
    }
  }

  @Test("A folded batch normalisation is the normalisation behind the convolution")
  func folding() throws {
    let values: [String: [Float]] = [
      "c.bias": [0.5, -1], "n.weight": [2, 0.25], "n.bias": [1, -3], "n.mean": [0.75, 4], "n.variance": [0.25, 9],
    ]
    for bias in ["c.bias", nil] {
      let folding = try Self.norm.folding(into: bias) { (name) throws(HGNetError) in values[name] ?? [] }
      for (channel, product) in [(0, 3.0), (1, -2.0)] {
        let summand = bias == nil ? 0 : Double(values["c.bias"]?[channel] ?? 0)
        func value(_ name: String) -> Double { Double(values["n.\(name)"]?[channel] ?? 0) }
        let expected =
          (product + summand - value("mean")) / (value("variance") + 1e-5).squareRoot() * value("weight")
          + value("bias")
        let found = product * folding.factors[channel] + Double(folding.biases[channel])
        // The bias is rounded to a float, and so was epsilon.
        #expect(abs(found - expected) < 1e-6 * max(1, abs(expected)))
      }
    }
    let error = #expect(throws: HGNetError.self) {
      try Self.norm.folding(into: nil) { (name) throws(HGNetError) in name == "n.mean" ? [1] : values[name] ?? [] }
    }
    #expect(error?.code == .parameterMismatch && error?.context.key == "n.mean")
  }
}
