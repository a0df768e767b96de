import HGNetCore
import HGNetFormats
import Testing

@Suite("Hand-made program descriptions (.pdmodel)")
struct PaddleProgramDescriptionTests {
  private static let parameters: [(name: String, extents: [Int])] = [
    ("conv2d_0.w_0", [4, 3, 3, 3]), ("conv2d_0.b_0", [4]), ("linear_0.w_0", [4, 2]), ("linear_0.b_0", [2]),
  ]

  private static let feed = Wire.operation("feed", [("X", ["feed"])], [("Out", ["inputs"])], [("col", .integer(0))])
  private static let fetch = Wire.operation(
    "fetch", [("X", ["save_infer_model/scale_0.tmp_1"])], [("Out", ["fetch"])], [("col", .integer(0))])

  private static let layers: [[UInt8]] = [
    Wire.operation("conv2d", [("Input", ["inputs"]), ("Filter", ["conv2d_0.w_0"])], [("Output", ["a"])]),
    Wire.operation(
      "elementwise_add", [("X", ["a"]), ("Y", ["conv2d_0.b_0"])], [("Out", ["b"])], [("axis", .integer(1))]),
    Wire.operation("relu", [("X", ["b"])], [("Out", ["b"])]),
    Wire.operation(
      "pool2d", [("X", ["b"])], [("Out", ["c"])],
      [("pooling_type", .text("avg")), ("ksize", .integers([7, 7])), ("global_pooling", .flag(true))]),
    Wire.operation("flatten2", [("X", ["c"])], [("Out", ["d"]), ("XShape", ["e"])], [("axis", .integer(1))]),
    Wire.operation(
      "matmul_v2", [("X", ["d"]), ("Y", ["linear_0.w_0"])], [("Out", ["f"])],
      [("trans_x", .flag(false)), ("trans_y", .flag(false))]),
    Wire.operation("elementwise_add", [("X", ["f"]), ("Y", ["linear_0.b_0"])], [("Out", ["g"])]),
    Wire.operation("softmax", [("X", ["g"])], [("Out", ["h"])]),
    Wire.operation("scale", [("X", ["h"])], [("Out", ["save_infer_model/scale_0.tmp_1"])]),
  ]

  private func program(_ operations: [[UInt8]], extents: [Int] = [-1, 3, 8, 8]) -> [UInt8] {
    let variables =
      Wire.variable("feed", isPersistable: true, type: 9) + Wire.variable("fetch", isPersistable: true, type: 10)
      + Wire.variable("inputs", extents: extents)
      + Self.parameters.flatMap { Wire.variable($0.name, extents: $0.extents, isPersistable: true) }
    return Wire.bytes(1, Wire.number(1, 0) + Wire.number(2, -1) + variables + operations.flatMap { $0 })
  }

  private func model(_ program: [UInt8]) throws -> PaddleInferenceModel {
    try PaddleInferenceModel(
      program: BlobSlice(Blob(program)), parameters: BlobSlice(Blob(ProgramText.tensors(Self.parameters))))
  }

