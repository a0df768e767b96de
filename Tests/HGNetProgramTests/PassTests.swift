import HGNetCore
import HGNetProgram
import Testing

/// What each pass fuses, and what it must leave alone.
@Suite struct PassTests {
  /// A graph of one input and the nodes that `body` appends; `body` returns its outputs, the logits among them.
  static func graph(
    _ body: (inout GraphBuilder, Graph.NodeID) -> [(Graph.Output.Role, Graph.NodeID)]
  ) throws -> Graph {
    var builder = GraphBuilder()
    let input = builder.append(.input(channels: 16), name: "input", inputs: [])
    let outputs = body(&builder, input)
    for (role, node) in outputs { builder.markOutput(role, node) }
    return try builder.graph(output: .logits, inputSize: Size(12)).selecting(outputs: outputs.map(\.0))
  }

  static let convolution = Convolution(
    weight: "conv.weight", inputChannels: 16, outputChannels: 16, kernel: Size(3), stride: Size(1),
    padding: Padding(1), groups: 1)
  static let normalization = BatchNormalization(
    weight: "bn.weight", bias: "bn.bias", mean: "bn.mean", variance: "bn.variance")

  @Test func aUnitBecomesOneLayer() throws {
    let graph = try PassTests.graph { builder, input in
      let convolved = builder.append(.convolution(PassTests.convolution), name: "conv", inputs: [input])
      let normalized = builder.append(.batchNormalization(PassTests.normalization), name: "bn", inputs: [convolved])
      let rectified = builder.append(.relu, name: "relu", inputs: [normalized])
      let scaled = builder.append(.affine(scale: "lab.scale", bias: "lab.bias"), name: "lab", inputs: [rectified])
      let sum = builder.append(.add, name: "add", inputs: [scaled, input])
      return [(.logits, sum)]
    }
    let program = try Program(graph)
    let layer = try #require(program.layers.first)
    #expect(program.layers.count == 1)
    #expect(layer.kind == .convolution(PassTests.convolution, PassTests.normalization))
    #expect(layer.hasReLU)
    #expect(layer.affine == [.affine(scale: "lab.scale", bias: "lab.bias")])
    #expect(layer.residual == program.input)
    #expect(program.outputs.map(\.role) == [.logits])
    #expect(program.outputs.map(\.result) == [layer.result])
    #expect(
      layer.learnedParameters == ["conv.weight", "bn.weight", "bn.bias", "lab.scale", "lab.bias"])
  }

  @Test func aResultWithTwoReadersIsKept() throws {
    let graph = try PassTests.graph { builder, input in
      let convolved = builder.append(.convolution(PassTests.convolution), name: "conv", inputs: [input])
      let rectified = builder.append(.relu, name: "relu", inputs: [convolved])
      return [(.stage(0), convolved), (.logits, rectified)]
    }
    let program = try Program(graph)
    #expect(program.layers.map(\.name) == ["conv", "relu"])
    #expect(program.layers.map(\.hasReLU) == [false, true])
  }

  @Test func theOrderOfAnEpilogueIsKept() throws {
    // ReLU, affine block, sum is the order of an epilogue; a ReLU behind the affine block is a layer of its own.
    let graph = try PassTests.graph { builder, input in
      let convolved = builder.append(.convolution(PassTests.convolution), name: "conv", inputs: [input])
      let scaled = builder.append(.affine(scale: "lab.scale", bias: "lab.bias"), name: "lab", inputs: [convolved])
      let rectified = builder.append(.relu, name: "relu", inputs: [scaled])
      return [(.logits, rectified)]
    }
    let program = try Program(graph)
    #expect(program.layers.map(\.name) == ["conv", "relu"])
    #expect(program.layers[0].affine.count == 1)
  }

  @Test func aNormalizationAloneIsDepthwise() throws {
    let graph = try PassTests.graph { builder, input in
      [(.logits, builder.append(.batchNormalization(PassTests.normalization), name: "bn", inputs: [input]))]
    }
    let program = try Program(graph)
    guard case .convolution(let convolution, PassTests.normalization) = program.layers.first?.kind else {
      Issue.record("expected a normalisation, found \(program.layers)")
      return
    }
    #expect(convolution.isIdentity)
  }

  @Test(arguments: [(false, 1), (true, 2)]) func dropoutOfTokensStaysInTraining(isTraining: Bool, layers: Int) throws {
    let graph = try PassTests.graph { builder, input in
      let convolved = builder.append(.convolution(PassTests.convolution), name: "conv", inputs: [input])
      return [(.logits, builder.append(.decoder(.dropout(probability: 0.3)), name: "drop", inputs: [convolved]))]
    }
    #expect(try Program(graph, isTraining: isTraining).layers.count == layers)
  }

  @Test func resizingKeepsLayers() throws {
    let graph = try PassTests.graph { builder, input in
      [(.logits, builder.append(.convolution(PassTests.convolution), name: "conv", inputs: [input]))]
    }
    let program = try Program(graph)
    let resized = try program.resized(to: Size(height: 5, width: 7))
    #expect(resized.layers == program.layers)
    #expect(resized.shapes.last == ActivationShape(channels: 16, height: 5, width: 7))
  }
}
