import HGNetCore
import HGNetEngine
import HGNetVision

/// Where in a picture the evidence for a class is: the class activation map of the last stage.
///
/// Behind the mean over the last stage's map come only layers that are linear but for one ReLU. For a given picture the
/// ReLU passes some channels and stops the others, so that the logit is a weighted sum over the places of the map, and
/// each place has its exact share. Source: Zhou et al., *Learning Deep Features for Discriminative Localization*, 2016,
/// with the weights of the whole head in place of one layer's.
///
/// Threads: safe to share; calls take turns at the network.
public final class ClassActivation: Sendable {
  /// The shares of one class in one picture.
  public struct Map: Sendable {
    /// The class.
    public let classIndex: Int
    /// The logit of the class.
    public let logit: Float
    /// What the logit has besides the shares: the biases of the head.
    public let constant: Float
    /// The extent of the map: 7×7 for pictures of 224×224.
    public let size: Size
    /// The shares, `[height, width]` in C order; together with `constant` they add up to the logit.
    public let values: [Float]
  }

  private let model: InferenceModel
  private let head: ClassifierHead
  private let pool: ThreadPool
  private let sessions = ForkSafeLock(KeptSession())

  /// Compiles a network, and takes a copy of its head's weights.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for a network whose classes are not read from the mean of its last map, as
  ///   one with an ML-Decoder; `parameterMismatch` naming a layer.
  public init(_ weights: WeightsFile, pool: ThreadPool = ThreadPool()) throws(HGNetError) {
    try weights.requireClassifier()
    self.pool = pool
    head = try ClassifierHead(weights.graph, parameters: weights.parameters)
    model = try InferenceModel(
      graph: weights.graph.selecting(outputs: [.logits] + weights.graph.stages.suffix(1).map(\.role)),
      parameters: weights.parameters, pool: pool)
  }

  /// The map of a class.
  ///
  /// - Parameters:
  ///   - picture: `[H, W, 3]`, as a recipe makes it.
  ///   - classIndex: nil for the class with the highest logit.
  /// - Throws: `HGNetError.Code.shapeMismatch` for an unfit size, `invalidArgument` for an unknown class,
  ///   `limitExceeded`.
  public func map(of picture: Tensor, classIndex: Int? = nil) throws(HGNetError) -> Map {
    let outputs = try sessions.withLock { (kept) throws(HGNetError) in
      try kept.run([picture], model: model, pool: pool)
    }
    guard outputs.count == 2 else { throw HGNetError(.internalInconsistency, "expected the logits and the last map") }
    let logits = outputs[0].withUnsafeBufferPointer { Array($0) }
    let wanted = classIndex ?? logits.indices.max { logits[$0] < logits[$1] } ?? 0
    guard logits.indices.contains(wanted) else {
      throw HGNetError(.invalidArgument, "expected a class of 0 to \(logits.count - 1), found \(wanted)")
    }
    // A stage of one pixel comes as [N, C].
    let shape = outputs[1].shape
    let size = shape.rank == 4 ? Size(height: shape[1], width: shape[2]) : Size(1)
    let pixels = size.height * size.width
    let features = outputs[1].withUnsafeBufferPointer { Array($0) }
    let channels = features.count / pixels
    var mean = [Float](repeating: 0, count: channels)
    for (index, value) in features.enumerated() { mean[index % channels] += value / Float(pixels) }
    let weights = head.weights(of: wanted, at: mean)
    let values = (0..<pixels).map { pixel in
      var sum: Float = 0
      for channel in 0..<channels { sum += features[pixel * channels + channel] * weights[channel] }
      return sum / Float(pixels)
    }
    let logit = logits[wanted]
    return Map(
      classIndex: wanted, logit: logit, constant: logit - values.reduce(0, +), size: size, values: values)
  }
}

extension Recipe {
  /// The part of a picture that the network sees, as fractions of its width and height.
  ///
  /// - Throws: as `Transform.size(of:applying:)`.
  public func visiblePart(
    of size: Size
  ) throws(HGNetError) -> (left: Double, top: Double, width: Double, height: Double) {
    var (width, height) = (1.0, 1.0)
    var current = size
    for transform in transforms {
      let next = try Transform.size(of: current, applying: [transform])
      if case .centerCrop = transform {
        width *= Double(next.width) / Double(current.width)
        height *= Double(next.height) / Double(current.height)
      }
      current = next
    }
    return ((1 - width) / 2, (1 - height) / 2, width, height)
  }
}
