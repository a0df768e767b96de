import HGNetCore

/// A graph evaluated in Float64 with batch statistics, as plainly as can be: what the reference engine is compared with.
struct GraphInterpreter {
  let graph: Graph
  let batch: Int
  /// Factors of what dropout and attention drop, by node, in the order of their values.
  var masks: [String: [Double]] = [:]
  /// Normalisations whose parameters' names begin so use the running statistics, which then stay.
  var frozenPrefix: String?

  /// The logits `[N, K]` for pictures `[N, H, W, C]`; `statistics` receives each normalisation's mean and variance.
  func logits(
    _ pictures: [Double], parameters: [String: [Double]],
    statistics: (BatchNormalization, [Double], [Double]) -> Void = { _, _, _ in }
  ) -> [Double] {
    var values: [[Double]] = []
    for node in graph.nodes {
      let inputs = node.inputs.map { values[$0.index] }
      let shapes = node.inputs.map { graph[$0].shape }
      values.append(
        result(node, inputs: inputs, shapes: shapes, pictures: pictures, parameters: parameters, statistics: statistics)
      )
    }
    return values[graph.outputs[0].node.index]
  }

  private func result(
    _ node: Graph.Node, inputs: [[Double]], shapes: [ActivationShape], pictures: [Double],
    parameters: [String: [Double]], statistics: (BatchNormalization, [Double], [Double]) -> Void
  ) -> [Double] {
    let shape = node.shape
    let channels = shape.channels
    let pixels = batch * shape.height * shape.width
    switch node.operation {
    case .input: return pictures
    case .convolution(let convolution):
      return convolve(inputs[0], shapes[0], convolution, shape, parameters: parameters)
    case .batchNormalization(let norm):
      let (gamma, beta) = (parameters[norm.weight] ?? [], parameters[norm.bias] ?? [])
      var output = inputs[0]
      var (means, variances) = ([Double](), [Double]())
      for c in 0..<channels {
        var mean = 0.0
        for pixel in 0..<pixels { mean += output[pixel * channels + c] }
        mean /= Double(pixels)
        var variance = 0.0
        for pixel in 0..<pixels {
          let off = output[pixel * channels + c] - mean
          variance += off * off
        }
        variance /= Double(pixels)
        if let frozenPrefix, norm.mean.hasPrefix(frozenPrefix) {
          (mean, variance) = (parameters[norm.mean]?[c] ?? 0, parameters[norm.variance]?[c] ?? 0)
        }
        means.append(mean)
        variances.append(variance)
        let factor = gamma[c] / (variance + Double(norm.epsilon)).squareRoot()
        for pixel in 0..<pixels {
          output[pixel * channels + c] = (output[pixel * channels + c] - mean) * factor + beta[c]
        }
      }
      statistics(norm, means, variances)
      return output
    case .relu: return inputs[0].map { max($0, 0) }
    case .pointwise(.sigmoid): return inputs[0].map { 1 / (1 + exponential(-$0)) }
    case .affine(let scale, let bias):
      let (factor, addend) = (parameters[scale]?[0] ?? 1, parameters[bias]?[0] ?? 0)
      return inputs[0].map { $0 * factor + addend }
    case .dropout: return masks[node.name].map { zip(inputs[0], $0).map { $0 * $1 } } ?? inputs[0]
    case .decoder(let operation):
      return decoder(operation, node, inputs: inputs, shapes: shapes, parameters: parameters)
    case .flatten: return inputs[0]
    case .add: return zip(inputs[0], inputs[1]).map { $0 + $1 }
    case .multiplyPerChannel:
      let perImage = shape.height * shape.width
      return inputs[0].indices.map { inputs[0][$0] * inputs[1][$0 / channels / perImage * channels + $0 % channels] }
    case .concatenate:
      var output: [Double] = []
      for pixel in 0..<pixels {
        for (input, part) in zip(inputs, shapes) {
          output += input[pixel * part.channels..<(pixel + 1) * part.channels]
        }
      }
      return output
    case .globalAveragePool:
      let count = shapes[0].height * shapes[0].width
      var output = [Double](repeating: 0, count: batch * channels)
      for index in inputs[0].indices {
        output[index / channels / count * channels + index % channels] += inputs[0][index] / Double(count)
      }
      return output
    case .maxPool(let kernel, let stride, let padding):
      var output = [Double](repeating: -.infinity, count: pixels * channels)
      forEachTap(shapes[0], shape, kernel, stride, padding) { source, target, _ in
        for c in 0..<channels {
          output[target * channels + c] = max(output[target * channels + c], inputs[0][source * channels + c])
        }
      }
      return output
    case .linear(let weight, let bias, let inputFeatures, let outputFeatures):
      let (w, b) = (parameters[weight] ?? [], bias.flatMap { parameters[$0] } ?? [])
      return (0..<pixels * outputFeatures).map { index in
        let (row, column) = (index / outputFeatures, index % outputFeatures)
        return (0..<inputFeatures).reduce(b.isEmpty ? 0 : b[column]) {
          $0 + inputs[0][row * inputFeatures + $1] * w[$1 * outputFeatures + column]
        }
      }
    case .softmax:
      return (0..<pixels).flatMap { row -> [Double] in
        let powers = inputs[0][row * channels..<(row + 1) * channels].map { exponential($0) }
        let sum = powers.reduce(0, +)
        return powers.map { $0 / sum }
      }
    }
  }

