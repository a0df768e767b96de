import HGNetCore

extension WeightsFormat {
  /// A pickled state dictionary of PaddlePaddle, `.pdparams`.
  public static let paddleParameters = WeightsFormat(title: "PaddlePaddle state dictionary", endings: [".pdparams"])
}

/// Reads and writes PaddlePaddle's `.pdparams` files.
///
/// Such a file is a pickle of one dictionary: names and NumPy arrays in the order of the model, and a table of the
/// names that PaddlePaddle uses inside. Files of PaddlePaddle 2 and 3, with NumPy 1 and 2, of pickle protocols 2 to 4.
package enum PaddleParameters: WeightsReader {
  package static let format = WeightsFormat.paddleParameters

  /// What a parameters file holds.
  package struct Contents: Sendable {
    /// The parameters in the order of the file.
    package var parameters: ParameterStore
    /// The names inside PaddlePaddle (`conv2d_0.w_0`) by parameter name; empty where the file has none.
    package var internalNames: [String: String]
  }

  static let nameTableKey = "StructuredToParameterName@@"
  static let piecesKey = "UnpackBigParamInfor@@"
  private static let nestedKeys = ["state_dict", "model", "model_state_dict", "params", "network"]

  /// Reads the parameters of a file.
  ///
  /// Entries that are no arrays are left out. Float data is not copied: it stays in the mapped file, except where pickle
  /// protocol 2 hides it in text, an array is in Fortran order, or a tensor was cut into pieces. Element type `u2` is
  /// bfloat16, which is how PaddlePaddle stores it.
  ///
  /// - Throws: What `Pickle.read` throws; `HGNetError.Code.malformedData` when there is no dictionary of arrays,
  ///   `unsupported` for big-endian arrays, other element types and more than 4 axes. Errors name the parameter.
  package static func read(_ blob: Blob) throws(HGNetError) -> ParameterStore { try contents(of: blob).parameters }

  package static func recognises(_ blob: Blob) -> Bool {
    // A pickle of protocol 2 to 5.
    blob.count > 1 && blob.withUnsafeBytes { $0[0] == 0x80 && (2...5).contains($0[1]) }
  }

  package static func weights(in blob: Blob) throws(HGNetError) -> WeightsContents {
    WeightsContents(parameters: try read(blob))
  }

  /// Reads the parameters of a file and its table of internal names.
  ///
  /// - Throws: as `read`.
  package static func contents(of blob: Blob) throws(HGNetError) -> Contents {
    let value = try Pickle.read(BlobSlice(blob)).value
    guard case .dictionary(let dictionary) = value else {
      throw HGNetError(
        .malformedData,
        "expected a dictionary of parameters as paddle.save(model.state_dict(), …) writes it, found \(value.kind)",
        path: blob.path)
    }
    var budget = AllocationBudget(byteCount: 2 * blob.count, path: blob.path)
    do throws(HGNetError) {
      var contents = try contents(of: dictionary, budget: &budget)
      for key in nestedKeys where contents.parameters.isEmpty {
        if case .dictionary(let nested) = dictionary[key] {
          contents = try self.contents(of: nested, budget: &budget)
        }
      }
      guard !contents.parameters.isEmpty else {
        let keys = dictionary.pairs.prefix(4).map { if case .text(let key) = $0.key { key } else { $0.key.kind } }
        throw HGNetError(
          .malformedData,
          "expected a dictionary of parameters, found no arrays in it"
            + (keys.isEmpty ? "" : " but the entries \(keys.joined(separator: ", "))"))
      }
      return contents
    } catch {
      throw blob.path.map { error.at(path: $0) } ?? error
    }
  }

  private static func contents(
    of dictionary: PickleDictionary, budget: inout AllocationBudget
  ) throws(HGNetError) -> Contents {
    var contents = Contents(parameters: ParameterStore(), internalNames: [:])
    var hasNameTable = false
    if case .dictionary(let table) = dictionary[nameTableKey] {
      hasNameTable = true
      for pair in table.pairs {
        if case (.text(let name), .text(let internalName)) = (pair.key, pair.value) {
          contents.internalNames[name] = internalName
        }
      }
    }
    let tuples = !hasNameTable && dictionary.pairs.contains { namedArray($0.value) != nil }
    var pieces: [String: PickleArray] = [:]
    let cut = try cutTensors(dictionary[piecesKey])
    let isPiece = Set(cut.flatMap(\.pieces))
    for pair in dictionary.pairs {
      guard case .text(let name) = pair.key else { continue }
      if tuples {
        guard let (internalName, array) = namedArray(pair.value) else { continue }
        contents.internalNames[name] = internalName
        contents.parameters[name] = try parameter(array, name: name, budget: &budget)
      } else if case .array(let array) = pair.value {
        if isPiece.contains(name) {
          pieces[name] = array
        } else {
          contents.parameters[name] = try parameter(array, name: name, budget: &budget)
        }
      }
    }
    for tensor in cut { contents.parameters[tensor.name] = try join(tensor, pieces: pieces, budget: &budget) }
    return contents
  }

  /// The tuple of an internal name and an array, which stands for a tensor outside plain state dictionaries.
  private static func namedArray(_ value: PickleValue) -> (String, PickleArray)? {
    guard case .tuple(let items) = value, items.count == 2, case .text(let name) = items[0],
      case .array(let array) = items[1]
    else { return nil }
    return (name, array)
  }

  static func parameter(
    _ array: PickleArray, name: String, budget: inout AllocationBudget
  ) throws(HGNetError) -> Parameter {
    do throws(HGNetError) {
      guard let type = array.typeCode == "u2" ? .bfloat16 : ElementType(numpyTypeCode: array.typeCode) else {
        throw HGNetError(.unsupported, "expected an array of numbers or truth values, found type \(array.typeCode)")
      }
      guard !array.isBigEndian || type.byteCount == 1 else {
        throw HGNetError(
          .unsupported, "expected a little-endian array, found a big-endian one; convert it before saving")
      }
      let shape = try Shape(validating: array.shape)
      var bytes = array.bytes
      if array.isColumnMajor {
        let view = try StridedView(columnMajor: shape, elementCount: bytes.count / type.byteCount)
        guard view.isContiguous || shape.count * type.byteCount == bytes.count else {
          throw HGNetError(
            .malformedData, "expected \(shape.count * type.byteCount) bytes for \(type) \(shape), found \(bytes.count)")
        }
        if !view.isContiguous { bytes = try view.elements(of: bytes, elementSize: type.byteCount, budget: &budget) }
      }
      return try Parameter(shape: shape, elementType: type, bytes: bytes)
    } catch {
      throw error.at(key: name)
    }
  }

  private struct CutTensor {
    var name: String
    var shape: [Int]
    var pieces: [String]
  }

  private static func cutTensors(_ value: PickleValue?) throws(HGNetError) -> [CutTensor] {
    guard let value else { return [] }
    guard case .dictionary(let table) = value else {
      throw HGNetError(.malformedData, "expected a dictionary, found \(value.kind)", key: piecesKey)
    }
    var result: [CutTensor] = []
    for pair in table.pairs {
      guard case (.text(let name), .dictionary(let entry)) = (pair.key, pair.value),
        let shape = integers(entry["OriginShape"]), let pieces = texts(entry["slices"]), !pieces.isEmpty
      else {
        throw HGNetError(.malformedData, "expected shape and names of the pieces of a tensor", key: piecesKey)
      }
      result.append(CutTensor(name: name, shape: shape, pieces: pieces))
    }
    return result
  }

  private static func items(_ value: PickleValue?) -> [PickleValue]? {
    switch value {
    case .tuple(let items), .list(let items): items
    default: nil
    }
  }

  private static func integers(_ value: PickleValue?) -> [Int]? {
    guard let items = items(value) else { return nil }
    let result = items.compactMap { if case .integer(let value) = $0 { value } else { nil } }
    return result.count == items.count ? result : nil
  }

  private static func texts(_ value: PickleValue?) -> [String]? {
    guard let items = items(value) else { return nil }
    let result = items.compactMap { if case .text(let value) = $0 { value } else { nil } }
    return result.count == items.count ? result : nil
  }

  private static func join(
    _ tensor: CutTensor, pieces: [String: PickleArray], budget: inout AllocationBudget
  ) throws(HGNetError) -> Parameter {
    var parts: [PickleArray] = []
    var count = 0
    for name in tensor.pieces {
      guard let piece = pieces[name], piece.typeCode == parts.first?.typeCode ?? piece.typeCode, !piece.isBigEndian
      else {
        throw HGNetError(
          .malformedData, "expected the piece \(name) of one little-endian type, found none such", key: tensor.name)
      }
      parts.append(piece)
      let (sum, overflow) = count.addingReportingOverflow(piece.bytes.count)
      guard !overflow else { throw HGNetError(.limitExceeded, "the pieces are too large together", key: tensor.name) }
      count = sum
    }
    guard let first = parts.first else {
      throw HGNetError(.malformedData, "expected at least one piece", key: tensor.name)
    }
    try budget.spend(count)
    let subject = "the pieces of \(tensor.name)"
    let blob = try Blob(allocating: count, for: subject, path: first.bytes.blob.path) { target in
      var position = 0
      for part in parts {
        part.bytes.withUnsafeBytes { source in
          UnsafeMutableRawBufferPointer(rebasing: target[position..<position + source.count]).copyMemory(from: source)
          position += source.count
        }
      }
    }
    let whole = PickleArray(shape: tensor.shape, typeCode: first.typeCode, bytes: BlobSlice(blob))
    return try parameter(whole, name: tensor.name, budget: &budget)
  }
}

extension HGNetError {
  /// The same error with the tensor's name filled in where none is known yet.
  func at(key: String) -> HGNetError {
    var copy = self
    if copy.context.key == nil { copy.context.key = key }
    return copy
  }
}
