import HGNetCore
import HGNetFormats
import HGNetModels

/// A file of weights together with the network that they belong to, whatever the format.
///
/// Read are `.pdparams`, safetensors, PyTorch checkpoints (with PaddleClas', timm's or Hugging Face's names), ONNX models
/// and Paddle inference models as a folder, a file or a `.tar`; of a detector's checkpoint the backbone. The format is told from the content; names only help where the
/// content says nothing. Reading never runs code and copies no weights: parameters are slices of the mapped file.
///
/// Threads: a value, safe to share.
public struct WeightsFile: Sendable {
  /// The kinds of files that hold weights.
  public enum Format: String, Sendable, Hashable, CaseIterable {
    /// A pickled state dictionary of PaddlePaddle, `.pdparams`.
    case paddleParameters
    /// Named arrays after a JSON header, `.safetensors`.
    case safetensors
    /// A checkpoint of PyTorch, `.pth`, `.pt` or `.bin`.
    case torchCheckpoint
    /// A program with its parameters: `inference.json` or `inference.pdmodel` with `inference.pdiparams`.
    case paddleInferenceModel
    /// A network of ONNX operators, `.onnx`.
    case onnxModel

    /// Whether the file brings its own network and says what it does with the logits.
    public var isInferenceModel: Bool { self == .paddleInferenceModel || self == .onnxModel }

    /// What a person calls it.
    public var title: String {
      switch self {
      case .paddleParameters: "PaddlePaddle state dictionary"
      case .safetensors: "safetensors"
      case .torchCheckpoint: "PyTorch checkpoint"
      case .paddleInferenceModel: "Paddle inference model"
      case .onnxModel: "ONNX model"
      }
    }
  }

  /// The file or folder; empty for weights in memory.
  public let path: String
  /// What it turned out to be.
  public let format: Format
  /// The model, nil for an inference model, which brings its own network.
  public let model: Model?
  /// The network; its output is `logits`, or `embedding` for a backbone without a classifier.
  ///
  /// The embedding of a backbone is the mean over the map of the last stage that it has. See `hasClassifier`.
  public let graph: Graph
  /// A parameter for each declaration of the graph.
  public let parameters: ParameterStore
  /// What an inference model does with its logits; nil where the file does not say.
  public let activation: Activation?
  /// Height and width that an inference model declares for its input; nil where it leaves them open, and for weights.
  public let declaredInputSize: Size?
  /// What was matched with what.
  public let report: LoadReport
  /// The texts that an ONNX or safetensors file carries beside the weights.
  public let metadata: [String: String]

  /// Opens a file of weights.
  ///
  /// - Parameters:
  ///   - path: the file or folder; `.pdparams` may be left out, as in PaddleClas.
  ///   - model: the model that is expected; nil to recognise it by names and shapes.
  ///   - options: the options of the model; nil to recognise them as well.
  ///   - allowsNewHead: whether the classifier may be missing or have another number of classes; it then gets fresh
  ///     values. It is `fc`, and with it `last_conv` and `lab` where the file has no last convolution.
  ///   - part: of a file with several networks, the name of the one to take, such as `Student`; a file of one network is
  ///     taken as it is. nil takes the one that is no teacher.
  /// - Throws: `HGNetError.Code.fileNotFound`, `unreadableFile`, `malformedData` for damage or a foreign format,
  ///   `unsupported`, `unsafeContent` for a pickle that would run code, `limitExceeded`, `parameterMismatch` listing
  ///   every parameter that is missing, unused or misshapen.
  public init(
    contentsOf path: String, model: Model? = nil, options: ModelOptions? = nil, allowsNewHead: Bool = false,
    part: String? = nil
  ) throws(HGNetError) {
    let resolved = WeightsFile.resolve(path)
    do throws(HGNetError) {
      let format = try WeightsFile.format(of: resolved)
      if format == .onnxModel {
        try self.init(
          OnnxModel(contentsOf: resolved), path: resolved, model: model, options: options, allowsNewHead: allowsNewHead)
      } else if format == .paddleInferenceModel {
        try self.init(
          PaddleInferenceModel(contentsOf: resolved), path: resolved, model: model, options: options,
          allowsNewHead: allowsNewHead)
      } else {
        try self.init(
          stateDictionary: Blob(mapping: resolved), path: resolved, format: format, model: model, options: options,
          allowsNewHead: allowsNewHead, part: part)
      }
    } catch {
      throw error.at(path: resolved)
    }
  }

