import HGNet
import HGNetCore
import HGNetFormats
import HGNetModels

/// Writes a network in one format, reads it back, runs it, and only then gives the files their names.
///
/// Threads: a value; one export per folder at a time.
public struct ModelExport: Sendable {
  /// What is written.
  public enum Format: Sendable {
    /// A Paddle inference model.
    case paddle(PaddleExport.Encoding)
    /// An ONNX model.
    case onnx(OnnxExport.Options)
    /// Named arrays, with texts beside them.
    case safetensors(NameTranslation.Convention, metadata: [String: String])
    /// A state dictionary of PaddlePaddle.
    case paddleParameters

    /// The format as which it is read back.
    package var weightsFormat: WeightsFormat {
      switch self {
      case .paddle: .paddleInferenceModel
      case .onnx: .onnxModel
      case .safetensors: .safetensors
      case .paddleParameters: .paddleParameters
      }
    }

    /// The endings of the files, that of the file to open first.
    package var endings: [String] {
      if case .paddle(let encoding) = self { return PaddleExport.suffixes(of: encoding) }
      return Array(weightsFormat.endings.prefix(1))
    }

    /// The name without its ending by which the files are found in a folder of their own.
    package var stemInFolder: String {
      let name = weightsFormat.namesInFolder.first ?? "model"
      return name.lastIndex(of: ".").map { String(name[..<$0]) } ?? name
    }
  }

  /// What came of it.
  public struct Result: Sendable {
    /// The files that were written.
    public let files: [String]
    /// The largest difference between the outputs before and after, on one picture.
    ///
    /// Of probabilities, of logits where the network has no activation, or of the stages' maps where a backbone was
    /// written; with a recipe also of the scores of a picture file that each prepares by the recipe that belongs to it.
    public let difference: Double
    /// The parameters that the names of the format have no place for: a head that was left out; empty mostly.
    public let leftOut: [String]
  }

  /// The network.
  public let network: ExportedNetwork
  /// What is written.
  public let format: Format
  /// What its numbers are.
  public let precision: ExportPrecision
  /// Files of text that belong to it, such as `inference.yml`, by name.
  public var texts: [(name: String, content: String)] = []
  /// The recipe of the weights, which what was written must carry to the same answers; nil for a format that has no
  /// place for it.
  public var recipe: Recipe?
  private let weights: WeightsFile
  /// The names of the state dictionary by the graph's; nil where the graph's are these already.
  private let names: [String: String]?

  /// Prepares an export.
  ///
  /// - Parameters:
  ///   - weights: where the network comes from; an inference model has other names, which are found again by its
  ///     structure where the format needs them.
  ///   - network: the network, as it is to be exported.
  ///   - format: what is written.
  ///   - precision: of its numbers; nil for that of the weights: int8 for quantised ones, else float32.
  /// - Throws: `HGNetError.Code.unsupported` when a format needs names that cannot be found again, or does not have the
  ///   precision; `parameterMismatch` for int8 of weights that are not quantised.
  public init(
    _ weights: WeightsFile, as network: ExportedNetwork, format: Format, precision: ExportPrecision? = nil
  ) throws(HGNetError) {
    let precision = try ExportPrecision.chosen(precision, for: weights, as: format)
    self.precision = precision
    self.network = try network.prepared(for: precision, format: format)
    self.format = format
    self.weights = weights
    let hasProgram = format.weightsFormat.isInferenceModel
    if hasProgram, !weights.hasClassifier { throw ModelExport.backboneAlone(weights.path) }
    guard weights.format.isInferenceModel else {
      names = nil
      return
    }
    // Nice to have beside a program, but not needed.
    names =
      hasProgram
      ? (try? Model.structure(of: network.graph))?.names ?? [:] : try Model.structure(of: network.graph).names
  }

  private static func backboneAlone(_ path: String) -> HGNetError {
    HGNetError(
      .unsupported,
      "expected a classifier, found a backbone without one, which is written as a state dictionary: .pdparams or "
        + ".safetensors", path: path)
  }

