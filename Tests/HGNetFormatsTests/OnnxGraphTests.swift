import HGNetCore
import HGNetFormats
import Testing

@Suite("ONNX graphs in many spellings")
struct OnnxGraphTests {
  // The builder comes last: what comes before it may still add to it.
  private func read(_ output: String, _ builder: OnnxBuilder) throws -> OnnxModel {
    try OnnxModel(builder.model(output))
  }

  private func error(_ output: String, _ builder: OnnxBuilder) -> HGNetError? {
    hgnetError { _ = try OnnxModel(builder.model(output)) }
  }

  /// What a model computes, without its flattenings.
  private func kinds(_ model: OnnxModel) -> [String] {
    model.graph.nodes.map { node in
      switch node.operation {
      case .input: "input"
      case .convolution(let layer): layer.bias == nil ? "conv" : "conv+bias"
      case .linear(_, let bias, _, _): bias == nil ? "linear" : "linear+bias"
      case .affine: "affine"
      case .relu: "relu"
      case .globalAveragePool: "mean"
      case .maxPool: "pool"
      case .flatten: "flatten"
      case .dropout: "dropout"
      default: "\(node.operation)"
      }
    }.filter { $0 != "flatten" }
  }

  private let plain = ["input", "conv", "mean", "linear+bias"]

  @Test("Weights as constants of the graph and as nodes, passed on by name", arguments: [false, true])
  func constants(asNode: Bool) throws {
    var builder = OnnxBuilder()
    let weight = builder.weights([4, 3, 1, 1], asNode: asNode)
    let passed = builder.node("Cast", [builder.node("Identity", [weight])], ["to": .integer(1)])
    let map = builder.node("Dropout", [builder.node("Identity", [builder.node("Conv", ["x", passed])])])
    // What no output needs is not looked at.
    _ = builder.node("NonsenseOperator", ["x"])
    let output = builder.node("Identity", [builder.head(map)])
    let model = try read(output, builder)
    #expect(kinds(model) == plain)
    #expect(model.outputName == output)
    #expect(model.graph.parameters.contains { $0.name == weight })
    #expect(model.parameters[weight]?.tensor().values == (0..<12).map { Float($0 % 7) / 4 - 0.5 })
  }

  @Test("Affine blocks with operands in any order, with one half or with factors outside 0 to 1")
  func affineBlocks() throws {
    for order in 0..<4 {
      var builder = OnnxBuilder()
      let map = builder.node("Relu", [builder.stem()])
      let (scale, bias) = (builder.weights([1], [3]), builder.weights([1, 1, 1, 1], [-1]))
      let scaled = builder.node("Mul", order & 1 == 0 ? [scale, map] : [map, scale])
      let moved = builder.node("Identity", [scaled])
      let model = try read(builder.head(builder.node("Add", order & 2 == 0 ? [moved, bias] : [bias, moved])), builder)
      #expect(kinds(model) == ["input", "conv", "relu", "affine", "mean", "linear+bias"])
      #expect(model.parameters[scale]?.shape == [1])
      #expect(model.parameters[bias]?.shape == [1])
    }
    for (kind, value, expected) in [
      ("Mul", 1.5, "affine"), ("Mul", 0.5, "dropout"), ("Div", 4, "dropout"), ("Add", 2, "affine"),
      ("Sub", 2, "affine"),
    ] {
      var builder = OnnxBuilder()
      let map = builder.node("Relu", [builder.stem()])
      let changed = builder.node(kind, [map, builder.weights([], [Float(value)])])
      let model = try read(builder.head(changed), builder)
      #expect(kinds(model) == ["input", "conv", "relu", expected, "mean", "linear+bias"], "\(kind)")
      guard
        case .affine(let scale, let bias)? = model.graph.nodes.map(\.operation).first(where: {
          if case .affine = $0 { true } else { false }
        })
      else { continue }
      #expect(model.parameters[scale]?.tensor()[0] == (kind == "Mul" ? 1.5 : 1))
      #expect(model.parameters[bias]?.tensor()[0] == (kind == "Mul" ? 0 : kind == "Add" ? 2 : -2))
    }
  }

