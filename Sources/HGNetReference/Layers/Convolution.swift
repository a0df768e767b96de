import HGNetCore
import HGNetProgram

/// Which pixels of an input a window joins with which of the result.
struct Window {
  var batch: Int
  var input, output: ActivationShape
  var kernel, stride: Size
  var padding: Padding

  /// Calls `body` with each pair of an input and an output pixel, and the place in the window.
  func forEachTap(_ body: (_ source: Int, _ target: Int, _ tap: Int) -> Void) {
    for image in 0..<batch {
      for y in 0..<output.height {
        for x in 0..<output.width {
          for i in 0..<kernel.height {
            for j in 0..<kernel.width {
              let (row, column) = (y * stride.height - padding.top + i, x * stride.width - padding.left + j)
              guard row >= 0, row < input.height, column >= 0, column < input.width else { continue }
              body(
                (image * input.height + row) * input.width + column, (image * output.height + y) * output.width + x,
                i * kernel.width + j)
            }
          }
        }
      }
    }
  }
}

/// Products over the pixels of a window; a linear layer is one of 1×1 pixels.
///
/// Weights are `[taps, input channels of a group, output channels]`, so that the innermost loops run over neighbours.
private struct WindowProduct {
  let window: Window
  let groups: Int

  private var columns: Int { window.output.channels }
  private var columnsOfGroup: Int { columns / groups }
  private var channelsOfGroup: Int { window.input.channels / groups }

  /// The number of weights.
  var weightCount: Int { window.kernel.height * window.kernel.width * channelsOfGroup * columns }

  /// Calls `body` for each input channel of each tap: its place in the input, and the first of its weights and of the
  /// results that it goes into, of which there are `length` each.
  private func forEachRun(_ body: (_ source: Int, _ weight: Int, _ target: Int, _ length: Int) -> Void) {
    let (channels, own, length) = (window.input.channels, channelsOfGroup, columnsOfGroup)
    window.forEachTap { source, target, tap in
      for group in 0..<groups {
        for channel in 0..<own {
          body(
            source * channels + group * own + channel, (tap * own + channel) * columns + group * length,
            target * columns + group * length, length)
        }
      }
    }
  }

  // The innermost loops are `while`: in a debug build a range takes five times as long.

  /// Adds the products to `target`.
  func add(_ input: Walk.Pointer, _ weights: Walk.Pointer, into target: Walk.Pointer) {
    forEachRun { source, weight, first, length in
      let (value, weights, target) = (input[source], weights + weight, target + first)
      var n = 0
      while n < length {
        target[n] += value * weights[n]
        n += 1
      }
    }
  }

  /// Adds what the gradient of the result makes of the input's.
  func addInputGradient(_ own: Walk.Pointer, _ weights: Walk.Pointer, into target: Walk.Pointer) {
    forEachRun { source, weight, first, length in
      let (own, weights) = (own + first, weights + weight)
      var (n, sum) = (0, 0.0)
      while n < length {
        sum += own[n] * weights[n]
        n += 1
      }
      target[source] += sum
    }
  }

  /// Adds what the gradient of the result makes of the weights'.
  func addWeightGradient(_ own: Walk.Pointer, _ input: Walk.Pointer, into target: Walk.Pointer) {
    forEachRun { source, weight, first, length in
      let (value, own, target) = (input[source], own + first, target + weight)
      var n = 0
      while n < length {
        target[n] += value * own[n]
        n += 1
      }
    }
  }
}

/// Convolution and linear layers.
extension Walk {
  /// The window of a layer of one input.
  func window(_ layer: Layer, _ kernel: Size, _ stride: Size, _ padding: Padding) -> Window {
    Window(
      batch: batch, input: shapes[layer.inputs[0]], output: shapes[layer.result], kernel: kernel, stride: stride,
      padding: padding)
  }

  func convolve(
    _ layer: Layer, _ convolution: Convolution, _ input: Pointer, into target: Pointer
  ) throws(HGNetError) {
    guard !convolution.isIdentity else { return copy(layer, input, into: target) }
    let product = product(layer, convolution)
    try addBias(layer, convolution.bias, into: target)
    let weights = try arranged(convolution, product, layer)
    withExtendedLifetime(weights) { product.add(input, weights.base, into: target) }
  }

