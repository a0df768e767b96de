import HGNetCore
import HGNetFormats

extension WeightsFile {
  /// The kinds of files that hold weights.
  public typealias Format = WeightsFormat

  /// The formats that are read; a file is of the first that recognises it.
  ///
  /// This list is all that knows them: whoever wants a title, an ending or the names in a folder asks it. To read another
  /// format is to write its reader and to add it here, before a reader that would take its files for its own.
  package static let readers: [any WeightsReader.Type] = [
    TorchCheckpoint.self,
    PaddleParameters.self,
    PaddleInferenceModel.self,
    Safetensors.self,
    OnnxModel.self,
  ]

  /// The endings of files of weights, each with its dot.
  package static var endings: [String] { readers.flatMap { $0.format.endings } }

  /// The files that make a folder a model, the best first: what brings its own network comes before bare weights.
  private static var namesInFolder: [(name: String, reader: any WeightsReader.Type)] {
    let readers = readers.filter { $0.format.isInferenceModel } + readers.filter { !$0.format.isInferenceModel }
    return readers.flatMap { reader in reader.format.namesInFolder.map { ($0, reader) } }
  }

  /// The file in a folder that makes it a model, nil for any other folder.
  ///
  /// - Parameter folder: the path of the folder.
  /// - Returns: the path to open, which is the folder where it takes several files.
  package static func model(inFolder folder: String) -> String? {
    let found = namesInFolder.first { FileKind.exists("\(folder)/\($0.name)") }
    return found.map { $0.reader.readsFolders ? folder : "\(folder)/\($0.name)" }
  }

  /// The path itself, the model in a folder that was exported, or with `.pdparams` where that is meant: a training run
  /// leaves `best_model.pdparams` beside a folder `best_model`, whose name a shell completes with a slash, and in it
  /// `model.pdparams`, the weights alone.
  static func resolve(_ path: String) -> String {
    if let model = model(inFolder: path) { return model }
    guard !FileKind.exists(path) || FileKind.isFolder(path) else { return path }
    var stem = path[...]
    while stem.count > 1, stem.hasSuffix("/") { stem.removeLast() }
    let implied = [withImpliedEnding(String(stem)), withImpliedEnding("\(stem)/model")]
    return implied.first(where: FileKind.exists) ?? path
  }

  /// The file that is meant by a path without its ending, as PaddleClas leaves it out.
  package static func withImpliedEnding(_ path: String) -> String {
    path + (PaddleParameters.format.endings.first ?? "")
  }

  /// Tells the format of a file from its first bytes, and from its name where those say nothing.
  ///
  /// - Throws: `HGNetError.Code.fileNotFound`, `unreadableFile`, or `malformedData` saying what was found.
  public static func format(of path: String) throws(HGNetError) -> Format { try reader(of: path).format }

  /// The reader of a file or folder.
  ///
  /// - Throws: as `format(of:)`.
  package static func reader(of path: String) throws(HGNetError) -> any WeightsReader.Type {
    if FileKind.isFolder(path), let reader = readers.first(where: { $0.readsFolders }) { return reader }
    return try reader(of: Blob(mapping: path))
  }

  /// The reader of the bytes of a file.
  static func reader(of blob: Blob) throws(HGNetError) -> any WeightsReader.Type {
    guard blob.count > 0 else {
      throw HGNetError(.malformedData, "expected weights, found an empty file; fetch or save it again", path: blob.path)
    }
    if let reader = readers.first(where: { $0.recognises(blob) }) { return reader }
    let foreign = FileKind.foreign(blob.withUnsafeBytes { Array($0.prefix(16)) })
    // Damaged files under a right name: their own reader says best what is wrong.
    let path = blob.path ?? ""
    if foreign == nil, let reader = readers.first(where: { $0.format.endings.contains(where: path.hasSuffix) }) {
      return reader
    }
    throw HGNetError(
      .malformedData,
      "expected weights (\(readers.map { $0.format.title }.joined(separator: ", "))), found "
        + (foreign ?? "something else") + "; check the path or fetch the file again", path: blob.path)
  }
}