  /// Opens the bytes of a file of weights.
  ///
  /// - Parameters:
  ///   - blob: a whole file: a state dictionary of any format, an ONNX model, or the `.tar` of an inference model.
  ///   - model: the model that is expected; nil to recognise it by names and shapes.
  ///   - options: the options of the model; nil to recognise them as well.
  ///   - allowsNewHead: as in the other form.
  /// - Throws: as the other form.
  public init(
    decoding blob: Blob, model: Model? = nil, options: ModelOptions? = nil, allowsNewHead: Bool = false
  ) throws(HGNetError) {
    let format = try WeightsFile.format(of: blob)
    let path = blob.path ?? ""
    switch format {
    case .onnxModel:
      try self.init(
        OnnxModel(BlobSlice(blob)), path: path, model: model, options: options, allowsNewHead: allowsNewHead)
    case .paddleInferenceModel:
      try self.init(
        PaddleInferenceModel(archive: blob), path: path, model: model, options: options, allowsNewHead: allowsNewHead)
    default:
      try self.init(
        stateDictionary: blob, path: path, format: format, model: model, options: options, allowsNewHead: allowsNewHead)
    }
  }

  /// Opens the bytes of the two files of a Paddle inference model.
  ///
  /// - Parameters:
  ///   - program: `inference.json` or `inference.pdmodel`.
  ///   - parameters: `inference.pdiparams` of the same export.
  ///   - options: nil, or what the model must have been built with.
  /// - Throws: as the other form.
  public init(program: Blob, parameters: Blob, options: ModelOptions? = nil) throws(HGNetError) {
    let file = try PaddleInferenceModel(program: BlobSlice(program), parameters: BlobSlice(parameters))
    try self.init(file, path: program.path ?? "", model: nil, options: options, allowsNewHead: false)
  }

  private init(
    _ file: PaddleInferenceModel, path: String, model: Model?, options: ModelOptions?, allowsNewHead: Bool
  ) throws(HGNetError) {
    guard !allowsNewHead else {
      try self.init(
        stored: WeightsFile.stateDictionary(of: file.graph, file.parameters), metadata: [:], path: path,
        format: .paddleInferenceModel, model: model, options: options, allowsNewHead: true)
      return
    }
    try self.init(
      graph: file.graph, parameters: file.parameters, activation: file.activation,
      metadata: file.archivedRecipe.map { [WeightsRecipe.metadataKey: $0] } ?? [:], format: .paddleInferenceModel,
      declaredInputSize: file.declaredInputSize, path: path, model: model, options: options)
  }

  private init(
    _ file: OnnxModel, path: String, model: Model?, options: ModelOptions?, allowsNewHead: Bool
  ) throws(HGNetError) {
    guard !allowsNewHead else {
      try self.init(
        stored: WeightsFile.stateDictionary(of: file.graph, file.parameters), metadata: file.metadata, path: path,
        format: .onnxModel, model: model, options: options, allowsNewHead: true)
      return
    }
    try self.init(
      graph: file.graph, parameters: file.parameters, activation: file.activation, metadata: file.metadata,
      format: .onnxModel, declaredInputSize: file.declaredInputSize, path: path, model: model, options: options)
  }

  /// The parameters of an inference model under the names of the state dictionary, which a new head needs.
  private static func stateDictionary(
    of graph: Graph, _ parameters: ParameterStore
  ) throws(HGNetError) -> ParameterStore {
    let names = try Model.structure(of: graph).names
    var store = ParameterStore()
    for name in parameters.names { if let known = names[name] { store[known] = parameters[name] } }
    return store
  }

  private init(
    graph: Graph, parameters: ParameterStore, activation: PaddleInferenceModel.HeadActivation,
    metadata: [String: String], format: Format, declaredInputSize: Size?, path: String, model: Model?,
    options: ModelOptions?
  ) throws(HGNetError) {
    if let options, let classes = graph.classCount, classes != options.classCount {
      throw HGNetError(
        .parameterMismatch,
        "expected a model for \(options.classCount) classes, found one for \(classes); give the right class_num")
    }
    self.path = path
    self.format = format
    self.model = model
    self.graph = graph
    self.parameters = parameters
    self.metadata = metadata
    self.activation = Activation(rawValue: activation.rawValue)
    self.declaredInputSize = declaredInputSize
    report = LoadReport(matched: parameters.names)
  }