  func convolveBack(
    _ layer: Layer, _ convolution: Convolution, _ own: Pointer, _ input: Pointer, into target: Pointer?
  ) throws(HGNetError) {
    guard !convolution.isIdentity else { return copyBack(layer, own, into: target) }
    let product = product(layer, convolution)
    if let target {
      let weights = try arranged(convolution, product, layer)
      withExtendedLifetime(weights) { product.addInputGradient(own, weights.base, into: target) }
    }
    addBiasGradient(layer, convolution.bias, own)
    guard let gradient = parameterGradient(convolution.weight) else { return }
    let sums = try Numbers(count: product.weightCount, for: "the gradient of a convolution")
    product.addWeightGradient(own, input, into: sums.base)
    forEachWeight(convolution) { place, arranged in gradient[place] += sums.base[arranged] }
  }

  func multiply(_ layer: Layer, _ input: Pointer, into target: Pointer) throws(HGNetError) {
    guard case .linear(let weight, let bias, _, _) = layer.kind else { return }
    try addBias(layer, bias, into: target)
    let weights = try linearWeights(weight, layer)
    withExtendedLifetime(weights) { linearProduct(layer).add(input, weights.base, into: target) }
  }

  func multiplyBack(
    _ layer: Layer, _ own: Pointer, _ input: Pointer, into target: Pointer?
  ) throws(HGNetError) {
    guard case .linear(let weight, let bias, _, _) = layer.kind else { return }
    let product = linearProduct(layer)
    if let target {
      let weights = try linearWeights(weight, layer)
      withExtendedLifetime(weights) { product.addInputGradient(own, weights.base, into: target) }
    }
    addBiasGradient(layer, bias, own)
    if let gradient = parameterGradient(weight) { product.addWeightGradient(own, input, into: gradient) }
  }

  private func product(_ layer: Layer, _ convolution: Convolution) -> WindowProduct {
    WindowProduct(
      window: window(layer, convolution.kernel, convolution.stride, convolution.padding), groups: convolution.groups)
  }

  private func linearProduct(_ layer: Layer) -> WindowProduct {
    WindowProduct(window: window(layer, Size(1), Size(1), Padding(0)), groups: 1)
  }

  /// Calls `body` with the place of each weight in `[out, in of a group, taps]` and in `[taps, in of a group, out]`.
  private func forEachWeight(_ convolution: Convolution, _ body: (_ place: Int, _ arranged: Int) -> Void) {
    let taps = convolution.kernel.height * convolution.kernel.width
    let (columns, channels) = (convolution.outputChannels, convolution.inputChannels / convolution.groups)
    for column in 0..<columns {
      for channel in 0..<channels {
        for tap in 0..<taps {
          body((column * channels + channel) * taps + tap, (tap * channels + channel) * columns + column)
        }
      }
    }
  }

  private func arranged(
    _ convolution: Convolution, _ product: WindowProduct, _ layer: Layer
  ) throws(HGNetError) -> Numbers {
    let count = product.weightCount, columns = max(convolution.outputChannels, 1)
    let weights = try weights(
      convolution.weight, layer, channels: columns, channelStride: count / columns, valueStride: 1,
      count: count / columns)
    let result = try Numbers(count: count, for: "the weights of a convolution")
    forEachWeight(convolution) { place, arranged in result.base[arranged] = weights.base[place] }
    return result
  }

  private func linearWeights(_ name: String, _ layer: Layer) throws(HGNetError) -> Numbers {
    let (channels, count) = (shapes[layer.result].channels, shapes[layer.inputs[0]].channels)
    return try weights(name, layer, channels: channels, channelStride: 1, valueStride: channels, count: count)
  }

  private func addBias(_ layer: Layer, _ bias: String?, into target: Pointer) throws(HGNetError) {
    let channels = shapes[layer.result].channels
    let values = try bias.map { (name) throws(HGNetError) in try parameters.pointer(name, layer: layer.name) }
    for index in 0..<count(layer) { target[index] = values?[index % channels] ?? 0 }
  }

  private func addBiasGradient(_ layer: Layer, _ bias: String?, _ own: Pointer) {
    guard let gradient = parameterGradient(bias) else { return }
    let channels = shapes[layer.result].channels
    for index in 0..<count(layer) { gradient[index % channels] += own[index] }
  }
}
