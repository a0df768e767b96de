import HGNet
import HGNetCPU
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetProgram
import HGNetVision
import TemporaryFolders
import Testing

@Suite("Weights in 8 bits")
struct QuantizationTests {
  let folder = TemporaryFolder()

  /// Networks of the three kinds of blocks that there are: light ones with affine blocks, dense ones, gates.
  static let models = ["PPHGNetV2_B0", "PPHGNetV2_B4", "PPHGNet_tiny"]

  private static func graph(_ name: String = "PPHGNetV2_B0", size: Int = 64) throws -> Graph {
    let model = try Model.named(name)
    var options = ModelOptions(classCount: 10)
    if name.hasSuffix("tiny") { options.classExpand = 64 } else { options.classExpand = 32 }
    return try model.graph(options: options).resized(to: Size(size))
  }

  private static func picture(_ seed: UInt64, size: Int = 64) -> Tensor {
    var generator = RandomGenerator(seed: seed, stream: "picture")
    return Tensor(shape: [size, size, 3]) { values in
      for index in values.indices { values[index] = Float(generator.uniform()) * 4 - 2 }
    }
  }

  /// The networks of `models` as `quantized` makes them, once for all tests.
  private static let networks = Result { () throws -> [String: (float: ParameterStore, integers: ParameterStore)] in
    var networks: [String: (float: ParameterStore, integers: ParameterStore)] = [:]
    for name in models { networks[name] = try quantized(graph(name)) }
    return networks
  }

  /// A network's parameters in float, and in 8 bits with the ranges of some pictures.
  private static func quantized(
    _ graph: Graph, pictures: Int = 2, rule: RangeRule = .minmax
  ) throws -> (float: ParameterStore, integers: ParameterStore) {
    let parameters = try Model.initialParameters(for: graph, seed: 5)
    var calibration = try Calibration(graph: graph, parameters: parameters, device: .cpu(threads: 2))
    for seed in 0..<UInt64(pictures) { try calibration.add(.numbers(picture(seed))) }
    let integers = try QuantizedWeights.quantizing(graph, parameters, ranges: calibration.ranges(rule))
    return (parameters, integers)
  }

  private static func logits(
    _ graph: Graph, _ parameters: ParameterStore, _ device: Device, pictures: [Tensor]
  ) throws -> Tensor {
    let model = try InferenceModel(graph: graph, parameters: parameters, device: device)
    var session = try model.session(batch: pictures.count, inputSize: Size(64))
    let input = try Tensor(
      allocating: [pictures.count, 64, 64, 3], for: "pictures"
    ) { target in
      for (index, value) in pictures.flatMap(\.values).enumerated() { target[index] = value }
    }
    return try session.run(input)[0]
  }

  private static func distance(_ one: Tensor, _ two: Tensor) -> Float {
    let largest = two.values.reduce(0) { max($0, abs($1)) }
    return zip(one.values, two.values).reduce(0) { max($0, abs($1.0 - $1.1)) } / largest
  }

  @Test("The logits are near those in float32, with every instruction set", arguments: models)
  func nearFloat(_ name: String) throws {
    let graph = try Self.graph(name)
    let (float, integers) = try #require(try Self.networks.get()[name])
    let picture = Self.picture(1)
    let expected = try Self.logits(graph, float, .cpu(threads: 1), pictures: [picture])
    for set in InstructionSet.available {
      let device = Device(pool: ThreadPool(count: 2), instructionSet: set, precision: .int8)
      let found = try Self.logits(graph, integers, device, pictures: [picture])
      #expect(Self.distance(found, expected) < 0.1, "\(name) \(set)")
    }
    // The same weights in float32, which can be asked of every file.
    let rounded = try Self.logits(graph, integers, .cpu(threads: 1), pictures: [picture])
    #expect(Self.distance(rounded, expected) < 0.05, "\(name) in float32")
  }

  @Test("The same bits for any number of threads and any place in a batch", arguments: models)
  func sameBits(_ name: String) throws {
    let graph = try Self.graph(name)
    let integers = try #require(try Self.networks.get()[name]).integers
    let pictures = (10..<12).map { Self.picture($0) }
    for set in InstructionSet.available {
      let alone = try pictures.map { picture in
        try Self.logits(
          graph, integers, Device(pool: ThreadPool(count: 1), instructionSet: set, precision: .int8),
          pictures: [picture]
        ).values
      }
      for threads in [1, 3] {
        let device = Device(pool: ThreadPool(count: threads), instructionSet: set, precision: .int8)
        let together = try Self.logits(graph, integers, device, pictures: pictures).values
        #expect(together == alone.flatMap { $0 }, "\(name) \(set), \(threads) threads")
      }
    }
  }

