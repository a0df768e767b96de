import HGNetCore
import HGNetFormats

/// The protocol `baidu_std`: each message is a head of twelve bytes, its meta, a payload and an attachment.
package enum BRPC {
  /// The bytes before a message's meta.
  package static let headSize = 12
  /// What the head begins with.
  package static let magic = Array("PRPC".utf8)
  /// The most bytes of a meta; a client's has about ninety.
  package static let metaLimit = 64 << 10

  /// The head of a message.
  package struct Head: Sendable, Equatable {
    /// Bytes of meta, payload and attachment.
    package let bodySize: Int
    package let metaSize: Int

    /// Reads the twelve bytes; nil for other ones.
    package init?(_ bytes: some Collection<UInt8>) {
      guard bytes.count >= headSize, bytes.starts(with: magic) else { return nil }
      func number(_ bytes: some Sequence<UInt8>) -> Int { bytes.reduce(0) { $0 << 8 | Int($1) } }
      bodySize = number(bytes.dropFirst(4).prefix(4))
      metaSize = number(bytes.dropFirst(8).prefix(4))
    }
  }

  /// What a client says about its request.
  package struct Meta: Sendable {
    package var service = ""
    package var method = ""
    package var logID = 0
    package var traceID = 0
    package var requestID = ""
    /// Milliseconds for which the client waits; 0 where it does not say.
    package var timeout = 0
    package var packing = 0
    /// Goes back as it came.
    package var correlationID = 0
    package var attachmentSize = 0
    /// What names the client, on a connection's first request; nil for none.
    package var authentication: String?
    /// Whether it is a request at all.
    package var isRequest = false
  }

  /// A message of a client, whole.
  package struct Message: Sendable {
    package var meta: Meta
    /// The payload, without the attachment, or why it has not been kept.
    package var payload: Result<BlobSlice, ServingError>
    /// Bytes of the whole message.
    package var size: Int

    /// Puts the parts together.
    package init(meta: Meta, payload: Result<BlobSlice, ServingError>, size: Int) {
      self.meta = meta
      self.payload = payload
      self.size = size
    }
  }
}

extension BRPC.Meta {
  /// Reads a meta.
  ///
  /// - Throws: `HGNetError.Code.malformedData` for bytes that are none; fields that are not known are skipped.
  package init(_ bytes: BlobSlice) throws(HGNetError) {
    self.init()
    for field in try ProtobufField.all(in: bytes, maximumCount: 256) {
      switch (field.number, field.value) {
      case (1, .bytes(let request)):
        isRequest = true
        try read(request: request)
      case (3, .number): packing = Int(Int32(truncatingIfNeeded: field.integer))
      case (4, .number): correlationID = field.integer
      case (5, .number): attachmentSize = Int(Int32(truncatingIfNeeded: field.integer))
      case (7, .bytes(let bytes)):
        authentication = bytes.withUnsafeBytes { String(decoding: $0.prefix(8192), as: UTF8.self) }
      default: break
      }
    }
  }

  private mutating func read(request: BlobSlice) throws(HGNetError) {
    var (hasService, hasMethod) = (false, false)
    for field in try ProtobufField.all(in: request, maximumCount: 256) {
      switch (field.number, field.value) {
      case (1, .bytes): (service, hasService) = (field.text, true)
      case (2, .bytes): (method, hasMethod) = (field.text, true)
      case (3, .number): logID = field.integer
      case (4, .number): traceID = field.integer
      case (7, .bytes): requestID = field.text
      case (8, .number): timeout = Int(Int32(truncatingIfNeeded: field.integer))
      default: break
      }
    }
    guard hasService, hasMethod else {
      throw HGNetError(.malformedData, "expected the names of a service and a method in the meta of a request")
    }
  }
}

extension BRPC {
  /// Bytes of a payload below which packing is not worth it, and above which it takes too long.
  private static let packable = 512...(1 << 20)

  /// The bytes of an answer.
  ///
  /// - Parameters:
  ///   - result: the payload, or why there is none.
  ///   - packing: how the request was packed, since its client can unpack that; the payload is packed likewise if that makes
  ///     it smaller.
  package static func answer(
    to correlationID: Int, _ result: Result<[UInt8], ServingError>, packing: Int = 0
  ) -> [UInt8] {
    var meta = ProtobufEncoder()
    var payload: [UInt8] = []
    var used = 0
    meta.message(2) { response in
      switch result {
      case .success(let bytes):
        response.integer(1, 0)
        payload = bytes
        if let packed = pack(bytes, packing), packed.count < bytes.count { (payload, used) = (packed, packing) }
      case .failure(let error):
        response.integer(1, error.kind.brpcNumber)
        response.text(2, error.message)
      }
    }
    meta.integer(3, used)
    meta.integer(4, correlationID)
    var message = magic
    message.reserveCapacity(headSize + meta.bytes.count + payload.count)
    for size in [meta.bytes.count + payload.count, meta.bytes.count] {
      for shift in stride(from: 24, through: 0, by: -8) { message.append(UInt8(truncatingIfNeeded: size >> shift)) }
    }
    return message + meta.bytes + payload
  }

  private static func pack(_ bytes: [UInt8], _ packing: Int) -> [UInt8]? {
    guard packable.contains(bytes.count) else { return nil }
    switch packing {
    case 1: return Snappy.pack(bytes)
    case 2: return Packing.gzip.pack(bytes)
    case 3: return Packing.zlib.pack(bytes)
    default: return nil
    }
  }
}

extension ServingError.Kind {
  /// The number in bRPC, chosen by what its clients do.
  ///
  /// They repeat a request that gets 2004 twice, at once and on the same
  /// connection, so that a server that has too much to do would get three times as much. What is 2001 they do not repeat.
  /// 2003 sends them to another server.
  package var brpcNumber: Int {
    switch self {
    case .notFound: 1001
    case .methodNotAllowed: 1002
    case .invalidRequest, .tooLarge, .unsupported: 1003
    case .unauthorized: 1004
    case .requestTimeout, .deadlineExceeded: 1008
    case .overloaded, .tooManyRequests, .cancelled, .internalFailure: 2001
    case .unavailable: 2003
    }
  }
}