  private func convolve(
    _ input: [Double], _ inputShape: ActivationShape, _ convolution: Convolution, _ shape: ActivationShape,
    parameters: [String: [Double]]
  ) -> [Double] {
    let weight = parameters[convolution.weight] ?? []
    let bias = convolution.bias.flatMap { parameters[$0] }
    let (columns, channels) = (shape.channels, inputShape.channels)
    let perGroup = channels / convolution.groups
    let taps = convolution.kernel.height * convolution.kernel.width
    var output = [Double](repeating: 0, count: batch * shape.count)
    output.withUnsafeMutableBufferPointer { output in
      input.withUnsafeBufferPointer { input in
        weight.withUnsafeBufferPointer { weight in
          if let bias { for index in output.indices { output[index] = bias[index % columns] } }
          forEachTap(
            inputShape, shape, convolution.kernel, convolution.stride, convolution.padding
          ) { source, target, tap in
            for n in 0..<columns {
              let first = n / (columns / convolution.groups) * perGroup
              var sum = 0.0
              for c in 0..<perGroup {
                sum += input[source * channels + first + c] * weight[(n * perGroup + c) * taps + tap]
              }
              output[target * columns + n] += sum
            }
          }
        }
      }
    }
    return output
  }

  /// Calls `body` with each pair of an input and an output pixel that a window joins.
  private func forEachTap(
    _ input: ActivationShape, _ output: ActivationShape, _ kernel: Size, _ stride: Size, _ padding: Padding,
    _ body: (_ source: Int, _ target: Int, _ tap: Int) -> Void
  ) {
    for image in 0..<batch {
      for y in 0..<output.height {
        for x in 0..<output.width {
          for i in 0..<kernel.height {
            for j in 0..<kernel.width {
              let (yy, xx) = (y * stride.height - padding.top + i, x * stride.width - padding.left + j)
              guard yy >= 0, yy < input.height, xx >= 0, xx < input.width else { continue }
              body(
                (image * input.height + yy) * input.width + xx, (image * output.height + y) * output.width + x,
                i * kernel.width + j)
            }
          }
        }
      }
    }
  }

  /// e^x by its series after halving, so that the test needs no C library.
  func exponential(_ x: Double) -> Double {
    let small = x / 1024
    var (term, sum) = (1.0, 1.0)
    for n in 1...12 {
      term *= small / Double(n)
      sum += term
    }
    for _ in 0..<10 { sum *= sum }
    return sum
  }
}
