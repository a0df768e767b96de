import HGNetCore

/// An operator of an ONNX graph, as it is written.
struct OnnxNode {
  var type = ""
  /// Where the operator is defined; empty for ONNX itself.
  var domain = ""
  var name = ""
  var inputs: [String] = []
  var outputs: [String] = []
  var attributes: [String: OnnxAttribute] = [:]

  /// Reads a node.
  ///
  /// - Throws: `HGNetError.Code.malformedData`, `limitExceeded`.
  init(_ bytes: BlobSlice) throws(HGNetError) {
    for field in try ProtobufField.all(in: bytes, maximumCount: 1 << 12) {
      switch field.number {
      case 1: inputs.append(field.text)
      case 2: outputs.append(field.text)
      case 3: name = field.text
      case 4: type = field.text
      case 5:
        guard let content = field.bytes else { continue }
        let (key, attribute) = try OnnxAttribute.named(content)
        attributes[key] = attribute
      case 7: domain = field.text == "ai.onnx" ? "" : field.text
      default: break
      }
    }
    // Optional inputs and results at the end may be left out or be empty.
    while inputs.last == "" { inputs.removeLast() }
  }

  /// A whole number.
  func integer(_ key: String, _ defaultValue: Int) -> Int { attributes[key]?.integer ?? defaultValue }

  /// A fraction.
  func float(_ key: String, _ defaultValue: Float) -> Float { attributes[key]?.float ?? defaultValue }

  /// Whole numbers, nil where none are given.
  func integers(_ key: String) -> [Int]? { attributes[key]?.integers }
}

/// The value of an attribute, whatever its type.
struct OnnxAttribute {
  var integer = 0
  var float: Float = 0
  var text = ""
  var integers: [Int] = []
  var floats: [Float] = []
  var tensor: BlobSlice?

  fileprivate static func named(_ bytes: BlobSlice) throws(HGNetError) -> (String, OnnxAttribute) {
    var attribute = OnnxAttribute()
    var name = ""
    for part in try ProtobufField.all(in: bytes, maximumCount: 1 << 16) {
      switch part.number {
      case 1: name = part.text
      case 2: attribute.float = part.float
      case 3: attribute.integer = part.integer
      case 4: attribute.text = part.text
      case 5: attribute.tensor = part.bytes
      case 7: attribute.floats += try part.floats()
      case 8: attribute.integers += try part.integers()
      default: break
      }
    }
    return (name, attribute)
  }
}

/// A value that enters or leaves a graph, with the shape that is written beside it.
struct OnnxValue {
  var name = ""
  var elementType = 0
  /// -1 for an extent that is left open.
  var extents: [Int] = []

  /// Reads a value.
  ///
  /// - Throws: `HGNetError.Code.malformedData`, `limitExceeded`.
  init(_ bytes: BlobSlice) throws(HGNetError) {
    for field in try ProtobufField.all(in: bytes, maximumCount: 64) {
      if field.number == 1 { name = field.text }
      guard field.number == 2, let type = field.bytes else { continue }
      for kind in try ProtobufField.all(in: type, maximumCount: 64) {
        guard kind.number == 1, let tensor = kind.bytes else { continue }
        for part in try ProtobufField.all(in: tensor, maximumCount: 64) {
          if part.number == 1 { elementType = part.integer }
          guard part.number == 2, let shape = part.bytes else { continue }
          for extent in try ProtobufField.all(in: shape, maximumCount: 64) {
            guard extent.number == 1, let content = extent.bytes else { continue }
            let length = try ProtobufField.all(in: content, maximumCount: 64).first { $0.number == 1 }
            extents.append(length?.integer ?? -1)
          }
        }
      }
    }
  }
}

/// A constant of an ONNX graph: weights as they lie in the file, quantised ones, or a few whole numbers.
enum OnnxConstant {
  case weights(Parameter)
  /// Bytes, or more 32-bit numbers than any shape has, which mean something once they are dequantised.
  case codes(Parameter)
  case integers(OnnxIntegers)

  /// ONNX's numbers of the element types that weights may have.
  static let floats: [Int: ElementType] = [1: .float32, 10: .float16, 11: .float64, 16: .bfloat16]
  /// And of those that count: shapes, bounds, axes and flags.
  static let wholeNumbers: [Int: ElementType] = [6: .int32, 7: .int64, 9: .bool]
  /// And of those that are quantised.
  static let codes: [Int: ElementType] = [2: .uint8, 3: .int8]
  /// What people call the other types that quantised numbers may have.
  static let foreignCodes: [Int: String] = [
    4: "uint16", 5: "int16", 17: "float8", 18: "float8", 19: "float8", 20: "float8", 21: "uint4", 22: "int4",
    23: "float4", 24: "float8", 25: "uint2", 26: "int2",
  ]

