import HGNetCore
import HGNetProgram

/// What follows an operator in its layer: batch normalisation, ReLU, affine steps, residual.
extension Walk {
  /// Walks from the first stage to the result.
  func addEpilogue(_ layer: Layer, _ place: NumberPlan.Place) throws(HGNetError) {
    var stage = 0
    let channels = shapes[layer.result].channels
    /// The stage that was reached, and the next one.
    func next() -> (source: Pointer, target: Pointer) {
      stage += 1
      return (numbers.base + place.stages[stage - 1], numbers.base + place.stages[stage])
    }
    if let normalization = layer.normalization, let statistics = place.statistics {
      let (source, target) = next()
      try normalize(layer, normalization, numbers.base + statistics, source, into: target)
    }
    if layer.hasReLU {
      let (source, target) = next()
      for index in 0..<count(layer) { target[index] = max(source[index], 0) }
    }
    for (step, affine) in layer.affine.enumerated() {
      let (source, target) = next()
      switch affine {
      case .affine(let scale, let bias):
        let factor = try parameters.pointer(scale, layer: layer.name)[0]
        let addend = try parameters.pointer(bias, layer: layer.name)[0]
        for index in 0..<count(layer) { target[index] = source[index] * factor + addend }
      case .dropout(let probability):
        let mask = place.masks[step].map { numbers.base + $0.offset }
        // In inference values shrink as if by the mean of the masks.
        let factor = training == nil ? 1 - Double(probability) : 1
        for index in 0..<count(layer) { target[index] = source[index] * (mask?[index] ?? factor) }
      }
    }
    if let residual = layer.residual {
      let (addend, target) = (try result(residual), numbers.base + place.stages[stage])
      for index in 0..<rows(layer) * channels { target[index] += addend[index] }
    }
  }

  /// Makes the gradient of the result that of what the operator gave, in place.
  func takeEpilogueBack(_ layer: Layer, _ place: NumberPlan.Place, _ own: Pointer) throws(HGNetError) {
    let count = count(layer)
    if let residual = layer.residual, let target = gradient(residual) {
      for index in 0..<count { target[index] += own[index] }
    }
    var stage = place.stages.count - 1
    for (step, affine) in layer.affine.enumerated().reversed() {
      stage -= 1
      switch affine {
      case .affine(let scale, let bias):
        let source = numbers.base + place.stages[stage]
        let factor = try parameters.pointer(scale, layer: layer.name)[0]
        var (scaleSum, biasSum) = (0.0, 0.0)
        for index in 0..<count {
          scaleSum += own[index] * source[index]
          biasSum += own[index]
          own[index] *= factor
        }
        parameterGradient(scale)?[0] += scaleSum
        parameterGradient(bias)?[0] += biasSum
      case .dropout:
        guard let mask = place.masks[step] else { continue }
        let factors = numbers.base + mask.offset
        for index in 0..<count { own[index] *= factors[index] }
      }
    }
    if layer.hasReLU {
      stage -= 1
      let source = numbers.base + place.stages[stage]
      for index in 0..<count where source[index] <= 0 { own[index] = 0 }
    }
    if let normalization = layer.normalization, let statistics = place.statistics {
      stage -= 1
      try normalizeBack(
        layer, normalization, numbers.base + statistics, own, numbers.base + place.stages[stage])
    }
  }
}
