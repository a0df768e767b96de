import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetFormats

/// What a client of Paddle Serving's pipeline sends and gets, over either protocol.
package enum PaddleServing {
  /// The name that PaddleClas gives its service; it stands for the default model where no model is named so.
  package static let serviceName = "imagenet"
  /// A key that is the pipeline's own, not a picture's: the client asks for times.
  package static let profileKey = "pipeline.profile"

  /// The number for keys and values that do not fit together, which the real server finds while it reads the message.
  private static let packageErrorNumber = 8000

  /// A request, whichever protocol it came by.
  package struct Request: Sendable {
    /// The service; empty for PaddleClas' own.
    package var name = ""
    /// The keys and values of the ordinary form.
    package var keys: [String] = []
    package var values: [String] = []
    /// The tensors of the other form.
    package var tensors: [Tensor] = []

    /// An empty one.
    package init() {}
  }

  /// A tensor of the pipeline's messages, as far as it can hold a picture.
  package struct Tensor: Sendable {
    package var name = ""
    /// The number of the type: 12 for texts, 13 for bytes.
    package var elementType = 0
    package var texts: [String] = []

    /// The type whose values are texts.
    static let textType = 12

    /// An empty one.
    package init() {}
  }

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

  /// Finds the model of a request and classifies its pictures; a refusal is noted at the gate.
  package static func answer(_ passage: Passage, _ request: Request) async -> Answer {
    let started = ContinuousClock.now
    var answer: Answer
    do throws(ServingError) { answer = try await classified(passage, request) } catch { answer = Answer(error) }
    if let refusal = answer.refusal { passage.note(refusal: refusal.kind) }
    if request.keys.contains(profileKey) {
      answer.keys.append(profileKey)
      answer.values.append("total:\(Int((ContinuousClock.now - started).inSeconds * 1e6))us")
    }
    return answer
  }

  private static func classified(_ passage: Passage, _ request: Request) async throws(ServingError) -> Answer {
    let name = request.name.isEmpty ? serviceName : request.name
    let isUsual = name == serviceName && !passage.knowsModel(named: name)
    let model = try passage.model(named: isUsual ? nil : name)
    guard request.keys.count == request.values.count else {
      var answer = Answer(
        ServingError(
          .invalidRequest,
          "expected as many keys as values, found \(request.keys.count) and \(request.values.count)"))
      answer.number = packageErrorNumber
      return answer
    }
    let texts = try pictures(of: request)
    var pictures: [PictureInput] = []
    for (key, value) in texts {
      guard let bytes = try PictureText.decoded(value) else {
        throw ServingError(.invalidRequest, "\(key): expected a picture in base64")
      }
      pictures.append(.encoded(BlobSlice(bytes)))
    }
    let result = try await model.run(pictures, deadline: passage.deadline)
    var labels: [String] = []
    var scores: [String] = []
    for ((key, _), logits) in zip(texts, result.logits) {
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
  }

  /// The pictures of a request as text, each under its name, of either form.
  private static func pictures(of request: Request) throws(ServingError) -> [(key: String, text: String)] {
    var found = zip(request.keys, request.values).filter { $0.0 != profileKey }.map { (key: $0.0, text: $0.1) }
    for tensor in request.tensors where tensor.name != profileKey {
      guard tensor.elementType == Tensor.textType else {
        throw ServingError(
          .invalidRequest,
          "tensor \"\(tensor.name)\": expected texts, elem_type \(Tensor.textType), each a picture in "
            + "base64; found elem_type \(tensor.elementType)")
      }
      found += tensor.texts.map { (key: tensor.name, text: $0) }
    }
    guard !found.isEmpty else { throw ServingError(.invalidRequest, "expected at least one picture, found none") }
    return found
  }
}

extension PaddleServing.Request {
  /// The body of a request over HTTP.
  package init(_ document: JSON, name: String) {
    self.init()
    self.name = name
    func texts(_ value: JSON?) -> [String] { (value?.elements ?? []).compactMap(\.text) }
    keys = texts(document["key"])
    values = texts(document["value"])
    tensors = (document["tensors"]?.elements ?? []).map { given in
      var tensor = PaddleServing.Tensor()
      tensor.name = given["name"]?.text ?? ""
      tensor.elementType = given["elem_type"]?.integer ?? 0
      tensor.texts = texts(given["str_data"])
      return tensor
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
    case .requestTimeout, .deadlineExceeded: 6000
    case .overloaded, .tooManyRequests, .cancelled: 9000
    case .unauthorized: 50
    // The real server has one number for whatever an operation of its own throws, a bad picture among it.
    case .invalidRequest, .tooLarge, .internalFailure: 10000
    }
  }
}
