import HGNetCore

extension WeightsFormat {
  /// Named arrays after a JSON header, `.safetensors`.
  public static let safetensors = WeightsFormat(
    title: "safetensors", endings: [".safetensors"], namesInFolder: ["model.safetensors"])
}

/// Weights in the safetensors format of Hugging Face: a JSON header, then the arrays without gaps.
///
/// Threads: safe.
package enum Safetensors: WeightsReader {
  package static let format = WeightsFormat.safetensors

  /// The largest header that is read, in bytes; the format's own limit.
  private static let maximumHeaderSize = 100_000_000
  private static let metadataKey = "__metadata__"

  package static func recognises(_ blob: Blob) -> Bool {
    guard blob.count >= 10 else { return false }
    return blob.withUnsafeBytes { bytes in
      let size = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
      return size >= 2 && size <= UInt64(blob.count - 8) && bytes[8] == UInt8(ascii: "{")
    }
  }

  /// Reads the header and refers to the arrays where they are, without copying them.
  ///
  /// Names keep the order of the header. The arrays must cover the rest of the file exactly.
  ///
  /// - Returns: the parameters, with the names of the file, and the texts of `__metadata__`.
  /// - Throws: `HGNetError.Code.malformedData` for a broken header or offsets that overlap, leave gaps or leave the
  ///   file, `unsupported` for element types such as 8-bit floats, `limitExceeded` for sizes beyond any memory.
  /// - Cost: O(header); the arrays are not touched.
  package static func read(
    _ blob: Blob
  ) throws(HGNetError) -> (parameters: ParameterStore, metadata: [String: String]) {
    do throws(HGNetError) {
      return try parse(blob)
    } catch {
      throw blob.path.map { error.at(path: $0) } ?? error
    }
  }

  package static func weights(in blob: Blob) throws(HGNetError) -> WeightsContents {
    let (parameters, metadata) = try read(blob)
    return WeightsContents(parameters: parameters, metadata: metadata)
  }

  private static func parse(
    _ blob: Blob
  ) throws(HGNetError) -> (parameters: ParameterStore, metadata: [String: String]) {
    guard blob.count >= 8 else {
      throw HGNetError(.malformedData, "expected a safetensors file of at least 8 bytes, found \(blob.count)")
    }
    let size = blob.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
    guard size <= UInt64(blob.count - 8) else {
      throw HGNetError(
        .malformedData,
        "expected a safetensors header of \(size) bytes, found a file of \(blob.count); it is truncated or of another format"
      )
    }
    guard size <= UInt64(maximumHeaderSize) else {
      throw HGNetError(.limitExceeded, "a safetensors header may have \(maximumHeaderSize) bytes, found \(size)")
    }
    let dataStart = 8 + Int(size)
    let header = try blob.withUnsafeBytes { (bytes) throws(HGNetError) in
      guard size > 0, bytes[8] == UInt8(ascii: "{") else {
        throw HGNetError(.malformedData, "expected a safetensors header that begins with {; is this another format?")
      }
      return try JSON(UnsafeRawBufferPointer(rebasing: bytes[8..<dataStart]))
    }

    var parameters = ParameterStore()
    var metadata: [String: String] = [:]
    var ranges: [(range: Range<Int>, name: String)] = []
    for member in header.members ?? [] {
      if member.key == metadataKey {
        metadata = try texts(member.value)
        continue
      }
      do throws(HGNetError) {
        let entry = try Entry(member.value)
        guard entry.range.upperBound <= blob.count - dataStart else {
          throw HGNetError(
            .malformedData,
            "expected at least \(entry.range.upperBound) bytes of data, found \(blob.count - dataStart); the file is truncated"
          )
        }
        let bytes = try BlobSlice(
          blob, range: dataStart + entry.range.lowerBound..<dataStart + entry.range.upperBound)
        parameters[member.key] = try Parameter(shape: entry.shape, elementType: entry.elementType, bytes: bytes)
        ranges.append((entry.range, member.key))
      } catch {
        var named = error
        named.context.key = member.key
        throw named
      }
    }
    try checkCoverage(ranges, of: blob.count - dataStart)
    return (parameters, metadata)
  }

  private static func texts(_ value: JSON) throws(HGNetError) -> [String: String] {
    guard let members = value.members else {
      throw HGNetError(.malformedData, "expected an object of texts", key: metadataKey)
    }
    var result: [String: String] = [:]
    for member in members {
      guard let text = member.value.text else {
        throw HGNetError(.malformedData, "expected a text for \(JSON.quoted(member.key))", key: metadataKey)
      }
      result[member.key] = text
    }
    return result
  }

  private static func checkCoverage(
    _ ranges: [(range: Range<Int>, name: String)], of size: Int
  ) throws(HGNetError) {
    var end = 0
    let inOrder = ranges.sorted {
      ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
    }
    for (range, name) in inOrder {
      guard range.lowerBound == end else {
        let fault = range.lowerBound < end ? "overlaps another array" : "leaves a gap before it"
        throw HGNetError(
          .malformedData, "the array at bytes \(range) of the data \(fault); expected it to begin at \(end)", key: name)
      }
      end = range.upperBound
    }
    guard end == size else {
      throw HGNetError(.malformedData, "expected \(end) bytes of data as the header says, found \(size)")
    }
  }

  /// The header's line about one array.
  private struct Entry {
    let shape: Shape
    let elementType: ElementType
    /// Where the bytes are, counted from the end of the header.
    let range: Range<Int>

    init(_ value: JSON) throws(HGNetError) {
      guard let members = value.members, members.count == 3, let type = value["dtype"]?.text,
        let extents = value["shape"]?.elements, let offsets = value["data_offsets"]?.elements
      else { throw HGNetError(.malformedData, "expected an object of dtype, shape and data_offsets") }
      guard let elementType = Entry.elementTypes[type] else {
        throw HGNetError(
          .unsupported,
          "expected an element type among F64, F32, F16, BF16, I64, I32, I16, I8, U16, U8, BOOL, found \(HGNetError.quoted(type)); convert it to F32"
        )
      }
      self.elementType = elementType
      guard extents.count <= Shape.maximumRank else {
        throw HGNetError(.unsupported, "expected an array of at most 4 axes, found \(extents.count)")
      }
      var dimensions: [Int] = []
      for extent in extents {
        guard let extent = extent.integer else { throw HGNetError(.malformedData, "expected whole numbers in shape") }
        dimensions.append(extent)
      }
      shape = try Shape(validating: dimensions)
      guard offsets.count == 2, let begin = offsets[0].integer, let end = offsets[1].integer, begin >= 0, end >= begin
      else { throw HGNetError(.malformedData, "expected data_offsets [begin, end] with 0 ≤ begin ≤ end") }
      range = begin..<end
    }

    private static let elementTypes: [String: ElementType] = [
      "F64": .float64, "F32": .float32, "F16": .float16, "BF16": .bfloat16, "I64": .int64, "I32": .int32,
      "I16": .int16, "I8": .int8, "U16": .uint16, "U8": .uint8, "BOOL": .bool,
    ]
  }

  /// Writes all parameters in one type, in the order of the store; int8 may stay what it is.
  ///
  /// The header is padded with spaces to a multiple of 8 bytes. The file appears once it is complete.
  ///
  /// - Parameters:
  ///   - store: what to write; names and shapes are kept as they are.
  ///   - metadata: texts for `__metadata__`, written in the order of their keys.
  ///   - keepingIntegers: whether int8 is written as it is stored.
  ///   - elementType: float32, float16 or bfloat16.
  ///   - path: the file.
  /// - Throws: `HGNetError.Code.unwritableFile`, `invalidArgument` for a parameter named `__metadata__`, `unsupported`
  ///   naming a parameter with a number that the type has no place for.
  package static func write(
    _ store: ParameterStore, metadata: [String: String] = [:], keepingIntegers: Bool = false,
    as elementType: ElementType = .float32, to path: String
  ) throws(HGNetError) {
    let typeName = elementType == .float16 ? "F16" : elementType == .bfloat16 ? "BF16" : "F32"
    var fields: [String] = []
    if !metadata.isEmpty {
      let texts = metadata.sorted { $0.key < $1.key }.map { "\(JSON.quoted($0.key)):\(JSON.quoted($0.value))" }
      fields.append("\(JSON.quoted(metadataKey)):{\(texts.joined(separator: ","))}")
    }
    var offset = 0
    for name in store.names {
      guard let parameter = store[name] else { continue }
      guard name != metadataKey else {
        throw HGNetError(.invalidArgument, "safetensors reserves the name \(metadataKey)", path: path, key: name)
      }
      let isInteger = keepingIntegers && parameter.elementType == .int8
      let end = offset + parameter.shape.count * (isInteger ? 1 : elementType.byteCount)
      let extents = parameter.shape.dimensions.map(String.init).joined(separator: ",")
      fields.append(
        "\(JSON.quoted(name)):{\"dtype\":\"\(isInteger ? "I8" : typeName)\",\"shape\":[\(extents)],\"data_offsets\":[\(offset),\(end)]}"
      )
      offset = end
    }
    var header = Array("{\(fields.joined(separator: ","))}".utf8)
    while header.count % 8 != 0 { header.append(0x20) }

    var file = try FileOutput(path: path)
    try file.write((0..<8).map { UInt8(truncatingIfNeeded: header.count >> ($0 * 8)) })
    try file.write(header)
    for name in store.names {
      guard let parameter = store[name] else { continue }
      if keepingIntegers, parameter.elementType == .int8 {
        try parameter.withUnsafeBytes { (bytes) throws(HGNetError) in try file.write(bytes) }
      } else {
        do throws(HGNetError) {
          try file.write(parameter, as: elementType)
        } catch {
          throw error.code == .unsupported ? error.at(key: name) : error
        }
      }
    }
    try file.commit()
  }
}

extension FileOutput {
  /// Appends the elements of a parameter as little-endian float32 in C order.
  package mutating func writeFloat32(_ parameter: Parameter) throws(HGNetError) {
    // Borrowing `self` inside a closure that throws a type needs the bytes in hand first.
    if parameter.elementType == .float32 {
      try parameter.withUnsafeBytes { (bytes) throws(HGNetError) in try write(bytes) }
    } else {
      try parameter.allocatedTensor().withUnsafeBufferPointer { (values) throws(HGNetError) in
        try write(UnsafeRawBufferPointer(values))
      }
    }
  }
}
