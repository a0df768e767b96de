import HGNetCore
import HGNetProgram
import HGNetVision

/// Compares a network in 8 bits with the one in float32, layers of it left in float32 or not.
struct QuantizedComparison {
  /// What a choice of layers in float32 comes to.
  struct Outcome {
    /// The names of the layers.
    var floatLayers: Set<String>
    /// The share of pictures with the same class as in float32.
    var agreement: Double
    /// The share of pictures with the right class; nil without labels.
    var accuracy: Double?
    /// The points of top-1 that are lost: of accuracy where there are labels, else of agreement.
    var lost: Double
  }

  let quantizer: Quantizer
  /// In float, equalised.
  let exact: ParameterStore
  /// All in 8 bits.
  let quantized: ParameterStore
  let pictures: Quantizer.Pictures
  /// The class of each picture in float32.
  let classes: [Int]

  /// The pictures that layers are judged on.
  private static let fewest = 24

  private var program: Program { quantizer.program }

  /// The layers whose weights are in 8 bits.
  var candidates: [Layer] { program.layers.filter { $0.quantizedWeight != nil } }

  /// The number of the largest value, the first of several.
  static func best(_ values: [Float]) -> Int {
    values.indices.reduce(0) { values[$1] > values[$0] ? $1 : $0 }
  }

  /// The share of places with the same number.
  static func share(_ one: [Int], _ two: [Int]) -> Double {
    Double(zip(one, two).count { $0 == $1 }) / Double(max(min(one.count, two.count), 1))
  }

  /// The parameters with some layers as they were in float.
  func parameters(keeping names: Set<String>) -> ParameterStore {
    guard !names.isEmpty else { return quantized }
    var store = quantized
    for layer in candidates where names.contains(layer.name) {
      for (name, _) in layer.parameterShapes { store[name] = exact[name] }
    }
    return store
  }

  private func logits(
    _ parameters: ParameterStore, precision: Precision, _ indices: [Int], _ body: (Int, [Float]) -> Void
  ) throws(HGNetError) {
    let device = quantizer.device
    let compiled = try device.engine.compile(program, parameters: parameters, precision: precision)
    var kept: (any EngineSession)?
    for index in indices {
      let picture = try pictures.picture(index)
      let size = Size(height: picture.shape[0], width: picture.shape[1])
      let session: any EngineSession
      if let kept, kept.program.inputSize == size {
        session = kept
      } else {
        kept = nil
        session = try compiled.session(RunExtent(batch: 1, inputSize: size))
        kept = session
      }
      session.withInput { picture.write(into: $0) }
      try session.execute()
      let shape = session.outputShapes.first ?? [1]
      let values = try Tensor(allocating: shape, for: "the logits") { (target) throws(HGNetError) in
        try session.read(0, into: target)
      }
      body(index, values.values)
    }
  }

  /// Classifies all pictures.
  ///
  /// - Throws: what preparing a picture throws, `limitExceeded` without memory.
  func outcome(keeping names: Set<String>) throws(HGNetError) -> Outcome {
    var found: [Int] = []
    try logits(parameters(keeping: names), precision: .int8, Array(0..<pictures.count)) { index, values in
      quantizer.progress(.classes, index, pictures.count)
      found.append(QuantizedComparison.best(values))
    }
    let agreement = QuantizedComparison.share(found, classes)
    guard let labels = pictures.labels else {
      return Outcome(floatLayers: names, agreement: agreement, accuracy: nil, lost: 100 * (1 - agreement))
    }
    let accuracy = QuantizedComparison.share(found, labels)
    let lost = 100 * (QuantizedComparison.share(classes, labels) - accuracy)
    return Outcome(floatLayers: names, agreement: agreement, accuracy: accuracy, lost: lost)
  }

  /// The names of the layers, those first without whose rounding the logits are nearest to those in float32.
  private func ranking() throws(HGNetError) -> [String] {
    let part = pictures.part(QuantizedComparison.fewest)
    var expected: [Int: [Float]] = [:]
    try logits(exact, precision: .float32, part) { expected[$0] = $1 }
    var errors: [(name: String, error: Double)] = []
    for (done, layer) in candidates.enumerated() {
      quantizer.progress(.sensitivity, done, candidates.count)
      var error = 0.0
      try logits(parameters(keeping: [layer.name]), precision: .int8, part) { index, values in
        error += zip(values, expected[index] ?? []).reduce(0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
      }
      errors.append((layer.name, error))
    }
    return errors.enumerated().sorted { ($0.element.error, $0.offset) < ($1.element.error, $1.offset) }
      .map(\.element.name)
  }

  /// Leaves the fewest layers in float32 that are enough, in the order of how much each of them helps.
  ///
  /// - Parameters:
  ///   - all: what all in 8 bits comes to.
  ///   - tolerance: the points that may be lost.
  ///   - most: how many layers may stay in float32.
  /// - Returns: the choice, and whether it is enough; that with the most layers where it is not.
  /// - Throws: as `outcome(keeping:)`.
  func search(from all: Outcome, tolerance: Double, most: Int) throws(HGNetError) -> (Outcome, Bool) {
    let order = try ranking()
    var (enough, tooFew, count, last) = (Outcome?.none, 0, 1, all)
    while enough == nil, tooFew < most {
      count = min(count, most)
      let found = try outcome(keeping: Set(order.prefix(count)))
      last = found
      if found.lost <= tolerance {
        enough = found
      } else {
        tooFew = count
        count *= 2
      }
    }
    guard var best = enough else { return (last, false) }
    while best.floatLayers.count - tooFew > 1 {
      let middle = (best.floatLayers.count + tooFew) / 2
      let found = try outcome(keeping: Set(order.prefix(middle)))
      if found.lost <= tolerance { best = found } else { tooFew = middle }
    }
    return (best, true)
  }

  /// How far each result is from that in float32.
  ///
  /// - Throws: as `outcome(keeping:)`.
  func errors(of parameters: ParameterStore) throws(HGNetError) -> [QuantizationReport.LayerError] {
    let device = quantizer.device
    let float = try ObservedRun(program, parameters: exact, device: device, precision: .float32)
    let bytes = try ObservedRun(program, parameters: parameters, device: device, precision: .int8)
    let observed = program.observed
    var sums = [(signal: Double, noise: Double)](repeating: (0, 0), count: observed.count)
    let part = pictures.part(QuantizedComparison.fewest)
    for (done, index) in part.enumerated() {
      quantizer.progress(.errors, done, part.count)
      let picture = try pictures.picture(index)
      try float.execute(picture)
      try bytes.execute(picture)
      for (place, (one, two)) in zip(float.results, bytes.results).enumerated() {
        var (signal, noise) = (0.0, 0.0)
        for (exact, found) in zip(one, two) {
          signal += Double(exact * exact)
          noise += Double((found - exact) * (found - exact))
        }
        sums[place].signal += signal
        sums[place].noise += noise
      }
    }
    let floats = Set(candidates.filter { parameters[$0.quantizedWeight ?? ""]?.scales == nil }.map(\.name))
    return zip(observed, sums).dropFirst().map { observed, sum in
      QuantizationReport.LayerError(
        name: observed.layer, relativeError: sum.signal > 0 ? (sum.noise / sum.signal).squareRoot() : 0,
        isFloat: floats.contains(observed.layer))
    }
  }
}
