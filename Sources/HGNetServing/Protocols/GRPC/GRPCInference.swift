#if Serving
  import Foundation
  import GRPCCore
  import HGNetCore
  import HGNetFormats
  import SwiftProtobuf

  /// The Open Inference Protocol over gRPC.
  struct GRPCInference: Inference_GRPCInferenceService.SimpleServiceProtocol {
    let state: ServingState

    func serverLive(request: Inference_ServerLiveRequest, context: ServerContext) async throws
      -> Inference_ServerLiveResponse
    {
      try await state.pass(grpc: "ServerLive", operation: "health") { (_) throws(ServingError) in
        .with { $0.live = true }
      }
    }

    func serverReady(request: Inference_ServerReadyRequest, context: ServerContext) async throws
      -> Inference_ServerReadyResponse
    {
      let isReady = state.isReady
      return try await state.pass(grpc: "ServerReady", operation: "health") { (_) throws(ServingError) in
        .with { $0.ready = isReady }
      }
    }

    func modelReady(request: Inference_ModelReadyRequest, context: ServerContext) async throws
      -> Inference_ModelReadyResponse
    {
      try await state.pass(grpc: "ModelReady", operation: "health") { (_) throws(ServingError) in
        let isReady = (try? state.repository.model(named: request.name, version: request.version)) != nil
        return .with { $0.ready = isReady && !state.isDraining }
      }
    }

    func serverMetadata(request: Inference_ServerMetadataRequest, context: ServerContext) async throws
      -> Inference_ServerMetadataResponse
    {
      try await state.pass(grpc: "ServerMetadata", operation: "metadata") { (_) throws(ServingError) in
        .with {
          $0.name = Descriptions.serverName
          $0.version = Descriptions.serverVersion
          $0.extensions = Descriptions.extensions
        }
      }
    }

    func modelMetadata(request: Inference_ModelMetadataRequest, context: ServerContext) async throws
      -> Inference_ModelMetadataResponse
    {
      try await state.pass(grpc: "ModelMetadata", operation: "metadata") { (_) throws(ServingError) in
        let model = try state.repository.model(named: request.name, version: request.version)
        func described(_ tensor: ServedModel.TensorDescription) -> Inference_ModelMetadataResponse.TensorMetadata {
          .with {
            $0.name = tensor.name
            $0.datatype = tensor.datatype
            $0.shape = tensor.shape.map { Int64($0) }
          }
        }
        return .with {
          $0.name = model.name
          $0.versions = state.repository.versions(of: model.name)
          $0.platform = Descriptions.platform
          $0.inputs = model.inputs.map(described)
          $0.outputs = model.outputs.map(described)
        }
      }
    }

    func modelInfer(request: Inference_ModelInferRequest, context: ServerContext) async throws
      -> Inference_ModelInferResponse
    {
      try await infer(request)
    }

    func modelStreamInfer(
      request: RPCAsyncSequence<Inference_ModelInferRequest, any Error>,
      response: RPCWriter<Inference_ModelStreamInferResponse>, context: ServerContext
    ) async throws {
      for try await message in request {
        let answer: Inference_ModelStreamInferResponse
        do {
          let result = try await infer(message)
          answer = .with { $0.inferResponse = result }
        } catch let error as ServingError {
          // The stream goes on after a request that is refused.
          answer = .with {
            $0.errorMessage = error.message
            $0.inferResponse.id = message.id
          }
        }
        try await response.write(answer)
      }
    }

    private func infer(_ message: Inference_ModelInferRequest) async throws -> Inference_ModelInferResponse {
      try await state.pass(grpc: "ModelInfer", operation: "infer", id: message.id) {
        (passage) throws(ServingError) in
        let model = try passage.model(named: message.modelName, version: message.modelVersion)
        return try await model.infer(OpenInferenceRequest(message), deadline: passage.deadline).message
      }
    }

    func modelConfig(request: Inference_ModelConfigRequest, context: ServerContext) async throws
      -> Inference_ModelConfigResponse
    {
      try await state.pass(grpc: "ModelConfig", operation: "metadata") { (_) throws(ServingError) in
        let model = try state.repository.model(named: request.name, version: request.version)
        func type(_ datatype: String) -> Inference_DataType {
          switch datatype {
          case "BYTES": .typeString
          case "FP32": .typeFp32
          case "INT64": .typeInt64
          default: .typeInvalid
          }
        }
        return .with { response in
          response.config.name = model.name
          response.config.platform = Descriptions.platform
          response.config.backend = Descriptions.platform
          response.config.maxBatchSize = Int32(clamping: model.pictureLimit)
          response.config.dynamicBatching = Inference_ModelDynamicBatching()
          response.config.input = model.inputs.map { tensor in
            .with {
              $0.name = tensor.name
              $0.dataType = type(tensor.datatype)
              $0.dims = tensor.dimensions.map { Int64($0) }
              $0.optional = true
            }
          }
          response.config.output = model.outputs.map { tensor in
            .with {
              $0.name = tensor.name
              $0.dataType = type(tensor.datatype)
              $0.dims = tensor.dimensions.map { Int64($0) }
            }
          }
        }
      }
    }

    func modelStatistics(request: Inference_ModelStatisticsRequest, context: ServerContext) async throws
      -> Inference_ModelStatisticsResponse
    {
      try await state.pass(grpc: "ModelStatistics", operation: "metadata") { (_) throws(ServingError) in
        let models =
          request.name.isEmpty
          ? state.repository.models : [try state.repository.model(named: request.name, version: request.version)]
        func duration(_ total: ModelStatistics.Total) -> Inference_StatisticDuration {
          .with {
            $0.count = UInt64(total.count)
            $0.ns = UInt64(max(0, total.nanoseconds))
          }
        }
        return .with { response in
          response.modelStats = models.map { model in
            let totals = model.statistics.current
            return .with {
              $0.name = model.name
              $0.version = model.version
              $0.inferenceCount = UInt64(totals.pictureCount)
              $0.executionCount = UInt64(totals.batchCount.rounded())
              $0.inferenceStats.success = duration(totals.success)
              $0.inferenceStats.fail = duration(totals.failure)
              $0.inferenceStats.queue = duration(totals.queue)
              $0.inferenceStats.computeInput = duration(totals.prepare)
              $0.inferenceStats.computeInfer = duration(totals.compute)
            }
          }
        }
      }
    }

    func repositoryIndex(request: Inference_RepositoryIndexRequest, context: ServerContext) async throws
      -> Inference_RepositoryIndexResponse
    {
      try await state.pass(grpc: "RepositoryIndex", operation: "repository") { (_) throws(ServingError) in
        let entries = state.repository.index.filter { $0.isReady || !request.ready }
        return .with { response in
          response.models = entries.map { entry in
            .with {
              $0.name = entry.name
              $0.version = entry.version
              $0.state = entry.isReady ? "READY" : "UNAVAILABLE"
              $0.reason = entry.reason
            }
          }
        }
      }
    }

    func repositoryModelLoad(request: Inference_RepositoryModelLoadRequest, context: ServerContext) async throws
      -> Inference_RepositoryModelLoadResponse
    {
      try await state.pass(grpc: "RepositoryModelLoad", operation: "repository") { (_) throws(ServingError) in
        try await state.repository.load(request.modelName)
        return Inference_RepositoryModelLoadResponse()
      }
    }

    func repositoryModelUnload(request: Inference_RepositoryModelUnloadRequest, context: ServerContext) async throws
      -> Inference_RepositoryModelUnloadResponse
    {
      try await state.pass(grpc: "RepositoryModelUnload", operation: "repository") { (_) throws(ServingError) in
        try state.repository.unload(request.modelName)
        return Inference_RepositoryModelUnloadResponse()
      }
    }
  }
#endif
