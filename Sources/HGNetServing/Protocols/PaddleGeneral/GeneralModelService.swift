import Foundation
import HGNetCore
import HGNetVision

extension GeneralModel {
  /// The output that is told where none is asked for, as PaddleClas' page names it.
  package static let usualOutput = "prediction"

  /// Answers a request that has passed the gate.
  ///
  /// - Throws: `invalidRequest`, and as `ServedModel.infer`.
  package static func answer(_ passage: Passage, _ request: Request) async throws(ServingError) -> Response {
    let began = Date()
    let model = try passage.model(named: nil)
    guard let tensor = request.tensors.first, request.tensors.count == 1 else {
      throw ServingError(.invalidRequest, "expected one tensor, found \(request.tensors.count)")
    }
    var inference = OpenInferenceRequest()
    inference.inputs = [try tensor.input()]
    let fetched = request.fetched.isEmpty ? [usualOutput] : request.fetched
    guard fetched.count <= 16 else {
      throw ServingError(.invalidRequest, "expected at most 16 outputs, found \(fetched.count)")
    }
    // Programs call their result as they like; what they mean is the probabilities.
    inference.outputs = fetched.map {
      OpenInferenceRequest.Output(name: namedOutputs.contains($0) ? $0 : "probabilities")
    }
    let response = try await model.infer(inference, deadline: passage.deadline)
    return Response(
      engine: model.name,
      outputs: zip(fetched, response.outputs).map { Output(name: $0, shape: $1.shape, contents: $1.contents) },
      logID: request.logID, times: (microseconds(began), microseconds(Date())), wantsProfile: request.wantsProfile)
  }

  /// Outputs that are what their names say.
  private static let namedOutputs: Set = ["label", "score", "index", "logits"]

  private static func microseconds(_ date: Date) -> Int { Int(date.timeIntervalSince1970 * 1e6) }
}

extension GeneralModel.Tensor {
  /// What it is called in refusals.
  private var title: String { alias.isEmpty ? name : alias }

  private func refusal(_ text: String) -> ServingError {
    ServingError(.invalidRequest, "tensor \"\(title)\": \(text)")
  }

  /// The tensor as the Open Inference Protocol has it.
  ///
  /// - Throws: `invalidRequest` for a type that holds no picture.
  fileprivate func input() throws(ServingError) -> OpenInferenceRequest.Input {
    switch elementType {
    case GeneralModel.ElementType.text: return try pictures()
    case GeneralModel.ElementType.byte: return try bytes()
    case GeneralModel.ElementType.float:
      let contents = content.map { OpenInferenceRequest.Contents.raw($0) } ?? .floats(floats)
      return input("FP32", batched(shape), contents)
    case GeneralModel.ElementType.half:
      guard let content else { throw refusal("expected the values in tensor_content") }
      return input("FP16", batched(shape), .raw(content))
    case GeneralModel.ElementType.double: return input("FP32", batched(shape), .numbers(doubles))
    default:
      throw refusal(
        "expected elem_type 20 (texts: pictures in base64 or as they are), 7 (bytes), 1 or 5 (what the network takes), "
          + "found \(elementType)")
    }
  }

  private func input(
    _ datatype: String, _ shape: [Int], _ contents: OpenInferenceRequest.Contents
  ) -> OpenInferenceRequest.Input {
    var input = OpenInferenceRequest.Input(
      name: datatype == "BYTES" ? OpenInferenceRequest.imageInput : OpenInferenceRequest.tensorInput,
      datatype: datatype, shape: shape, contents: contents)
    input.title = title
    return input
  }

  /// A shape with the number of pictures in front.
  private func batched(_ shape: [Int]) -> [Int] { shape.count == 3 ? [1] + shape : shape }

  /// Pictures in texts; the shape of the prototxt, which the client sends with them, says nothing.
  private func pictures() throws(ServingError) -> OpenInferenceRequest.Input {
    var files: [BlobSlice] = []
    for text in texts {
      guard let file = try PictureText.file(text) else {
        throw refusal("expected a picture in base64, or the bytes of one")
      }
      files.append(file)
    }
    return input("BYTES", [files.count], .elements(files))
  }

  /// The bytes of one file, or pixels where the shape is that of pixels.
  private func bytes() throws(ServingError) -> OpenInferenceRequest.Input {
    guard let content else { throw refusal("expected the values in tensor_content") }
    let pixels = batched(shape)
    if pixels.count == 4, pixels[1] == 3 || pixels[3] == 3 {
      let count: Int? = pixels.reduce(1) { count, extent in
        count.flatMap { count in
          let (product, overflow) = count.multipliedReportingOverflow(by: extent)
          return overflow ? nil : product
        }
      }
      if count == content.count || !PictureText.isFile(content) { return input("UINT8", pixels, .raw(content)) }
    }
    return input("BYTES", [1], .elements([content]))
  }
}
