import Foundation
import HGNet
import HGNetCore
import HGNetExport
import HGNetFormats
import HGNetModels
import HGNetProgram
import TemporaryFolders
import Testing

@Suite("Precisions of what is exported")
struct QuantizedExportTests {
  let folder = TemporaryFolder()

  /// A narrow network of a model, in float.
  private func weights(_ model: Model = .b0, hasBiases: Bool = false) throws -> WeightsFile {
    let graph = try model.graph(options: ModelOptions(classCount: 6, classExpand: 32))
    let path = folder.file("float.safetensors")
    let parameters =
      try hasBiases ? Model.randomParameters(for: graph, seed: 3) : Model.initialParameters(for: graph, seed: 3)
    try Safetensors.write(parameters, to: path)
    return try WeightsFile(contentsOf: path)
  }

  /// The same in 8 bits, with the ranges of one picture.
  private func quantized(_ model: Model = .b0, hasBiases: Bool = false) throws -> WeightsFile {
    let float = try weights(model, hasBiases: hasBiases)
    var calibration = try Calibration(
      graph: float.graph, parameters: float.parameters, device: .cpu(threads: 2))
    var random = RandomGenerator(seed: 4, stream: "pictures")
    try calibration.add(Size(64)) { for index in $0.indices { $0[index] = random.uniform(from: -2, to: 2) } }
    let store = try QuantizedWeights.quantizing(
      float.graph, float.parameters, ranges: calibration.ranges(.minmax))
    let path = folder.file("int8.safetensors")
    try QuantizedWeights.write(store, metadata: ["model": "\(model)"], to: path)
    return try WeightsFile(contentsOf: path)
  }

  private func export(
    _ weights: WeightsFile, _ format: ModelExport.Format, _ precision: ExportPrecision? = nil
  ) throws -> (file: WeightsFile, result: ModelExport.Result) {
    let network = try ExportedNetwork(weights, activation: .softmax, inputSize: Size(64))
    let result = try ModelExport(weights, as: network, format: format, precision: precision)
      .write(into: folder.path, stem: "out")
    return (try WeightsFile(contentsOf: result.files[0]), result)
  }

  private func logits(_ file: WeightsFile, _ precision: Precision) throws -> [Float] {
    var random = RandomGenerator(seed: 5, stream: "picture")
    let picture = Tensor(shape: [1, 64, 64, 3]) {
      for index in $0.indices { $0[index] = random.uniform(from: -2, to: 2) }
    }
    let model = try InferenceModel(
      graph: file.graph.selecting(outputs: [.logits]), parameters: file.parameters,
      device: .cpu(threads: 1, precision: precision))
    var session = try model.session(batch: 1, inputSize: Size(64))
    return try session.run(picture)[0].values
  }

  private func distance(_ one: [Float], _ two: [Float]) -> Float {
    zip(one, two).reduce(0) { max($0, abs($1.0 - $1.1)) } / two.reduce(0) { max($0, abs($1)) }
  }

  @Test("The QDQ form is read back as the same bytes", arguments: [Model.b0, .b4, .tiny])
  func quantizedOnnx(model: Model) throws {
    let weights = try quantized(model)
    let (file, _) = try export(weights, .onnx(OnnxExport.Options()))
    #expect(file.parameters.isQuantized)
    let bytes = file.parameters.names.filter { file.parameters[$0]?.scales != nil }
    #expect(bytes.count == weights.parameters.names.count { weights.parameters[$0]?.scales != nil })
    #expect(distance(try logits(file, .int8), try logits(weights, .int8)) == 0)
    // The weights are the same numbers, each with the factor of its normalisation.
    #expect(distance(try logits(file, .float32), try logits(weights, .float32)) < 0.01)
  }

  @Test("Biases in the QDQ form are whole steps of the sums that they are added to")
  func biases() throws {
    let (file, _) = try export(try quantized(hasBiases: true), .onnx(OnnxExport.Options()))
    let convolution = try #require(
      file.graph.nodes.lazy.compactMap { node -> Convolution? in
        if case .convolution(let convolution) = node.operation { convolution } else { nil }
      }.first)
    let input = ValueScale(try #require(file.parameters.ranges["input"]))
    let scales = try #require(file.parameters[convolution.weight]?.scales)
    let bias = try #require(convolution.bias)
    let biases = try #require(file.parameters[bias]).tensor().values
    #expect(biases.contains { $0 != 0 })
    for (bias, scale) in zip(biases, scales) {
      let steps = Double(bias) / (Double(input.scale) * Double(scale))
      #expect(abs(steps - steps.rounded()) < 1e-6 * max(1, abs(steps)), "\(steps)")
    }
  }

