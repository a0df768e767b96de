import HGNetProgram

/// What a layer reads and writes, in floats.
struct LayerTraffic {
  /// Of one picture: before and after the layer.
  var activations: Int
  /// Packed weights, read once for each group of pictures.
  var weights: Int
  /// Of one picture: what still lives behind the layer.
  var kept: Int
}

extension BatchSegment {
  /// What reading a weight again costs, where an activation that falls out of the caches costs 1: less, since kernels fetch
  /// weights under the arithmetic (Benchmarks/NOTES.md).
  private static let weightCost = 0.4
  /// Activations of a layer, in floats, that may pass at a time.
  private static let cachedFloats = 512 * 1024
  /// Descriptors of steps take memory, too.
  private static let groupLimit = 64

  /// Divides the layers of a network into those that take groups of pictures and those that take all.
  static func segments(_ traffic: [LayerTraffic], batch: Int, threads: Int) -> [BatchSegment] {
    let widest = traffic.map(\.activations).max() ?? 0
    // Many threads find too few tasks in one picture.
    let pictures = max(
      1, cachedFloats / max(widest, 1), (threads + 1) / 2, (batch + groupLimit - 1) / groupLimit)
    var end = 0
    if pictures < batch {
      var (gain, best) = (0.0, 0.0)
      for (index, layer) in traffic.enumerated() {
        gain += Double(layer.activations) - weightCost * Double(layer.weights)
        guard gain - Double(layer.kept) > best else { continue }
        best = gain - Double(layer.kept)
        end = index + 1
      }
    }
    return [
      BatchSegment(steps: 0..<end, pictures: min(pictures, batch)),
      BatchSegment(steps: end..<traffic.count, pictures: batch),
    ].filter { !$0.steps.isEmpty }
  }
}
