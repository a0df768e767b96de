import HGNetCore
import HGNetProgram

/// Layers that look at one pixel at a time.
extension Walk {
  func copy(_ layer: Layer, _ input: Pointer, into target: Pointer) { target.update(from: input, count: count(layer)) }

  /// Adds the gradient as it is.
  func copyBack(_ layer: Layer, _ own: Pointer, into target: Pointer?) {
    guard let target else { return }
    for index in 0..<count(layer) { target[index] += own[index] }
  }

  func add(_ layer: Layer, _ one: Pointer, _ other: Pointer, into target: Pointer) {
    for index in 0..<count(layer) { target[index] = one[index] + other[index] }
  }

  func concatenate(_ layer: Layer, _ inputs: [Pointer], into target: Pointer) {
    forEachPart(layer) { part, source, place in target[place] = inputs[part][source] }
  }

  func concatenateBack(_ layer: Layer, _ own: Pointer, into targets: [Pointer?]) {
    forEachPart(layer) { part, source, place in targets[part]?[source] += own[place] }
  }

  /// Calls `body` with each number of a concatenation: the input, the place there, and that in the result.
  private func forEachPart(_ layer: Layer, _ body: (_ part: Int, _ source: Int, _ place: Int) -> Void) {
    let width = shapes[layer.result].channels
    var first = 0
    for (part, input) in layer.inputs.enumerated() {
      let channels = shapes[input].channels
      for row in 0..<rows(layer) {
        for channel in 0..<channels { body(part, row * channels + channel, row * width + first + channel) }
      }
      first += channels
    }
  }

  /// The place of the factor of a number, in `[N, 1, 1, C]`.
  private func factorPlace(_ index: Int, _ layer: Layer) -> Int {
    let shape = shapes[layer.result]
    return index / shape.count * shape.channels + index % shape.channels
  }

  func gate(_ layer: Layer, _ input: Pointer, _ factors: Pointer, into target: Pointer) {
    for index in 0..<count(layer) { target[index] = input[index] * factors[factorPlace(index, layer)] }
  }

  func gateBack(_ layer: Layer, _ own: Pointer, _ inputs: [Pointer], into targets: [Pointer?]) {
    for index in 0..<count(layer) {
      let place = factorPlace(index, layer)
      targets[0]?[index] += own[index] * inputs[1][place]
      targets[1]?[place] += own[index] * inputs[0][index]
    }
  }

  func pointwise(_ function: Pointwise, _ layer: Layer, _ input: Pointer, into target: Pointer) {
    for index in 0..<count(layer) { target[index] = function.value(input[index], exponential: exponential) }
  }

  func pointwiseBack(
    _ function: Pointwise, _ layer: Layer, _ own: Pointer, _ kept: Pointer, into target: Pointer?
  ) {
    guard let target else { return }
    for index in 0..<count(layer) { target[index] += own[index] * function.derivative(kept[index]) }
  }

  func softmax(_ layer: Layer, _ input: Pointer, into target: Pointer) {
    let channels = shapes[layer.result].channels
    for row in 0..<rows(layer) {
      Walk.softmax(input + row * channels, channels, into: target + row * channels)
    }
  }

  /// `exp(x) / sum(exp(x))` of some numbers; in place, too.
  static func softmax(_ input: Pointer, _ count: Int, into target: Pointer) {
    var largest = -Double.infinity
    for index in 0..<count { largest = max(largest, input[index]) }
    var sum = 0.0
    for index in 0..<count {
      target[index] = exponential(input[index] - largest)
      sum += target[index]
    }
    for index in 0..<count { target[index] /= sum }
  }

  func softmaxBack(_ layer: Layer, _ own: Pointer, _ result: Pointer, into target: Pointer?) {
    guard let target else { return }
    let channels = shapes[layer.result].channels
    for row in 0..<rows(layer) {
      let first = row * channels
      var sum = 0.0
      for index in first..<first + channels { sum += own[index] * result[index] }
      for index in first..<first + channels { target[index] += result[index] * (own[index] - sum) }
    }
  }

  /// Multiplies by what was drawn in training; in inference nothing is dropped.
  func drop(_ layer: Layer, _ mask: NumberPlan.Mask?, _ input: Pointer, into target: Pointer) {
    let factors = mask.map { numbers.base + $0.offset }
    for index in 0..<count(layer) { target[index] = input[index] * (factors?[index] ?? 1) }
  }

  func dropBack(_ layer: Layer, _ mask: NumberPlan.Mask?, _ own: Pointer, into target: Pointer?) {
    guard let target else { return }
    let factors = mask.map { numbers.base + $0.offset }
    for index in 0..<count(layer) { target[index] += own[index] * (factors?[index] ?? 1) }
  }
}
