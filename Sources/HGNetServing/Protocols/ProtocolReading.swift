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

  /// Reads pictures as text; nil for what is not base64.
  package static func base64(_ text: String) -> Blob? { try? PictureText.decoded(text) }

  /// Reads the body of a request of Paddle Serving over HTTP and its pictures.
  ///
  /// - Throws: `invalidRequest`.
  package static func paddleServing(_ body: Blob) throws(ServingError) {
    let document: JSON
    do throws(HGNetError) {
      document = try body.withUnsafeBytes { (bytes) throws(HGNetError) in try JSON(bytes) }
    } catch { throw ServingError(error) }
    for text in (document["value"]?.elements ?? []).compactMap(\.text) { _ = base64(text) }
  }

  /// Reads what a connection of bRPC brings: each message with its payload, which is unpacked as its meta says.
  package static func brpc(_ bytes: Blob, bodyLimit: Int) {
    var reader = BRPC.Reader(bodyLimit: bodyLimit)
    bytes.withUnsafeBytes { bytes in
      var position = 0
      while true {
        var taken = 0
        let step = reader.step(UnsafeRawBufferPointer(rebasing: bytes[position...]), taken: &taken)
        position += taken
        switch step {
        case .needsMore, .end: return
        case .unanswerable: continue
        case .message(let message):
          guard let payload = try? message.unpacked(limit: bodyLimit) else { continue }
          _ = try? GeneralModel.Request(payload)
        }
      }
    }
  }

  /// Reads a message in each of the protocols; without the trait `Serving` the Open Inference Protocol has none.
  ///
  /// - Throws: `invalidRequest` for bytes that follow the last of them not.
  package static func messages(_ bytes: Blob) throws(ServingError) {
    _ = try? PaddleServing.Request(BlobSlice(bytes))
    _ = try? GeneralModel.Request(BlobSlice(bytes))
    _ = try? GeneralModel.Request(json: bytes)
    #if Serving
      let data = bytes.withUnsafeBytes { Data($0) }
      guard let message = try? Inference_ModelInferRequest(serializedBytes: data) else {
        throw ServingError(.invalidRequest, "expected a message of the open inference protocol")
      }
      _ = try OpenInferenceRequest(message).pictures(limit: 16, pixelLimit: 1 << 20)
    #endif
  }
}
