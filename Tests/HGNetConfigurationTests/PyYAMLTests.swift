import Foundation
import HGNetConfiguration
import HGNetCore
import Testing

/// Whole texts beside PyYAML; `Fixtures/yaml` says how the expected values were made.
@Suite("YAML beside PyYAML")
struct PyYAMLTests {
  /// A text and the encoded value that it stands for, nil where it is refused.
  private struct Case: Decodable {
    let yaml: String
    let value: String?
  }

  private static func cases() throws -> [Case] {
    let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    // Random texts may be compared, too: see Fixtures/yaml/README.md.
    let other = ProcessInfo.processInfo.environment["HGNET_YAML_CASES"].map { URL(fileURLWithPath: $0) }
    let file = other ?? tests.appendingPathComponent("Fixtures/yaml/cases.jsonl")
    return try Data(contentsOf: file).split(separator: UInt8(ascii: "\n")).map {
      try JSONDecoder().decode(Case.self, from: $0)
    }
  }

  @Test("Every text means what it means to PyYAML, or is refused as there")
  func cases() throws {
    let cases = try PyYAMLTests.cases()
    #expect(cases.count > 1000)
    var different: [String] = []
    for item in cases {
      let found: String
      do {
        found = try ConfigurationValue(yaml: item.yaml).encoded
      } catch {
        found = "refused: \(error)"
        #expect(error.context.line != nil, "\(item.yaml.debugDescription): \(error)")
      }
      if item.value == nil ? !found.hasPrefix("refused: ") : found != item.value {
        different.append("\(item.yaml.debugDescription)\n  expected \(item.value ?? "refused")\n  found    \(found)")
      }
    }
    #expect(different.isEmpty, "\(different.count) differ:\n\(different.prefix(60).joined(separator: "\n"))")
  }

  @Test("Whatever is written reads back as the same values, here and in PyYAML")
  func written() throws {
    let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let folder = tests.appendingPathComponent("Fixtures/yaml")
    let texts = try JSONDecoder().decode(
      [String].self, from: Data(contentsOf: folder.appendingPathComponent("texts.json")))
    let list = ConfigurationValue.list(texts.map { .text($0) })
    var (root, values, names, labels) = (
      ConfigurationMapping(), ConfigurationMapping(), ConfigurationMapping(), ConfigurationMapping()
    )
    for (index, text) in texts.enumerated() {
      values["t\(index)"] = .text(text)
      names[text] = .integer(index)
    }
    labels["label_list"] = list
    labels["first"] = .text(texts[0])
    root["values"] = .mapping(values)
    root["list"] = list
    root["labels"] = .list([.mapping(labels)])
    root["names"] = .mapping(names)
    root["entries"] = .list(
      texts.map { text in
        var entry = ConfigurationMapping()
        entry["name"] = .text(text)
        return .mapping(entry)
      })
    root["numbers"] = .list([
      .integer(0), .integer(-1), .integer(.max), .integer(.min), .largeInteger("9223372036854775808"), .number(0),
      .number(-0.0), .number(1), .number(1e-5), .number(1e16), .number(1e300), .number(5e-324), .number(0.1),
      .number(.infinity), .number(-.infinity),
    ])
    let text = ConfigurationValue.mapping(root).yaml
    #expect(try ConfigurationValue(yaml: text).encoded == ConfigurationValue.mapping(root).encoded)
    if let path = ProcessInfo.processInfo.environment["HGNET_YAML_WRITTEN"] {
      try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    }
    // What check_written.py has read with PyYAML.
    #expect(try Data(contentsOf: folder.appendingPathComponent("written.yaml")) == Data(text.utf8))
  }
}

extension ConfigurationValue {
  /// The value as `Fixtures/yaml/make.py` writes it.
  fileprivate var encoded: String {
    switch self {
    case .null: return "null"
    case .boolean(let value): return "\(value)"
    case .integer(let value): return "i\(value)"
    case .largeInteger(let digits): return "i\(digits)"
    case .number(let value):
      let digits = String(value.bitPattern, radix: 16)
      return value.isNaN ? "fnan" : "f" + String(repeating: "0", count: 16 - digits.count) + digits
    case .text(let value):
      return "\""
        + value.unicodeScalars.map { scalar in
          (0x20..<0x7F).contains(scalar.value) && scalar != "\"" && scalar != "\\"
            ? "\(scalar)" : "\\u{\(String(scalar.value, radix: 16))}"
        }.joined() + "\""
    case .list(let list): return "[" + list.map(\.encoded).joined(separator: ",") + "]"
    case .mapping(let mapping):
      return "{" + mapping.typedEntries.map { "\($0.key.encoded):\($0.value.encoded)" }.joined(separator: ",") + "}"
    }
  }
}