  @Test("A factor and a summand for each channel are a convolution of every channel on its own")
  func perChannel() throws {
    var builder = OnnxBuilder()
    let centred = builder.node("Sub", ["x", builder.weights([1, 3, 1, 1], [1, 2, 3])])
    let scaled = builder.node("Div", [centred, builder.weights([3, 1, 1], [2, 4, 8])])
    let map = builder.node("Conv", [scaled, builder.weights([4, 3, 1, 1])])
    let model = try read(builder.head(map), builder)
    #expect(kinds(model) == ["input", "conv+bias", "conv", "conv", "mean", "linear+bias"])
    let values = model.graph.parameters.prefix(3).map { model.parameters[$0.name]?.tensor().values }
    #expect(values == [[1, 1, 1], [-1, -2, -3], [0.5, 0.25, 0.125]])
  }

  @Test("The arithmetic on shapes that PyTorch writes for a border folds into the convolution")
  func border() throws {
    var builder = OnnxBuilder()
    let map = builder.node("Relu", [builder.stem()])
    // [0, 1, 0, 1] (left, right, top, bottom) becomes [0, 0, 0, 0, 0, 0, 1, 1] (begins, then ends) for four axes.
    let pads = builder.node("Constant", [], ["value": .numbers([4], [0, 1, 0, 1])])
    let zero = builder.node("Constant", [], ["value": .numbers([1], [0])])
    let count = builder.node("Gather", [builder.node("Shape", [pads]), zero], ["axis": .integer(0)])
    let all = builder.node("Mul", [builder.numbers([4], extents: []), builder.numbers([2], extents: [])])
    let rest = builder.node("ConstantOfShape", [builder.node("Sub", [all, count])], ["value": .numbers([1], [0])])
    let joined = builder.node(
      "Concat", [builder.node("Cast", [pads], ["to": .integer(7)]), rest], ["axis": .integer(0)])
    let pairs = builder.node("Reshape", [joined, builder.numbers([-1, 2])])
    let turned = builder.node(
      "Slice", [pairs, builder.numbers([-1]), builder.numbers([-Int.max]), builder.numbers([0]), builder.numbers([-1])])
    let rows = builder.node("Transpose", [turned], ["perm": .integers([1, 0])])
    let final = builder.node("Reshape", [rows, builder.numbers([-1])])
    let padded = builder.node("Pad", [map, final, ""], ["mode": .text("constant")])
    let convolution = builder.node("Conv", [padded, builder.weights([4, 4, 2, 2])])
    let pool = builder.node(
      "MaxPool", [padded],
      ["kernel_shape": .integers([2, 2]), "ceil_mode": .integer(1), "strides": .integers([1, 1])])
    let both = builder.node("Concat", [pool, convolution], ["axis": .integer(1)])
    let model = try read(builder.head(both, channels: 8), builder)
    let paddings = model.graph.nodes.compactMap { node -> Padding? in
      switch node.operation {
      case .convolution(let layer) where layer.kernel == Size(2): layer.padding
      case .maxPool(_, _, let padding): padding
      default: nil
      }
    }
    // Nothing behind a ReLU is negative, so that zeros and no border are one for the pool.
    #expect(paddings == [.sameForTwoByTwo, .sameForTwoByTwo])
  }

  @Test("Where values may be negative, a pool sees a border of zeros as a map of its own")
  func negativeBorder() throws {
    var builder = OnnxBuilder()
    let padded = builder.node("Pad", [builder.stem(), builder.numbers([0, 0, 0, 0, 0, 0, 1, 1])])
    let pool = builder.node("MaxPool", [padded], ["kernel_shape": .integers([2, 2])])
    let model = try read(builder.head(pool), builder)
    #expect(kinds(model) == ["input", "conv", "conv", "pool", "mean", "linear+bias"])
    guard case .convolution(let border) = model.graph.nodes[2].operation else { return }
    #expect(border.padding == .sameForTwoByTwo)
    #expect(border.isDepthwise)
    #expect(model.parameters[border.weight]?.tensor().values == [1, 1, 1, 1])
    // A border that only some operator could use is not forgotten.
    var other = OnnxBuilder()
    let lost = other.node("Pad", [other.stem(), other.numbers([0, 0, 0, 0, 0, 0, 1, 1])])
    #expect(error(other.head(lost), other)?.code == .unsupported)
  }

