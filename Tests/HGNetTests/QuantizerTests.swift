import HGNet
import HGNetCPU
import HGNetCore
import HGNetModels
import HGNetProgram
import HGNetVision
import TemporaryFolders
import Testing

@Suite("Quantising and what it costs")
struct QuantizerTests {
  let folder = TemporaryFolder()

  private static func graph(_ name: String = "PPHGNetV2_B0") throws -> Graph {
    try Model.named(name).graph(options: ModelOptions(classCount: 10, classExpand: 32)).resized(to: Size(64))
  }

  /// Smooth noise: what a network sees has neighbours that are alike.
  private static func picture(_ seed: Int) -> PreparedPicture {
    var generator = RandomGenerator(seed: UInt64(seed), stream: "picture")
    let coarse = (0..<8 * 8 * 3).map { _ in Float(generator.uniform()) * 4 - 2 }
    return .numbers(
      Tensor(shape: [64, 64, 3]) { values in
        for index in values.indices {
          let (pixel, channel) = (index / 3, index % 3)
          values[index] = coarse[(pixel / 64 / 8 * 8 + pixel % 64 / 8) * 3 + channel]
        }
      })
  }

  private static func pictures(_ count: Int, labels: [Int]? = nil) -> Quantizer.Pictures {
    Quantizer.Pictures(count: count, labels: labels) { picture($0) }
  }

  private static func quantized(
    _ graph: Graph, _ parameters: ParameterStore, _ pictures: Quantizer.Pictures,
    _ options: Quantizer.Options = Quantizer.Options()
  ) throws -> (parameters: ParameterStore, report: QuantizationReport) {
    try Quantizer(graph: graph, device: .cpu(threads: 2), options: options).quantize(parameters, pictures: pictures)
  }

  private static func logits(
    _ graph: Graph, _ parameters: ParameterStore, _ precision: Precision, _ seed: Int = 0
  ) throws -> [Float] {
    let model = try InferenceModel(
      graph: graph, parameters: parameters, device: .cpu(threads: 2, precision: precision))
    var session = try model.session(batch: 1, inputSize: Size(64))
    return try session.run(picture(seed).tensor().reshaped([1, 64, 64, 3]))[0].values
  }

  private static func distance(_ one: [Float], _ two: [Float]) -> Float {
    zip(one, two).reduce(0) { max($0, abs($1.0 - $1.1)) } / two.reduce(0) { max($0, abs($1)) }
  }

  // MARK: - Ranges

  @Test("The range of least squares is off by less than the limits and percentiles are, by rounding every value")
  func leastSquares() throws {
    var random = RandomGenerator(seed: 3)
    var values = (0..<50_000).map { _ in max(random.normal(), 0) }
    values += [40, 25, -0.5]
    var histogram = ValueHistogram()
    #expect(values.withUnsafeBufferPointer { histogram.add($0) })
    func loss(_ range: ClosedRange<Float>) -> Double {
      let step = Double(range.upperBound - min(range.lowerBound, 0)) / 255
      let zero = (-Double(min(range.lowerBound, 0)) / step).rounded()
      return values.reduce(0) { sum, value in
        let byte = min(max((Double(value) / step).rounded() + zero, 0), 255)
        let error = (byte - zero) * step - Double(value)
        return sum + error * error
      }
    }
    let found = histogram.leastSquares()
    #expect(loss(found) <= loss(histogram.limits))
    #expect(loss(found) <= loss(histogram.inner(leavingOut: 1e-4)))
    // No other of the places that are tried is better by more than what counting in steps loses.
    for part in 1...128 {
      #expect(loss(found) <= loss(found.lowerBound...Float(40) * Float(part) / 128) * 1.02)
    }
  }

  @Test("Results that lie side by side have one range with least squares")
  func concatenated() throws {
    let graph = try Self.graph()
    let parameters = try Model.initialParameters(for: graph, seed: 5)
    var calibration = try Calibration(graph: graph, parameters: parameters, device: .cpu(threads: 2))
    try calibration.add(Self.picture(0))
    let ranges = calibration.ranges(.mse)
    let program = try Program(graph)
    let names = Dictionary(program.observed.map { ($0.result, $0.layer) }) { first, _ in first }
    for layer in program.layers where layer.kind == .concatenate {
      #expect(Set(layer.inputs.compactMap { names[$0] }.compactMap { ranges[$0] }).count == 1, "\(layer.name)")
    }
  }

  // MARK: - Steps

