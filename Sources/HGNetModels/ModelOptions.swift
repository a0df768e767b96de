import HGNetCore

/// What may differ between two networks of the same model.
///
/// The options are PaddleClas' constructor arguments; each has the default that it has there.
public struct ModelOptions: Sendable, Hashable {
  /// The number of classes (`class_num`), 1 … 2^24.
  public var classCount: Int
  /// The channels of the last convolution (`class_expand`), 1 … 2^20.
  public var classExpand: Int
  /// The probability of dropout before the classifier (`dropout_prob`), 0 … 1; nil for the model's own.
  public var dropoutProbability: Float?
  /// Whether a 1×1 convolution widens the pooled features before the classifier (`use_last_conv`).
  public var useLastConvolution: Bool
  /// Whether a learnable affine block follows each ReLU (`use_lab`); nil for the model's own.
  ///
  /// PP-HGNet has none and refuses `true`.
  public var useLearnableAffineBlock: Bool?
  /// Five factors on the learning rates of stem and stages 1 to 4 (`lr_mult_list`), finite and not negative.
  public var learningRateMultipliers: [Float]

  /// The head of a transformer decoder instead of the pooled classifier (`use_ml_decoder`), nil for none.
  public var decoder: MLDecoder?

  /// Makes options; whatever is not given keeps its default.
  public init(
    classCount: Int = 1000, classExpand: Int = 2048, dropoutProbability: Float? = nil, useLastConvolution: Bool = true,
    useLearnableAffineBlock: Bool? = nil, learningRateMultipliers: [Float] = [1, 1, 1, 1, 1],
    decoder: MLDecoder? = nil
  ) {
    self.classCount = classCount
    self.classExpand = classExpand
    self.dropoutProbability = dropoutProbability
    self.useLastConvolution = useLastConvolution
    self.useLearnableAffineBlock = useLearnableAffineBlock
    self.learningRateMultipliers = learningRateMultipliers
    self.decoder = decoder
  }

  static let classCounts = 1...(1 << 24)
  static let classExpansions = 1...(1 << 20)

  /// Checks every option's range.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` naming PaddleClas' key of the option.
  func validate() throws(HGNetError) {
    func refuse(_ key: String, _ expected: String, _ found: Any) -> HGNetError {
      HGNetError(.invalidArgument, "expected \(expected), found \(found)", key: key)
    }
    guard ModelOptions.classCounts ~= classCount else { throw refuse("class_num", "1 to 16777216 classes", classCount) }
    guard ModelOptions.classExpansions ~= classExpand else {
      throw refuse("class_expand", "1 to 1048576 channels", classExpand)
    }
    if let probability = dropoutProbability, !(0...1 ~= probability) {
      throw refuse("dropout_prob", "a probability between 0 and 1", probability)
    }
    try decoder?.validate()
    guard learningRateMultipliers.count == 5, learningRateMultipliers.allSatisfy({ $0.isFinite && $0 >= 0 }) else {
      throw refuse(
        "lr_mult_list", "five numbers of at least 0, for the stem and the four stages", learningRateMultipliers)
    }
  }
}
