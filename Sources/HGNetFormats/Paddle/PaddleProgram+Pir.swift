import HGNetCore

extension PaddleProgram {
  /// Reads `inference.json`, a program in PaddlePaddle's newer representation (PIR).
  ///
  /// Values are named by their number (`%75`). Constants that only feed attributes (a pool's window, a concatenation's axis)
  /// become attributes, and lists of values are spread out.
  init(pir bytes: BlobSlice) throws(HGNetError) {
    let document = try bytes.withUnsafeBytes { (all) throws(HGNetError) in try JSON(all) }
    guard document["base_code"]?["magic"]?.text == "pir" else {
      throw HGNetError(
        .malformedData,
        "expected a Paddle program with base_code.magic \"pir\", found other JSON; give the folder with inference.json")
    }
    guard let regions = document["program"]?["regions"]?.elements, let region = regions.first,
      let blocks = region["blocks"]?.elements, let block = blocks.first, let operations = block["ops"]?.elements
    else { throw HGNetError(.malformedData, "expected program.regions[0].blocks[0].ops in the Paddle program") }
    guard regions.count == 1, blocks.count == 1, block["args"]?.elements?.isEmpty ?? true else {
      throw HGNetError(.unsupported, "expected a program of one block, found several: control flow")
    }
    guard operations.count <= PaddleProgram.maximumOperationCount else {
      throw HGNetError(.limitExceeded, "the program has \(operations.count) operators; no network of this family has")
    }
    var reader = PirReader()
    for (index, operation) in operations.enumerated() { try reader.read(operation, index: index) }
    self.init(
      parameters: reader.parameters, operations: reader.operations, inputDimensions: reader.inputDimensions)
  }
}

/// What is known while the operators are read one after the other.
private struct PirReader {
  var parameters: [PaddleProgram.Variable] = []
  var operations: [PaddleProgram.Operation] = []
  var inputDimensions: [String: [Int]] = [:]
  private var parameterNames: [Int: String] = [:]
  private var constants: [Int: PaddleProgram.Attribute] = [:]
  private var lists: [Int: [String]] = [:]
  /// The constants among the members of a list.
  private var mixtures: [Int: [PaddleProgram.Attribute?]] = [:]
  private var defined: Set<Int> = []

  mutating func read(_ value: JSON, index: Int) throws(HGNetError) {
    guard let written = value["#"]?.text else {
      throw HGNetError(.malformedData, "operator \(index) of the program has no kind (#)")
    }
    // The dialect, `0.` for what is built in and `1.` for operators, does not matter: the names are distinct.
    let kind = written.split(separator: ".").last.map(String.init) ?? written
    let label = "\(kind) (operator \(index))"
    if kind == "p" || kind == "parameter" { return try readParameter(value, label: label) }

    let attributes = try PirReader.attributes(value, label: label)
    let operands = try PirReader.identifiers(value["I"], label: label)
    let results = try PirReader.identifiers(value["O"], label: label)
    for result in results { try define(result, label: label) }

    switch kind {
    case "data", "feed":
      guard let result = results.first else { throw malformed("expected a result", label) }
      if let type = value["O"]?.elements?.first?["TT"], let element = type["D"]?.elements?.first?["#"]?.text,
        !element.hasSuffix(".t_f32")
      {
        throw HGNetError(
          .unsupported, "expected a float32 input; export the model without half precision", layer: label)
      }
      inputDimensions["%\(result)"] = PirReader.dimensions(of: value["O"]?.elements?.first)
      append(
        "feed", label, inputs: ["X": PirReader.texts(attributes["name"])], outputs: ["Out": ["%\(result)"]], attributes)
    case "full", "full_int_array":
      guard let result = results.first, let constant = attributes["value"] else {
        throw malformed("expected a value and a result", label)
      }
      constants[result] = constant
    case "combine":
      guard let result = results.first else { throw malformed("expected a result", label) }
      lists[result] = operands.map { name(of: $0) }
      mixtures[result] = operands.map { constants[$0] }
    case "stack":
      guard let result = results.first, let list = operands.first, let parts = mixtures[list], let names = lists[list]
      else { throw malformed("expected a list and a result", label) }
      // Constants are told as such, the rest by name.
      let extents = parts.map { part in
        switch part {
        case .integer(let value)?: value
        case .number(let value)? where abs(value) < 1e9: Int(value)
        default: -1
        }
      }
      append(
        "stack", label, inputs: ["X": zip(names, parts).compactMap { $1 == nil ? $0 : nil }],
        outputs: ["Out": ["%\(result)"]], ["extents": .integers(extents)])
    default:
      guard let signature = PaddleName.newer(kind) else {
        // The translator tells the user which operator it is, in one place for both encodings.
        append(kind, label, inputs: [:], outputs: ["Out": results.map { "%\($0)" }], attributes)
        return
      }
      try append(signature, label, operands: operands, results: results, attributes)
    }
  }