  @Test("an older export: few attributes, a bias along axis 1, reused names, a last scale by one")
  func older() throws {
    let model = try model(program([Self.feed] + Self.layers + [Self.fetch]))
    #expect(model.activation == .softmax)
    #expect(model.inputName == "inputs")
    #expect(model.outputName == "save_infer_model/scale_0.tmp_1")
    let convolution = Convolution(
      weight: "conv2d_0.w_0", bias: "conv2d_0.b_0", inputChannels: 3, outputChannels: 4, kernel: Size(3),
      stride: Size(1), padding: Padding(0), groups: 1)
    #expect(
      model.graph.nodes.map(\.operation) == [
        .input(channels: 3), .convolution(convolution), .relu, .globalAveragePool, .flatten,
        .linear(weight: "linear_0.w_0", bias: "linear_0.b_0", inputFeatures: 4, outputFeatures: 2), .softmax,
      ])
    #expect(
      model.graph.nodes.map(\.name)
        == ["input", "conv2d_0", "relu_0", "pool2d_0", "flatten_0", "linear_0", "softmax_0"])
  }

  // Without the third layer, which works in place, the rest still fits together.
  @Test("a layer that is missing, or out of order", arguments: [0, 1, 3, 4, 5, 6, 7, 8])
  func missingLayer(index: Int) {
    var layers = Self.layers
    layers.remove(at: index)
    #expect(hgnetError { _ = try model(program([Self.feed] + layers + [Self.fetch])) } != nil)
    layers.append(Self.layers[index])
    if index < 8 { #expect(hgnetError { _ = try model(program([Self.feed] + layers + [Self.fetch])) } != nil) }
  }

  @Test("input extents out of range", arguments: [[-1, 3, 1 << 60, 8], [-1, 3, 8, -8], [-1, 1 << 60, 8, 8]])
  func extents(extents: [Int]) {
    let error = hgnetError { _ = try model(program([Self.feed] + Self.layers + [Self.fetch], extents: extents)) }
    #expect(error?.code == .limitExceeded)
  }

  @Test("every truncation is an error")
  func truncation() {
    let bytes = program([Self.feed] + Self.layers + [Self.fetch])
    for length in 0..<bytes.count {
      #expect(hgnetError { _ = try model(Array(bytes[..<length])) } != nil, "\(length)")
    }
  }
}

@Suite("Changed Paddle programs")
struct PaddleProgramFuzzTests {
  @Test("are read or refused", arguments: ["v1-none-pdmodel/inference.pdmodel", "v1-none-json/inference.json"])
  func mutations(name: String) throws {
    let tensors = BlobSlice(try ProgramFixtures.blob("v1-none-json/inference.pdiparams"))
    var readable = 0
    for bytes in Mutations(of: try ProgramFixtures.bytes(name), count: 1000) {
      guard let model = try? PaddleInferenceModel(program: BlobSlice(Blob(bytes)), parameters: tensors) else {
        continue
      }
      readable += 1
      #expect(model.graph.multiplyAdds >= 0)
    }
    // Some changes touch only what does not matter: the readers are reached, not just the first check.
    #expect(readable > 10)
  }

  @Test("with one number of the document replaced are read or refused")
  func numbers() throws {
    let tensors = BlobSlice(try ProgramFixtures.blob("v1-none-json/inference.pdiparams"))
    let bytes = try ProgramFixtures.bytes("v1-none-json/inference.json")
    func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    let starts = bytes.indices.filter { isDigit(bytes[$0]) && $0 > 0 && !isDigit(bytes[$0 - 1]) }
    let replacements = [
      "0", "-1", "1", "2", "3", "1.5", "2147483648", "1152921504606846976", "9223372036854775807", "75",
    ]
    var codes: Set<String> = []
    for iteration in 0..<500 {
      // A step that has no factor in common with the number of places visits all of them in turn.
      let start = starts[iteration * 7919 % starts.count]
      let end = bytes[start...].firstIndex { !isDigit($0) } ?? bytes.count
      let changed = bytes[..<start] + replacements[iteration % replacements.count].utf8 + bytes[end...]
      do throws(HGNetError) {
        let model = try PaddleInferenceModel(program: BlobSlice(Blob(changed)), parameters: tensors)
        #expect(model.graph.multiplyAdds > 0)
      } catch { codes.insert(error.code.description) }
    }
    #expect(codes.isSuperset(of: ["malformedData", "unsupported", "parameterMismatch"]), "\(codes)")
  }

  @Test(
    "truncated program files are errors",
    arguments: ["v1-none-pdmodel/inference.pdmodel", "v1-none-json/inference.json"])
  func truncation(name: String) throws {
    let tensors = BlobSlice(try ProgramFixtures.blob("v1-none-json/inference.pdiparams"))
    let bytes = try ProgramFixtures.bytes(name)
    // The older encoding has the version after the operators, which a reader does not need.
    let needed = name.hasSuffix(".json") ? bytes.count : bytes.count - 200
    for length in stride(from: 0, to: needed, by: 7) {
      let error = hgnetError {
        _ = try PaddleInferenceModel(program: BlobSlice(Blob(bytes[..<length])), parameters: tensors)
      }
      #expect(error != nil, "\(length)")
    }
  }
}
