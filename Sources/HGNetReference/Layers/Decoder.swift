import HGNetCore
import HGNetProgram

/// The operators of a transformer decoder, whose tokens are pixels.
extension Walk {
  func repeatQueries(_ layer: Layer, _ weight: String, into target: Pointer) throws(HGNetError) {
    let (rows, count) = (try parameters.pointer(weight, layer: layer.name), shapes[layer.result].count)
    for image in 0..<batch { (target + image * count).update(from: rows, count: count) }
  }

  /// Mean and inverse deviation of the channels of a row.
  private func statistics(_ row: Pointer, _ channels: Int, _ epsilon: Float) -> (mean: Double, inverse: Double) {
    var mean = 0.0
    for channel in 0..<channels { mean += row[channel] }
    mean /= Double(channels)
    var variance = 0.0
    for channel in 0..<channels { variance += (row[channel] - mean) * (row[channel] - mean) }
    return (mean, 1 / (variance / Double(channels) + Double(epsilon)).squareRoot())
  }

  func normalizeRows(
    _ layer: Layer, _ weight: String, _ bias: String, _ epsilon: Float, _ input: Pointer, into target: Pointer
  ) throws(HGNetError) {
    let channels = shapes[layer.result].channels
    let scale = try parameters.pointer(weight, layer: layer.name)
    let shift = try parameters.pointer(bias, layer: layer.name)
    for row in 0..<rows(layer) {
      let first = row * channels
      let (mean, inverse) = statistics(input + first, channels, epsilon)
      for channel in 0..<channels {
        target[first + channel] = (input[first + channel] - mean) * inverse * scale[channel] + shift[channel]
      }
    }
  }

  func normalizeRowsBack(
    _ layer: Layer, _ weight: String, _ bias: String, _ epsilon: Float, _ own: Pointer, _ input: Pointer,
    into target: Pointer?
  ) throws(HGNetError) {
    let channels = shapes[layer.result].channels
    let scale = try parameters.pointer(weight, layer: layer.name)
    let (scaleGradient, shiftGradient) = (parameterGradient(weight), parameterGradient(bias))
    for row in 0..<rows(layer) {
      let first = row * channels
      let (mean, inverse) = statistics(input + first, channels, epsilon)
      var (sum, tilt) = (0.0, 0.0)
      for channel in 0..<channels {
        let normal = (input[first + channel] - mean) * inverse
        let gradient = own[first + channel]
        scaleGradient?[channel] += gradient * normal
        shiftGradient?[channel] += gradient
        sum += gradient * scale[channel]
        tilt += gradient * scale[channel] * normal
      }
      guard let target else { continue }
      for channel in 0..<channels {
        let normal = (input[first + channel] - mean) * inverse
        target[first + channel] +=
          inverse * (own[first + channel] * scale[channel] - (sum + normal * tilt) / Double(channels))
      }
    }
  }

  /// Calls `body` for each head of each query: the first places of the query and of the keys, and that of the weights.
  private func forEachHead(
    _ layer: Layer, _ heads: Int, _ body: (_ query: Int, _ tokens: Int, _ weights: Int) -> Void
  ) {
    let (shape, other) = (shapes[layer.result], shapes[layer.inputs[1]])
    let (queries, tokens) = (shape.height * shape.width, other.height * other.width)
    let size = shape.channels / heads
    for image in 0..<batch {
      for head in 0..<heads {
        for query in 0..<queries {
          body(
            (image * queries + query) * shape.channels + head * size, image * tokens * shape.channels + head * size,
            ((image * heads + head) * queries + query) * tokens)
        }
      }
    }
  }

