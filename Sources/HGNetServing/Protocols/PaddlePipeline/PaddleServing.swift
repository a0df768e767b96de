import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetFormats

/// What a client of Paddle Serving's pipeline sends and gets, over either protocol.
package enum PaddleServing {
  /// The name that PaddleClas gives its service; it stands for the default model where no model is named so.
  package static let serviceName = "imagenet"

  /// An answer.
  package struct Answer: Sendable {
    /// 0, or the number of the refusal.
    package var number = 0
    package var message = ""
    package var keys: [String] = []
    package var values: [String] = []
    /// What it is counted as.
    package var refusal: ServingError?
  }

  /// Finds the model of a request, classifies its pictures and counts the answer.
  ///
  /// - Parameters:
  ///   - name: the service that the client names; empty for PaddleClas' own.
  ///   - request: a name for each picture, and the pictures, each a file in base64.
  ///   - transport: the protocol in counts.
  package static func answer(
    _ state: ServingState, name: String, transport: String, started: ContinuousClock.Instant,
    deadline: ContinuousClock.Instant?, _ request: () throws(ServingError) -> (keys: [String], values: [String])
  ) async -> Answer {
    let model: ServedModel
    let keys, values: [String]
    do throws(ServingError) {
      (keys, values) = try request()
      model = try state.repository.paddleModel(named: name.isEmpty ? serviceName : name)
    } catch {
      state.otherRequests.note(transport: transport, operation: "infer", refusal: error.kind)
      return Answer(error)
    }
    let answer = await answer(model: model, keys: keys, values: values, deadline: deadline)
    model.statistics.note(
      transport: transport, refusal: answer.refusal?.kind, duration: ContinuousClock.now - started)
    return answer
  }

  private static func answer(
    model: ServedModel, keys: [String], values: [String], deadline: ContinuousClock.Instant?
  ) async -> Answer {
    do throws(ServingError) {
      guard !values.isEmpty, keys.count == values.count else {
        throw ServingError(
          .invalidRequest, "expected as many keys as values and at least one, found \(keys.count) and \(values.count)")
      }
      var pictures: [PictureInput] = []
      for (key, value) in zip(keys, values) {
        guard let bytes = try PictureText.decoded(value) else {
          throw ServingError(.invalidRequest, "\(key): expected a picture in base64")
        }
        pictures.append(.encoded(BlobSlice(bytes)))
      }
      let result = try await model.run(pictures, deadline: deadline)
      var labels: [String] = []
      var scores: [String] = []
      for (key, logits) in zip(keys, result.logits) {
        do throws(HGNetError) {
          let best = try model.scored(logits.get(), topK: 1).first
          let label = best.map { $0.label ?? "\($0.index)" } ?? ""
          labels.append(PythonLiteral.quoted(label.filter { $0 != "," }))
          scores.append("\(Double(Float(best?.score ?? 0)))")
        } catch {
          let refusal = ServingError(error)
          throw ServingError(refusal.kind, "\(key): \(refusal.message)")
        }
      }
      return Answer(
        keys: ["label", "prob"],
        values: ["[\(labels.joined(separator: ", "))]", "[\(scores.joined(separator: ", "))]"])
    } catch {
      return Answer(error)
    }
  }
}

extension PaddleServing.Answer {
  /// A refusal with the number that the pipeline gives it.
  package init(_ error: ServingError) {
    number = error.kind.paddleNumber
    message = error.message
    refusal = error
  }

  /// The answer over HTTP.
  var json: JSONText {
    .object([
      ("err_no", .integer(number)), ("err_msg", .text(message)), ("key", .list(keys.map { .text($0) })),
      ("value", .list(values.map { .text($0) })), ("tensors", .list([])),
    ])
  }
}

extension ServingError.Kind {
  /// The number in Paddle Serving's pipeline.
  package var paddleNumber: Int {
    switch self {
    case .notFound: 3002
    case .unavailable: 3001
    case .unsupported, .methodNotAllowed: 3000
    case .invalidRequest, .tooLarge: 5000
    case .requestTimeout, .deadlineExceeded: 6000
    case .overloaded, .cancelled: 9000
    case .unauthorized: 50
    case .internalFailure: 10000
    }
  }
}
