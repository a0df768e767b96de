import HGNetCore
import HGNetModels
import Testing

@Suite("Names and order of parameters")
struct ParameterNamesTests {
  /// The convolutions of B0 in the order of the reference implementation's state dictionary, with the shape of their
  /// weights and whether an affine block belongs to the unit.
  static let b0: [(unit: String, shape: Shape, hasAffineBlock: Bool)] = [
    ("stem.stem1", [16, 3, 3, 3], true),
    ("stem.stem2a", [8, 16, 2, 2], true),
    ("stem.stem2b", [16, 8, 2, 2], true),
    ("stem.stem3", [16, 32, 3, 3], true),
    ("stem.stem4", [16, 16, 1, 1], true),
    ("stages.0.blocks.0.layers.0", [16, 16, 3, 3], true),
    ("stages.0.blocks.0.layers.1", [16, 16, 3, 3], true),
    ("stages.0.blocks.0.layers.2", [16, 16, 3, 3], true),
    ("stages.0.blocks.0.aggregation_squeeze_conv", [32, 64, 1, 1], true),
    ("stages.0.blocks.0.aggregation_excitation_conv", [64, 32, 1, 1], true),
    ("stages.1.downsample", [64, 1, 3, 3], false),
    ("stages.1.blocks.0.layers.0", [32, 64, 3, 3], true),
    ("stages.1.blocks.0.layers.1", [32, 32, 3, 3], true),
    ("stages.1.blocks.0.layers.2", [32, 32, 3, 3], true),
    ("stages.1.blocks.0.aggregation_squeeze_conv", [128, 160, 1, 1], true),
    ("stages.1.blocks.0.aggregation_excitation_conv", [256, 128, 1, 1], true),
    ("stages.2.downsample", [256, 1, 3, 3], false),
    ("stages.2.blocks.0.layers.0.conv1", [64, 256, 1, 1], false),
    ("stages.2.blocks.0.layers.0.conv2", [64, 1, 5, 5], true),
    ("stages.2.blocks.0.layers.1.conv1", [64, 64, 1, 1], false),
    ("stages.2.blocks.0.layers.1.conv2", [64, 1, 5, 5], true),
    ("stages.2.blocks.0.layers.2.conv1", [64, 64, 1, 1], false),
    ("stages.2.blocks.0.layers.2.conv2", [64, 1, 5, 5], true),
    ("stages.2.blocks.0.aggregation_squeeze_conv", [256, 448, 1, 1], true),
    ("stages.2.blocks.0.aggregation_excitation_conv", [512, 256, 1, 1], true),
    ("stages.2.blocks.1.layers.0.conv1", [64, 512, 1, 1], false),
    ("stages.2.blocks.1.layers.0.conv2", [64, 1, 5, 5], true),
    ("stages.2.blocks.1.layers.1.conv1", [64, 64, 1, 1], false),
    ("stages.2.blocks.1.layers.1.conv2", [64, 1, 5, 5], true),
    ("stages.2.blocks.1.layers.2.conv1", [64, 64, 1, 1], false),
    ("stages.2.blocks.1.layers.2.conv2", [64, 1, 5, 5], true),
    ("stages.2.blocks.1.aggregation_squeeze_conv", [256, 704, 1, 1], true),
    ("stages.2.blocks.1.aggregation_excitation_conv", [512, 256, 1, 1], true),
    ("stages.3.downsample", [512, 1, 3, 3], false),
    ("stages.3.blocks.0.layers.0.conv1", [128, 512, 1, 1], false),
    ("stages.3.blocks.0.layers.0.conv2", [128, 1, 5, 5], true),
    ("stages.3.blocks.0.layers.1.conv1", [128, 128, 1, 1], false),
    ("stages.3.blocks.0.layers.1.conv2", [128, 1, 5, 5], true),
    ("stages.3.blocks.0.layers.2.conv1", [128, 128, 1, 1], false),
    ("stages.3.blocks.0.layers.2.conv2", [128, 1, 5, 5], true),
    ("stages.3.blocks.0.aggregation_squeeze_conv", [512, 896, 1, 1], true),
    ("stages.3.blocks.0.aggregation_excitation_conv", [1024, 512, 1, 1], true),
  ]

