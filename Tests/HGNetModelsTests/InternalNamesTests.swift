import HGNetCore
import HGNetModels
import Testing

@Suite("PaddlePaddle's internal names")
struct InternalNamesTests {
  @Test("Every parameter has a name of its own, whatever other exporters call it")
  func foreign() {
    let declarations: [(String, ParameterRole)] = [
      ("onnx::Conv_1", .convolutionWeight), ("onnx::Conv_2", .convolutionBias), ("onnx::Conv_3", .convolutionWeight),
      ("onnx::Conv_4", .convolutionBias), ("pad_0.one", .convolutionWeight), ("head.scale", .affineScale),
      ("head.bias", .affineBias), ("head.fc", .linearWeight), ("w1", .linearWeight), ("w2", .linearBias),
    ]
    let names = declarations.map { ParameterDeclaration(name: $0.0, shape: [1], role: $0.1) }.internalNames
    #expect(
      declarations.map { names[$0.0] ?? "" } == [
        "conv2d_0.w_0", "conv2d_0.b_0", "conv2d_1.w_0", "conv2d_1.b_0", "conv2d_2.w_0", "learnable_affine_block_0.w_0",
        "learnable_affine_block_0.w_1", "linear_0.w_0", "linear_1.w_0", "linear_1.b_0",
      ])
  }
}
