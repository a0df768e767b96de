import Foundation

/// The part of JSON Schema (draft 2020-12) that `Documentation/json-output.schema.json` uses; any other keyword is an error.
struct JSONSchema {
  private let definitions: [String: Any]

  init(contentsOf url: URL) throws {
    let root = try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any]
    definitions = root?["$defs"] as? [String: Any] ?? [:]
  }

  /// The names of the definitions.
  var names: Set<String> { Set(definitions.keys) }

  /// What is wrong with a value, by the definition of a name; empty if nothing is.
  ///
  /// - Parameter isClosed: whether keys that the schema does not name are wrong, too.
  func faults(_ value: Any, as name: String, isClosed: Bool = true) -> [String] {
    faults(value, ["$ref": "#/$defs/\(name)"], at: name, isClosed: isClosed)
  }

  private func faults(_ value: Any, _ schema: [String: Any], at place: String, isClosed: Bool) -> [String] {
    var faults: [String] = []
    for (keyword, rule) in schema {
      switch (keyword, rule) {
      case ("description", _), ("required", _): break
      case ("$ref", let name as String):
        guard let target = definitions[name.replacingOccurrences(of: "#/$defs/", with: "")] as? [String: Any] else {
          return ["\(place): no definition \(name)"]
        }
        faults += self.faults(value, target, at: place, isClosed: isClosed)
      case ("oneOf", let choices as [[String: Any]]):
        let all = choices.map { self.faults(value, $0, at: place, isClosed: isClosed) }
        if all.count(where: \.isEmpty) != 1 { faults.append("\(place): not one of \(choices.count): \(all)") }
      case ("type", let type as String): if !Self.isOf(type, value) { faults.append("\(place): expected \(type)") }
      case ("type", let types as [String]):
        if !types.contains(where: { Self.isOf($0, value) }) { faults.append("\(place): expected \(types)") }
      case ("const", let constant as NSObject):
        if (value as? NSObject) != constant { faults.append("\(place): expected \(constant)") }
      case ("minimum", let least as NSNumber):
        if let number = value as? NSNumber, number.doubleValue < least.doubleValue {
          faults.append("\(place): below \(least)")
        }
      case ("minItems", let least as Int):
        if let list = value as? [Any], list.count < least { faults.append("\(place): fewer than \(least)") }
      case ("maxItems", let most as Int):
        if let list = value as? [Any], list.count > most { faults.append("\(place): more than \(most)") }
      case ("items", let item as [String: Any]):
        for (index, element) in (value as? [Any] ?? []).enumerated() {
          faults += self.faults(element, item, at: "\(place)[\(index)]", isClosed: isClosed)
        }
      case ("properties", let properties as [String: [String: Any]]):
        let object = value as? [String: Any] ?? [:]
        for key in schema["required"] as? [String] ?? [] where object[key] == nil {
          faults.append("\(place): no \(key)")
        }
        for (key, member) in object {
          if let property = properties[key] {
            faults += self.faults(member, property, at: "\(place).\(key)", isClosed: isClosed)
          } else if isClosed {
            faults.append("\(place): \(key) is not in the schema")
          }
        }
      case ("additionalProperties", let member as [String: Any]):
        for (key, element) in value as? [String: Any] ?? [:] {
          faults += self.faults(element, member, at: "\(place).\(key)", isClosed: isClosed)
        }
      default: faults.append("\(place): the keyword \(keyword) is not understood")
      }
    }
    return faults
  }

  private static func isOf(_ type: String, _ value: Any) -> Bool {
    let number = value as? NSNumber
    let isBoolean = value is Bool && (number.map { CFNumberKind.isBoolean($0) } ?? false)
    switch type {
    case "null": return value is NSNull
    case "string": return value is String
    case "boolean": return isBoolean
    case "integer": return !isBoolean && number.map { $0.doubleValue == $0.doubleValue.rounded() } ?? false
    case "number": return !isBoolean && number != nil
    case "array": return value is [Any]
    case "object": return value is [String: Any]
    default: return false
    }
  }
}

private enum CFNumberKind {
  /// Whether a number of `JSONSerialization` was written as true or false.
  static func isBoolean(_ number: NSNumber) -> Bool { String(cString: number.objCType) == "c" }
}
