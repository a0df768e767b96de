import HGNetCore

extension WeightsFormat {
  /// A network of ONNX operators, `.onnx`.
  public static let onnxModel = WeightsFormat(
    title: "ONNX model", endings: [".onnx"], isInferenceModel: true, namesInFolder: ["inference.onnx"])
}

/// A classifier of these families as an ONNX model.
///
/// Read is what this package writes, with batch normalisations folded or kept and with or without preprocessing, and what
/// Paddle2ONNX and both exporters of PyTorch make of these networks; also quantised in the QDQ form, as this package, ONNX
/// Runtime and NNCF write it. This is not a general importer. Threads: a value, safe to share.
package struct OnnxModel: WeightsReader {
  package static let format = WeightsFormat.onnxModel

  /// The network behind any preprocessing; its output is `logits`, or `embedding` for one that ends in features.
  ///
  /// What else can be asked for is as with `PaddleInferenceModel.graph`.
  package let graph: Graph
  /// Exactly the parameters of the graph; slices of the file, but for weights that lie there with their axes exchanged.
  package let parameters: ParameterStore
  /// What turns logits into probabilities.
  package let activation: HeadActivation
  /// The name of the normalised input, which is that of the model unless it has preprocessing.
  package let inputName: String
  /// The name of the output.
  package let outputName: String
  /// Height and width that the input must have, nil where the model leaves them open.
  package let declaredInputSize: Size?
  /// Where the values of results lie that the network rounds to bytes, by the names of nodes; empty for other networks.
  package let ranges: [String: ClosedRange<Float>]
  /// The texts of `metadata_props`.
  package let metadata: [String: String]

  private static let largestCount = 1 << 16

  /// Reads a model.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - inputSize: height and width of the pictures; nil for the size that the model was exported for.
  /// - Throws: `HGNetError.Code.fileNotFound`, `unreadableFile`, `malformedData`, `unsupported` naming an operator that is
  ///   not part of these networks, `unsafeContent` for weights in a file that does not lie beside the model,
  ///   `limitExceeded`.
  /// - Cost: O(nodes); the weights are mapped, not read.
  package init(contentsOf path: String, inputSize: Size? = nil) throws(HGNetError) {
    let blob = try Blob(mapping: path)
    do throws(HGNetError) {
      try self.init(BlobSlice(blob), inputSize: inputSize)
    } catch {
      throw error.at(path: path)
    }
  }

  /// Reads a model from the bytes of a file.
  ///
  /// - Throws: as the other form.
  package init(_ bytes: BlobSlice, inputSize: Size? = nil) throws(HGNetError) {
    var graphs: [BlobSlice] = []
    var metadata: [String: String] = [:]
    for field in try ProtobufField.all(in: bytes, maximumCount: OnnxModel.largestCount) {
      guard let content = field.bytes else { continue }
      switch field.number {
      case 7: graphs.append(content)
      case 14:
        let entry = try ProtobufField.all(in: content, maximumCount: 16)
        if let key = entry.first(where: { $0.number == 1 }), let value = entry.first(where: { $0.number == 2 }) {
          metadata[key.text] = value.text
        }
      default: break
      }
    }
    guard graphs.count == 1 else {
      throw HGNetError(.malformedData, "expected an ONNX model with one graph, found \(graphs.count)")
    }
    let reader = try OnnxReader(graphs[0])
    let program = PaddleProgram(
      parameters: [], operations: reader.operations, inputDimensions: [reader.inputName: reader.inputExtents])
    let translation = try program.translate(parameters: reader.parameters, inputSize: inputSize)
    graph = translation.graph
    parameters = reader.parameters.adding(translation.added)
    activation = translation.activation
    inputName = translation.inputName
    outputName = translation.outputName
    declaredInputSize = translation.declaredInputSize
    ranges = translation.ranges
    self.metadata = metadata
  }

  /// Whether the bytes begin as an ONNX file does: the version of the format, then another known field.
  package static func recognises(_ blob: Blob) -> Bool {
    guard blob.count > 4 else { return false }
    return blob.withUnsafeBytes { bytes in
      bytes[0] == 0x08 && (3...32).contains(bytes[1]) && [0x12, 0x1A, 0x3A, 0x42].contains(bytes[2])
    }
  }

  package static func weights(in blob: Blob) throws(HGNetError) -> WeightsContents {
    try OnnxModel(BlobSlice(blob)).contents
  }

  package static func weights(at path: String) throws(HGNetError) -> WeightsContents {
    try OnnxModel(contentsOf: path).contents
  }

  private var contents: WeightsContents {
    WeightsContents(
      parameters: parameters, metadata: metadata,
      network: WeightsContents.Network(
        graph: graph, activation: activation, declaredInputSize: declaredInputSize, ranges: ranges))
  }
}
