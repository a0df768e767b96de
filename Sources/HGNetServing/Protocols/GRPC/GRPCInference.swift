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
      .with { $0.live = true }
    }

    func serverReady(request: Inference_ServerReadyRequest, context: ServerContext) async throws
      -> Inference_ServerReadyResponse
    {
      .with { $0.ready = state.isReady }
    }

    func modelReady(request: Inference_ModelReadyRequest, context: ServerContext) async throws
      -> Inference_ModelReadyResponse
    {
      let isReady = (try? state.repository.model(named: request.name, version: request.version)) != nil
      return .with { $0.ready = isReady && !state.isDraining }
    }

    func serverMetadata(request: Inference_ServerMetadataRequest, context: ServerContext) async throws
      -> Inference_ServerMetadataResponse
    {
      .with {
        $0.name = Descriptions.serverName
        $0.version = Descriptions.serverVersion
        $0.extensions = Descriptions.extensions
      }
    }

    func modelMetadata(request: Inference_ModelMetadataRequest, context: ServerContext) async throws
      -> Inference_ModelMetadataResponse
    {
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

    /// Runs a request and counts it.
    private func infer(_ message: Inference_ModelInferRequest) async throws -> Inference_ModelInferResponse {
      let started = ContinuousClock.now
      let model: ServedModel
      do throws(ServingError) {
        model = try state.repository.model(named: message.modelName, version: message.modelVersion)
      } catch {
        state.otherRequests.note(transport: "grpc", operation: "infer", refusal: error.kind)
        throw error
      }
      var refusal: ServingError.Kind?
      defer {
        let duration = ContinuousClock.now - started
        model.statistics.note(transport: "grpc", refusal: refusal, duration: duration)
        state.log.write(
          .info, "request",
          [
            ("request", message.id), ("protocol", "grpc"), ("method", "ModelInfer"),
            ("model", "\(model.name)/\(model.version)"), ("outcome", refusal?.rawValue ?? "ok"),
            ("milliseconds", FixedPoint.text(duration.inSeconds * 1e3, digits: 3)),
          ])
      }
      do throws(ServingError) {
        let request = try OpenInferenceRequest(message)
        let deadline = GRPCGuard.deadline(from: started, state)
        let work = Task { () -> Result<OpenInferenceResponse, ServingError> in
          do throws(ServingError) { return .success(try await model.infer(request, deadline: deadline)) } catch {
            return .failure(error)
          }
        }
        // A client that has gone takes its pictures along.
        let result = await withRPCCancellationHandler {
          await work.value
        } onCancelRPC: {
          work.cancel()
        }
        return try result.get().message
      } catch {
        // The transport gives up a request whose time is over.
        let isLate = error.kind == .cancelled && (GRPCGuard.deadline.map { $0 < .now + .milliseconds(50) } ?? false)
        let told = isLate ? ServingError(.deadlineExceeded, "the time of the request is over") : error
        refusal = told.kind
        throw told
      }
    }

    func modelConfig(request: Inference_ModelConfigRequest, context: ServerContext) async throws
      -> Inference_ModelConfigResponse
    {
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

    func modelStatistics(request: Inference_ModelStatisticsRequest, context: ServerContext) async throws
      -> Inference_ModelStatisticsResponse
    {
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

    func repositoryIndex(request: Inference_RepositoryIndexRequest, context: ServerContext) async throws
      -> Inference_RepositoryIndexResponse
    {
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

    func repositoryModelLoad(request: Inference_RepositoryModelLoadRequest, context: ServerContext) async throws
      -> Inference_RepositoryModelLoadResponse
    {
      try await state.repository.load(request.modelName)
      return Inference_RepositoryModelLoadResponse()
    }

    func repositoryModelUnload(request: Inference_RepositoryModelUnloadRequest, context: ServerContext) async throws
      -> Inference_RepositoryModelUnloadResponse
    {
      try state.repository.unload(request.modelName)
      return Inference_RepositoryModelUnloadResponse()
    }
  }
#endif