  private init(
    stateDictionary blob: Blob, path: String, format: Format, model: Model?, options: ModelOptions?,
    allowsNewHead: Bool, part: String? = nil
  ) throws(HGNetError) {
    let stored: ParameterStore
    var metadata: [String: String] = [:]
    var choice: String?
    switch format {
    case .safetensors: (stored, metadata) = try Safetensors.read(blob)
    case .torchCheckpoint:
      let checkpoint = try TorchCheckpoint.contents(of: blob)
      stored = checkpoint.parameters
      if let entry = checkpoint.entry, !checkpoint.otherEntries.isEmpty {
        choice =
          "the checkpoint holds several networks: \(entry) is taken, not "
          + checkpoint.otherEntries.joined(separator: ", ")
      }
    default: stored = try PaddleParameters.read(blob)
    }
    try self.init(
      stored: stored, metadata: metadata, path: path, format: format, model: model, options: options,
      allowsNewHead: allowsNewHead, part: part, choice: choice)
  }

  private init(
    stored: ParameterStore, metadata: [String: String], path: String, format: Format, model: Model?,
    options: ModelOptions?, allowsNewHead: Bool, part: String? = nil, choice: String? = nil
  ) throws(HGNetError) {
    var stored = stored
    guard !stored.isEmpty else {
      throw HGNetError(.parameterMismatch, "expected the parameters of a network, found an empty \(format.title)")
    }
    var others: [String] = []
    if let part, stored.names.contains(where: { $0.hasPrefix("\(part).") }) {
      others = stored.names.filter { !$0.hasPrefix("\(part).") }
      stored = stored.parameters(behind: "\(part).")
    }
    let translation = try NameTranslation.translation(of: stored)
    let translated = translation.parameters
    var found = try WeightsFile.recognition(
      of: translated, expected: model, options: options, allowsNewHead: allowsNewHead)
    if options == nil { found = NeighboringConfiguration.completing(found, ofWeightsAt: path, metadata: metadata) }
    let graph = try found.graph()
    // A network inside something larger (`Student.`, `backbone.`) is read alone.
    let matching = ParameterMatching(store: translated, graph: graph, ignored: others + translation.unrelatedNames)
    let loaded = try matching.strict(
      freshHead: allowsNewHead ? try Model.initialParameters(for: graph, seed: 0) : nil)
    self.path = path
    self.format = format
    self.metadata = metadata
    self.model = found.model
    self.graph = graph
    parameters = loaded.parameters
    // A decoder is for several labels a picture.
    activation = found.options.decoder == nil ? nil : .sigmoid
    declaredInputSize = nil
    var report = loaded.report
    report.choice = choice
    self.report = report
  }

  /// The names of the networks that a state dictionary holds, such as `Teacher` and `Student`; empty for one network.
  ///
  /// - Throws: what opening the file throws.
  public static func parts(of path: String) throws(HGNetError) -> [String] {
    let resolved = resolve(path)
    let names: [String]
    do throws(HGNetError) {
      switch try format(of: resolved) {
      case .paddleParameters: names = try PaddleParameters.read(Blob(mapping: resolved)).names
      case .safetensors: names = try Safetensors.read(Blob(mapping: resolved)).parameters.names
      case .torchCheckpoint: names = try TorchCheckpoint.read(Blob(mapping: resolved)).names
      case .paddleInferenceModel, .onnxModel: return []
      }
    } catch { throw error.at(path: resolved) }
    var parts: [String] = []
    for name in names {
      let path = name.split(separator: ".")
      guard let part = path.first.map(String.init), path.dropFirst().contains("stem") else { continue }
      if !parts.contains(part) { parts.append(part) }
    }
    return parts
  }

  /// The model that the parameters belong to, and what the caller says about it.
  private static func recognition(
    of store: ParameterStore, expected: Model?, options: ModelOptions?, allowsNewHead: Bool
  ) throws(HGNetError) -> Model.Recognition {
    let found: Model.Recognition
    do throws(HGNetError) {
      found = try Model.recognize(store)
    } catch {
      // With a model named, the list of differences says more than "not recognised".
      guard let expected else { throw error }
      return Model.Recognition(model: expected, options: options ?? ModelOptions())
    }
    if let expected, expected.architecture != found.model.architecture {
      throw HGNetError(
        .parameterMismatch,
        "expected the weights of \(expected), found those of \(found.model); give --model \(found.model) or another file"
      )
    }
    let known = expected ?? found.model
    guard case .backbone = found.extent else {
      return Model.Recognition(model: known, options: options ?? found.options)
    }
    if allowsNewHead {
      var completed = found.options
      completed.useLastConvolution = true
      return Model.Recognition(model: known, options: options ?? completed)
    }
    guard options == nil else { throw WeightsFile.missingClassifier(of: known) }
    return Model.Recognition(model: known, options: found.options, extent: found.extent)
  }