  /// Writes the files.
  ///
  /// What is written is read back from the file alone, and compared: logits, or the stages of a backbone.
  ///
  /// - Parameters:
  ///   - folder: where; it is made if need be.
  ///   - stem: the files' names without their suffixes, such as `inference`.
  /// - Throws: `HGNetError.Code.internalInconsistency` when what was read back gives other outputs: nothing is kept then;
  ///   `unwritableFile`, and what the formats throw.
  public func write(into folder: String, stem: String) throws(HGNetError) -> Result {
    var leftOut: [String] = []
    if case .safetensors(let convention, _) = format {
      leftOut = NameTranslation.headWithoutPlace(in: stateDictionary(), of: convention)
    }
    let check = try SelfCheck(
      network, precision: precision, isHeadless: network.classCount == 0 || !leftOut.isEmpty)
    let staging = try ExportFolder(target: folder)
    let path = "\(staging.path)/\(stem)"
    let main = path + (format.endings.first ?? "")
    var files = format.endings.map { stem + $0 }
    switch format {
    case .paddle(let encoding): try PaddleExport.write(network, as: encoding, names: names ?? [:], to: path)
    case .onnx(let options): try OnnxExport.write(network, options: options, precision: precision, to: main)
    case .safetensors(_, let metadata) where precision == .int8:
      let own = weights.metadata.filter { $0.key.hasPrefix("quantization") }
      var store = stateDictionary()
      store.ranges = network.parameters.ranges
      try QuantizedWeights.write(store, metadata: metadata.merging(own) { $1 }, to: main)
    case .safetensors(let convention, let metadata):
      let store = try NameTranslation.fromPaddle(stateDictionary(), to: convention)
      try Safetensors.write(store, metadata: metadata, as: precision.elementType, to: main)
    case .paddleParameters:
      let graph = network.graph
      var internalNames: [String: String] = [:]
      for (name, own) in graph.internalParameterNames { internalNames[names?[name] ?? name] = own }
      try PaddleParameters.write(stateDictionary(), to: main, internalNames: internalNames)
    }
    for text in texts {
      var file = try FileOutput(path: "\(staging.path)/\(text.name)")
      try file.write(text.content)
      try file.commit()
      files.append(text.name)
    }
    var difference = 0.0
    // A backbone has no answers to compare.
    let answering = weights.hasClassifier && leftOut.isEmpty ? recipe : nil
    for suffix in checkedSuffixes {
      difference = max(difference, try readBack(path + suffix, check: check, isWhole: leftOut.isEmpty))
      guard let answering else { continue }
      let answers = RecipeCheck(
        weights, recipe: answering, network: network, hasHead: format.weightsFormat.isInferenceModel,
        bound: precision.bound)
      difference = max(
        difference, try answers.difference(exported: path + suffix, picture: "\(staging.path)/self-check.png"))
    }
    try staging.commit(files)
    return Result(files: files.map { "\(folder)/\($0)" }, difference: difference, leftOut: leftOut)
  }

  /// The files that are read back, each with those that belong to it.
  private var checkedSuffixes: [String] {
    if case .paddle(let encoding) = format { return PaddleExport.programs(of: encoding) }
    return Array(format.endings.prefix(1))
  }

  private func readBack(_ path: String, check: SelfCheck, isWhole: Bool) throws(HGNetError) -> Double {
    let file = try WeightsFile(contentsOf: path)
    // Weights do not say how much a network drops out; the parameters are those of the file alone.
    let isWeights = !file.format.isInferenceModel && names == nil && isWhole
    return try check.difference(
      graph: isWeights ? network.graph : file.graph, parameters: file.parameters,
      activation: file.format.isInferenceModel ? file.activation : nil)
  }

  /// The parameters under the names of the state dictionary, in its order.
  private func stateDictionary() -> ParameterStore {
    var store = ParameterStore()
    for declaration in network.graph.parameters {
      store[names?[declaration.name] ?? declaration.name] = network.parameters[declaration.name]
    }
    return store
  }
}