  @Test("Means, flattenings and products in every spelling")
  func heads() throws {
    let means: [(inout OnnxBuilder, String) -> String] = [
      { $0.node("ReduceMean", [$1], ["axes": .integers([2, 3])]) },
      { $0.node("ReduceMean", [$1, $0.numbers([-1, -2])]) },
      { $0.node("ReduceMean", [$1], ["axes": .integers([3, 2]), "keepdims": .integer(0)]) },
      { $0.node("GlobalAveragePool", [$1]) },
    ]
    for (number, mean) in means.enumerated() {
      for spelling in 0..<5 {
        var builder = OnnxBuilder()
        let map = mean(&builder, builder.stem())
        var flat = map
        if number != 2 {
          switch spelling {
          case 0: flat = builder.node("Flatten", [map])
          case 1: flat = builder.node("Reshape", [map, builder.numbers([-1, 4])])
          case 2: flat = builder.node("Squeeze", [map, builder.numbers([2, 3])])
          case 3:
            let batch = builder.node("Gather", [builder.node("Shape", [map]), builder.numbers([0], extents: [])])
            let first = builder.node("Unsqueeze", [batch, builder.numbers([0])])
            flat = builder.node(
              "Reshape", [map, builder.node("Concat", [first, builder.numbers([-1])], ["axis": .integer(0)])])
          default:
            let sliced = builder.node(
              "Slice", [builder.node("Shape", [map]), builder.numbers([0]), builder.numbers([2]), builder.numbers([0])])
            flat = builder.node("Reshape", [map, sliced])
          }
        }
        let weight: [Float] = [1, 2, 3, 4, 5, 6, 7, 8]
        let turned: [Float] = [1, 3, 5, 7, 2, 4, 6, 8]
        let result: String
        switch spelling {
        case 0:
          result = builder.node(
            "Gemm", [flat, builder.weights([2, 4], turned), builder.weights([2])], ["transB": .integer(1)])
        case 1:
          let transposed = builder.node("Transpose", [builder.weights([2, 4], turned)])
          result = builder.node("Add", [builder.weights([2]), builder.node("MatMul", [flat, transposed])])
        case 2:
          result = builder.node(
            "Add", [builder.node("MatMul", [flat, builder.weights([4, 2], weight)]), builder.weights([1, 2])])
        default: result = builder.node("Gemm", [flat, builder.weights([4, 2], weight), builder.weights([2])])
        }
        let model = try read(result, builder)
        #expect(kinds(model) == plain, "\(number) \(spelling)")
        guard case .linear(let name, _, 4, 2)? = model.graph.nodes.last?.operation else {
          Issue.record("no classifier")
          continue
        }
        #expect(model.parameters[name]?.shape == [4, 2])
        #expect(model.parameters[name]?.tensor().values == weight)
      }
    }
  }

  @Test("A dropout that is told whether it drops")
  func dropout() throws {
    for flag in [0, 1] {
      var builder = OnnxBuilder()
      let drop = builder.node("Constant", [], ["value": .flags([], [flag])])
      let map = builder.node("Dropout", [builder.stem(), builder.weights([], [0.5]), drop])
      let output = builder.head(map)
      if flag == 0 {
        #expect(kinds(try read(output, builder)) == plain)
      } else {
        #expect(error(output, builder)?.message.contains("in inference (eval)") == true)
      }
    }
  }

