import HGNetCore
import HGNetProgram

/// The parameters of networks in training, everything in float64.
package final class ReferenceState: TrainingState {
  /// Names, shapes and roles.
  package let declarations: [ParameterDeclaration]
  /// Whether each parameter is kept as it is.
  package let isFrozen: [Bool]
  let values: NamedNumbers
  let gradients: [Numbers]
  /// Moments by their number, then by parameter; nil for what no optimiser changes.
  // Changed between steps only.
  private nonisolated(unsafe) var moments: [Int: [Numbers?]] = [:]
  private nonisolated(unsafe) var averages: [Numbers] = []

  /// - Throws: `HGNetError.Code.parameterMismatch` naming a parameter, `limitExceeded` without memory.
  init(
    _ declarations: [ParameterDeclaration], parameters: some ParameterSource, isFrozen: [Bool]
  ) throws(HGNetError) {
    self.declarations = declarations
    self.isFrozen = isFrozen
    var need = MemoryNeed("a network in training in float64")
    for declaration in declarations { need.add("", bytes: 16, declaration.shape.checkedCount) }
    try need.check()
    var (arrays, gradients, indices) = ([Numbers](), [Numbers](), [String: Int]())
    for (index, declaration) in declarations.enumerated() {
      let count = declaration.shape.checkedCount
      arrays.append(try Numbers(count: count, for: "the parameters"))
      gradients.append(try Numbers(count: count, for: "the gradients of the parameters"))
      indices[declaration.name] = index
    }
    values = NamedNumbers(arrays: arrays, indices: indices)
    self.gradients = gradients
    try load(parameters)
  }

  /// Begins to keep an array.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` without memory.
  package func keep(_ array: ParameterArray) throws(HGNetError) {
    switch array {
    case .value, .gradient: return
    case .moment(let number):
      var made = [Numbers?](repeating: nil, count: declarations.count)
      for index in trainedIndices {
        made[index] = try Numbers(count: values.arrays[index].count, for: "the state of the optimiser")
      }
      moments[number] = made
    case .average:
      var made: [Numbers] = []
      for array in values.arrays {
        let copy = try Numbers(count: array.count, for: "the average of the parameters")
        copy.base.update(from: array.base, count: array.count)
        made.append(copy)
      }
      averages = made
    }
  }

  private func numbers(_ array: ParameterArray, of parameter: Int) throws(HGNetError) -> Numbers {
    guard declarations.indices.contains(parameter) else {
      throw HGNetError(.invalidArgument, "expected one of \(declarations.count) parameters, found number \(parameter)")
    }
    let found: Numbers? =
      switch array {
      case .value: values.arrays[parameter]
      case .gradient: gradients[parameter]
      case .moment(let number): moments[number]?[parameter]
      case .average: averages.isEmpty ? nil : averages[parameter]
      }
    guard let found else {
      throw HGNetError(.invalidArgument, "\(array) is not kept of this parameter", key: declarations[parameter].name)
    }
    return found
  }

  /// A copy of one array of a parameter, rounded to float32.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for what is not kept.
  package func read(_ array: ParameterArray, of parameter: Int) throws(HGNetError) -> Tensor {
    try numbers(array, of: parameter).tensor(declarations[parameter].shape)
  }

  /// Replaces one array of a parameter.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for what is not kept, `shapeMismatch`.
  package func write(_ tensor: Tensor, to array: ParameterArray, of parameter: Int) throws(HGNetError) {
    let numbers = try numbers(array, of: parameter)
    guard tensor.count == numbers.count else {
      throw HGNetError(
        .shapeMismatch, "expected shape \(declarations[parameter].shape), found \(tensor.shape)",
        key: declarations[parameter].name)
    }
    numbers.copy(tensor)
  }

  /// Calls `body` with one array of a parameter as it is, to look closer than float32 allows; the pointer must not escape.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for what is not kept.
  package func withNumbers<Result>(
    _ array: ParameterArray, of parameter: Int, _ body: (UnsafeMutableBufferPointer<Double>) -> Result
  ) throws(HGNetError) -> Result {
    let numbers = try numbers(array, of: parameter)
    return body(UnsafeMutableBufferPointer(start: numbers.base, count: numbers.count))
  }

  /// Sets all gradients to zero.
  package func zeroGradients() {
    for gradient in gradients { gradient.base.update(repeating: 0, count: gradient.count) }
  }

  /// Changes parameters by their gradients.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for a parameter without the moments that its rule needs.
  package func update(_ rules: [(parameter: Int, rule: UpdateRule)]) throws(HGNetError) {
    var found: [[Numbers]] = []
    for (parameter, rule) in rules {
      _ = try numbers(.value, of: parameter)
      var own: [Numbers] = []
      for number in 0..<rule.momentCount { own.append(try numbers(.moment(number), of: parameter)) }
      found.append(own)
    }
    for ((parameter, rule), moments) in zip(rules, found) {
      rule.apply(values.arrays[parameter], gradients[parameter], moments)
    }
  }

  /// Moves the averages.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` where no average is kept.
  package func moveAverage(decay: Double) throws(HGNetError) {
    guard averages.count == declarations.count else {
      throw HGNetError(.invalidArgument, "no average of the parameters is kept")
    }
    for (average, value) in zip(averages, values.arrays) {
      for index in 0..<value.count {
        average.base[index] = decay * average.base[index] + (1 - decay) * value.base[index]
      }
    }
  }

  /// Replaces gradients by their sums over processes, to the precision of float32.
  ///
  /// - Throws: what the reduction throws.
  package func sumGradients(
    of bucket: ClosedRange<Int>, over reduction: any ProcessSum
  ) throws(HGNetError) {
    try reduce(bucket.filter(trainedIndices.contains).map { gradients[$0] }, over: reduction, divisor: 1)
  }

  /// Replaces values by their means over processes, to the precision of float32.
  ///
  /// - Throws: what the reduction throws.
  package func averageValues(
    of parameters: [Int], over reduction: any ProcessSum, processes: Int
  ) throws(HGNetError) {
    try reduce(parameters.map { values.arrays[$0] }, over: reduction, divisor: Double(processes))
  }

  private func reduce(
    _ arrays: [Numbers], over reduction: any ProcessSum, divisor: Double
  ) throws(HGNetError) {
    let count = arrays.reduce(0) { $0 + $1.count }
    let place = UnsafeMutableBufferPointer<Float>.allocate(capacity: count)
    defer { place.deallocate() }
    var next = 0
    for array in arrays {
      for index in 0..<array.count { place.initializeElement(at: next + index, to: Float(array.base[index])) }
      next += array.count
    }
    try reduction.sum(place)
    next = 0
    for array in arrays {
      for index in 0..<array.count { array.base[index] = Double(place[next + index]) / divisor }
      next += array.count
    }
  }
}

