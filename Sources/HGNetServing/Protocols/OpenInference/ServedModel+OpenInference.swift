import HGNet
import HGNetCore
import HGNetFormats

extension ServedModel {
  /// An input or output as the metadata describes it.
  package struct TensorDescription: Sendable {
    package let name: String
    package let datatype: String
    package let shape: [Int]

    /// The shape without the axis of the batch, as Triton's configurations have it.
    var dimensions: [Int] { shape.count > 1 ? Array(shape.dropFirst()) : [1] }
  }

  /// What a client may send: one of these.
  package var inputs: [TensorDescription] {
    [
      TensorDescription(name: OpenInferenceRequest.imageInput, datatype: "BYTES", shape: [-1]),
      TensorDescription(
        name: OpenInferenceRequest.tensorInput, datatype: "FP32", shape: [-1, 3, inputSize.height, inputSize.width]),
    ]
  }

  /// What a client may ask for.
  package var outputs: [TensorDescription] {
    let told: Int
    switch network.recipe.postProcessing {
    case .topK(let count): told = min(count, network.classCount)
    case .threshold: told = -1
    }
    return [
      TensorDescription(name: "label", datatype: "BYTES", shape: [-1, told]),
      TensorDescription(name: "score", datatype: "FP32", shape: [-1, told]),
      TensorDescription(name: "index", datatype: "INT64", shape: [-1, told]),
      TensorDescription(name: "probabilities", datatype: "FP32", shape: [-1, network.classCount]),
      TensorDescription(name: "logits", datatype: "FP32", shape: [-1, network.classCount]),
    ]
  }

  /// Answers an inference request.
  ///
  /// - Throws: `invalidRequest`, `tooLarge`, and as `run`.
  package func infer(
    _ request: OpenInferenceRequest, deadline: ContinuousClock.Instant?
  ) async throws(ServingError) -> OpenInferenceResponse {
    let known = outputs
    let wanted =
      request.outputs.isEmpty ? known.map { OpenInferenceRequest.Output(name: $0.name) } : request.outputs
    for output in wanted {
      guard let found = known.first(where: { $0.name == output.name }) else {
        throw ServingError(
          .invalidRequest,
          "output \"\(output.name)\": expected one of \(known.map(\.name).joined(separator: ", "))")
      }
      guard output.classCount == 0 || (found.datatype == "FP32" && found.name != "score") else {
        throw ServingError(
          .invalidRequest, "output \"\(output.name)\": classification belongs to probabilities or logits")
      }
    }
    let pictures = try request.pictures(limit: pictureLimit, pixelLimit: pixelLimit)
    var ends = deadline
    if let timeout = request.timeout {
      let own = ContinuousClock.now + timeout
      ends = ends.map { min($0, own) } ?? own
    }
    let result = try await run(pictures, deadline: ends)
    var rows: [[Float]] = []
    for (index, logits) in result.logits.enumerated() {
      switch logits {
      case .success(let row): rows.append(row)
      case .failure(let error):
        let refusal = ServingError(error)
        throw ServingError(
          refusal.kind, result.logits.count > 1 ? "picture \(index): \(refusal.message)" : refusal.message)
      }
    }
    do throws(HGNetError) {
      let results = try OpenInferenceRows(model: self, logits: rows, wanted: wanted)
      var made: [OpenInferenceResponse.Output] = []
      for output in wanted {
        made.append(try results.output(output, isBinary: output.isBinary ?? request.wantsBinary))
      }
      return OpenInferenceResponse(
        modelName: name, modelVersion: version, id: request.id, parameters: request.echoedParameters, outputs: made)
    } catch { throw ServingError(.internalFailure, error.description) }
  }
}

/// The logits of a request's pictures with what several of its outputs are made of, computed once.
private struct OpenInferenceRows {
  private let model: ServedModel
  private let logits: [[Float]]
  /// The scores of all classes; empty unless wanted.
  private let scores: [[Double]]
  /// The classes that the recipe tells; empty unless wanted.
  private let told: [[ScoredClass]]

  init(model: ServedModel, logits: [[Float]], wanted: [OpenInferenceRequest.Output]) throws(HGNetError) {
    self.model = model
    self.logits = logits
    let network = model.network
    scores = wanted.contains { $0.name != "logits" } ? logits.map { network.activation.scores(of: $0) } : []
    var told: [[ScoredClass]] = []
    if wanted.contains(where: { $0.name != "logits" && $0.name != "probabilities" }) {
      for (row, scores) in zip(logits, scores) {
        told.append(
          try network.recipe.postProcessing.classes(of: row, scores: scores, labels: network.recipe.labels))
      }
    }
    self.told = told
  }

  func output(
    _ wanted: OpenInferenceRequest.Output, isBinary: Bool
  ) throws(HGNetError) -> OpenInferenceResponse.Output {
    let (datatype, shape, contents) = try values(of: wanted)
    return OpenInferenceResponse.Output(
      name: wanted.name, datatype: datatype, shape: shape, contents: contents, isBinary: isBinary)
  }

  private func values(
    of wanted: OpenInferenceRequest.Output
  ) throws(HGNetError) -> (String, [Int], OpenInferenceResponse.Contents) {
    if wanted.classCount > 0 {
      let count = min(wanted.classCount, model.network.classCount)
      let texts = try classification(count, isProbability: wanted.name == "probabilities")
      return ("BYTES", [logits.count, count], .texts(texts))
    }
    switch wanted.name {
    case "logits": return ("FP32", [logits.count, model.network.classCount], .floats(logits.flatMap { $0 }))
    case "probabilities":
      return ("FP32", [logits.count, model.network.classCount], .floats(scores.flatMap { $0.map { Float($0) } }))
    default:
      // Where a threshold decides, pictures have different numbers of classes; the rest of a row says "none".
      let width = told.map(\.count).max() ?? 0
      let none = ScoredClass(index: -1, score: 0, label: "")
      let padded = told.flatMap { $0 + Array(repeating: none, count: width - $0.count) }
      let shape = [logits.count, width]
      switch wanted.name {
      case "score": return ("FP32", shape, .floats(padded.map { Float($0.score) }))
      case "index": return ("INT64", shape, .integers(padded.map { Int64($0.index) }))
      default: return ("BYTES", shape, .texts(padded.map { $0.label ?? "" }))
      }
    }
  }

  /// `score:index:label` for the best classes of each picture.
  private func classification(_ count: Int, isProbability: Bool) throws(HGNetError) -> [String] {
    var texts: [String] = []
    for (index, row) in logits.enumerated() {
      let best = try PostProcessing.topK(count).classes(
        of: row, scores: isProbability ? scores[index] : row.map(Double.init), labels: model.network.recipe.labels)
      texts += best.map { entry in
        "\(Float(entry.score)):\(entry.index)" + (entry.label.map { ":\($0)" } ?? "")
      }
    }
    return texts
  }
}
