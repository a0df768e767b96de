import HGNetCore
import HGNetPlatform

extension WeightsFormat {
  /// A program with its parameters: `inference.json` or `inference.pdmodel` with `inference.pdiparams`.
  public static let paddleInferenceModel = WeightsFormat(
    title: "Paddle inference model", endings: [".tar"], isInferenceModel: true,
    namesInFolder: ["inference.json", "inference.pdmodel"])
}

/// An inference model exported by PaddlePaddle: a program and its parameters.
///
/// Both encodings of the program are read, `inference.json` of PaddlePaddle 3 and the older `inference.pdmodel`, and
/// become the same graph. Layers and parameters keep the names of the program (`conv2d_0.w_0`).
///
/// Threads: a value, safe to share.
package struct PaddleInferenceModel: WeightsReader {
  package static let format = WeightsFormat.paddleInferenceModel

  /// The network; its output is `logits`, or `embedding` for one that ends in features.
  ///
  /// Selectable are also `probabilities` when the program has an activation, and `stages.0` … `stages.3` (the last
  /// results at 4, 8, 16 and 32 input pixels per pixel) when there are all four.
  package let graph: Graph
  /// Exactly the parameters of the graph, in ascending byte order of their names; slices of the file, not copies.
  package let parameters: ParameterStore
  /// What turns logits into probabilities.
  package let activation: HeadActivation
  /// The name of the program's input.
  package let inputName: String
  /// The name of the program's output.
  package let outputName: String

  /// Height and width that the program declares, nil where it leaves them open.
  package let declaredInputSize: Size?
  /// `inference.yml` of an archive, which says how pictures are prepared; nil for an archive without it, and for a folder
  /// or file, beside which it lies.
  package let archivedRecipe: String?

  /// The height and width that the model was exported for, 224×224 where the program leaves that open.
  package var inputSize: Size { graph.inputSize }

  /// Reads a model from a folder, from its program (`.json` or `.pdmodel`) or parameters (`.pdiparams`) with the other
  /// beside it, or from a `.tar` as published.
  ///
  /// In a folder or an archive, files named `inference` come before others, and `.json` before `.pdmodel`.
  ///
  /// - Parameters:
  ///   - path: the folder or file.
  ///   - inputSize: height and width of the pictures; nil for the size that the program was exported for.
  /// - Throws: `HGNetError.Code.fileNotFound` when a part is missing, saying which was found, `malformedData`,
  ///   `unsupported` naming an operator that is not part of these networks, `parameterMismatch` when program and
  ///   parameters do not belong together, `limitExceeded`.
  /// - Cost: O(program); the parameters are mapped, not read.
  package init(contentsOf path: String, inputSize: Size? = nil) throws(HGNetError) {
    let parts = try Parts(path: path)
    do throws(HGNetError) {
      try self.init(
        program: parts.program, parameters: parts.parameters, inputSize: inputSize, archivedRecipe: parts.recipe)
    } catch {
      throw error.at(path: path)
    }
  }

  /// Reads a model from the bytes of a `.tar`, which is not compressed.
  ///
  /// - Throws: as the other form.
  package init(archive: Blob, inputSize: Size? = nil) throws(HGNetError) {
    let parts = try Parts(archive: archive)
    try self.init(
      program: parts.program, parameters: parts.parameters, inputSize: inputSize, archivedRecipe: parts.recipe)
  }

  /// Reads a model from the bytes of its two parts.
  ///
  /// - Throws: as the other form.
  package init(
    program: BlobSlice, parameters: BlobSlice, inputSize: Size? = nil, archivedRecipe: String? = nil
  ) throws(HGNetError) {
    self.archivedRecipe = archivedRecipe
    let description = try PaddleProgram(program)
    let store = try PaddleTensors.read(parameters, names: description.parameters.map(\.name))
    let misshapen = description.parameters.compactMap { variable -> String? in
      guard let found = store[variable.name]?.shape.dimensions, found != variable.dimensions else { return nil }
      return "\(variable.name): expected \(variable.dimensions), found \(found)"
    }
    guard misshapen.isEmpty else {
      throw HGNetError(
        .parameterMismatch,
        "the parameters do not have the shapes of the program: \(PaddleTensors.listing(misshapen))",
        path: parameters.blob.path)
    }
    let translation: PaddleTranslation
    do throws(HGNetError) {
      translation = try description.translate(parameters: store, inputSize: inputSize)
    } catch {
      throw program.blob.path.map { error.at(path: $0) } ?? error
    }
    graph = translation.graph
    activation = translation.activation
    inputName = translation.inputName
    outputName = translation.outputName
    declaredInputSize = translation.declaredInputSize
    self.parameters = store.adding(translation.added)
  }

  package static var readsFolders: Bool { true }

  /// Whether a file is an archive, or by its name part of an inference model.
  package static func recognises(_ blob: Blob) -> Bool {
    blob.path.map { path in Parts.suffixes.contains { path.hasSuffix($0) } } ?? false || Tar.isTar(blob)
  }

  package static func weights(in blob: Blob) throws(HGNetError) -> WeightsContents {
    try PaddleInferenceModel(archive: blob).contents
  }

  package static func weights(at path: String) throws(HGNetError) -> WeightsContents {
    try PaddleInferenceModel(contentsOf: path).contents
  }

  /// What the reader gives.
  package var contents: WeightsContents {
    WeightsContents(
      parameters: parameters, metadata: archivedRecipe.map { ["inference.yml": $0] } ?? [:],
      network: WeightsContents.Network(graph: graph, activation: activation, declaredInputSize: declaredInputSize))
  }
}

