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
  ///     values. With it goes what stands between the stages and the classifier where the file has nothing there.
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
      let reader = try WeightsFile.reader(of: resolved)
      try self.init(
        reader.weights(at: resolved), format: reader.format, path: resolved, model: model, options: options,
        allowsNewHead: allowsNewHead, part: part)
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
    let reader = try WeightsFile.reader(of: blob)
    try self.init(
      reader.weights(in: blob), format: reader.format, path: blob.path ?? "", model: model, options: options,
      allowsNewHead: allowsNewHead)
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
    try self.init(
      file.contents, format: .paddleInferenceModel, path: program.path ?? "", model: nil, options: options,
      allowsNewHead: false)
  }

  private init(
    _ contents: WeightsContents, format: Format, path: String, model: Model?, options: ModelOptions?,
    allowsNewHead: Bool, part: String? = nil
  ) throws(HGNetError) {
    guard let network = contents.network else {
      try self.init(
        stored: contents.parameters, metadata: contents.metadata, path: path, format: format, model: model,
        options: options, allowsNewHead: allowsNewHead, part: part, choice: contents.choice)
      return
    }
    guard !allowsNewHead else {
      try self.init(
        stored: WeightsFile.stateDictionary(of: network.graph, contents.parameters), metadata: contents.metadata,
        path: path, format: format, model: model, options: options, allowsNewHead: true)
      return
    }
    try self.init(
      network, parameters: contents.parameters, metadata: contents.metadata, format: format, path: path, model: model,
      options: options)
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
    _ network: WeightsContents.Network, parameters: ParameterStore, metadata: [String: String], format: Format,
    path: String, model: Model?, options: ModelOptions?
  ) throws(HGNetError) {
    if let options, let classes = network.graph.classCount, classes != options.classCount {
      throw HGNetError(
        .parameterMismatch,
        "expected a model for \(options.classCount) classes, found one for \(classes); give the right class_num")
    }
    self.path = path
    self.format = format
    self.model = model
    graph = network.graph
    var quantized = parameters
    quantized.ranges = try QuantizedNetwork.ranges(network.ranges, of: network.graph)
    quantized.hasExactRanges = !quantized.ranges.isEmpty
    self.parameters = quantized
    self.metadata = metadata
    activation = Activation(rawValue: network.activation.rawValue)
    declaredInputSize = network.declaredInputSize
    report = LoadReport(matched: parameters.names)
  }

  private init(
    stored: ParameterStore, metadata: [String: String], path: String, format: Format, model: Model?,
    options: ModelOptions?, allowsNewHead: Bool, part: String? = nil, choice: String? = nil
  ) throws(HGNetError) {
    var stored = try QuantizedWeights.reading(stored, metadata: metadata)
    let ranges = stored.ranges
    // A checkpoint of quantisation-aware training is read as the quantised weights that it stands for.
    let learned = try LearnedRanges(ranges.isEmpty ? stored : ParameterStore())
    stored = learned.removing(from: stored)
    guard !stored.isEmpty else {
      throw HGNetError(.parameterMismatch, "expected the parameters of a network, found an empty \(format.title)")
    }
    var others: [String] = []
    if let part, stored.names.contains(where: { $0.hasPrefix("\(part).") }) {
      others = stored.names.filter { !$0.hasPrefix("\(part).") }
      stored = stored.parameters(behind: "\(part).")
    }
    // Of a model of one's own only the caller knows.
    let families = NetworkFamily.all + (model.map { [$0.family] } ?? []).filter { !NetworkFamily.all.contains($0) }
    let translation = try NameTranslation.translation(of: stored, families: families)
    let translated = translation.parameters
    var found = try WeightsFile.recognition(
      of: translated, expected: model, options: options, allowsNewHead: allowsNewHead)
    if options == nil { found = NeighboringConfiguration.completing(found, ofWeightsAt: path, metadata: metadata) }
    let graph = try found.graph()
    // A network inside something larger (`Student.`, `backbone.`) is read alone.
    let matching = ParameterMatching(
      store: translated, graph: graph, headPart: found.model.family.headPart,
      ignored: others + translation.unrelatedNames)
    let loaded = try matching.strict(
      freshHead: allowsNewHead ? try Model.initialParameters(for: graph, seed: 0) : nil)
    self.path = path
    self.format = format
    self.metadata = metadata
    self.model = found.model
    self.graph = graph
    try QuantizedWeights.check(ranges, of: graph)
    var parameters = loaded.parameters
    parameters.ranges = ranges
    if !learned.isEmpty { parameters = try learned.quantizing(graph, parameters) }
    self.parameters = parameters
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
      let reader = try reader(of: resolved)
      guard !reader.format.isInferenceModel else { return [] }
      names = try reader.weights(at: resolved).parameters.names
    } catch { throw error.at(path: resolved) }
    return NameTranslation.parts(of: names)
  }

  /// The model that the parameters belong to, and what the caller says about it.
  private static func recognition(
    of store: ParameterStore, expected: Model?, options: ModelOptions?, allowsNewHead: Bool
  ) throws(HGNetError) -> Model.Recognition {
    let found: Model.Recognition
    do throws(HGNetError) {
      found = try Model.recognize(store, among: (expected.map { [$0] } ?? []) + Model.all)
    } catch {
      // With a model named, the list of differences says more than "not recognised".
      guard let expected else { throw error }
      return Model.Recognition(model: expected, options: options ?? ModelOptions())
    }
    if let expected, !expected.isSameNetwork(as: found.model) {
      throw HGNetError(
        .parameterMismatch,
        "expected the weights of \(expected), found those of \(found.model); name that model (--model \(found.model), with a "
          + "configuration -o Arch.name=\(found.model)), or give another file"
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
