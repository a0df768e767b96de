import HGNetCore
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

  /// What the network must give: the logits, and the map that they are read from.
  package static func outputs(of graph: Graph) -> [Graph.Output.Role] {
    [.logits] + graph.stages.suffix(1).map(\.role)
  }

  private let head: ClassifierHead
  private let sessions: ForkSafeLock<SessionKeeper<Session>>

  /// Compiles a network, and takes a copy of its head's weights.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for a network whose classes are not read from the mean of its last map, as
  ///   one with an ML-Decoder; `parameterMismatch` naming a layer.
  public convenience init(_ weights: WeightsFile, device: Device = .cpu()) throws(HGNetError) {
    try weights.requireClassifier()
    let head = try ClassifierHead(weights.graph, parameters: weights.parameters)
    let model = try InferenceModel(
      graph: weights.graph.selecting(outputs: ClassActivation.outputs(of: weights.graph)),
      parameters: weights.parameters, device: device)
    self.init(model, head: head)
  }

  /// Shares a compiled network.
  ///
  /// - Parameters:
  ///   - model: a network with the outputs `ClassActivation.outputs(of:)`.
  ///   - head: of the same weights.
  package init(_ model: InferenceModel, head: ClassifierHead) {
    self.head = head
    sessions = ForkSafeLock(SessionKeeper(model: model))
  }

  /// The map of a class.
  ///
  /// - Parameters:
  ///   - picture: `[H, W, 3]`, as a recipe makes it.
  ///   - classIndex: nil for the class with the highest logit.
  /// - Throws: `HGNetError.Code.shapeMismatch` for an unfit size, `invalidArgument` for an unknown class,
  ///   `limitExceeded`.
  public func map(of picture: Tensor, classIndex: Int? = nil) throws(HGNetError) -> Map {
    try map(ofPrepared: .numbers(picture), classIndex: classIndex)
  }

  /// The map of a class.
  ///
  /// - Throws: as `map(of:classIndex:)`.
  package func map(ofPrepared picture: PreparedPicture, classIndex: Int? = nil) throws(HGNetError) -> Map {
    let (logits, last) = try sessions.withLock { (sessions) throws(HGNetError) in
      let kept = try sessions.run([picture])
      return (try kept.session.result(0).values, try kept.session.result(1))
    }
    let wanted = classIndex ?? logits.indices.max { logits[$0] < logits[$1] } ?? 0
    guard logits.indices.contains(wanted) else {
      throw HGNetError(.invalidArgument, "expected a class of 0 to \(logits.count - 1), found \(wanted)")
    }
    let size = Size(height: last.shape[1], width: last.shape[2])
    let (pixels, channels) = (size.height * size.width, last.shape[3])
    let features = last.values
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
