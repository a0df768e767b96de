import HGNet
import HGNetCore
import HGNetProgram

/// A network in quantisation-aware training: what is added to its parameters, and what they become.
///
/// Training sees weights and values rounded as the precision int8 rounds them; the ranges of values are learned with the
/// weights (PACT). Threads: a value, safe to share.
struct QuantizationAwareNetwork: Sendable {
  /// How many pictures ranges begin with.
  static let calibrationCount = 256

  private let graph: Graph
  /// The names of the ranges.
  private let quantization: ProgramQuantization
  /// All parameters: those of the graph, and the ranges.
  let declarations: [ParameterDeclaration]

  /// Adds ranges to a network.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for one with a decoder.
  init(_ graph: Graph) throws(HGNetError) {
    let program = try Program(graph, isTraining: true).quantizing()
    guard let quantization = program.quantization else {
      throw HGNetError(.internalInconsistency, "a program without ranges")
    }
    self.graph = graph
    self.quantization = quantization
    declarations = program.trainedParameters
  }

  /// Whether parameters have ranges that are trained.
  static func hasRanges(_ parameters: ParameterStore) -> Bool {
    parameters.names.contains { $0.hasSuffix(Program.rangeEnding) }
  }

  /// Parameters in float with the ranges that training begins with.
  ///
  /// They are those of the values that the network has with its running statistics, without one in ten thousand at
  /// either end, on the first pictures of the first epoch, which are the same in every rank.
  ///
  /// - Throws: what reading pictures and running the network throw.
  func calibrated(
    _ parameters: ParameterStore, on data: TrainingData, device: Device
  ) throws(HGNetError) -> (parameters: ParameterStore, pictures: Int) {
    var data = data
    (data.rank, data.rankCount) = (0, 1)
    var calibration = try Calibration(graph: graph, parameters: parameters, device: device)
    var count = 0
    let loader = try data.loader(epoch: 0)
    while count < Self.calibrationCount, let batch = try loader.next() {
      guard batch.count > 0 else { continue }
      let inputs = try batch.inputs(pool: device.pool)
      let size = Size(height: inputs.shape[1], width: inputs.shape[2])
      let length = inputs.count / batch.count
      for number in 0..<min(batch.count, Self.calibrationCount - count) {
        try calibration.add(size) { target in
          inputs.withUnsafeBufferPointer { source in
            _ = target.update(fromContentsOf: source[(number * length)..<((number + 1) * length)])
          }
        }
        count += 1
      }
    }
    guard count > 0 else {
      throw HGNetError(
        .noInput, "expected pictures that ranges begin with, found none that can be read", path: data.dataset.source)
    }
    // Results that share a range have what all of them need; 0 belongs to each, since windows read it around a picture.
    var ranges: [String: ClosedRange<Float>] = [:]
    for (layer, range) in calibration.ranges(.percentile) {
      guard let name = quantization.names[layer] else { continue }
      let other = ranges[name] ?? 0...0
      ranges[name] = min(range.lowerBound, other.lowerBound, 0)...max(range.upperBound, other.upperBound, 0)
    }
    var result = parameters
    for declaration in quantization.declarations {
      let range = ranges[declaration.name] ?? 0...0
      result[declaration.name] = Parameter(Tensor(shape: [2], values: [range.lowerBound, range.upperBound]))
    }
    return (result, count)
  }

  /// What parameters of training are at the precision int8.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` naming what is missing or no finite number.
  func quantized(_ parameters: ParameterStore) throws(HGNetError) -> ParameterStore {
    try LearnedRanges(parameters).quantizing(graph, parameters)
  }
}
