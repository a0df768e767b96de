import HGNetCore
import HGNetFormats

extension HTTPRoutes {
  /// Answers a call of `GeneralModelService`, in JSON or as a message of protobuf.
  ///
  /// - Throws: as `GeneralModel.answer`.
  func generalModel(_ call: HTTPCall, _ passage: Passage, method: String) async throws(ServingError) -> HTTPAnswer {
    guard GeneralModel.methods.contains(method) else {
      throw ServingError(
        .methodNotAllowed,
        "Fail to find method=\(method) in \(GeneralModel.fullService); there are: "
          + GeneralModel.methods.sorted().joined(separator: ", "))
    }
    let type = call.fields["content-type"] ?? "application/json"
    let isMessage = ["application/proto", "application/x-protobuf"].contains(
      type.split(separator: ";").first.map { $0.lowercased() } ?? "")
    let request =
      isMessage
      ? try GeneralModel.Request(BlobSlice(call.body)) : try GeneralModel.Request(json: call.body)
    let response = try await GeneralModel.answer(passage, request)
    return HTTPAnswer(
      fields: [("content-type", type)], body: isMessage ? response.bytes : Array(response.json.line.utf8))
  }
}

extension HTTPAnswer {
  /// A refusal in the words of what a path stands for.
  init(_ error: ServingError, to route: HTTPRoute?) {
    guard case .generalModel = route else {
      self.init(error)
      if error.kind == .methodNotAllowed, let route {
        fields.append(("allow", route.methods.joined(separator: ", ")))
      }
      return
    }
    let number = error.kind.brpcNumber
    // The status that servers of bRPC give a number.
    let status =
      switch number {
      case 1001, 1002: 404
      case 1003: 400
      case 1004: 401
      case 1008: 504
      case 2003: 503
      default: 500
      }
    self.init(
      status: status, fields: [("content-type", "text/plain"), ("x-bd-error-code", "\(number)")],
      body: Array(error.message.utf8))
    if let seconds = error.retryAfter { fields.append(("retry-after", "\(seconds)")) }
  }
}
