import HGNetCore
import HGNetFormats

#if Serving
  import Foundation
#endif

/// The readers of what clients send, without a server around them: for tests and fuzzing.
///
/// Threads: safe to call from any.
package enum ProtocolReading {
  /// Reads a request: its first line `METHOD PATH?QUERY`, lines `name: value`, an empty line, and the body, which is
  /// unpacked as `content-encoding` says.
  ///
  /// - Throws: as `HTTPCall.unpackBody(limit:)`.
  package static func http(_ message: Blob, bodyLimit: Int) throws(ServingError) {
    let (head, body) = message.withUnsafeBytes { bytes in
      let end = bytes.indices.first { $0 >= 1 && bytes[$0] == 0x0A && bytes[$0 - 1] == 0x0A } ?? bytes.count - 1
      return (String(decoding: bytes.prefix(end + 1), as: UTF8.self), Array(bytes.dropFirst(end + 1)))
    }
    let lines = head.split(separator: "\n")
    let words = (lines.first ?? "").split(separator: " ")
    let target = (words.dropFirst().first ?? "/").split(separator: "?", maxSplits: 1)
    var fields: [String: String] = [:]
    for line in lines.dropFirst() {
      let sides = line.split(separator: ":", maxSplits: 1)
      if sides.count == 2 { fields[sides[0].lowercased()] = String(sides[1].drop { $0 == " " }) }
    }
    var call = HTTPCall(
      method: String(words.first ?? ""), path: String(target.first ?? ""),
      query: String(target.dropFirst().first ?? ""),
      fields: fields, body: Blob(body))
    _ = (call.pathParts, call.queryValue("top_k"))
    try call.unpackBody(limit: bodyLimit)
  }

  /// Reads a form of files.
  ///
  /// - Throws: as `MultipartForm.init(_:contentType:)`.
  package static func form(_ body: Blob, contentType: String) throws(ServingError) {
    _ = try MultipartForm(body, contentType: contentType)
  }

  /// Reads a picture as text.
  ///
  /// - Throws: `invalidRequest` for what is not base64.
  @discardableResult
  package static func base64(_ text: String) throws(ServingError) -> Blob {
    guard let blob = try PictureText.decoded(text) else { throw ServingError(.invalidRequest, "expected base64") }
    return blob
  }

  /// Reads the body of a request of Paddle Serving over HTTP and its pictures.
  ///
  /// - Throws: `invalidRequest`.
  package static func paddleServing(_ body: Blob) throws(ServingError) {
    let document: JSON
    do throws(HGNetError) {
      document = try body.withUnsafeBytes { (bytes) throws(HGNetError) in try JSON(bytes) }
    } catch { throw ServingError(error) }
    for text in (document["value"]?.elements ?? []).compactMap(\.text) { try base64(text) }
  }

  /// Reads what a connection of bRPC brings: each message with its payload, which is unpacked as its meta says.
  ///
  /// - Throws: the first refusal, once all that can be read has been.
  package static func brpc(_ bytes: Blob, bodyLimit: Int) throws(ServingError) {
    var reader = BRPC.Reader(bodyLimit: bodyLimit)
    var refusal: ServingError?
    bytes.withUnsafeBytes { bytes in
      var position = 0
      while true {
        var taken = 0
        let step = reader.step(UnsafeRawBufferPointer(rebasing: bytes[position...]), taken: &taken)
        position += taken
        do throws(ServingError) {
          switch step {
          case .needsMore:
            if position < bytes.count || reader.isInside {
              throw ServingError(.invalidRequest, "expected a whole message of bRPC")
            }
            return
          case .end(let reason): throw ServingError(.invalidRequest, reason)
          case .unanswerable(let reason): throw ServingError(.invalidRequest, reason)
          case .message(let message): _ = try GeneralModel.Request(message.unpacked(limit: bodyLimit))
          }
        } catch {
          refusal = refusal ?? error
          switch step {
          case .needsMore, .end: return
          case .unanswerable, .message: continue
          }
        }
      }
    }
    if let refusal { throw refusal }
  }

  /// Reads a message in each of the protocols; without the trait `Serving` the Open Inference Protocol has none.
  ///
  /// - Throws: `invalidRequest` for bytes that are no message of the Open Inference Protocol, or without the trait none of
  ///   `GeneralModelService`.
  package static func messages(_ bytes: Blob) throws(ServingError) {
    _ = try? PaddleServing.Request(BlobSlice(bytes))
    _ = try? GeneralModel.Request(json: bytes)
    #if Serving
      _ = try? GeneralModel.Request(BlobSlice(bytes))
      let data = bytes.withUnsafeBytes { Data($0) }
      guard let message = try? Inference_ModelInferRequest(serializedBytes: data) else {
        throw ServingError(.invalidRequest, "expected a message of the open inference protocol")
      }
      _ = try OpenInferenceRequest(message).pictures(limit: 16, pixelLimit: 1 << 20)
    #else
      _ = try GeneralModel.Request(BlobSlice(bytes))
    #endif
  }
}