  @Test("All of B0")
  func completeB0() throws {
    var expected: [(String, Shape)] = []
    for (unit, shape, hasAffineBlock) in ParameterNamesTests.b0 {
      expected.append(("\(unit).conv.weight", shape))
      for suffix in ["weight", "bias", "_mean", "_variance"] { expected.append(("\(unit).bn.\(suffix)", [shape[0]])) }
      if hasAffineBlock { expected += [("\(unit).lab.scale", [1]), ("\(unit).lab.bias", [1])] }
    }
    expected.append(("last_conv.weight", [2048, 1024, 1, 1]))
    expected += [("lab.scale", [1]), ("lab.bias", [1]), ("fc.weight", [2048, 1000]), ("fc.bias", [1000])]
    let found = try Model.b0.graph().parameters
    #expect(found.map(\.name) == expected.map(\.0))
    #expect(found.map(\.shape) == expected.map(\.1))
  }

  @Test("The second half of tiny's last block and its head")
  func tail() throws {
    let found = try Model.tiny.graph().parameters.suffix(10).map { "\($0.name) \($0.shape)" }
    #expect(
      found == [
        "stages.3.blocks.0.aggregation_conv.conv.weight [768, 1472, 1, 1]",
        "stages.3.blocks.0.aggregation_conv.bn.weight [768]",
        "stages.3.blocks.0.aggregation_conv.bn.bias [768]",
        "stages.3.blocks.0.aggregation_conv.bn._mean [768]",
        "stages.3.blocks.0.aggregation_conv.bn._variance [768]",
        "stages.3.blocks.0.att.conv.weight [768, 768, 1, 1]",
        "stages.3.blocks.0.att.conv.bias [768]",
        "last_conv.weight [2048, 768, 1, 1]",
        "fc.weight [2048, 1000]",
        "fc.bias [1000]",
      ])
  }

  @Test("Roles follow the names", arguments: Model.all)
  func roles(_ model: Model) throws {
    for parameter in try model.graph().parameters {
      let expected: ParameterRole =
        switch parameter.name {
        case let name where name.hasSuffix(".bn.weight"): .normalizationWeight
        case let name where name.hasSuffix(".bn.bias"): .normalizationBias
        case let name where name.hasSuffix("._mean"): .runningMean
        case let name where name.hasSuffix("._variance"): .runningVariance
        case let name where name.hasSuffix("lab.scale"): .affineScale
        case let name where name.hasSuffix("lab.bias"): .affineBias
        case "fc.weight": .linearWeight
        case "fc.bias": .linearBias
        case let name where name.hasSuffix(".att.conv.bias"): .convolutionBias
        default: .convolutionWeight
        }
      #expect(parameter.role == expected, "\(parameter.name)")
    }
  }

  @Test("Internal names count the layers of each class")
  func internalNames() throws {
    let b0 = try Model.b0.graph().internalParameterNames
    #expect(b0["stem.stem1.conv.weight"] == "conv2d_0.w_0")
    #expect(b0["stages.3.blocks.0.aggregation_excitation_conv.bn._variance"] == "batch_norm2d_41.w_2")
    #expect(b0["stages.3.blocks.0.aggregation_excitation_conv.bn._mean"] == "batch_norm2d_41.w_1")
    #expect(b0["stages.1.downsample.bn.bias"] == "batch_norm2d_10.b_0")
    #expect(b0["last_conv.weight"] == "conv2d_42.w_0")
    #expect(b0["stem.stem2a.lab.bias"] == "learnable_affine_block_1.w_1")
    #expect(b0["lab.scale"] == "learnable_affine_block_30.w_0")
    #expect(b0["fc.bias"] == "linear_0.b_0")
    #expect(Set(b0.values).count == 275)
    let tiny = try Model.tiny.graph().internalParameterNames
    #expect(tiny["stages.0.blocks.0.att.conv.bias"] == "conv2d_9.b_0")
    #expect(tiny["last_conv.weight"] == "conv2d_41.w_0")
  }
}