  @Test("A model for one picture is read for any number")
  func fixedBatch() throws {
    var builder = OnnxBuilder()
    builder.input.extents = [1, 3, 32, 32]
    let mean = builder.node("GlobalAveragePool", [builder.stem()])
    let flat = builder.node("Reshape", [mean, builder.numbers([1, 4])], ["allowzero": .integer(1)])
    #expect(
      kinds(try read(builder.node("Gemm", [flat, builder.weights([4, 2]), builder.weights([2])]), builder)) == plain)
  }

  @Test("A Clip at zero is a ReLU, any other is refused")
  func clip() throws {
    for (bounds, isRelu) in [([0, nil], true), ([0, Float.infinity], true), ([0, 6], false), ([-1, nil], false)]
      as [([Float?], Bool)]
    {
      var builder = OnnxBuilder()
      let operands = bounds.map { bound in bound.map { builder.weights([], [$0]) } ?? "" }
      let output = builder.head(builder.node("Clip", [builder.stem()] + operands))
      if isRelu {
        #expect(kinds(try read(output, builder)) == ["input", "conv", "relu", "mean", "linear+bias"])
      } else {
        #expect(error(output, builder)?.message.contains("make a ReLU") == true)
      }
    }
  }

  @Test("A network that ends in features has an embedding, not classes")
  func features() throws {
    var builder = OnnxBuilder()
    let model = try read(builder.node("Flatten", [builder.node("GlobalAveragePool", [builder.stem()])]), builder)
    #expect(model.graph.outputs.map(\.name) == ["embedding"])
    var map = OnnxBuilder()
    #expect(error(map.stem(), map)?.message.contains("found a map of 4×32×32") == true)
  }

  @Test(
    "What is no classifier of the family is named with its reason",
    arguments: [
      ("QLinearConv", "QuantFormat.QDQ"), ("ConvInteger", "statically"), ("If", "decides while it runs"),
      ("Resize", "no detector"),
      ("AveragePool", "whole map"), ("ArgMax", "without the choice"), ("Gelu", "read are Add"),
    ])
  func reasons(type: String, reason: String) {
    var builder = OnnxBuilder()
    let error = error(builder.head(builder.node(type, [builder.stem()])), builder)
    #expect(error?.code == .unsupported)
    #expect(error?.message.contains(reason) == true, "\(error?.message ?? "")")
    #expect(error?.context.layer?.hasPrefix("\(type) (node 1, ") == true, "\(error?.context.layer ?? "")")
  }

  @Test("Training exports, other domains, several outputs and weights that are computed are refused by their reasons")
  func others() {
    var training = OnnxBuilder()
    let norm = training.node(
      "BatchNormalization", [training.stem()] + (0..<4).map { _ in training.weights([4]) },
      ["training_mode": .integer(1)])
    #expect(error(training.head(norm), training)?.message.contains("in inference (eval)") == true)
    var domain = OnnxBuilder()
    let own = domain.node("Relu", [domain.stem()], domain: "com.microsoft")
    #expect(error(domain.head(own), domain)?.message.contains("com.microsoft") == true)
    var several = OnnxBuilder()
    let (first, second) = (several.head(several.stem()), several.head(several.stem()))
    let message = hgnetError { _ = try OnnxModel(several.model(first, second)) }?.message
    #expect(message?.contains(first) == true && message?.contains(second) == true, "\(message ?? "")")
    var computed = OnnxBuilder()
    let weight = computed.node("Mul", [computed.weights([4, 3, 1, 1]), computed.weights([4, 3, 1, 1])])
    #expect(
      error(computed.head(computed.node("Conv", ["x", weight])), computed)?.message.contains("fold them first") == true)
    var wholeNumbers = OnnxBuilder()
    wholeNumbers.input.type = 2
    #expect(error(wholeNumbers.head(wholeNumbers.stem()), wholeNumbers)?.message.contains("element type 2") == true)
  }

  @Test("Arithmetic on shapes stays within bounds")
  func bounds() {
    for (start, step) in [(Int.max, 1), (Int.min, -1), (0, Int.min), (3, 0), (-1, Int.max)] {
      var builder = OnnxBuilder()
      let list = builder.numbers([1, 2, 3])
      let slice = builder.node(
        "Slice",
        [list, builder.numbers([start]), builder.numbers([Int.min]), builder.numbers([0]), builder.numbers([step])])
      let sum = builder.node("Add", [slice, builder.numbers([Int.max])])
      let pad = builder.node("Pad", [builder.stem(), builder.node("Div", [sum, builder.numbers([0])])])
      #expect(error(builder.head(pad), builder) != nil)
    }
    for shape in [[Int.max, 2], [-2], [1 << 20, 1 << 20], [-1, -1], [0, 0, 0, 0, 0]] {
      var builder = OnnxBuilder()
      let filled = builder.node("ConstantOfShape", [builder.numbers(shape)], ["value": .numbers([1], [1])])
      #expect(error(builder.head(builder.node("Pad", [builder.stem(), filled])), builder) != nil)
      var other = OnnxBuilder()
      let bias = other.node("Reshape", [other.weights([4]), other.numbers(shape)])
      #expect(error(other.head(other.node("Add", [other.stem(), bias])), other) != nil)
    }
    // Doubling a list again and again.
    var doubling = OnnxBuilder()
    var list = doubling.numbers([0, 1])
    for _ in 0..<40 { list = doubling.node("Concat", [list, list], ["axis": .integer(0)]) }
    #expect(error(doubling.head(doubling.node("Pad", [doubling.stem(), list])), doubling)?.code == .limitExceeded)
  }
}
