import HGNetCore
import HGNetFormats
import HGNetVision

/// Writes networks as ONNX models.
///
/// The input is `x`, float32 `[batch, 3, H, W]`; the output is `softmax`, `sigmoid` or `logits`, float32 `[batch, K]`.
/// Convolutions and pools have explicit pads, and batch normalisations are folded into the convolutions before them unless
/// that is switched off. Threads: safe.
public enum OnnxExport {
  /// What may differ between two files of the same network.
  public struct Options: Sendable {
    /// The version of the operator set, 11 … 21.
    public var operatorSet: Int
    /// Whether batch normalisations become part of the convolutions.
    public var foldsNormalization: Bool
    /// What is done to raw pictures inside the graph; nil for normalised input.
    ///
    /// The input then is `image`, uint8 `[batch, height, width, 3]`, red, green, blue.
    public var preprocessing: [Transform]?
    /// Whether values in 8 bits are int8 with the zero point 0, as TensorRT wants them, rather than uint8.
    public var hasSymmetricActivations: Bool
    /// Texts for the model's `metadata_props`, in order.
    public var metadata: [(key: String, value: String)]

    /// Refuses what does not go with values in 8 bits.
    ///
    /// - Throws: `HGNetError.Code.invalidArgument`.
    func checkQuantized() throws(HGNetError) {
      guard foldsNormalization else {
        throw HGNetError(
          .invalidArgument, "quantised weights are exported with batch normalisations folded; leave out --no-fold")
      }
    }

    /// Makes options; nil for the operator set stands for 17.
    public init(
      operatorSet: Int? = nil, foldsNormalization: Bool = true, preprocessing: [Transform]? = nil,
      hasSymmetricActivations: Bool = false,
      metadata: [(key: String, value: String)] = []
    ) {
      self.operatorSet = operatorSet ?? OnnxExport.defaultOperatorSet
      self.foldsNormalization = foldsNormalization
      self.preprocessing = preprocessing
      self.hasSymmetricActivations = hasSymmetricActivations
      self.metadata = metadata
    }
  }

  /// The operator sets that can be written.
  public static let operatorSets = 11...21
  /// The operator set that is written unless another is asked for.
  public static let defaultOperatorSet = 17

  /// Writes a network.
  ///
  /// - Parameters:
  ///   - network: the network.
  ///   - options: what may differ.
  ///   - precision: of its numbers; int8 for quantised weights.
  ///   - path: the file; it appears once it is complete.
  /// - Throws: `HGNetError.Code.invalidArgument` for an operator set out of range or below what a decoder needs,
  ///   `unsupported` for transforms that are not written as ONNX, `limitExceeded` above 2 GiB, `unwritableFile`.
  /// - Cost: one folded weight in memory at a time.
  package static func write(
    _ network: ExportedNetwork, options: Options = Options(), precision: ExportPrecision = .float32, to path: String
  ) throws(HGNetError) {
    guard operatorSets.contains(options.operatorSet) else {
      throw HGNetError(
        .invalidArgument,
        "expected an ONNX operator set from \(operatorSets.lowerBound) to \(operatorSets.upperBound), found \(options.operatorSet)"
      )
    }
    guard !network.graph.hasDecoder || options.operatorSet >= 17 else {
      throw HGNetError(
        .invalidArgument,
        "a decoder needs an ONNX operator set of at least 17, which has LayerNormalization, found \(options.operatorSet)"
      )
    }
    guard precision == .float32 || precision == .float16 || options.operatorSet >= 13 else {
      throw HGNetError(
        .invalidArgument,
        "\(precision.rawValue) needs an ONNX operator set of at least 13, found \(options.operatorSet)")
    }
    var quantization = OnnxQuantization()
    if precision == .int8 {
      quantization = try QuantizedExport.quantization(of: network, isSymmetric: options.hasSymmetricActivations)
    }
    var translation = OnnxTranslation(
      network.graph, parameters: network.parameters, activation: network.head,
      foldsNormalization: options.foldsNormalization, elementType: precision.onnx, quantization: quantization)
    if let transforms = options.preprocessing {
      try translation.appendPreprocessing(transforms, operatorSet: options.operatorSet)
    } else {
      translation.appendInput()
    }
    try translation.appendNetwork()

    var model = ProtobufEncoder()
    model.integer(1, representation(for: options.operatorSet))
    model.text(2, "swift-hgnet")
    model.message(8) { operatorSet in
      operatorSet.text(1, "")
      operatorSet.integer(2, options.operatorSet)
    }
    for entry in options.metadata {
      model.message(14) { property in
        property.text(1, entry.key)
        property.text(2, entry.value)
      }
    }
    var file = try FileOutput(path: path)
    try file.write(model.bytes)
    try translation.graph.write(to: &file)
    try file.commit()
  }

  /// The version of the file format that came with an operator set.
  private static func representation(for operatorSet: Int) -> Int {
    switch operatorSet {
    case ...11: 6
    case ...14: 7
    case ...18: 8
    case ...20: 9
    default: 10
    }
  }
}

extension ExportPrecision {
  /// The element type of an ONNX graph.
  fileprivate var onnx: OnnxGraph.ElementType {
    switch self {
    case .float32, .int8: .float
    case .float16: .float16
    case .bfloat16: .bfloat16
    }
  }
}
