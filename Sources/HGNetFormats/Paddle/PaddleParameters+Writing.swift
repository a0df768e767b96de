import HGNetCore

extension PaddleParameters {
  /// The most elements bytes that PaddlePaddle puts into one array of protocols 2 and 3.
  static let largestPieceByteCount = 1 << 30 - 1

  /// Writes parameters so that PaddlePaddle loads them with `paddle.load`.
  ///
  /// The file appears under its name only once it is complete. Parameters are written from where they are, without a
  /// copy, whatever their element type; bfloat16 as `u2`.
  ///
  /// - Parameters:
  ///   - store: Parameters with PaddlePaddle's names and layouts.
  ///   - path: The file, by custom ending in `.pdparams`.
  ///   - version: The pickle protocol: 4 as PaddlePaddle itself writes, or 2 or 3 for its older versions.
  ///   - internalNames: The names inside PaddlePaddle by parameter name, if they are known.
  /// - Throws: `HGNetError.Code.unwritableFile`; `invalidArgument` for another protocol; `unsupported` for unsigned 16-bit
  ///   integers, which PaddlePaddle would take for bfloat16.
  package static func write(
    _ store: ParameterStore, to path: String, protocol version: Int = 4, internalNames: [String: String] = [:]
  ) throws(HGNetError) {
    try write(
      store, to: path, protocol: version, internalNames: internalNames, largestPieceByteCount: largestPieceByteCount)
  }

  package static func write(
    _ store: ParameterStore, to path: String, protocol version: Int, internalNames: [String: String] = [:],
    largestPieceByteCount: Int
  ) throws(HGNetError) {
    var dictionary = PickleDictionary()
    var cut: [PickleDictionary.Pair] = []
    for name in store.names {
      guard let parameter = store[name] else { continue }
      guard parameter.elementType != .uint16 else {
        throw HGNetError(
          .unsupported, "unsigned 16-bit integers cannot be told from bfloat16 in this format", path: path, key: name)
      }
      let array = PickleArray(parameter)
      let pieceLength = max(largestPieceByteCount / parameter.elementType.byteCount, 1)
      guard version < 4, parameter.shape.count > pieceLength else {
        dictionary.pairs.append(PickleDictionary.Pair(key: .text(name), value: .array(array)))
        continue
      }
      let pieces = try self.pieces(of: array, name: name, elementType: parameter.elementType, length: pieceLength)
      dictionary.pairs.append(contentsOf: pieces)
      var entry = PickleDictionary()
      entry["OriginShape"] = .tuple(array.shape.map { .integer($0) })
      entry["slices"] = .list(pieces.map(\.key))
      cut.append(PickleDictionary.Pair(key: .text(name), value: .dictionary(entry)))
    }
    let table = store.names.compactMap { name in
      internalNames[name].map { PickleDictionary.Pair(key: .text(name), value: .text($0)) }
    }
    if !table.isEmpty { dictionary[nameTableKey] = .dictionary(PickleDictionary(table)) }
    if !cut.isEmpty { dictionary[piecesKey] = .dictionary(PickleDictionary(cut)) }
    try Pickle.write(.dictionary(dictionary), to: path, protocol: version)
  }

  private static func pieces(
    of array: PickleArray, name: String, elementType: ElementType, length: Int
  ) throws(HGNetError) -> [PickleDictionary.Pair] {
    var result: [PickleDictionary.Pair] = []
    let range = array.bytes.range
    for start in stride(from: range.lowerBound, to: range.upperBound, by: length * elementType.byteCount) {
      let end = min(start + length * elementType.byteCount, range.upperBound)
      let bytes = try BlobSlice(array.bytes.blob, range: start..<end)
      let piece = PickleArray(
        shape: [bytes.count / elementType.byteCount], typeCode: array.typeCode, bytes: bytes)
      result.append(PickleDictionary.Pair(key: .text("\(name)@@.\(result.count)"), value: .array(piece)))
    }
    return result
  }
}
