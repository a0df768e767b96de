import HGNetCore
import HGNetProgram
import HGNetVision

/// Makes weights in 8 bits of weights in float and says what that costs.
///
/// In this order: channels are equalised, ranges are read from all pictures, weights are rounded, the mean of the rounding
/// is taken out, and the network in 8 bits is compared with the one in float32. Threads: one task at a time.
package struct Quantizer {
  /// What is done.
  package struct Options: Sendable {
    /// How ranges are chosen.
    package var rule: RangeRule
    /// Whether channels before depthwise convolutions are made equally large.
    package var equalizes: Bool
    /// Whether the mean of the rounding is taken out.
    package var correctsBias: Bool
    /// The points of top-1 that may be lost: of accuracy where pictures have labels, else of agreement with float32; nil
    /// for any.
    package var tolerance: Double?

    /// Collects the options.
    package init(
      rule: RangeRule = .mse, equalizes: Bool = true, correctsBias: Bool = true, tolerance: Double? = nil
    ) {
      self.rule = rule
      self.equalizes = equalizes
      self.correctsBias = correctsBias
      self.tolerance = tolerance
    }
  }

  /// The pictures.
  package struct Pictures {
    /// How many there are.
    package var count: Int
    /// The class of each, nil without labels.
    package var labels: [Int]?
    /// Prepares one; each is asked for several times.
    package var picture: (Int) throws(HGNetError) -> PreparedPicture

    /// Collects what is needed.
    package init(count: Int, labels: [Int]?, picture: @escaping (Int) throws(HGNetError) -> PreparedPicture) {
      self.count = count
      self.labels = labels
      self.picture = picture
    }

    /// Some of them, evenly spread.
    func part(_ most: Int) -> [Int] { (0..<min(most, count)).map { $0 * count / min(most, count) } }
  }

  /// What is being done.
  package enum Stage: String, Sendable {
    case channels = "sizes of channels"
    case ranges = "ranges"
    case rounding = "means of rounding"
    case classes = "classes in int8"
    case sensitivity = "layers that the classes depend on"
    case errors = "errors of layers"
  }

  /// The pictures for what needs few.
  private static let few = 64
  /// At most this share of the layers is left in float32 for a tolerance.
  private static let mostFloat = 0.5

  let graph: Graph
  let program: Program
  let device: Device
  let options: Options
  let progress: (_ stage: Stage, _ done: Int, _ count: Int) -> Void

  /// - Parameters:
  ///   - graph: the network.
  ///   - device: what it runs on.
  ///   - options: what is done.
  ///   - progress: told of each step.
  /// - Throws: `HGNetError.Code.unsupported` for a network that no program can be made of.
  package init(
    graph: Graph, device: Device, options: Options,
    progress: @escaping (_ stage: Stage, _ done: Int, _ count: Int) -> Void = { _, _, _ in }
  ) throws(HGNetError) {
    self.graph = graph
    program = try Program(graph)
    self.device = device
    self.options = options
    self.progress = progress
  }

  /// Quantises a network.
  ///
  /// - Parameters:
  ///   - parameters: in float.
  ///   - pictures: at least one.
  /// - Returns: the weights, and what they cost on these pictures.
  /// - Throws: `HGNetError.Code.noInput` without pictures, `parameterMismatch` for parameters that are missing or no finite
  ///   numbers, `limitExceeded` without memory, what preparing a picture throws.
  package func quantize(
    _ parameters: ParameterStore, pictures: Pictures
  ) throws(HGNetError) -> (parameters: ParameterStore, report: QuantizationReport) {
    guard pictures.count > 0 else { throw HGNetError(.noInput, "expected pictures to read ranges from, found none") }
    try QuantizedWeights.checkFinite(parameters)
    let equal = try equalized(parameters, pictures)
    let calibrated = try calibrated(equal, pictures)
    let ranges = calibrated.calibration.ranges(options.rule)
    let exact = try QuantizedWeights.quantizing(graph, equal, ranges: ranges)
    let store = try corrected(exact, of: equal, ranges: ranges, pictures)

    let comparison = QuantizedComparison(
      quantizer: self, exact: equal, quantized: store, pictures: pictures, classes: calibrated.classes)
    var outcome = try comparison.outcome(keeping: [])
    var isMet = true
    if let tolerance = options.tolerance, outcome.lost > tolerance {
      (outcome, isMet) = try comparison.search(
        from: outcome, tolerance: tolerance, most: Int(Double(comparison.candidates.count) * Quantizer.mostFloat))
    }
    let floatLayers = outcome.floatLayers
    let result = comparison.parameters(keeping: floatLayers)
    var report = QuantizationReport(rule: options.rule, pictures: pictures.count)
    report.layers = try comparison.errors(of: result)
    report.floatLayers = program.layers.map(\.name).filter { floatLayers.contains($0) }
    report.weightLayers = comparison.candidates.count
    report.agreement = outcome.agreement
    if let labels = pictures.labels {
      report.floatAccuracy = QuantizedComparison.share(calibrated.classes, labels)
      report.accuracy = outcome.accuracy
    }
    report.tolerance = options.tolerance
    report.isToleranceMet = isMet
    report.notes = notes(of: store, calibrated)
    return (result, report)
  }

  // MARK: - Steps

  /// What runs in float32 on all pictures gave.
  private struct Calibrated {
    var calibration: Calibration
    /// The class of each picture.
    var classes: [Int]
    /// How many pictures have one colour.
    var plainCount: Int
  }

  private func equalized(_ parameters: ParameterStore, _ pictures: Pictures) throws(HGNetError) -> ParameterStore {
    let equalization = Equalization(program)
    guard options.equalizes, !equalization.pairs.isEmpty else { return parameters }
    var calibration = try Calibration(graph: graph, parameters: parameters, device: device)
    let part = pictures.part(Quantizer.few)
    for (done, index) in part.enumerated() {
      progress(.channels, done, part.count)
      try calibration.add(pictures.picture(index))
    }
    return try equalization.applied(to: parameters) { calibration.channelLimits(ofResult: $0) }
  }

  private func calibrated(
    _ parameters: ParameterStore, _ pictures: Pictures
  ) throws(HGNetError) -> Calibrated {
    var calibration = try Calibration(graph: graph, parameters: parameters, device: device)
    var (classes, plain) = ([Int](), 0)
    for index in 0..<pictures.count {
      progress(.ranges, index, pictures.count)
      try calibration.add(pictures.picture(index))
      classes.append(QuantizedComparison.best(try calibration.logits()))
      if calibration.hasPlainPicture { plain += 1 }
    }
    guard plain < pictures.count else {
      throw HGNetError(
        .malformedData,
        "expected pictures like those that the network will see, found \(plain) of one colour each, which say nothing of "
          + "the ranges of results")
    }
    return Calibrated(calibration: calibration, classes: classes, plainCount: plain)
  }

  private func corrected(
    _ quantized: ParameterStore, of parameters: ParameterStore, ranges: [String: ClosedRange<Float>],
    _ pictures: Pictures
  ) throws(HGNetError) -> ParameterStore {
    guard options.correctsBias else { return quantized }
    let run = try ObservedRun(program, parameters: parameters, device: device, precision: .float32)
    var correction = BiasCorrection(program, ranges: ranges)
    let part = pictures.part(Quantizer.few)
    for (done, index) in part.enumerated() {
      progress(.rounding, done, part.count)
      try run.execute(pictures.picture(index))
      correction.add(run.results, pool: device.pool)
    }
    return try correction.applied(to: quantized, of: parameters, shapes: run.shapes)
  }

  /// What somebody may want to know about weights and results that are 0.
  private func notes(of store: ParameterStore, _ calibrated: Calibrated) -> [String] {
    var notes: [String] = []
    if calibrated.plainCount > 0 {
      notes.append("\(calibrated.plainCount) of \(calibrated.classes.count) pictures have one colour each")
    }
    let silent = calibrated.calibration.silentLayers
    if let first = silent.first {
      notes.append(
        "\(silent.count) layer\(silent.count == 1 ? "" : "s") gave 0 on every picture, first \(first); are the pictures "
          + "like those that the network will see?")
    }
    var (channels, names) = (0, [String]())
    for layer in program.layers {
      guard let name = layer.quantizedWeight, let weights = store[name], let scales = weights.scales else { continue }
      let run = weights.shape.rank == 2 ? 1 : weights.shape.count / max(scales.count, 1)
      var isZero = [Bool](repeating: true, count: scales.count)
      weights.withUnsafeBytes { bytes in
        for (index, byte) in bytes.enumerated() where byte != 0 { isZero[index / run % scales.count] = false }
      }
      let zeros = isZero.count { $0 }
      guard zeros > 0 else { continue }
      channels += zeros
      names.append(layer.name)
    }
    if let first = names.first {
      notes.append(
        "the weights of \(channels) channel\(channels == 1 ? " are" : "s are") 0, in \(names.count) "
          + "layer\(names.count == 1 ? "" : "s"), first \(first); they stay 0")
    }
    return notes
  }
}

extension ObservedRun {
  /// Runs a picture.
  ///
  /// - Throws: as the other form.
  func execute(_ picture: PreparedPicture) throws(HGNetError) {
    try execute(Size(height: picture.shape[0], width: picture.shape[1])) { picture.write(into: $0) }
  }
}
