import HGNetCore
import HGNetFormats

/// Hand-made programs in the newer encoding, for what no exporter writes.
struct ProgramText {
  private var operations: [String] = []
  private var parameters: [(name: String, extents: [Int])] = []

  /// Declares a parameter; `declared` replaces the extents in the program but not in the file.
  mutating func parameter(_ identifier: Int, _ name: String, _ extents: [Int], declared: [Int]? = nil) {
    parameters.append((name, extents))
    operations.append(
      """
      {"#":"p","A":[0,1,1,"\(name)"],"DA":[],"O":{"%":\(identifier),"TT":\(type(declared ?? extents))},"OA":[1,0,1],"QA":[]}
      """)
  }

  /// Appends an operator; attributes are texts of JSON values by name.
  mutating func append(
    _ kind: String, _ inputs: [Int], _ outputs: [Int], attributes: [(String, String)] = [], extents: [Int] = [-1]
  ) {
    let written = attributes.map { "{\"AT\":{\"#\":\"x\",\"D\":\($0.1)},\"N\":\"\($0.0)\"}" }
    let operands = inputs.map { "{\"%\":\($0)}" }
    let results = outputs.map { "{\"%\":\($0),\"TT\":\(type(extents))}" }
    operations.append(
      """
      {"#":"1.\(kind)","A":[\(written.joined(separator: ","))],"I":[\(operands.joined(separator: ","))],\
      "O":[\(results.joined(separator: ","))],"OA":[]}
      """)
  }

  mutating func data(_ identifier: Int, _ extents: [Int]) {
    append("data", [], [identifier], attributes: [("name", "\"pictures\"")], extents: extents)
  }

  mutating func fetch(_ identifier: Int, col: Int = 0) {
    append("fetch", [identifier], [900 + col], attributes: [("name", "\"scores\""), ("col", "\(col)")])
  }

  /// A constant list of numbers.
  mutating func list(_ identifier: Int, _ values: [Int]) {
    append("full_int_array", [], [identifier], attributes: [("value", "\(values)")])
  }

  /// A constant number.
  mutating func number(_ identifier: Int, _ value: String) {
    append("full", [], [identifier], attributes: [("value", value)])
  }

  /// Global mean, flatten and fetch, from a value.
  mutating func head(_ identifier: Int) {
    list(800, [1, 1])
    append("pool2d", [identifier, 800], [801], attributes: [("pooling_type", "\"avg\""), ("adaptive", "true")])
    append("flatten", [801], [802], attributes: [("start_axis", "1"), ("stop_axis", "3")])
    fetch(802)
  }

  private func type(_ extents: [Int]) -> String {
    "{\"#\":\"0.t_dtensor\",\"D\":[{\"#\":\"0.t_f32\"},\(extents),\"NCHW\",[],0]}"
  }

  /// The document.
  var bytes: [UInt8] {
    Array(
      """
      {"base_code":{"magic":"pir","trainable":true,"version":4},"program":{"regions":[{"#":"region_0","blocks":\
      [{"#":"block_0","args":[],"ops":[\(operations.joined(separator: ","))]}]}]}}
      """.utf8)
  }

  /// The parameters' file, all zeros, in byte order of the names.
  var tensors: [UInt8] { ProgramText.tensors(parameters) }

  static func tensors(_ parameters: [(name: String, extents: [Int])]) -> [UInt8] {
    var result: [UInt8] = []
    for (_, extents) in parameters.sorted(by: { $0.name < $1.name }) {
      let description: [UInt8] = [0x08, 5] + extents.flatMap { Wire.number(2, $0) }
      result += [UInt8](repeating: 0, count: 16) + [UInt8(description.count), 0, 0, 0] + description
      result += [UInt8](repeating: 0, count: extents.contains(0) ? 0 : extents.reduce(4, *))
    }
    return result
  }

  func model(inputSize: Size? = nil) throws -> PaddleInferenceModel {
    try PaddleInferenceModel(
      program: BlobSlice(Blob(bytes)), parameters: BlobSlice(Blob(tensors)), inputSize: inputSize)
  }
}

/// The protobuf wire format, as far as a program description needs it.
enum Wire {
  static func varint(_ value: UInt64) -> [UInt8] {
    var rest = value
    var bytes: [UInt8] = []
    while rest >= 0x80 {
      bytes.append(UInt8(rest & 0x7F) | 0x80)
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }

  static func number(_ field: UInt64, _ value: Int) -> [UInt8] {
    varint(field << 3) + varint(UInt64(bitPattern: Int64(value)))
  }

  static func bytes(_ field: UInt64, _ value: [UInt8]) -> [UInt8] {
    varint(field << 3 | 2) + varint(UInt64(value.count)) + value
  }

  static func text(_ field: UInt64, _ value: String) -> [UInt8] { bytes(field, Array(value.utf8)) }

  /// A variable of the program; `type` 7 is a tensor, 9 the feed list, 10 the fetch list.
  static func variable(_ name: String, extents: [Int] = [], isPersistable: Bool = false, type: Int = 7) -> [UInt8] {
    let tensor = number(1, 5) + extents.flatMap { number(2, $0) }
    let variableType = number(1, type) + (type == 7 ? bytes(3, bytes(1, tensor)) : [])
    return bytes(3, text(1, name) + bytes(2, variableType) + number(3, isPersistable ? 1 : 0))
  }

  enum Attribute {
    case integer(Int), integers([Int]), text(String), flag(Bool)
  }

  static func operation(
    _ kind: String, _ inputs: [(String, [String])], _ outputs: [(String, [String])],
    _ attributes: [(String, Attribute)] = []
  ) -> [UInt8] {
    func slots(_ field: UInt64, _ slots: [(String, [String])]) -> [UInt8] {
      slots.flatMap { bytes(field, text(1, $0.0) + $0.1.flatMap { text(2, $0) }) }
    }
    let written = attributes.flatMap { name, value in
      let encoded =
        switch value {
        case .integer(let integer): number(2, 0) + number(3, integer)
        case .text(let content): number(2, 2) + text(5, content)
        case .integers(let integers): number(2, 3) + integers.flatMap { number(6, $0) }
        case .flag(let flag): number(2, 6) + number(10, flag ? 1 : 0)
        }
      return bytes(4, text(1, name) + encoded)
    }
    return bytes(4, slots(1, inputs) + slots(2, outputs) + text(3, kind) + written)
  }
}
