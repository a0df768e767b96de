#if Serving
  import GRPCCore
  import HGNetCore

  /// The services of Paddle Serving over gRPC.
  ///
  /// Their messages are read here and not by generated code, since a text in them
  /// may be the bytes of a picture, and since other protocols carry the same ones.
  struct GRPCPaddle: RegistrableRPCService {
    let state: ServingState

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
      register(PaddleServing.service, "inference", transport: "paddle-grpc", with: &router) {
        (passage, message) throws(ServingError) in
        await PaddleServing.answer(passage, try PaddleServing.Request(message)).bytes
      }
      for method in GeneralModel.methods {
        register(GeneralModel.fullService, method, transport: "brpc-grpc", with: &router) {
          (passage, message) throws(ServingError) in
          try await GeneralModel.answer(passage, GeneralModel.Request(message)).bytes
        }
      }
    }

    private func register<Transport: ServerTransport>(
      _ service: String, _ method: String, transport: String, with router: inout RPCRouter<Transport>,
      _ body: @escaping @Sendable (Passage, BlobSlice) async throws(ServingError) -> [UInt8]
    ) {
      let state = state
      router.registerHandler(
        forMethod: MethodDescriptor(fullyQualifiedService: service, method: method),
        deserializer: BytesDeserializer(), serializer: BytesSerializer()
      ) { request, _ in
        let message = try await ServerRequest(stream: request).message
        do throws(ServingError) {
          let answer = try await state.pass(grpc: method, operation: "infer", transport: transport) {
            (passage) throws(ServingError) in
            passage.note(byteCount: message.count)
            return try await body(passage, BlobSlice(message))
          }
          return StreamingServerResponse(single: ServerResponse(message: answer))
        } catch { throw PaddleRefusal(error: error) }
      }
    }

    private struct BytesDeserializer: MessageDeserializer {
      func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> Blob {
        try bytes.withUnsafeBytes { bytes in
          try Blob(allocating: bytes.count, for: "a message of gRPC") { $0.copyMemory(from: bytes) }
        }
      }
    }

    private struct BytesSerializer: MessageSerializer {
      func serialize<Bytes: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Bytes { Bytes(message) }
    }
  }

  /// A refusal of Paddle Serving's services, whose clients may be those of bRPC.
  ///
  /// They take INVALID_ARGUMENT for a server that is down, and repeat at once what gets RESOURCE_EXHAUSTED. So the first is
  /// INTERNAL, as real servers have it for any failure of a model, and the second UNAVAILABLE.
  struct PaddleRefusal: Error, RPCErrorConvertible {
    let error: ServingError

    var rpcErrorCode: RPCError.Code {
      switch error.kind {
      case .invalidRequest: .internalError
      case .overloaded, .tooManyRequests: .unavailable
      default: error.rpcErrorCode
      }
    }

    var rpcErrorMessage: String { error.rpcErrorMessage }

    var rpcErrorMetadata: Metadata { error.rpcErrorMetadata }
  }
#endif