  private mutating func append(
    _ signature: PaddleName, _ label: String, operands: [Int], results: [Int],
    _ attributes: [String: PaddleProgram.Attribute]
  ) throws(HGNetError) {
    guard operands.count >= signature.operands.count, let result = results.first else {
      throw malformed("expected \(signature.operands.count) operands and a result, found \(operands.count)", label)
    }
    var attributes = attributes
    for (old, new) in signature.renamedAttributes { attributes[new] = attributes.removeValue(forKey: old) }
    for (position, attribute) in signature.constants {
      guard position < operands.count, let constant = constants[operands[position]] else {
        throw HGNetError(
          .unsupported, "expected a constant for \(attribute), found a computed or a missing value", layer: label)
      }
      attributes[attribute] = constant
    }
    var inputs: [String: [String]] = [:]
    for (position, slot) in signature.operands.enumerated() {
      inputs[slot] = lists[operands[position]] ?? [name(of: operands[position])]
    }
    append(signature.kind, label, inputs: inputs, outputs: [signature.result: ["%\(result)"]], attributes)
  }

  private mutating func append(
    _ kind: String, _ label: String, inputs: [String: [String]], outputs: [String: [String]],
    _ attributes: [String: PaddleProgram.Attribute]
  ) {
    operations.append(
      PaddleProgram.Operation(kind: kind, inputs: inputs, outputs: outputs, attributes: attributes, label: label))
  }

  private mutating func readParameter(_ value: JSON, label: String) throws(HGNetError) {
    guard let name = value["A"]?.elements?.last?.text, let result = value["O"], let identifier = result["%"]?.integer
    else { throw malformed("expected a parameter with a name and a result", label) }
    try define(identifier, label: label)
    parameterNames[identifier] = name
    parameters.append(PaddleProgram.Variable(name: name, dimensions: PirReader.dimensions(of: result)))
  }

  private mutating func define(_ identifier: Int, label: String) throws(HGNetError) {
    guard defined.insert(identifier).inserted else { throw malformed("the value \(identifier) is made twice", label) }
  }

  private func name(of identifier: Int) -> String { parameterNames[identifier] ?? "%\(identifier)" }

  private func malformed(_ message: String, _ label: String) -> HGNetError {
    HGNetError(.malformedData, message, layer: label)
  }

  private static func identifiers(_ value: JSON?, label: String) throws(HGNetError) -> [Int] {
    var result: [Int] = []
    for element in value?.elements ?? [] {
      guard let identifier = element["%"]?.integer else {
        throw HGNetError(.malformedData, "expected a number (%) for every operand and result", layer: label)
      }
      result.append(identifier)
    }
    return result
  }

  /// The extents in a value's type, `{"TT":{"#":"0.t_dtensor","D":[type, extents, …]}}`; empty when there are none.
  private static func dimensions(of value: JSON?) -> [Int] {
    guard let parts = value?["TT"]?["D"]?.elements, parts.count > 1, let extents = parts[1].elements else { return [] }
    return extents.map { $0.integer ?? -1 }
  }

  private static func texts(_ attribute: PaddleProgram.Attribute?) -> [String] {
    guard case .text(let text) = attribute else { return [] }
    return [text]
  }

  /// The attributes by name, from `[{"N":name,"AT":{"#":type,"D":value}}, …]`.
  private static func attributes(
    _ value: JSON, label: String
  ) throws(HGNetError) -> [String: PaddleProgram.Attribute] {
    var result: [String: PaddleProgram.Attribute] = [:]
    for entry in value["A"]?.elements ?? [] {
      guard let name = entry["N"]?.text else {
        throw HGNetError(.malformedData, "expected a name (N) for every attribute", layer: label)
      }
      result[name] =
        switch entry["AT"]?["D"] {
        case .integer(let number)?: .integer(number)
        case .number(let number)?: .number(number)
        case .bool(let flag)?: .flag(flag)
        case .string(let text)?: .text(text)
        case .array(let elements)?: integers(elements).map { .integers($0) } ?? .other
        default: .other
        }
    }
    return result
  }

  /// Plain or typed whole numbers.
  private static func integers(_ elements: [JSON]) -> [Int]? {
    var result: [Int] = []
    for element in elements {
      guard let number = element.integer ?? element["D"]?.integer else { return nil }
      result.append(number)
    }
    return result
  }
}
