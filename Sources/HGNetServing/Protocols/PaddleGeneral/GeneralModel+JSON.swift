import HGNetCore
import HGNetFormats

extension GeneralModel.Request {
  /// Reads a message in JSON, with the names that the messages' description has; an empty body is an empty message.
  ///
  /// - Throws: `invalidRequest`.
  package init(json body: Blob) throws(ServingError) {
    self.init()
    guard body.count > 0 else { return }
    let document: JSON
    do throws(HGNetError) {
      document = try body.withUnsafeBytes { (bytes) throws(HGNetError) in try JSON(bytes) }
    } catch { throw ServingError(.invalidRequest, "the body is no JSON: \(error.message)") }
    guard let members = document.members else { throw ServingError(.invalidRequest, "expected an object of JSON") }
    for member in members {
      switch member.key {
      case "tensor":
        for tensor in try Self.list(member) { tensors.append(try GeneralModel.Tensor(tensor)) }
      case "fetch_var_names": fetched = try Self.texts(member)
      case "profile_server": wantsProfile = member.value == .bool(true)
      case "log_id": logID = UInt64(bitPattern: Int64(try Self.integer(member.value, of: member.key)))
      default: break
      }
    }
  }

  fileprivate static func list(_ member: JSON.Member) throws(ServingError) -> [JSON] {
    guard let elements = member.value.elements else {
      throw ServingError(.invalidRequest, "\(member.key): expected a list")
    }
    return elements
  }

  fileprivate static func texts(_ member: JSON.Member) throws(ServingError) -> [String] {
    var texts: [String] = []
    for element in try list(member) {
      guard let text = element.text else { throw ServingError(.invalidRequest, "\(member.key): expected texts") }
      texts.append(text)
    }
    return texts
  }

  /// A whole number, which may be written as a text.
  fileprivate static func integer(_ value: JSON, of key: String) throws(ServingError) -> Int {
    guard let number = value.integer ?? value.text.flatMap({ Int($0) }) else {
      throw ServingError(.invalidRequest, "\(key): expected whole numbers")
    }
    return number
  }

  fileprivate static func numbers(_ member: JSON.Member) throws(ServingError) -> [Double] {
    var numbers: [Double] = []
    for element in try list(member) {
      guard let number = element.double else { throw ServingError(.invalidRequest, "\(member.key): expected numbers") }
      numbers.append(number)
    }
    return numbers
  }
}

extension GeneralModel.Tensor {
  fileprivate init(_ document: JSON) throws(ServingError) {
    self.init()
    guard let members = document.members else { throw ServingError(.invalidRequest, "tensor: expected objects") }
    for member in members {
      switch member.key {
      case "name": name = member.value.text ?? ""
      case "alias_name": alias = member.value.text ?? ""
      case "elem_type": elementType = try GeneralModel.Request.integer(member.value, of: member.key)
      case "shape":
        for element in try GeneralModel.Request.list(member) {
          shape.append(try GeneralModel.Request.integer(element, of: member.key))
        }
        guard shape.count <= 16 else { throw ServingError(.invalidRequest, "shape: expected at most 16 sizes") }
      case "float_data": floats = try GeneralModel.Request.numbers(member).map { Float($0) }
      case "float64_data": doubles = try GeneralModel.Request.numbers(member)
      case "data": texts = try GeneralModel.Request.texts(member).map { BlobSlice(Blob(Array($0.utf8))) }
      case "tensor_content":
        guard let bytes = try PictureText.decoded(member.value.text ?? "") else {
          throw ServingError(.invalidRequest, "tensor_content: expected bytes in base64")
        }
        content = BlobSlice(bytes)
      default: break
      }
    }
  }
}

extension GeneralModel.Response {
  /// The message in JSON; what has its usual value is left out.
  package var json: JSONText {
    var members: [(String, JSONText)] = [
      (
        "outputs",
        .list([.object([("tensor", .list(outputs.map(\.json))), ("engine_name", .text(engine))])])
      ),
      ("profile_time", .list([.integer(times.began), .integer(times.ended)])),
    ]
    if wantsProfile { members.append(("profile_server", .boolean(true))) }
    if logID != 0 { members.append(("log_id", Int(exactly: logID).map { .integer($0) } ?? .text("\(logID)"))) }
    return .object(members)
  }
}

extension GeneralModel.Output {
  fileprivate var json: JSONText {
    var members: [(String, JSONText)] = []
    switch contents {
    case .floats(let values): members.append(("float_data", .list(values.map { .number(Double($0)) })))
    case .integers(let values): members.append(("int64_data", .list(values.map { .integer(Int($0)) })))
    case .texts(let texts): members.append(("data", .list(texts.map { .text($0) })))
    }
    if elementType != 0 { members.append(("elem_type", .integer(elementType))) }
    members += [
      ("shape", .list(shape.map { .integer($0) })), ("name", .text(name)), ("alias_name", .text(name)),
    ]
    return .object(members)
  }
}
