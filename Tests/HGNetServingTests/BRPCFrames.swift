import HGNetCore
import HGNetFormats
import HGNetServing

/// Messages of bRPC as a client makes and reads them.
enum BRPCFrames {
  /// An answer of the server.
  struct Answer {
    var number = 0
    var text = ""
    var correlationID = 0
    var packing = 0
    var payload: [UInt8] = []
  }

  /// A tensor of an answer.
  struct Output {
    var alias = ""
    var elementType = 0
    var shape: [Int] = []
    var floats: [Float] = []
    var integers: [Int] = []
    var texts: [String] = []
  }

  /// Something that is no message.
  struct Malformed: Error {}

  static func bytes(_ hex: String) -> [UInt8] {
    let digits = Array(hex.utf8)
    return stride(from: 0, to: digits.count - 1, by: 2).map {
      UInt8(String(decoding: digits[$0...($0 + 1)], as: UTF8.self), radix: 16) ?? 0
    }
  }

  // MARK: - The server's side

  static func messages(_ hex: String) -> [BRPC.Message] { messages(of: bytes(hex)) }

  /// What a connection cuts out of bytes that come in pieces.
  static func messages(of bytes: [UInt8], piece: Int = .max) -> [BRPC.Message] { steps(bytes, piece: piece).messages }

  static func steps(
    _ bytes: [UInt8], piece: Int = .max
  ) -> (messages: [BRPC.Message], reason: String?, isOver: Bool) {
    var reader = BRPC.Reader(bodyLimit: 1 << 20)
    var (messages, reason, waiting): ([BRPC.Message], String?, [UInt8]) = ([], nil, [])
    var start = 0
    while start < bytes.count {
      let end = piece == .max ? bytes.count : min(bytes.count, start + piece)
      waiting += bytes[start..<end]
      start = end
      steps: while true {
        var taken = 0
        let step = waiting.withUnsafeBytes { reader.step($0, taken: &taken) }
        waiting.removeFirst(taken)
        switch step {
        case .needsMore: break steps
        case .message(let message): messages.append(message)
        case .unanswerable(let text): reason = text
        case .end(let text): return (messages, text, true)
        }
      }
    }
    return (messages, reason, false)
  }

  // MARK: - The client's side

  static func text(_ bytes: [UInt8]) -> [UInt8] { texts([bytes]) }

  static func texts(_ all: [[UInt8]]) -> [UInt8] {
    var tensor = ProtobufEncoder()
    for bytes in all { tensor.data(9, bytes) }
    tensor.integer(10, 20)
    tensor.integer(11, 1)
    tensor.text(13, "x")
    tensor.text(14, "inputs")
    return tensor.bytes
  }

  static func content(_ bytes: [UInt8], type: Int, shape: [Int]) -> [UInt8] {
    var tensor = ProtobufEncoder()
    tensor.integer(10, type)
    for extent in shape { tensor.integer(11, extent) }
    tensor.data(15, bytes)
    return tensor.bytes
  }

  static func request(_ tensors: [[UInt8]], fetched: [String] = ["prediction"], logID: Int = 0) -> [UInt8] {
    var request = ProtobufEncoder()
    for tensor in tensors { request.data(1, tensor) }
    for name in fetched { request.text(2, name) }
    request.integer(4, logID)
    return request.bytes
  }

  static func frame(
    _ payload: [UInt8], service: String = GeneralModel.fullService, method: String = "inference",
    correlationID: Int = 7, packing: Int = 0, attachment: [UInt8] = [], attachmentSize: Int? = nil,
    token: String? = nil,
    requestID: String? = nil
  ) -> [UInt8] {
    var meta = ProtobufEncoder()
    meta.message(1) { request in
      request.text(1, service)
      request.text(2, method)
      if let requestID { request.text(7, requestID) }
    }
    meta.integer(3, packing)
    meta.integer(4, correlationID)
    if let size = attachmentSize ?? (attachment.isEmpty ? nil : attachment.count) { meta.integer(5, size) }
    if let token { meta.text(7, token) }
    // A field that nobody knows.
    meta.text(99, "later")
    func number(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }
    return BRPC.magic + number(meta.bytes.count + payload.count + attachment.count) + number(meta.bytes.count)
      + meta.bytes + payload + attachment
  }

  /// Reads one whole answer.
  static func answer(_ bytes: [UInt8]) throws -> Answer {
    guard let head = BRPC.Head(bytes), bytes.count == BRPC.headSize + head.bodySize else { throw Malformed() }
    let end = BRPC.headSize + head.metaSize
    var answer = Answer()
    for field in try ProtobufField.all(in: BlobSlice(Blob(bytes[BRPC.headSize..<end]))) {
      switch field.number {
      case 2:
        for inner in try ProtobufField.all(in: field.bytes ?? BlobSlice(Blob([UInt8]()))) {
          if inner.number == 1 { answer.number = inner.integer } else { answer.text = inner.text }
        }
      case 3: answer.packing = field.integer
      case 4: answer.correlationID = field.integer
      default: break
      }
    }
    answer.payload = Array(bytes[end...])
    return answer
  }

  /// The tensors of the answer's message.
  static func outputs(_ payload: [UInt8]) throws -> [Output] {
    var outputs: [Output] = []
    for field in try ProtobufField.all(in: BlobSlice(Blob(payload))) where field.number == 1 {
      guard let output = field.bytes else { throw Malformed() }
      for tensor in try ProtobufField.all(in: output) where tensor.number == 1 {
        guard let bytes = tensor.bytes else { throw Malformed() }
        var made = Output()
        for value in try ProtobufField.all(in: bytes) {
          switch value.number {
          case 1: made.integers += try value.integers()
          case 2: made.floats += try value.floats()
          case 9: made.texts.append(value.text)
          case 10: made.elementType = value.integer
          case 11: made.shape += try value.integers()
          case 14: made.alias = value.text
          default: break
          }
        }
        outputs.append(made)
      }
    }
    return outputs
  }
}