  @Test(
    "Equalised channels are equally large and change nothing in float", arguments: ["PPHGNetV2_B0", "PPHGNetV2_B4"])
  func equalization(_ name: String) throws {
    let graph = try Self.graph(name)
    let parameters = Model.randomParameters(for: graph, seed: 5)
    let equalization = Equalization(try Program(graph))
    #expect(!equalization.pairs.isEmpty)
    var before = try Calibration(graph: graph, parameters: parameters, device: .cpu(threads: 2))
    try before.add(Self.picture(0))
    let equal = try equalization.applied(to: parameters) { before.channelLimits(ofResult: $0) }
    var after = try Calibration(graph: graph, parameters: equal, device: .cpu(threads: 2))
    try after.add(Self.picture(0))
    for pair in equalization.pairs {
      let limits = try #require(after.channelLimits(ofResult: pair.result)).filter { $0 > 0 }
      #expect((limits.min() ?? 0) > (limits.max() ?? 0) * 0.98)
    }
    let (one, two) = (try Self.logits(graph, parameters, .float32), try Self.logits(graph, equal, .float32))
    #expect(Self.distance(two, one) < 1e-4)
  }

  @Test("Bias correction brings the means of the logits nearer to those in float32")
  func biasCorrection() throws {
    let graph = try Self.graph()
    let parameters = Model.randomParameters(for: graph, seed: 5)
    let exact = try (0..<6).map { try Self.logits(graph, parameters, .float32, $0) }
    func drift(_ corrects: Bool) throws -> Double {
      let options = Quantizer.Options(equalizes: false, correctsBias: corrects)
      let store = try Self.quantized(graph, parameters, Self.pictures(6), options).parameters
      var sums = [Double](repeating: 0, count: 10)
      for (index, exact) in exact.enumerated() {
        for (place, value) in try Self.logits(graph, store, .int8, index).enumerated() {
          sums[place] += Double(value - exact[place])
        }
      }
      return sums.reduce(0) { $0 + $1 * $1 }
    }
    #expect(try drift(true) < drift(false))
  }

  // MARK: - Layers in float32

  @Test("Layers whose weights are left in float are computed in float32; with all of them nothing is lost")
  func floatLayers() throws {
    let graph = try Self.graph()
    let parameters = try Model.initialParameters(for: graph, seed: 5)
    var calibration = try Calibration(graph: graph, parameters: parameters, device: .cpu(threads: 2))
    try calibration.add(Self.picture(0))
    let ranges = calibration.ranges(.minmax)
    let program = try Program(graph)
    let names = program.layers.filter { $0.quantizedWeight != nil }.map(\.name)
    func store(_ kept: Set<String>) throws -> ParameterStore {
      try QuantizedWeights.quantizing(graph, parameters, ranges: ranges, floatLayers: kept)
    }
    let exact = try Self.logits(graph, parameters, .float32)
    // Pools in bytes and the last means are all that rounds.
    #expect(Self.distance(try Self.logits(graph, store(Set(names)), .int8), exact) < 0.02)
    for kept in [Set([names[0]]), Set([names[names.count / 2], names[names.count - 1]]), Set(names.prefix(5))] {
      let path = folder.file("kept.safetensors")
      try QuantizedWeights.write(store(kept), metadata: [:], to: path)
      let weights = try WeightsFile(contentsOf: path)
      let model = try InferenceModel(
        graph: graph, parameters: weights.parameters, device: .cpu(threads: 1, precision: .int8))
      let session = try model.session(batch: 1, inputSize: Size(64))
      for layer in session.layerDescriptions where names.contains(layer.name) {
        #expect(layer.algorithm.hasPrefix("int8") == !kept.contains(layer.name), "\(layer.name): \(layer.algorithm)")
      }
      #expect(Self.distance(try Self.logits(graph, weights.parameters, .int8), exact) < 0.1)
    }
  }

  @Test("A layer whose result has no range writes float32, and so does what cannot be in bytes without one")
  func missingRanges() throws {
    let graph = try Self.graph()
    let parameters = try Model.initialParameters(for: graph, seed: 5)
    let store = try Self.quantized(graph, parameters, Self.pictures(2)).parameters
    let exact = try Self.logits(graph, parameters, .float32)
    for name in store.ranges.keys.sorted().enumerated().filter({ $0.offset % 5 == 0 }).map(\.element) {
      var changed = store
      changed.ranges[name] = nil
      #expect(Self.distance(try Self.logits(graph, changed, .int8), exact) < 0.1, "\(name)")
    }
  }

