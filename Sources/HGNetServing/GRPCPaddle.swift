#if Serving
  import GRPCCore

  /// Paddle Serving's pipeline over gRPC.
  struct GRPCPaddle: PaddlePipelinePipelineService.SimpleServiceProtocol {
    let state: ServingState

    func inference(request: PaddlePipelineRequest, context: ServerContext) async throws -> PaddlePipelineResponse {
      let started = ContinuousClock.now
      let name = request.name.isEmpty ? PaddleServing.serviceName : request.name
      var found: ServedModel?
      let answer: PaddleServing.Answer
      do throws(ServingError) {
        let model = try state.repository.paddleModel(named: name)
        found = model
        answer = await PaddleServing.answer(
          model: model, keys: request.key, values: request.value, deadline: GRPCGuard.deadline(from: started, state))
      } catch {
        answer = PaddleServing.Answer(error)
      }
      if let found {
        found.statistics.note(
          transport: "paddle-grpc", refusal: answer.refusal?.kind, duration: ContinuousClock.now - started)
      } else {
        state.otherRequests.note(transport: "paddle-grpc", operation: "infer", refusal: answer.refusal?.kind)
      }
      return .with {
        $0.errNo = Int32(answer.number)
        $0.errMsg = answer.message
        $0.key = answer.keys
        $0.value = answer.values
      }
    }
  }
#endif
