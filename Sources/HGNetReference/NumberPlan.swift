import HGNetCore
import HGNetProgram

/// Where the numbers of a run are, in one block: nothing shares a place, so that nothing can be overwritten.
struct NumberPlan: Sendable {
  /// What is drawn before a step.
  struct Mask: Sendable {
    var offset: Int
    var count: Int
    var probability: Float
    /// The factor of what is kept.
    var kept: Double
  }

  /// The numbers of one layer.
  struct Place: Sendable {
    /// What the operator gives, then what each step of the epilogue makes of it; the last is the result.
    ///
    /// In inference all are the same place.
    var stages: [Int]
    /// Means and inverse deviations of a normalisation, then how it was done; see `Normalization`.
    var statistics: Int?
    /// The weights of an attention.
    var attention: Int?
    /// What is dropped, by the step of the affine part; -1 stands for the operator itself.
    var masks: [Int: Mask] = [:]
    /// What tells which values lay below (-1) or above (1) their range.
    var outside: Int?
  }

  let program: Program
  let batch: Int
  /// One per layer.
  private(set) var places: [Place] = []
  /// The start of each result by its number; nil for numbers without a result.
  private(set) var results: [Int?]
  /// The start of each result's gradient by its number; nil where none is wanted.
  private(set) var gradients: [Int?]
  /// All numbers.
  private(set) var count = 0

  /// Finds a place for everything.
  ///
  /// - Parameters:
  ///   - program: for the size of the pictures.
  ///   - batch: the number of pictures.
  ///   - needsGradient: by the number of the result; nil for inference.
  /// - Throws: `HGNetError.Code.invalidArgument` for a batch out of range, `limitExceeded` for more than any memory.
  init(_ program: Program, batch: Int, needsGradient: [Bool]? = nil) throws(HGNetError) {
    guard batch >= 1, batch <= 1 << 16 else {
      throw HGNetError(.invalidArgument, "expected a batch of 1 to 65536, found \(batch)")
    }
    try program.graph.checkCounts(batch: batch)
    self.program = program
    self.batch = batch
    let shapes = program.shapes
    results = [Int?](repeating: nil, count: shapes.count)
    gradients = results
    results[program.input] = take(batch, shapes[program.input].count)
    for layer in program.layers {
      let shape = shapes[layer.result]
      var place = Place(stages: [take(batch, shape.count)])
      let isNormalized = layer.normalization != nil
      if isNormalized { place.statistics = take(2 * shape.channels + 2) }
      for _ in 0..<(isNormalized ? 1 : 0) + (layer.hasReLU ? 1 : 0) + layer.affine.count {
        place.stages.append(needsGradient == nil ? place.stages[0] : take(batch, shape.count))
      }
      if case .decoder(.attention(let heads, _)) = layer.kind {
        let tokens = shapes[layer.inputs[1]]
        place.attention = take(batch, heads, shape.height * shape.width, tokens.height * tokens.width)
      }
      if needsGradient != nil { addMasks(layer, shape, shapes, to: &place) }
      if layer.quantization?.range != nil, needsGradient?[layer.result] == true {
        place.outside = take(batch, shape.count)
      }
      results[layer.result] = place.stages.last
      if needsGradient?[layer.result] == true { gradients[layer.result] = take(batch, shape.count) }
      places.append(place)
    }
    guard count < 1 << 58 else {
      throw HGNetError(
        .limitExceeded,
        "a batch of \(batch) pictures of \(program.inputSize) is beyond any memory; use smaller pictures")
    }
  }

  private mutating func addMasks(
    _ layer: Layer, _ shape: ActivationShape, _ shapes: [ActivationShape], to place: inout Place
  ) {
    func mask(_ count: Int, _ offset: Int, _ probability: Float, isRescaled: Bool) -> Mask {
      Mask(
        offset: offset, count: count, probability: probability, kept: isRescaled ? 1 / (1 - Double(probability)) : 1)
    }
    for (step, affine) in layer.affine.enumerated() {
      guard case .dropout(let probability) = affine, probability > 0 else { continue }
      place.masks[step] = mask(batch * shape.count, take(batch, shape.count), probability, isRescaled: false)
    }
    switch layer.kind {
    case .decoder(.dropout(let probability)) where probability > 0:
      place.masks[-1] = mask(batch * shape.count, take(batch, shape.count), probability, isRescaled: true)
    case .decoder(.attention(let heads, let probability)) where probability > 0:
      let tokens = shapes[layer.inputs[1]]
      let factors = (heads, shape.height * shape.width, tokens.height * tokens.width)
      let offset = take(batch, factors.0, factors.1, factors.2)
      guard offset < 1 << 58, count < 1 << 58 else { return }
      place.masks[-1] = mask(batch * factors.0 * factors.1 * factors.2, offset, probability, isRescaled: true)
    default: return
    }
  }

  /// Reserves a product of factors; beyond any memory it stays at the largest number.
  private mutating func take(_ factors: Int...) -> Int {
    let offset = count
    var product = 1
    for factor in factors {
      let (result, overflow) = product.multipliedReportingOverflow(by: factor)
      product = overflow ? 1 << 58 : min(result, 1 << 58)
    }
    count = min(count + product, 1 << 58)
    return offset
  }

  /// The memory that all numbers and the pictures take.
  var memoryNeed: MemoryNeed {
    let size = program.inputSize
    var need = MemoryNeed("\(batch) pictures of \(size) in float64")
    need.add("their numbers", bytes: 4, batch, program.shapes[program.input].count)
    need.add("the activations", bytes: 8, count)
    return need
  }
}

extension Layer {
  /// The batch normalisation in it, if there is one.
  var normalization: BatchNormalization? {
    if case .convolution(_, let normalization) = kind { return normalization }
    return nil
  }
}
