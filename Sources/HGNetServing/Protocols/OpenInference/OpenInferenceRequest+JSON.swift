import HGNetCore
import HGNetFormats

extension OpenInferenceRequest {
  /// Reads the body of an inference request over HTTP.
  ///
  /// - Parameters:
  ///   - body: all bytes of the body.
  ///   - headerLength: the bytes of JSON at its start, where binary tensors follow; nil for JSON alone.
  /// - Throws: `invalidRequest` saying which member is wrong.
  package init(body: Blob, headerLength: Int?) throws(ServingError) {
    let length = headerLength ?? body.count
    guard (0...body.count).contains(length) else {
      throw ServingError(
        .invalidRequest,
        "Inference-Header-Content-Length: expected at most the \(body.count) bytes of the body, found \(length)")
    }
    let document: JSON
    do throws(HGNetError) {
      document = try body.withUnsafeBytes { (bytes) throws(HGNetError) in
        try JSON(UnsafeRawBufferPointer(rebasing: bytes[..<length]))
      }
    } catch {
      throw ServingError(.invalidRequest, "the body is no JSON: \(error.message)")
    }
    guard document.members != nil else { throw ServingError(.invalidRequest, "expected a JSON object") }
    self.init()
    id = try document["id"]?.requiredText("id") ?? ""
    parameters = try document["parameters"]?.requiredMembers("parameters") ?? []
    guard let inputs = document["inputs"]?.elements else {
      throw ServingError(.invalidRequest, "inputs: expected a list of tensors")
    }
    var binary = BinaryTail(body: body, next: length)
    for (index, input) in inputs.enumerated() {
      self.inputs.append(try Input(input, place: "inputs[\(index)]", binary: &binary))
    }
    guard binary.next == body.count else {
      throw ServingError(
        .invalidRequest, "the body has \(body.count - binary.next) bytes more than its binary_data_size say")
    }
    for (index, output) in try (document["outputs"]?.requiredElements("outputs") ?? []).enumerated() {
      outputs.append(try Output(output, place: "outputs[\(index)]"))
    }
  }
}

/// The binary tensors after the JSON.
private struct BinaryTail {
  let body: Blob
  var next: Int

  mutating func take(_ count: Int, place: String) throws(ServingError) -> BlobSlice {
    guard count >= 0, count <= body.count - next else {
      throw ServingError(
        .invalidRequest, "\(place).parameters.binary_data_size: expected at most \(body.count - next), found \(count)")
    }
    do throws(HGNetError) {
      let slice = try BlobSlice(body, range: next..<next + count)
      next += count
      return slice
    } catch { throw ServingError(error) }
  }
}

extension OpenInferenceRequest.Input {
  fileprivate init(_ json: JSON, place: String, binary: inout BinaryTail) throws(ServingError) {
    name = try json["name"].required(place + ".name").requiredText(place + ".name")
    datatype = try json["datatype"].required(place + ".datatype").requiredText(place + ".datatype")
    shape = []
    for extent in try json["shape"].required(place + ".shape").requiredElements(place + ".shape") {
      guard let extent = extent.integer else {
        throw ServingError(.invalidRequest, "\(place).shape: expected whole numbers")
      }
      shape.append(extent)
    }
    let parameters = try json["parameters"]?.requiredMembers(place + ".parameters") ?? []
    for key in ["shared_memory_region", "shared_memory_offset"] where parameters.contains(where: { $0.key == key }) {
      throw ServingError(.unsupported, "\(place): shared memory is not supported; send the data in the request")
    }
    if let size = parameters.first(where: { $0.key == "binary_data_size" })?.value {
      guard let size = size.integer else {
        throw ServingError(.invalidRequest, "\(place).parameters.binary_data_size: expected a whole number")
      }
      contents = .raw(try binary.take(size, place: place))
    } else {
      let data = try json["data"].required(place + ".data").requiredElements(place + ".data")
      contents = try Self.contents(data, isText: datatype == "BYTES", place: place + ".data")
    }
  }

  /// The values of a list that may be nested.
  private static func contents(
    _ data: [JSON], isText: Bool, place: String
  ) throws(ServingError) -> OpenInferenceRequest.Contents {
    var texts: [String] = []
    var numbers: [Double] = []
    func collect(_ values: [JSON]) throws(ServingError) {
      for value in values {
        switch value {
        case .array(let inner): try collect(inner)
        case .string(let text) where isText: texts.append(text)
        case .integer(let number) where !isText: numbers.append(Double(number))
        case .number(let number) where !isText: numbers.append(number)
        default: throw ServingError(.invalidRequest, "\(place): expected \(isText ? "texts" : "numbers")")
        }
      }
    }
    try collect(data)
    return isText ? .base64(texts) : .numbers(numbers)
  }
}

extension OpenInferenceRequest.Output {
  fileprivate init(_ json: JSON, place: String) throws(ServingError) {
    name = try json["name"].required(place + ".name").requiredText(place + ".name")
    for parameter in try json["parameters"]?.requiredMembers(place + ".parameters") ?? [] {
      switch (parameter.key, parameter.value) {
      case ("classification", .integer(let count)) where count >= 0: classCount = count
      case ("binary_data", .bool(let value)): isBinary = value
      case ("classification", _), ("binary_data", _):
        throw ServingError(
          .invalidRequest,
          "\(place).parameters.\(parameter.key): expected "
            + (parameter.key == "binary_data" ? "true or false" : "a number of classes"))
      default: break
      }
    }
  }
}

extension JSON? {
  fileprivate func required(_ place: String) throws(ServingError) -> JSON {
    guard let self else { throw ServingError(.invalidRequest, "\(place): expected a value, found nothing") }
    return self
  }
}

extension JSON {
  fileprivate func requiredText(_ place: String) throws(ServingError) -> String {
    guard let text else { throw ServingError(.invalidRequest, "\(place): expected a text") }
    return text
  }

  fileprivate func requiredElements(_ place: String) throws(ServingError) -> [JSON] {
    guard let elements else { throw ServingError(.invalidRequest, "\(place): expected a list") }
    return elements
  }

  fileprivate func requiredMembers(_ place: String) throws(ServingError) -> [Member] {
    guard let members else { throw ServingError(.invalidRequest, "\(place): expected an object") }
    return members
  }
}

extension OpenInferenceResponse {
  /// The body over HTTP.
  ///
  /// - Returns: the bytes, and how many of them are JSON where binary tensors follow.
  package func body() -> (bytes: [UInt8], headerLength: Int?) {
    var members: [(String, JSONText)] = [("model_name", .text(modelName)), ("model_version", .text(modelVersion))]
    if !id.isEmpty { members.append(("id", .text(id))) }
    if !parameters.isEmpty { members.append(("parameters", .object(parameters.map { ($0.key, JSONText($0.value)) }))) }
    var tail: [UInt8] = []
    var hasTail = false
    members.append(
      (
        "outputs",
        .list(
          outputs.map { output in
            var described: [(String, JSONText)] = [
              ("name", .text(output.name)), ("datatype", .text(output.datatype)),
              ("shape", .list(output.shape.map { .integer($0) })),
            ]
            if output.isBinary {
              let raw = output.contents.raw
              hasTail = true
              tail += raw
              described.append(("parameters", .object([("binary_data_size", .integer(raw.count))])))
            } else {
              described.append(("data", output.contents.json))
            }
            return .object(described)
          })
      ))
    let text = Array(JSONText.object(members).line.utf8)
    return (text + tail, hasTail ? text.count : nil)
  }
}