/// The two files of an inference model.
private struct Parts {
  let program: BlobSlice
  let parameters: BlobSlice
  private(set) var recipe: String?

  private static let parametersSuffix = ".pdiparams"
  /// In order of preference.
  private static let programSuffixes = [".json", ".pdmodel"]
  static let suffixes = programSuffixes + [parametersSuffix]
  private static let expectation = "expected inference.json or inference.pdmodel, and inference.pdiparams"

  private init(program: Blob, parameters: Blob) {
    self.program = BlobSlice(program)
    self.parameters = BlobSlice(parameters)
  }

  init(path: String) throws(HGNetError) {
    var status = stat()
    guard stat(path, &status) == 0 else {
      throw HGNetError(.fileNotFound, "no such file or folder; check the path", path: path)
    }
    if status.st_mode & S_IFMT == S_IFDIR {
      try self.init(folder: path)
    } else {
      try self.init(file: path)
    }
  }

  private init(folder: String) throws(HGNetError) {
    let names = try Parts.names(inFolder: folder)
    let chosen = try Parts.choose(names, in: "the folder", path: folder)
    let prefix = folder.hasSuffix("/") ? folder : folder + "/"
    program = BlobSlice(try Blob(mapping: prefix + chosen.program))
    parameters = BlobSlice(try Blob(mapping: prefix + chosen.parameters))
  }

  private init(file: String) throws(HGNetError) {
    for suffix in Parts.programSuffixes where file.hasSuffix(suffix) {
      let sibling = file.dropLast(suffix.count) + Parts.parametersSuffix
      guard access(String(sibling), F_OK) == 0 else {
        throw HGNetError(
          .fileNotFound, "found the program, but not its parameters; put \(sibling) beside it", path: file)
      }
      try self.init(program: Blob(mapping: file), parameters: Blob(mapping: String(sibling)))
      return
    }
    if file.hasSuffix(Parts.parametersSuffix) {
      let stem = String(file.dropLast(Parts.parametersSuffix.count))
      guard let suffix = Parts.programSuffixes.first(where: { access(stem + $0, F_OK) == 0 }) else {
        throw HGNetError(
          .fileNotFound, "found the parameters, but not their program; put \(stem).json or \(stem).pdmodel beside them",
          path: file)
      }
      try self.init(program: Blob(mapping: stem + suffix), parameters: Blob(mapping: file))
      return
    }
    let blob = try Blob(mapping: file)
    guard Tar.isTar(blob) || file.hasSuffix(".tar") else {
      throw HGNetError(
        .malformedData,
        "expected a Paddle inference model: a folder, a .json, .pdmodel or .pdiparams file, or a .tar; found none of these",
        path: file)
    }
    try self.init(archive: blob)
  }

