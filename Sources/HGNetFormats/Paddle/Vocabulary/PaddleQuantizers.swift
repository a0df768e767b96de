import HGNetCore

/// Values that are rounded to bytes, as the reader of ONNX models finds them; Paddle's own programs of that kind are not read.
enum PaddleQuantizers: PaddleVocabulary {
  static let names: [PaddleName] = []
  /// No operator of Paddle's has such a name.
  static let kind = "#quantize"

  static func read(
    _ operation: PaddleProgram.Operation, into translator: inout PaddleTranslator
  ) throws(HGNetError) -> Bool {
    guard operation.kind == kind else { return false }
    try translator.quantize(operation)
    return true
  }

  static func write(_ node: Graph.Node, to program: inout PaddleOperations) -> PaddleOperations.Result? { nil }
}

extension PaddleTranslator {
  /// Notes the range of a value.
  ///
  /// Bytes that begin at 0 cut off what is negative: behind a convolution quantisers leave out a
  /// ReLU for that.
  fileprivate mutating func quantize(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    let low = Float(try operation.number("low", default: .nan))
    let high = Float(try operation.number("high", default: .nan))
    guard low.isFinite, high.isFinite, low <= 0, high >= 0, low < high else {
      throw HGNetError(.malformedData, "expected a range of bytes that holds 0, found \(low) and \(high)")
    }
    var activation: Activation
    var border: Padding?
    if case .padded(let inner, let padding) = try value(operation, "X") {
      (activation, border) = (inner, padding)
    } else {
      activation = try self.activation(operation, "X")
    }
    let node = try node(of: activation)
    if low == 0, isUnbounded(node) {
      if let known = rectified[node] {
        activation = known
      } else {
        activation = try append(
          .relu, name: numbered("relu"), inputs: [node], shape: activation.shape, stride: activation.stride,
          isFlat: activation.isFlat)
        rectified[node] = activation
      }
    }
    if operation.attributes["is_whole"] == .flag(true) { try note(low...high, of: activation) }
    values[try operation.output("Out")] = border.map { .padded(activation, $0) } ?? .activation(activation)
  }
}
