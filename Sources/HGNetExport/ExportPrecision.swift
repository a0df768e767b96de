import HGNet
import HGNetCore
import HGNetFormats

/// What the numbers of an exported network are.
public enum ExportPrecision: String, Sendable, Hashable, CaseIterable {
  /// IEEE 754 binary32.
  case float32
  /// IEEE 754 binary16. An ONNX graph computes in it between its input and its logits, which stay float32.
  case float16
  /// The upper halves of float32. In ONNX the weights of convolutions and linear layers, which are cast to float32 before
  /// they are used: ONNX's convolutions have no bfloat16 before operator set 22.
  case bfloat16
  /// Bytes with scales: the QDQ form in ONNX, `hgnet quantize`'s in safetensors. Only of quantised weights.
  case int8

  /// How far the probabilities that are read back may be from those in float32; logits as a part of the largest.
  var bound: Double {
    switch self {
    case .float32: SelfCheck.bound
    case .float16: 1e-2
    case .bfloat16: 8e-2
    // In float32, where the weights are those of before, but for values that bytes cut off.
    case .int8: 1e-2
    }
  }

  /// How the numbers are stored.
  var elementType: ElementType {
    switch self {
    case .float32, .int8: .float32
    case .float16: .float16
    case .bfloat16: .bfloat16
    }
  }

  /// The precision of an export.
  ///
  /// - Parameters:
  ///   - wanted: nil for that of the weights.
  ///   - weights: what is exported.
  ///   - format: what is written.
  /// - Throws: `HGNetError.Code.unsupported` for a format that does not have it, `parameterMismatch` for int8 of weights
  ///   that are not quantised.
  static func chosen(
    _ wanted: ExportPrecision?, for weights: WeightsFile, as format: ModelExport.Format
  ) throws(HGNetError) -> ExportPrecision {
    let isQuantized = weights.parameters.isQuantized
    let precision = wanted ?? (isQuantized ? .int8 : .float32)
    guard precision != .int8 || isQuantized else {
      throw HGNetError(
        .parameterMismatch,
        "expected quantised weights for an export in int8, found weights in float; make them with `hgnet quantize MODEL "
          + "--data FOLDER -o OUT.safetensors`", path: weights.path)
    }
    guard precision != .int8 || !weights.graph.hasDecoder else {
      throw HGNetError(
        .unsupported, "a decoder is not exported in 8 bits; give --precision float32 or float16", path: weights.path)
    }
    switch (format, precision) {
    case (_, .float32), (.onnx, .float16), (.onnx, .bfloat16), (.safetensors, .float16), (.safetensors, .bfloat16):
      break
    case (.onnx(let options), .int8): try options.checkQuantized()
    case (.safetensors(let convention, _), .int8):
      guard convention == .paddle, !weights.format.isInferenceModel else {
        throw HGNetError(
          .unsupported,
          "quantised weights are written as safetensors with PaddleClas' names, from such a file; export them as ONNX, or "
            + "with --precision float32", path: weights.path)
      }
    case (_, .int8):
      throw HGNetError(
        .unsupported,
        "expected weights in float for a \(format.weightsFormat.title), found quantised ones; give the weights that they were "
          + "made of, export with --precision float32 for their rounded values, or as ONNX", path: weights.path)
    case (_, .float16), (_, .bfloat16):
      throw HGNetError(
        .unsupported,
        "a \(format.weightsFormat.title) is written in float32; PaddlePaddle computes it in \(precision.rawValue) when it is "
          + "told to as it loads it. In \(precision.rawValue) there are ONNX and safetensors", path: weights.path)
    }
    return precision
  }
}

extension ExportedNetwork {
  /// The same network with parameters as they are exported.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` without memory for quantised weights as float32.
  func prepared(for precision: ExportPrecision, format: ModelExport.Format) throws(HGNetError) -> ExportedNetwork {
    var parameters = self.parameters
    if precision == .int8 {
      guard case .onnx(let options) = format, options.hasSymmetricActivations else { return self }
      parameters = QuantizedExport.symmetric(parameters)
    } else {
      parameters.ranges = [:]
      for name in parameters.names {
        guard let parameter = parameters[name], parameter.scales != nil else { continue }
        parameters[name] = Parameter(try parameter.allocatedTensor())
      }
    }
    return try ExportedNetwork(graph: graph, parameters: parameters, activation: activation)
  }
}
