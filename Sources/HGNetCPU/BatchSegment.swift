/// What a layer reads and writes, in floats.
struct LayerTraffic {
  /// Of one picture: before and after the layer.
  var activations: Int
  /// Packed weights, read once for each group of pictures.
  var weights: Int
  /// Of one picture: what still lives behind the layer.
  var kept: Int
}

/// Layers that a few pictures of a batch pass through before the next ones do.
///
/// The first layers have wide pictures and few weights: picture by picture their activations stay in the caches, and only
/// one picture needs room. The last ones have small pictures and many weights, which are better read once for all.
struct BatchSegment: Equatable {
  /// The layers, by their places in the order of the plan.
  var layers: Range<Int>
  /// Pictures that pass at a time.
  var pictures: Int

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
      BatchSegment(layers: 0..<end, pictures: min(pictures, batch)),
      BatchSegment(layers: end..<traffic.count, pictures: batch),
    ].filter { !$0.layers.isEmpty }
  }
}
