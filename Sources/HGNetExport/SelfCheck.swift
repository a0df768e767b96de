import HGNet
import HGNetCore
import HGNetFormats

/// Runs a network on a picture before and after an export.
struct SelfCheck {
  /// How far outputs may be apart: for probabilities as they are, for logits as a part of the largest.
  ///
  /// Folded normalisations round other numbers, which networks with large logits amplify to more than 1e-5.
  static let bound = 1e-4
  /// How far logits in int8 may be apart, as a part of the largest.
  ///
  /// Weights, scales and biases are the same numbers before
  /// and after; normalisations that stand alone are folded elsewhere.
  static let integerBound = 1e-2

  private let picture: Tensor
  private let expected: [Double]
  /// The logits in int8 of quantised weights; empty for others.
  private let expectedIntegers: [Double]
  private let precision: ExportPrecision
  private let activation: Activation
  /// The outputs that are compared: the logits, or the stages of a backbone.
  private let outputs: [Graph.Output.Role]

  /// Runs the network that is to be exported.
  ///
  /// - Parameters:
  ///   - network: the network.
  ///   - precision: of what is written.
  ///   - isHeadless: whether a backbone is all that will be written, whose stages are compared.
  /// - Throws: `HGNetError.Code.malformedData` when its results are not finite, `parameterMismatch`, `limitExceeded`.
  init(
    _ network: ExportedNetwork, precision: ExportPrecision = .float32, isHeadless: Bool = false
  ) throws(HGNetError) {
    self.precision = precision
    let size = network.graph.inputSize
    // The picture, the numbers that it is made of, and what the network makes of it.
    var need = MemoryNeed("checking the exported network on a picture of \(size)")
    need.add("the picture", bytes: 3 * 12, size.height, size.width)
    need.add("its largest result", bytes: 4, network.graph.nodes.map(\.shape.count).max() ?? 0)
    try need.check(advice: MemoryNeed.fittingPictures(1, of: size))
    picture = try SelfCheck.picture(size)
    activation = isHeadless ? .none : network.activation
    if isHeadless {
      // A head that is left out takes its embedding with it.
      outputs = network.graph.stages.map(\.role) + (network.classCount == 0 ? [.embedding] : [])
    } else {
      outputs = [.logits]
    }
    guard !outputs.isEmpty else { throw HGNetError(.unsupported, "expected a network with stages to compare") }
    expected = try SelfCheck.scores(
      graph: network.graph.selecting(outputs: outputs), parameters: network.parameters, activation: activation,
      picture: picture)
    var integers: [Double] = []
    if precision == .int8 {
      integers = try SelfCheck.scores(
        graph: network.graph.selecting(outputs: outputs), parameters: network.parameters, activation: .none,
        picture: picture, precision: .int8)
    }
    expectedIntegers = integers
  }

  /// Runs what was read back; gives the largest difference.
  ///
  /// - Throws: `HGNetError.Code.internalInconsistency` when it is beyond the bound, or the head is another.
  func difference(
    graph: Graph, parameters: any ParameterSource, activation found: Activation?
  ) throws(HGNetError) -> Double {
    guard (found ?? activation) == activation else {
      throw HGNetError(
        .internalInconsistency,
        "the exported model does not agree: expected the head \(activation.rawValue), found \(found?.rawValue ?? "none")"
      )
    }
    let scores = try SelfCheck.scores(
      graph: graph.selecting(outputs: outputs), parameters: parameters, activation: activation, picture: picture)
    guard scores.count == expected.count else {
      throw HGNetError(
        .internalInconsistency,
        "the exported model does not agree: expected \(expected.count) results, found \(scores.count)")
    }
    let difference = zip(scores, expected).map { abs($0 - $1) }.max() ?? 0
    let scale = activation == .none ? SelfCheck.largest(expected) : 1
    guard difference <= precision.bound * scale else {
      throw HGNetError(
        .internalInconsistency,
        "the exported model does not agree: its outputs differ by up to \(difference); nothing was kept")
    }
    try checkIntegers(graph: graph, parameters: parameters)
    return difference
  }

  /// Compares what the engine makes of quantised weights in int8 before and after.
  private func checkIntegers(graph: Graph, parameters: any ParameterSource) throws(HGNetError) {
    guard precision == .int8 else { return }
    guard !parameters.ranges.isEmpty else {
      throw HGNetError(.internalInconsistency, "the exported model does not agree: it has lost its ranges")
    }
    let found = try SelfCheck.scores(
      graph: graph.selecting(outputs: outputs), parameters: parameters, activation: .none, picture: picture,
      precision: .int8)
    let difference = zip(found, expectedIntegers).map { abs($0 - $1) }.max() ?? 0
    guard found.count == expectedIntegers.count,
      difference <= SelfCheck.integerBound * SelfCheck.largest(expectedIntegers)
    else {
      throw HGNetError(
        .internalInconsistency,
        "the exported model does not agree: in int8 its logits differ by up to \(difference); nothing was kept")
    }
  }

  private static func largest(_ values: [Double]) -> Double { values.map { abs($0) }.max() ?? 0 }

  private static func scores(
    graph: Graph, parameters: any ParameterSource, activation: Activation, picture: Tensor,
    precision: Precision = .float32
  ) throws(HGNetError) -> [Double] {
    let size = Size(height: picture.shape[1], width: picture.shape[2])
    let model = try InferenceModel(graph: graph, parameters: parameters, device: .cpu(precision: precision))
    var session = try model.session(batch: 1, inputSize: size)
    let logits = try session.run(picture).flatMap(\.values)
    guard logits.allSatisfy(\.isFinite) else {
      throw HGNetError(
        .malformedData,
        "the network's results are not finite numbers; the weights are damaged or do not belong to this network")
    }
    return activation.scores(of: logits)
  }

  /// A normalised picture with structure at several scales, the same every time.
  private static func picture(_ size: Size) throws(HGNetError) -> Tensor {
    var random = RandomGenerator(seed: 1, stream: "self-check")
    var cells: [Int: [Float]] = [:]
    let scales = [64, 16, 4, 1]
    for scale in scales {
      let count = ((size.height + scale - 1) / scale) * ((size.width + scale - 1) / scale) * 3
      cells[scale] = (0..<count).map { _ in random.uniform(from: -1, to: 1) }
    }
    return try Tensor(allocating: [1, size.height, size.width, 3], for: "a picture of \(size)") { target in
      for row in 0..<size.height {
        for column in 0..<size.width {
          for channel in 0..<3 {
            var value: Float = 0
            for scale in scales {
              let columns = (size.width + scale - 1) / scale
              value += cells[scale]?[((row / scale) * columns + column / scale) * 3 + channel] ?? 0
            }
            target[(row * size.width + column) * 3 + channel] = value
          }
        }
      }
    }
  }
}