  @Test("A tolerance leaves layers in float32 until no more is lost, at most half of them, and says so")
  func tolerance() throws {
    let graph = try Self.graph()
    let parameters = Model.randomParameters(for: graph, seed: 5)
    let free = try Self.quantized(graph, parameters, Self.pictures(16), Quantizer.Options(rule: .minmax))
    #expect(free.report.floatLayers.isEmpty && free.report.toleranceLine == nil)
    let none = Quantizer.Options(rule: .minmax, tolerance: 0)
    let strict = try Self.quantized(graph, parameters, Self.pictures(16), none)
    let report = strict.report
    #expect(report.isToleranceMet == (report.lost <= 0))
    #expect(report.floatLayers.count <= report.weightLayers / 2)
    #expect(report.lost <= free.report.lost)
    let line = try #require(report.toleranceLine)
    for name in report.floatLayers { #expect(line.contains(name)) }
    for layer in try Program(graph).layers {
      guard let weight = layer.quantizedWeight else { continue }
      #expect((strict.parameters[weight]?.scales == nil) == report.floatLayers.contains(layer.name), "\(layer.name)")
    }
    #expect(Set(report.layers.filter(\.isFloat).map(\.name)) == Set(report.floatLayers))
    // Labels that are the classes in float32 make accuracy of agreement.
    let classes = try (0..<16).map { seed in
      let logits = try Self.logits(graph, parameters, .float32, seed)
      return try #require(logits.firstIndex(of: logits.max() ?? 0))
    }
    let labelled = try Self.quantized(
      graph, parameters, Self.pictures(16, labels: classes), Quantizer.Options(rule: .minmax))
    #expect(labelled.report.floatAccuracy == 1 && labelled.report.accuracy == free.report.agreement)
  }

  @Test("A tolerance that cannot be met says what is reached and which layers are in float32")
  func unmetTolerance() throws {
    var report = QuantizationReport(rule: .mse, pictures: 10)
    (report.agreement, report.tolerance, report.isToleranceMet) = (0.9, 1, false)
    report.floatLayers = ["stem.stem1.conv", "fc"]
    var line = try #require(report.toleranceLine)
    #expect(line.contains("at most 1.00 points") && line.contains("10.00 points of top-1 agreement"), "\(line)")
    #expect(line.contains("stem.stem1.conv, fc"), "\(line)")
    (report.accuracy, report.floatAccuracy) = (0.7, 0.75)
    line = try #require(report.toleranceLine)
    #expect(line.contains("5.00 points of top-1 accuracy"), "\(line)")
  }

  // MARK: - Bad input

  @Test("Weights that are not finite, no pictures and pictures of one colour are named")
  func refused() throws {
    let graph = try Self.graph()
    let parameters = try Model.initialParameters(for: graph, seed: 5)
    let name = "stem.stem1.conv.weight"
    for wrong in [Float.nan, .infinity] {
      var broken = parameters
      let good = try #require(parameters[name]).tensor()
      broken[name] = Parameter(Tensor(shape: good.shape, values: [wrong] + good.values.dropFirst()))
      let error = try #require(throws: HGNetError.self) { try Self.quantized(graph, broken, Self.pictures(1)) }
      #expect(error.code == .parameterMismatch && error.context.key == name, "\(error)")
    }
    var error = try #require(throws: HGNetError.self) { try Self.quantized(graph, parameters, Self.pictures(0)) }
    #expect(error.code == .noInput, "\(error)")
    let plain = PreparedPicture.numbers(Tensor(shape: [64, 64, 3]) { $0.update(repeating: 0.5) })
    error = try #require(throws: HGNetError.self) {
      try Self.quantized(graph, parameters, Quantizer.Pictures(count: 2, labels: nil) { _ in plain })
    }
    #expect(error.code == .malformedData && error.message.contains("one colour"), "\(error)")
    let one = try Self.quantized(
      graph, parameters, Quantizer.Pictures(count: 2, labels: nil) { $0 == 0 ? plain : Self.picture(1) })
    #expect(one.report.notes.contains { $0.contains("1 of 2 pictures have one colour") }, "\(one.report.notes)")
  }

  @Test("Channels of zeros and layers that give 0 stay what they are and are told")
  func zeros() throws {
    let graph = try Self.graph()
    var parameters = try Model.initialParameters(for: graph, seed: 5)
    let name = "stem.stem1.conv.weight"
    var values = try #require(parameters[name]).tensor()
    let run = values.count / values.shape[0]
    values = Tensor(shape: values.shape, values: [Float](repeating: 0, count: run) + values.values.dropFirst(run))
    parameters[name] = Parameter(values)
    // A layer whose normalisation leaves nothing.
    let silent = "stages.0.blocks.0.layers.0"
    for ending in ["bn.weight", "bn.bias"] {
      let count = try #require(parameters["\(silent).\(ending)"]).shape[0]
      parameters["\(silent).\(ending)"] = Parameter(Tensor(shape: [count]) { $0.update(repeating: 0) })
    }
    let found = try Self.quantized(graph, parameters, Self.pictures(2))
    #expect(found.report.notes.contains { $0.contains("gave 0 on every picture") }, "\(found.report.notes)")
    #expect(found.report.notes.contains { $0.contains("1 channel are 0, in 1 layer") }, "\(found.report.notes)")
    #expect(try Self.logits(graph, found.parameters, .int8).allSatisfy(\.isFinite))
  }
}
