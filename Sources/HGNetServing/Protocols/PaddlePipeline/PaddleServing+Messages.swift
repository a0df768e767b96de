import HGNetCore
import HGNetFormats

// The messages of paddle_serving.proto; all of their texts may be anything.

extension PaddleServing {
  /// The name of the service over gRPC.
  static let service = "baidu.paddle_serving.pipeline_serving.PipelineService"
}

extension PaddleServing.Request {
  /// Reads a message.
  ///
  /// - Throws: `invalidRequest` for bytes that are none; fields that are not known are skipped.
  package init(_ message: BlobSlice) throws(ServingError) {
    self.init()
    do throws(HGNetError) {
      for field in try ProtobufField.all(in: message, maximumCount: 1 << 12) {
        switch (field.number, field.value) {
        case (1, .bytes): keys.append(field.text)
        case (2, .bytes): values.append(field.text)
        case (3, .bytes(let bytes)): tensors.append(try PaddleServing.Tensor(bytes))
        case (4, .bytes): name = field.text
        default: break
        }
      }
    } catch { throw ServingError(.invalidRequest, "the message cannot be read: \(error.message)") }
  }
}

extension PaddleServing.Tensor {
  fileprivate init(_ message: BlobSlice) throws(HGNetError) {
    self.init()
    for field in try ProtobufField.all(in: message, maximumCount: 1 << 12) {
      switch (field.number, field.value) {
      case (9, .bytes): texts.append(field.text)
      case (20, .number): elementType = Int(Int32(truncatingIfNeeded: field.integer))
      case (23, .bytes): name = field.text
      default: break
      }
    }
  }
}

extension PaddleServing.Answer {
  /// The message.
  package var bytes: [UInt8] {
    var message = ProtobufEncoder()
    if number != 0 { message.integer(1, number) }
    if !self.message.isEmpty { message.text(2, self.message) }
    for key in keys { message.text(3, key) }
    for value in values { message.text(4, value) }
    return message.bytes
  }
}