  /// What an export leaves in a folder that is no Paddle inference model.
  private static let exportedNames = ["inference.onnx", "model.safetensors"]

  /// The path itself, the model in a folder that was exported, or with `.pdparams` where that is meant: a training run
  /// leaves `best_model.pdparams` beside a folder `best_model`.
  static func resolve(_ path: String) -> String {
    func holds(_ name: String) -> Bool { FileKind.exists("\(path)/\(name)") }
    let hasProgram = holds("inference.json") || holds("inference.pdmodel")
    if !hasProgram, let exported = exportedNames.first(where: holds) { return "\(path)/\(exported)" }
    guard FileKind.exists(path + ".pdparams") else { return path }
    if !FileKind.exists(path) { return path + ".pdparams" }
    return FileKind.isFolder(path) && !hasProgram ? path + ".pdparams" : path
  }

  /// Tells the format of a file from its first bytes, and from its name where those say nothing.
  ///
  /// - Throws: `HGNetError.Code.fileNotFound`, `unreadableFile`, or `malformedData` saying what was found.
  public static func format(of path: String) throws(HGNetError) -> Format {
    if FileKind.isFolder(path) { return .paddleInferenceModel }
    return try format(of: Blob(mapping: path))
  }

  /// Tells the format of the bytes of a file.
  private static func format(of blob: Blob) throws(HGNetError) -> Format {
    let path = blob.path ?? ""
    guard blob.count > 0 else {
      throw HGNetError(.malformedData, "expected weights, found an empty file; fetch or save it again", path: blob.path)
    }
    if TorchCheckpoint.isTorchCheckpoint(blob) { return .torchCheckpoint }
    let head = blob.withUnsafeBytes { Array($0.prefix(16)) }
    if head.count > 1, head[0] == 0x80, (2...5).contains(head[1]) { return .paddleParameters }
    if [".pdmodel", ".pdiparams", ".json"].contains(where: { path.hasSuffix($0) }) || Tar.isTar(blob) {
      return .paddleInferenceModel
    }
    if Safetensors.isSafetensors(blob) { return .safetensors }
    if OnnxModel.isOnnxModel(blob) { return .onnxModel }
    // Damaged files under a right name: their own reader says best what is wrong.
    let byName: [(String, Format)] = [
      (".safetensors", .safetensors), (".pdparams", .paddleParameters), (".pth", .torchCheckpoint),
      (".pt", .torchCheckpoint), (".bin", .torchCheckpoint), (".tar", .paddleInferenceModel), (".onnx", .onnxModel),
    ]
    let foreign = FileKind.foreign(head)
    if foreign == nil, let (_, format) = byName.first(where: { path.hasSuffix($0.0) }) { return format }
    throw HGNetError(
      .malformedData,
      "expected weights (.pdparams, .safetensors, a PyTorch checkpoint, an ONNX or a Paddle inference model), found "
        + (foreign ?? "something else") + "; check the path or fetch the file again", path: blob.path)
  }
}

extension WeightsFile {
  /// Whether the network names classes; a backbone, as detectors use it, has features only.
  public var hasClassifier: Bool { graph.classCount != nil }

  /// Refuses a backbone where classes are wanted.
  ///
  /// - Throws: `HGNetError.Code.unsupported` saying what a backbone is good for.
  package func requireClassifier() throws(HGNetError) {
    guard !hasClassifier else { return }
    let error = WeightsFile.missingClassifier(of: model)
    throw path.isEmpty ? error : error.at(path: path)
  }

  private static func missingClassifier(of model: Model?) -> HGNetError {
    HGNetError(
      .unsupported,
      "expected a classifier, found a backbone without one\(model.map { " (\($0))" } ?? ""); train one with "
        + "`hgnet train --data FOLDER --weights FILE`, or take features with `hgnet run --features` or FeatureExtractor"
    )
  }
}

extension Graph {
  /// The number of classes: the channels of the output `logits`, nil for a backbone.
  public var classCount: Int? {
    selectableOutputs.first { $0.name == "logits" }.map { self[$0.node].shape.channels }
  }
}