extension UpdateRule {
  /// Changes one parameter.
  func apply(_ value: Numbers, _ gradient: Numbers, _ moments: [Numbers]) {
    let count = value.count
    var scale = Double(gradientScale)
    if let clipNorm {
      var squares = 0.0
      for index in 0..<count { squares += gradient.base[index] * gradient.base[index] }
      let norm = squares.squareRoot() * abs(scale)
      if norm > Double(clipNorm) { scale *= Double(clipNorm) / norm }
    }
    let rate = Double(rate)
    for index in 0..<count {
      let weight = value.base[index]
      let sign: Double = weight > 0 ? 1 : weight < 0 ? -1 : 0
      let slope = gradient.base[index] * scale + Double(decayL2) * weight + Double(decayL1) * sign
      switch formula {
      case .sgd: value.base[index] -= rate * slope
      case .momentum(let momentum, let nesterov):
        let speed = Double(momentum) * moments[0].base[index] + slope
        moments[0].base[index] = speed
        value.base[index] -= rate * (nesterov ? slope + Double(momentum) * speed : speed)
      case .adamW(let numbers):
        let (beta1, beta2) = (Double(numbers.beta1), Double(numbers.beta2))
        let correction = (1 - Double(numbers.power2)).squareRoot()
        let mean = beta1 * moments[0].base[index] + (1 - beta1) * slope
        let square = beta2 * moments[1].base[index] + (1 - beta2) * slope * slope
        (moments[0].base[index], moments[1].base[index]) = (mean, square)
        let step = mean / (square.squareRoot() + Double(numbers.epsilon) * correction)
        value.base[index] =
          weight * (1 - rate * Double(numbers.weightDecay)) - rate * correction / (1 - Double(numbers.power1)) * step
      }
    }
  }
}