  init(archive: Blob) throws(HGNetError) {
    // Archives made on other systems may hold shadows of the files, which begin with a dot.
    let entries = try Tar(archive).entries.filter { !$0.baseName.hasPrefix(".") }
    let chosen = try Parts.choose(entries.map(\.name), in: "the archive", path: archive.path)
    guard let program = entries.last(where: { $0.name == chosen.program }),
      let parameters = entries.last(where: { $0.name == chosen.parameters })
    else { throw HGNetError(.internalInconsistency, "an entry of the archive was lost", path: archive.path) }
    self.program = program.contents
    self.parameters = parameters.contents
    let folder = chosen.program.lastIndex(of: "/").map { chosen.program[...$0] } ?? ""
    if let text = entries.last(where: { $0.name == "\(folder)inference.yml" })?.contents, text.count <= 64 << 20 {
      recipe = text.withUnsafeBytes { String(validating: $0, as: UTF8.self) }
    }
  }

  /// Picks a program and the parameters with the same stem.
  private static func choose(
    _ names: [String], in place: String, path: String?
  ) throws(HGNetError) -> (program: String, parameters: String) {
    let available = Set(names)
    func stems(_ suffix: String) -> [String] {
      names.filter { $0.hasSuffix(suffix) }.map { String($0.dropLast(suffix.count)) }.sorted()
    }
    func isStandard(_ stem: String) -> Bool { stem == "inference" || stem.hasSuffix("/inference") }
    let parameterStems = stems(parametersSuffix)
    for suffix in programSuffixes {
      let complete = parameterStems.filter { available.contains($0 + suffix) }
      let candidates = complete.contains(where: isStandard) ? complete.filter(isStandard) : complete
      if candidates.count > 1 {
        throw HGNetError(
          .invalidArgument,
          "\(place) holds several models: \(PaddleTensors.listing(candidates)); give the file of one", path: path)
      }
      if let stem = candidates.first { return (stem + suffix, stem + parametersSuffix) }
    }
    let programs = programSuffixes.flatMap { suffix in
      stems(suffix).filter { suffix == ".pdmodel" || isStandard($0) }.map { $0 + suffix }
    }
    let found: String
    switch (programs.first, parameterStems.first) {
    case (let program?, nil): found = "only \(program); add the parameters (.pdiparams) of the same export"
    case (nil, let stem?):
      found = "only \(stem)\(parametersSuffix); add the program (.json or .pdmodel) of the same export"
    case (let program?, let stem?): found = "\(program) and \(stem)\(parametersSuffix), which do not belong together"
    case (nil, nil):
      found =
        available.contains("__model__")
        ? "__model__ of an old PaddlePaddle; export it again" : "neither; is this the right place?"
    }
    throw HGNetError(.fileNotFound, "\(expectation) in \(place), found \(found)", path: path)
  }

  private static func names(inFolder folder: String) throws(HGNetError) -> [String] {
    guard let handle = opendir(folder) else {
      throw HGNetError(
        .unreadableFile, "cannot list the folder", path: folder, cause: String(cString: strerror(errno)))
    }
    defer { closedir(handle) }
    var names: [String] = []
    while let entry = readdir(handle) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if !name.hasPrefix(".") { names.append(name) }
    }
    return names
  }
}
