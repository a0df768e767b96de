import HGNetCore
import HGNetFormats

/// Answers messages of `baidu_std`, without a network.
///
/// Threads: safe to share.
package struct BRPCService: Sendable {
  /// What is answered from.
  package let state: ServingState
  /// The most bytes of a payload, packed or not.
  private let bodyLimit: Int

  /// - Parameters:
  ///   - state: what is answered from.
  ///   - bodyLimit: the most bytes of a payload, packed or not.
  package init(state: ServingState, bodyLimit: Int) {
    self.state = state
    self.bodyLimit = bodyLimit
  }

  /// What a connection says of its requests.
  package struct Connection: Sendable {
    package var authorization: String?
    package var clientAddress: String?
    package var departure: ClientDeparture?
    /// Whether the server takes nothing new, so that another should be asked.
    package var isEnding = false

    /// Nothing.
    package init() {}
  }

  /// Answers a message.
  ///
  /// - Returns: the bytes of the answer.
  package func answer(_ message: BRPC.Message, on connection: Connection = Connection()) async -> [UInt8] {
    let meta = message.meta
    let given =
      [meta.requestID, meta.logID == 0 ? "" : "\(meta.logID)"].first { !$0.isEmpty }
    var call = ServingCall(
      transport: BRPC.name, protocolName: BRPC.name, method: meta.method.isEmpty ? "-" : meta.method,
      operation: "infer", id: given)
    if meta.traceID != 0 { call.traceID = String(UInt64(bitPattern: Int64(meta.traceID)), radix: 16) }
    call.authorization = connection.authorization
    call.clientAddress = connection.clientAddress
    call.departure = connection.departure
    if meta.timeout > 0 { call.clientDeadline = call.started + .milliseconds(meta.timeout) }
    let result = await state.pass(call) { (passage) throws(ServingError) in
      passage.note(byteCount: message.size)
      guard !connection.isEnding else { throw ServingError(.unavailable, "the server is about to end") }
      try check(meta)
      let payload = try message.unpacked(limit: bodyLimit)
      return try await GeneralModel.answer(passage, GeneralModel.Request(payload)).bytes
    }
    return BRPC.answer(to: meta.correlationID, result, packing: meta.packing)
  }

  /// Finds the service and the method; the words are those of a real server.
  private func check(_ meta: BRPC.Meta) throws(ServingError) {
    guard GeneralModel.service == meta.service || GeneralModel.fullService == meta.service else {
      if meta.service.contains(".") {
        throw ServingError(.methodNotAllowed, "Fail to find method=\(meta.service)/\(meta.method)")
      }
      throw ServingError(.notFound, "Fail to find service=\(meta.service)")
    }
    guard GeneralModel.methods.contains(meta.method) else {
      throw ServingError(.methodNotAllowed, "Fail to find method=\(GeneralModel.fullService)/\(meta.method)")
    }
  }
}

extension BRPC.Message {
  /// The payload as it was before it was packed.
  ///
  /// - Parameter limit: the most bytes that may come out.
  /// - Throws: `tooLarge`, `invalidRequest`, `unsupported`.
  func unpacked(limit: Int) throws(ServingError) -> BlobSlice {
    let payload = try payload.get()
    do throws(HGNetError) {
      switch meta.packing {
      case 0: return payload
      case 1: return BlobSlice(try Snappy.unpack(payload, limit: limit))
      case 2: return BlobSlice(try Packing.gzip.unpack(payload, limit: limit))
      case 3: return BlobSlice(try Packing.zlib.unpack(payload, limit: limit))
      default:
        throw HGNetError(
          .unsupported,
          "expected compress_type 0 (none), 1 (snappy), 2 (gzip) or 3 (zlib), found \(meta.packing)")
      }
    } catch { throw ServingError(ServingError(error).kind, "Fail to parse request message: \(error.message)") }
  }
}

extension BRPC {
  /// The name in the log and in counts.
  static let name = "brpc"
}