  @Test("A bias becomes the nearest whole number of steps, unless that does not fit 32 bits")
  func roundedBias() {
    #expect(IntegerBias.rounded(0.26, step: 0.1) == 3 * 0.1)
    #expect(IntegerBias.rounded(-0.25, step: 0.1) == -2 * 0.1)
    #expect(IntegerBias.rounded(0.26, step: -0.1) == -3 * -0.1)
    #expect(IntegerBias.rounded(1, step: 1e-12) == 1)
    #expect(IntegerBias.rounded(1, step: 0) == 1)
  }

  @Test("With symmetric activations every zero point is that of signed bytes")
  func symmetric() throws {
    let weights = try quantized()
    let (file, _) = try export(weights, .onnx(OnnxExport.Options(hasSymmetricActivations: true)))
    for (layer, range) in file.parameters.ranges {
      #expect(abs(range.lowerBound / range.upperBound + 128.0 / 127) < 1e-5, "\(layer) \(range)")
    }
    #expect(distance(try logits(file, .int8), try logits(weights, .float32)) < 0.2)
  }

  @Test("Quantised safetensors go through as they are, and in float as what they stand for")
  func safetensors() throws {
    let weights = try quantized()
    let (same, _) = try export(weights, .safetensors(.paddle, metadata: [:]))
    #expect(same.parameters.ranges == weights.parameters.ranges)
    let (float, result) = try export(weights, .safetensors(.timm, metadata: [:]), .float32)
    #expect(result.difference == 0)
    #expect(!float.parameters.isQuantized)
    for name in weights.parameters.names {
      let (before, after) = (try #require(weights.parameters[name]), try #require(same.parameters[name]))
      #expect(after.scales == before.scales && after.tensor().values == before.tensor().values, "\(name)")
      #expect(float.parameters[name]?.tensor().values == before.tensor().values, "\(name)")
    }
  }

  @Test("float16 and bfloat16 are the nearest numbers of these types", arguments: [ExportPrecision.float16, .bfloat16])
  func halves(precision: ExportPrecision) throws {
    let weights = try weights()
    let (file, result) = try export(weights, .safetensors(.paddle, metadata: [:]), precision)
    #expect(result.difference > 0 && result.difference < 1e-2)
    for name in weights.parameters.names {
      let (before, after) = (try #require(weights.parameters[name]), try #require(file.parameters[name]))
      #expect(after.elementType.rawValue == precision.rawValue)
      for (exact, found) in zip(before.tensor().values, after.tensor().values) {
        if precision == .float16 {
          #expect(found == Float(Float16(exact)))
        } else {
          // Seven bits behind the first.
          #expect(abs(found - exact) <= abs(exact) / 256)
        }
      }
    }
    let (onnx, written) = try export(weights, .onnx(OnnxExport.Options()), precision)
    #expect(written.difference > 0 && written.difference < 1e-2)
    let isStored = onnx.parameters.names.contains { onnx.parameters[$0]?.elementType.rawValue == precision.rawValue }
    #expect(isStored)
  }

  @Test("A number that float16 has no place for is named")
  func tooLarge() throws {
    let weights = try weights()
    var store = weights.parameters
    store["fc.bias"] = Parameter(Tensor(shape: [6], values: [1, 2, 65520, 4, 5, 6]))
    try Safetensors.write(store, to: folder.file("large.safetensors"))
    let large = try WeightsFile(contentsOf: folder.file("large.safetensors"))
    for format in [ModelExport.Format.safetensors(.paddle, metadata: [:]), .onnx(OnnxExport.Options())] {
      let error = try #require(throws: HGNetError.self) { try export(large, format, .float16) }
      #expect(error.code == .unsupported && error.context.key == "fc.bias", "\(error)")
    }
    #expect(throws: Never.self) { try export(large, .safetensors(.paddle, metadata: [:]), .bfloat16) }
  }

  @Test("What does not go together is refused with what to do")
  func refused() throws {
    let (float, integers) = (try weights(), try quantized())
    func error(_ weights: WeightsFile, _ format: ModelExport.Format, _ precision: ExportPrecision?) throws -> HGNetError
    {
      try #require(throws: HGNetError.self) { try export(weights, format, precision) }
    }
    let onnx = ModelExport.Format.onnx(OnnxExport.Options())
    #expect(try error(float, onnx, .int8).message.contains("hgnet quantize"))
    #expect(try error(integers, .paddle(.both), nil).message.contains("--precision float32"))
    #expect(try error(integers, .paddleParameters, nil).message.contains("in float"))
    #expect(try error(float, .paddle(.both), .float16).code == .unsupported)
    #expect(try error(integers, .safetensors(.timm, metadata: [:]), nil).code == .unsupported)
    #expect(
      try error(integers, .onnx(OnnxExport.Options(foldsNormalization: false)), nil).message.contains("--no-fold"))
    #expect(try error(integers, .onnx(OnnxExport.Options(operatorSet: 12)), nil).message.contains("at least 13"))
  }
}
