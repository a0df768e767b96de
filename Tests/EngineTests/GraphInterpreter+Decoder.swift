import HGNetCore

/// The operators of a transformer decoder in Float64.
extension GraphInterpreter {
  func decoder(
    _ operation: DecoderOperator, _ node: Graph.Node, inputs: [[Double]], shapes: [ActivationShape],
    parameters: [String: [Double]]
  ) -> [Double] {
    let channels = node.shape.channels
    let rows = batch * node.shape.height * node.shape.width
    switch operation {
    case .queries(let weight, _, _):
      let values = parameters[weight] ?? []
      return (0..<batch).flatMap { _ in values }
    case .dropout: return masks[node.name].map { zip(inputs[0], $0).map { $0 * $1 } } ?? inputs[0]
    case .layerNormalization(let weight, let bias, _, let epsilon):
      let (scale, shift) = (parameters[weight] ?? [], parameters[bias] ?? [])
      var output = inputs[0]
      for row in 0..<rows {
        let values = inputs[0][row * channels..<(row + 1) * channels]
        let mean = values.reduce(0, +) / Double(channels)
        let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(channels)
        let factor = 1 / (variance + Double(epsilon)).squareRoot()
        for c in 0..<channels {
          output[row * channels + c] = (output[row * channels + c] - mean) * factor * scale[c] + shift[c]
        }
      }
      return output
    case .attention(let heads, _):
      let size = channels / heads
      let (queries, tokens) = (node.shape.height * node.shape.width, shapes[1].height * shapes[1].width)
      var output = [Double](repeating: 0, count: rows * channels)
      for image in 0..<batch {
        for head in 0..<heads {
          for query in 0..<queries {
            let own = (image * queries + query) * channels + head * size
            let scores = (0..<tokens).map { token in
              let other = (image * tokens + token) * channels + head * size
              let product = (0..<size).reduce(0) { $0 + inputs[0][own + $1] * inputs[1][other + $1] }
              return exponential(product / Double(size).squareRoot())
            }
            let sum = scores.reduce(0, +)
            for token in 0..<tokens {
              let index = ((image * heads + head) * queries + query) * tokens + token
              let weight = scores[token] / sum * (masks[node.name]?[index] ?? 1)
              let other = (image * tokens + token) * channels + head * size
              for c in 0..<size { output[own + c] += weight * inputs[2][other + c] }
            }
          }
        }
      }
      return output
    case .groupedLinear(let weight, let bias, let tokens, let features, let perToken, let classes):
      let (factors, shift) = (parameters[weight] ?? [], parameters[bias] ?? [])
      return (0..<batch * classes).map { index in
        let (image, column) = (index / classes, index % classes)
        let row = (image * tokens + column / perToken) * features
        return (0..<features).reduce(shift[column]) {
          $0 + inputs[0][row + $1] * factors[column * features + $1]
        }
      }
    }
  }
}
