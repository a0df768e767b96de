import HGNetCore
import HGNetProgram

/// Walks through the layers of a program, forward and, in training, backward.
///
/// Each kind of layer has both its ways in one file of `Layers/`. Threads: one task at a time.
final class Walk {
  typealias Pointer = UnsafeMutablePointer<Double>

  /// What training adds to inference.
  struct Training {
    let state: ReferenceState
    let statistics: (any StatisticsReduction)?
    /// Whether quantised values are rounded.
    let rounds: Bool
  }

  let plan: NumberPlan
  let parameters: NamedNumbers
  let numbers: Numbers
  let training: Training?
  let shapes: [ActivationShape]

  /// - Parameters:
  ///   - plan: where all numbers are.
  ///   - parameters: those of all layers.
  ///   - numbers: at least as many as the plan needs.
  ///   - training: nil for inference.
  init(_ plan: NumberPlan, parameters: NamedNumbers, numbers: Numbers, training: Training? = nil) {
    self.plan = plan
    self.parameters = parameters
    self.numbers = numbers
    self.training = training
    shapes = plan.program.shapes
  }

  var program: Program { plan.program }
  var batch: Int { plan.batch }

  /// The numbers of a result, `[N, H, W, C]`.
  func result(_ number: Int) throws(HGNetError) -> Pointer {
    guard let offset = plan.results[number] else {
      throw HGNetError(.internalInconsistency, "result \(number) has no place")
    }
    return numbers.base + offset
  }

  /// The gradient of a result; nil where none is wanted.
  func gradient(_ number: Int) -> Pointer? { plan.gradients[number].map { numbers.base + $0 } }

  /// The gradient of a parameter that is trained; nil for any other.
  func parameterGradient(_ name: String?) -> Pointer? {
    guard let name, let state = training?.state, let index = state.values.indices[name], !state.isFrozen[index] else {
      return nil
    }
    return state.gradients[index].base
  }

  /// Takes over pictures `[N, H, W, C]`.
  func take(_ pictures: Tensor) throws(HGNetError) {
    let target = try result(program.input)
    pictures.withUnsafeBufferPointer { source in
      for index in source.indices { target[index] = Double(source[index]) }
    }
    if let range = program.quantization?.input {
      try quantize(target, count: batch * shapes[program.input].count, range: range, outside: nil)
    }
  }

  /// Draws what is dropped, layer by layer.
  func drawMasks(_ random: inout RandomGenerator) {
    for place in plan.places {
      for (_, mask) in place.masks.sorted(by: { $0.key < $1.key }) {
        let target = numbers.base + mask.offset
        for index in 0..<mask.count { target[index] = random.uniform() < mask.probability ? 0 : mask.kept }
      }
    }
  }

  /// Computes the result of a layer.
  func forward(_ index: Int) throws(HGNetError) {
    let (layer, place) = (program.layers[index], plan.places[index])
    let first = numbers.base + place.stages[0]
    var inputs: [Pointer] = []
    for input in layer.inputs { inputs.append(try result(input)) }
    switch layer.kind {
    case .convolution(let convolution, _): try convolve(layer, convolution, inputs[0], into: first)
    case .linear: try multiply(layer, inputs[0], into: first)
    case .maxPool(let kernel, let stride, let padding):
      takeMaximum(window(layer, kernel, stride, padding), inputs[0], into: first)
    case .globalAveragePool: average(layer, inputs[0], into: first)
    case .concatenate: concatenate(layer, inputs, into: first)
    case .copy: copy(layer, inputs[0], into: first)
    case .add: add(layer, inputs[0], inputs[1], into: first)
    case .gate: gate(layer, inputs[0], inputs[1], into: first)
    case .pointwise(let function): pointwise(function, layer, inputs[0], into: first)
    case .softmax: softmax(layer, inputs[0], into: first)
    case .decoder(.queries(let weight, _, _)): try repeatQueries(layer, weight, into: first)
    case .decoder(.layerNormalization(let weight, let bias, _, let epsilon)):
      try normalizeRows(layer, weight, bias, epsilon, inputs[0], into: first)
    case .decoder(.attention(let heads, _)): attend(layer, place, heads, inputs, into: first)
    case .decoder(.dropout): drop(layer, place.masks[-1], inputs[0], into: first)
    case .decoder(.groupedLinear(let weight, let bias, _, _, let classesPerToken, _)):
      try multiplyGroups(layer, weight, bias, classesPerToken, inputs[0], into: first)
    }
    try addEpilogue(layer, place)
    if let range = layer.quantization?.range {
      try quantize(
        result(layer.result), count: count(layer), range: range, outside: place.outside.map { numbers.base + $0 })
    }
  }

  /// Hands the gradient of a layer's result on to its inputs and parameters.
  func backward(_ index: Int) throws(HGNetError) {
    let (layer, place) = (program.layers[index], plan.places[index])
    guard let own = gradient(layer.result) else { return }
    if let range = layer.quantization?.range, let outside = place.outside {
      takeQuantizationBack(own, count: count(layer), range: range, outside: numbers.base + outside)
    }
    try takeEpilogueBack(layer, place, own)
    var inputs: [Pointer] = []
    for input in layer.inputs { inputs.append(try result(input)) }
    let targets = layer.inputs.map { gradient($0) }
    switch layer.kind {
    case .convolution(let convolution, _): try convolveBack(layer, convolution, own, inputs[0], into: targets[0])
    case .linear: try multiplyBack(layer, own, inputs[0], into: targets[0])
    case .maxPool(let kernel, let stride, let padding):
      takeMaximumBack(window(layer, kernel, stride, padding), own, inputs[0], into: targets[0])
    case .globalAveragePool: averageBack(layer, own, into: targets[0])
    case .concatenate: concatenateBack(layer, own, into: targets)
    case .copy: copyBack(layer, own, into: targets[0])
    case .add: for target in targets { copyBack(layer, own, into: target) }
    case .gate: gateBack(layer, own, inputs, into: targets)
    case .pointwise(let function):
      let kept = function.kept == .result ? try result(layer.result) : inputs[0]
      pointwiseBack(function, layer, own, kept, into: targets[0])
    case .softmax: softmaxBack(layer, own, try result(layer.result), into: targets[0])
    case .decoder(.queries): break
    case .decoder(.layerNormalization(let weight, let bias, _, let epsilon)):
      try normalizeRowsBack(layer, weight, bias, epsilon, own, inputs[0], into: targets[0])
    case .decoder(.attention(let heads, _)): attendBack(layer, place, heads, own, inputs, into: targets)
    case .decoder(.dropout): dropBack(layer, place.masks[-1], own, into: targets[0])
    case .decoder(.groupedLinear(let weight, let bias, _, _, let classesPerToken, _)):
      try multiplyGroupsBack(layer, weight, bias, classesPerToken, own, inputs[0], into: targets[0])
    }
  }

  /// The pixels of a layer's result, all pictures together.
  func rows(_ layer: Layer) -> Int { batch * shapes[layer.result].height * shapes[layer.result].width }

  /// The numbers of a layer's result.
  func count(_ layer: Layer) -> Int { batch * shapes[layer.result].count }
}