  @Test("A written file is read back with its scales and ranges, and float32 stays the default")
  func roundTrip() throws {
    let graph = try Self.graph()
    let integers = try Self.quantized(graph, pictures: 1, rule: .percentile).integers
    let path = folder.file("int8.safetensors")
    try QuantizedWeights.write(integers, metadata: ["model": "PPHGNetV2_B0"], to: path)
    let weights = try WeightsFile(contentsOf: path)
    #expect(weights.model == .b0)
    #expect(weights.parameters.ranges == integers.ranges)
    for name in integers.names {
      let (read, made) = (try #require(weights.parameters[name]), try #require(integers[name]))
      #expect(read.scales == made.scales && read.elementType == made.elementType, "\(name)")
      #expect(read.tensor().values == made.tensor().values, "\(name)")
    }
    func precision(_ precision: Precision?) throws -> Precision {
      try InferenceModel(
        graph: weights.graph, parameters: weights.parameters, device: .cpu(threads: 1, precision: precision)
      ).precision
    }
    #expect(try precision(.float32) == .float32)
    #expect(try precision(nil) == .int8)
    #expect(try precision(.int8) == .int8)
  }

  @Test("Weights in 8 bits are half a step from those in float")
  func halfAStep() throws {
    let (float, integers) = try #require(try Self.networks.get()["PPHGNetV2_B0"])
    for name in integers.names {
      guard let parameter = integers[name], let scales = parameter.scales, let exact = float[name] else { continue }
      let largest = scales.max() ?? 0
      let off = zip(parameter.tensor().values, exact.tensor().values).reduce(0) { max($0, abs($1.0 - $1.1)) }
      #expect(off <= largest * 0.501, "\(name)")
      #expect(parameter.elementType == .int8)
    }
    #expect(integers["fc.weight"]?.scales?.count == 10)
  }

  @Test("A percentile leaves out what is rare, the limits nothing")
  func histogram() {
    var histogram = ValueHistogram()
    var values = (0..<100_000).map { Float($0) / 100_000 }
    values[7] = 50
    values[9] = -3
    #expect(values.withUnsafeBufferPointer { histogram.add($0) })
    #expect(histogram.limits == -3...50)
    let inner = histogram.inner(leavingOut: 1e-4)
    #expect(inner.lowerBound > -0.05 && inner.lowerBound <= 0.001)
    #expect(inner.upperBound >= 0.999 && inner.upperBound < 1.05)
    var broken: [Float] = [1, .nan]
    #expect(!broken.withUnsafeMutableBufferPointer { histogram.add(UnsafeBufferPointer($0)) })
    #expect(histogram.limits == -3...50)
  }

  // MARK: - Bad input

  /// Writes a quantised file after a change of what it holds.
  private func file(_ change: (inout ParameterStore) throws -> Void, kind: String = "int8") throws -> String {
    let integers = try #require(try Self.networks.get()["PPHGNetV2_B0"]).integers
    let good = folder.file("good.safetensors")
    try QuantizedWeights.write(integers, metadata: [:], to: good)
    var (store, metadata) = try Safetensors.read(Blob(mapping: good))
    try change(&store)
    metadata["quantization"] = kind
    let path = folder.file("changed.safetensors")
    try Safetensors.write(store, metadata: metadata, keepingIntegers: true, to: path)
    return path
  }

  private static let weight = "stem.stem1.conv.weight"

  @Test(
    "Scales that are missing, too few or cannot be are named",
    arguments: [[0, 1], [-1, 1], [Float.nan, 1], [Float.infinity, 1], [Float.leastNonzeroMagnitude * 714, 1]])
  func scales(_ values: [Float]) throws {
    let name = "\(Self.weight).quantization_scale"
    let path = try file { store in
      var scales = try #require(store[name]).tensor().values
      scales[0] = values[0]
      store[name] = Parameter(Tensor(shape: [scales.count], values: scales))
    }
    let error = try #require(throws: HGNetError.self) { try WeightsFile(contentsOf: path) }
    #expect(error.code == .malformedData && error.context.key == Self.weight, "\(error)")
    #expect(error.message.contains("positive, finite"))
  }

  @Test("Missing scales and ranges, wrong shapes and other kinds are named")
  func damaged() throws {
    let scale = "\(Self.weight).quantization_scale"
    let range = "stem.stem1.conv.quantization_range"
    func error(_ change: @escaping (inout ParameterStore) -> Void, kind: String = "int8") throws -> HGNetError {
      let path = try file(change, kind: kind)
      return try #require(throws: HGNetError.self) { try WeightsFile(contentsOf: path) }
    }
    var found = try error { $0[scale] = nil }
    #expect(found.code == .malformedData && found.context.key == Self.weight, "\(found)")
    found = try error { $0[scale] = Parameter(Tensor(shape: [3], values: [1, 1, 1])) }
    #expect(found.code == .malformedData && found.message.contains("found 3"), "\(found)")
    found = try error { $0[Self.weight] = Parameter(Tensor(shape: [1], values: [1])) }
    #expect(found.code == .malformedData && found.context.key == scale, "\(found)")
    found = try error { $0[range] = nil }
    #expect(found.code == .parameterMismatch && found.context.key == range, "\(found)")
    found = try error { $0["other.quantization_range"] = $0[range] }
    #expect(found.code == .parameterMismatch && found.context.key == "other.quantization_range", "\(found)")
    for values: [Float] in [[1, 0], [.nan, 1], [0, .infinity], [0, 1, 2]] {
      found = try error { $0[range] = Parameter(Tensor(shape: [values.count], values: values)) }
      #expect(found.code == .malformedData && found.context.key == range, "\(found)")
    }
    found = try error({ _ in }, kind: "int4")
    #expect(found.code == .unsupported && found.message.contains("int4"), "\(found)")
  }

  @Test("int8 wants quantised weights and says how to make them; training wants them in float")
  func wrongWeights() throws {
    let graph = try Self.graph()
    let (float, integers) = try #require(try Self.networks.get()["PPHGNetV2_B0"])
    var error = try #require(throws: HGNetError.self) {
      try InferenceModel(graph: graph, parameters: float, device: .cpu(threads: 1, precision: .int8))
    }
    #expect(error.code == .parameterMismatch && error.message.contains("hgnet quantize"), "\(error)")
    error = try #require(throws: HGNetError.self) {
      try CPUEngine(pool: ThreadPool(count: 1)).trainingState(
        of: graph.parameters, parameters: integers, isFrozen: { _ in false })
    }
    #expect(error.code == .unsupported && error.message.contains("training"), "\(error)")
    error = try #require(throws: HGNetError.self) {
      try QuantizedWeights.quantizing(graph, integers, ranges: [:])
    }
    #expect(error.code == .parameterMismatch, "\(error)")
  }
}
