import HGNetCore

extension WeightsFormat {
  /// A checkpoint of PyTorch, `.pth`, `.pt` or `.bin`.
  public static let torchCheckpoint = WeightsFormat(title: "PyTorch checkpoint", endings: [".pth", ".pt", ".bin"])
}

/// Reads PyTorch checkpoints: `.pth`, `.pt`, `.bin`.
///
/// Both forms that `torch.save` has written: the zip archive of PyTorch 1.6 and later, and the sequence of pickles
/// before it. The parameters may be the whole file or stand under `state_dict` or a similar key, as training scripts
/// leave them.
package enum TorchCheckpoint: WeightsReader {
  package static let format = WeightsFormat.torchCheckpoint

  /// The keys under which training scripts keep the parameters, the best ones for inference first.
  static let nestedKeys = [
    "state_dict_ema", "model_ema", "ema", "state_dict", "model", "model_state_dict", "net", "network", "module",
    "params",
    "weights",
  ]

  package static func recognises(_ blob: Blob) -> Bool { ZipArchive.isZip(blob) || isLegacy(blob) }

  /// What a checkpoint holds.
  package struct Contents: Sendable {
    /// The tensors under PyTorch's names, in the order of the file.
    package var parameters: ParameterStore
    /// The entry that they stand under, such as `model` or `ema.module`; nil where they are the whole file.
    package var entry: String?
    /// Further entries with tensors, which were not taken.
    package var otherEntries: [String] = []
  }

  /// Reads the tensors of a checkpoint under PyTorch's names, in the order of the file.
  ///
  /// Contiguous tensors are not copied: they stay in the mapped file. Others are gathered into C order.
  ///
  /// - Throws: What `Pickle.read` throws; `HGNetError.Code.malformedData` for a damaged file or one without tensors,
  ///   `unsupported` for compressed entries, big-endian data, TorchScript programs and tensors of more than 4 axes.
  package static func read(_ blob: Blob) throws(HGNetError) -> ParameterStore { try contents(of: blob).parameters }

  /// Reads the tensors, and says which of several networks they are.
  ///
  /// - Throws: as `read`.
  package static func contents(of blob: Blob) throws(HGNetError) -> Contents {
    do throws(HGNetError) {
      if ZipArchive.isZip(blob) { return try readArchive(blob) }
      if isLegacy(blob) { return try readLegacy(blob) }
      throw HGNetError(
        .malformedData, "expected a checkpoint written by torch.save: a zip archive or a pickle with its magic number")
    } catch {
      guard let path = blob.path else { throw error }
      throw error.at(path: path)
    }
  }

  package static func weights(in blob: Blob) throws(HGNetError) -> WeightsContents {
    let checkpoint = try contents(of: blob)
    var contents = WeightsContents(parameters: checkpoint.parameters)
    if let entry = checkpoint.entry, !checkpoint.otherEntries.isEmpty {
      contents.choice =
        "the checkpoint holds several networks: \(entry) is taken, not "
        + checkpoint.otherEntries.joined(separator: ", ")
    }
    return contents
  }

  private static func readArchive(_ blob: Blob) throws(HGNetError) -> Contents {
    let archive = try ZipArchive(blob)
    guard let pickle = archive.names.first(where: { $0 == "data.pkl" || $0.hasSuffix("/data.pkl") }),
      let program = try archive.contents(of: pickle)
    else {
      throw HGNetError(
        .malformedData, "expected a zip archive with an entry data.pkl, as torch.save writes it, found none")
    }
    let root = pickle.dropLast("data.pkl".count)
    guard !archive.names.contains("\(root)constants.pkl") else {
      throw HGNetError(
        .unsupported,
        "expected saved parameters, found a TorchScript program; save torch.jit.load(path).state_dict() instead")
    }
    if let order = try archive.contents(of: "\(root)byteorder") {
      let text = order.withUnsafeBytes { String(decoding: $0.prefix(16), as: UTF8.self) }
      guard text == "little" else {
        throw HGNetError(
          .unsupported, "expected a little-endian checkpoint, found byte order \(HGNetError.quoted(text))")
      }
    }
    let value = try Pickle.read(program).value
    return try parameters(of: value, fileByteCount: blob.count) { (storage) throws(HGNetError) in
      guard let bytes = try archive.contents(of: "\(root)data/\(storage.key)") else {
        throw HGNetError(.malformedData, "expected an entry \(root)data/\(storage.key) in the archive, found none")
      }
      return bytes
    }
  }

  /// The parameters of a checkpoint whose storages come from a function.
  static func parameters(
    of value: PickleValue, fileByteCount: Int, storage: (PickleStorage) throws(HGNetError) -> BlobSlice
  ) throws(HGNetError) -> Contents {
    guard case .dictionary(let dictionary) = value else {
      throw HGNetError(
        .malformedData,
        "expected a dictionary of tensors as torch.save(model.state_dict(), …) writes it, found \(value.kind)")
    }
    let groups = tensorGroups(in: dictionary)
    guard let (entry, tensors) = groups.first else {
      let keys = dictionary.pairs.map { if case .text(let key) = $0.key { key } else { $0.key.kind } }
      throw HGNetError(
        .malformedData,
        "expected a dictionary of tensors, or one under \(nestedKeys.joined(separator: ", ")); found no tensors"
          + (keys.isEmpty ? "" : " but the entries \(keys.prefix(6).joined(separator: ", "))"))
    }
    var budget = AllocationBudget(byteCount: 4 * fileByteCount, path: nil)
    var store = ParameterStore()
    for (name, tensor) in tensors {
      do throws(HGNetError) {
        store[name] = try parameter(tensor, bytes: try storage(tensor.storage), budget: &budget)
      } catch {
        throw error.at(key: name)
      }
    }
    return Contents(parameters: store, entry: entry, otherEntries: groups.dropFirst().compactMap(\.entry))
  }

  /// The dictionaries of tensors in a checkpoint, the best one for inference first, each with the entry that it is under.
  private static func tensorGroups(
    in dictionary: PickleDictionary
  ) -> [(entry: String?, tensors: [(name: String, tensor: PickleTensor)])] {
    func tensors(_ dictionary: PickleDictionary) -> [(name: String, tensor: PickleTensor)] {
      dictionary.pairs.compactMap {
        if case (.text(let name), .tensor(let tensor)) = ($0.key, $0.value) { (name, tensor) } else { nil }
      }
    }
    var groups: [(String?, [(name: String, tensor: PickleTensor)])] = []
    for key in nestedKeys {
      guard case .dictionary(let nested) = dictionary[key] else { continue }
      let found = tensors(nested)
      guard found.isEmpty else {
        groups.append((key, found))
        continue
      }
      // Averaged weights are often kept one level deeper, as ema.module.
      for inner in nestedKeys {
        guard case .dictionary(let innermost) = nested[inner] else { continue }
        let found = tensors(innermost)
        if !found.isEmpty { groups.append(("\(key).\(inner)", found)) }
      }
    }
    let whole = tensors(dictionary)
    return groups.isEmpty && !whole.isEmpty ? [(nil, whole)] : groups
  }

  private static func parameter(
    _ tensor: PickleTensor, bytes: BlobSlice, budget: inout AllocationBudget
  ) throws(HGNetError) -> Parameter {
    let type = tensor.storage.elementType
    let shape = try Shape(validating: tensor.shape)
    let available = bytes.count / type.byteCount
    guard tensor.storage.start <= available, tensor.storage.count <= available - tensor.storage.start else {
      throw HGNetError(
        .malformedData,
        "expected a storage of \(tensor.storage.count) elements of \(type), found \(bytes.count) bytes; "
          + "the file is truncated or damaged")
    }
    let start = bytes.range.lowerBound + tensor.storage.start * type.byteCount
    let storage = try BlobSlice(bytes.blob, range: start..<start + tensor.storage.count * type.byteCount)
    let view = try StridedView(
      shape: shape, strides: tensor.strides, offset: tensor.offset, elementCount: tensor.storage.count)
    let elements = try view.elements(of: storage, elementSize: type.byteCount, budget: &budget)
    return try Parameter(shape: shape, elementType: type, bytes: elements)
  }
}