  func attend(_ layer: Layer, _ place: NumberPlan.Place, _ heads: Int, _ inputs: [Pointer], into target: Pointer) {
    guard let attention = place.attention else { return }
    let (all, mask) = (numbers.base + attention, place.masks[-1].map { numbers.base + $0.offset })
    let (channels, tokens) = (
      shapes[layer.result].channels, shapes[layer.inputs[1]].height * shapes[layer.inputs[1]].width
    )
    let size = channels / heads
    let scale = 1 / Double(size).squareRoot()
    target.update(repeating: 0, count: count(layer))
    forEachHead(layer, heads) { query, first, row in
      let weights = all + row
      for token in 0..<tokens {
        var sum = 0.0
        for c in 0..<size { sum += inputs[0][query + c] * inputs[1][first + token * channels + c] }
        weights[token] = sum * scale
      }
      Walk.softmax(weights, tokens, into: weights)
      for token in 0..<tokens {
        let weight = weights[token] * (mask?[row + token] ?? 1)
        for c in 0..<size { target[query + c] += weight * inputs[2][first + token * channels + c] }
      }
    }
  }

  func attendBack(
    _ layer: Layer, _ place: NumberPlan.Place, _ heads: Int, _ own: Pointer, _ inputs: [Pointer],
    into targets: [Pointer?]
  ) {
    guard let attention = place.attention else { return }
    let (all, mask) = (numbers.base + attention, place.masks[-1].map { numbers.base + $0.offset })
    let (channels, tokens) = (
      shapes[layer.result].channels, shapes[layer.inputs[1]].height * shapes[layer.inputs[1]].width
    )
    let size = channels / heads
    let scale = 1 / Double(size).squareRoot()
    forEachHead(layer, heads) { query, first, row in
      // The gradients of the weights, and the sum that the softmax takes off them.
      var gradients = [Double](repeating: 0, count: tokens)
      var sum = 0.0
      for token in 0..<tokens {
        let (values, factor) = (first + token * channels, mask?[row + token] ?? 1)
        for c in 0..<size {
          gradients[token] += own[query + c] * inputs[2][values + c] * factor
          targets[2]?[values + c] += all[row + token] * factor * own[query + c]
        }
        sum += gradients[token] * all[row + token]
      }
      for token in 0..<tokens {
        let slope = all[row + token] * (gradients[token] - sum) * scale
        for c in 0..<size {
          targets[0]?[query + c] += slope * inputs[1][first + token * channels + c]
          targets[1]?[first + token * channels + c] += slope * inputs[0][query + c]
        }
      }
    }
  }

  func multiplyGroups(
    _ layer: Layer, _ weight: String, _ bias: String, _ classesPerToken: Int, _ input: Pointer, into target: Pointer
  ) throws(HGNetError) {
    let weights = try parameters.pointer(weight, layer: layer.name)
    let shift = try parameters.pointer(bias, layer: layer.name)
    forEachClass(layer, classesPerToken) { place, row, column, features in
      var sum = shift[column]
      for c in 0..<features { sum += input[row + c] * weights[column * features + c] }
      target[place] = sum
    }
  }

  func multiplyGroupsBack(
    _ layer: Layer, _ weight: String, _ bias: String, _ classesPerToken: Int, _ own: Pointer, _ input: Pointer,
    into target: Pointer?
  ) throws(HGNetError) {
    let weights = try parameters.pointer(weight, layer: layer.name)
    let (weightGradient, biasGradient) = (parameterGradient(weight), parameterGradient(bias))
    forEachClass(layer, classesPerToken) { place, row, column, features in
      biasGradient?[column] += own[place]
      for c in 0..<features {
        weightGradient?[column * features + c] += own[place] * input[row + c]
        target?[row + c] += own[place] * weights[column * features + c]
      }
    }
  }

  /// Calls `body` for each class of each picture: the place of the result, the first place of its token, the row of the
  /// weight and its length.
  private func forEachClass(
    _ layer: Layer, _ classesPerToken: Int,
    _ body: (_ place: Int, _ row: Int, _ column: Int, _ features: Int) -> Void
  ) {
    let (classes, tokens) = (shapes[layer.result].channels, shapes[layer.inputs[0]])
    for image in 0..<batch {
      for column in 0..<classes {
        body(
          image * classes + column, image * tokens.count + column / classesPerToken * tokens.channels, column,
          tokens.channels)
      }
    }
  }
}