  /// Reads a constant; nil for one of a type that no network of this family reads.
  ///
  /// - Parameter external: the bytes of another file by its name.
  /// - Throws: `HGNetError.Code.malformedData`, `unsupported`, `limitExceeded`, and what `external` throws.
  static func read(
    _ bytes: BlobSlice, external: (String) throws(HGNetError) -> Blob
  ) throws(HGNetError) -> (name: String, type: Int, constant: OnnxConstant?) {
    let message = try Message(bytes)
    do throws(HGNetError) {
      return (message.name, message.type, try message.constant(external: external))
    } catch {
      throw message.name.isEmpty ? error : error.at(key: message.name)
    }
  }

  /// The fields of the message.
  private struct Message {
    var name = ""
    var extents: [Int] = []
    var type = 0
    var raw: BlobSlice?
    var floats: [Float] = []
    var integers: [Int] = []
    var isExternal = false
    var place: [String: String] = [:]

    init(_ bytes: BlobSlice) throws(HGNetError) {
      for field in try ProtobufField.all(in: bytes, maximumCount: 1 << 16) {
        switch field.number {
        case 1: extents += try field.integers()
        case 2: type = field.integer
        case 4: floats += try field.floats()
        // Longer ones are no shapes; they are left where they are.
        case 5, 7: if (field.bytes?.count ?? 0) <= 10 * OnnxIntegers.largestCount { integers += try field.integers() }
        case 8: name = field.text
        case 9: raw = field.bytes
        case 13:
          guard let content = field.bytes else { continue }
          let entry = try ProtobufField.all(in: content, maximumCount: 16)
          if let key = entry.first(where: { $0.number == 1 }), let value = entry.first(where: { $0.number == 2 }) {
            place[key.text] = value.text
          }
        case 14: isExternal = field.integer == 1
        default: break
        }
      }
    }

    func constant(external: (String) throws(HGNetError) -> Blob) throws(HGNetError) -> OnnxConstant? {
      guard
        let elementType = OnnxConstant.floats[type] ?? OnnxConstant.wholeNumbers[type] ?? OnnxConstant.codes[type],
        extents.count <= Shape.maximumRank
      else { return nil }
      let shape = try Shape(validating: extents)
      var isWhole = OnnxConstant.wholeNumbers[type] != nil
      let isCode = OnnxConstant.codes[type] != nil || elementType == .int32 && shape.count > OnnxIntegers.largestCount
      if isCode { isWhole = false }
      if isWhole, shape.count > OnnxIntegers.largestCount { return nil }
      var raw = raw
      if isExternal { raw = try externalBytes(try external(place["location"] ?? ""), shape, elementType) }
      if isWhole { return .integers(try OnnxIntegers(raw, integers, shape: shape, elementType: elementType)) }
      if isCode { return try codes(shape, elementType, raw) }
      if let raw { return .weights(try Parameter(shape: shape, elementType: elementType, bytes: raw)) }
      guard elementType == .float32, floats.count == shape.count else {
        throw HGNetError(.malformedData, "expected \(shape.count) floats, found \(floats.count)")
      }
      return .weights(
        try Parameter(allocating: shape, for: "a constant") { _ = $0.update(fromContentsOf: floats) })
    }

    /// Quantised numbers; nil for preprocessing's, which lie in the file as a list that is too long to be kept.
    private func codes(_ shape: Shape, _ type: ElementType, _ raw: BlobSlice?) throws(HGNetError) -> OnnxConstant? {
      if let raw { return .codes(try Parameter(shape: shape, elementType: type, bytes: raw)) }
      guard type != .int32, integers.count == shape.count else { return nil }
      let bytes = Blob(count: integers.count) { target in
        for (index, value) in integers.enumerated() { target[index] = UInt8(truncatingIfNeeded: value) }
      }
      return .codes(try Parameter(shape: shape, elementType: type, bytes: BlobSlice(bytes)))
    }

    private func externalBytes(
      _ blob: Blob, _ shape: Shape, _ elementType: ElementType
    ) throws(HGNetError) -> BlobSlice {
      let needed = shape.count * elementType.byteCount
      let start = place["offset"].map { Int($0) ?? -1 } ?? 0
      let length = place["length"].map { Int($0) ?? -1 } ?? needed
      guard start >= 0, start <= blob.count, length == needed else {
        throw HGNetError(
          .malformedData, "expected \(needed) bytes in another file, found \(length) at byte \(start) of \(blob.count)",
          path: blob.path)
      }
      return try BlobSlice(blob, range: start..<start + length)
    }
  }
}
