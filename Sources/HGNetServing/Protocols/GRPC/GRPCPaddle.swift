#if Serving
  import GRPCCore

  /// Paddle Serving's pipeline over gRPC.
  struct GRPCPaddle: PaddlePipelinePipelineService.SimpleServiceProtocol {
    let state: ServingState

    func inference(request: PaddlePipelineRequest, context: ServerContext) async throws -> PaddlePipelineResponse {
      let started = ContinuousClock.now
      let answer = await PaddleServing.answer(
        state, name: request.name, transport: "paddle-grpc", started: started,
        deadline: GRPCGuard.deadline(from: started, state)
      ) { (request.key, request.value) }
      return .with {
        $0.errNo = Int32(answer.number)
        $0.errMsg = answer.message
        $0.key = answer.keys
        $0.value = answer.values
      }
    }
  }
#endif
