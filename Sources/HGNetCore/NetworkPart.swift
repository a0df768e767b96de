/// A part of a network, by what it is for rather than by its name.
public enum NetworkPart: Hashable, Sendable {
  /// The first layers, in front of the stages.
  case stem
  /// A stage, from 0; its result is half as high and wide as that of the stage before, or less.
  case stage(Int)
  /// What makes the embedding of the last stage: the last convolution with what follows it.
  case embedding
  /// What makes the logits.
  case classifier

  /// Whether it lies behind the last stage.
  public var isHead: Bool { self == .embedding || self == .classifier }
}
