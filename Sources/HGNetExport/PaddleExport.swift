import HGNetCore
import HGNetFormats
import HGNetModels

/// Writes networks as inference models of PaddlePaddle.
///
/// The input is `x`, float32 `[N, 3, H, W]` with any N. Operators and attributes are those of PaddleClas' own export, so
/// that what reads that reads this: Paddle Inference, Paddle Lite, Paddle2ONNX. Threads: safe.
public enum PaddleExport {
  /// The two encodings of a program, and both at once.
  public enum Encoding: String, Sendable, CaseIterable {
    /// Both programs beside one file of parameters.
    ///
    /// PaddlePaddle 3's own tools look for `inference.json`, older ones and Paddle Lite for `inference.pdmodel`.
    case both
    /// `inference.pdmodel`, with `inference.pdiparams.info` beside the parameters.
    case description
    /// `inference.json` of PaddlePaddle 3.
    case intermediate
  }

  /// The names of the files after their common beginning, such as `.pdmodel`.
  package static func suffixes(of encoding: Encoding) -> [String] {
    programs(of: encoding) + [".pdiparams"] + (encoding == .intermediate ? [] : [".pdiparams.info"])
  }

  /// The names of the programs after their common beginning.
  static func programs(of encoding: Encoding) -> [String] {
    switch encoding {
    case .both: [".json", ".pdmodel"]
    case .description: [".pdmodel"]
    case .intermediate: [".json"]
    }
  }

  /// Writes the files of a network.
  ///
  /// - Parameters:
  ///   - network: the network.
  ///   - encoding: how the program is encoded; the parameters are the same.
  ///   - names: the names of the state dictionary by the graph's names, for `.pdiparams.info`; a name that is missing
  ///     stands for itself.
  ///   - stem: the path without the suffixes, such as `folder/inference`.
  /// - Throws: `HGNetError.Code.unwritableFile`.
  package static func write(
    _ network: ExportedNetwork, as encoding: Encoding, names: [String: String] = [:], to stem: String
  ) throws(HGNetError) {
    let internalNames = network.graph.internalParameterNames
    let program = try PaddleOperations(network.graph, activation: network.head, names: internalNames)
    if encoding != .description {
      let repeated =
        network.graph.hasDecoder
        ? try PaddleOperations(network.graph, activation: network.head, names: internalNames, repeatsQueries: true)
        : program
      try write(Array(PaddleIntermediate.encode(repeated).utf8), to: stem + ".json")
    }
    if encoding != .intermediate {
      try write(PaddleDescription.encode(program), to: stem + ".pdmodel")
      try writeNames(of: program, names: names, to: stem + ".pdiparams.info")
    }
    try PaddleTensors.write(program.parameters(network.parameters), to: stem + ".pdiparams")
  }

  private static func write(_ bytes: [UInt8], to path: String) throws(HGNetError) {
    var file = try FileOutput(path: path)
    try file.write(bytes)
    try file.commit()
  }

  /// The link from the names of the program back to those of the state dictionary.
  private static func writeNames(
    of program: PaddleOperations, names: [String: String], to path: String
  ) throws(HGNetError) {
    var table = PickleDictionary()
    for variable in program.variables {
      var entry = PickleDictionary()
      entry["structured_name"] = .text("base_model.\(names[variable.source] ?? variable.source)")
      entry["stop_gradient"] = .bool(!variable.isLearned)
      entry["trainable"] = .bool(variable.isLearned)
      table[variable.name] = .dictionary(entry)
    }
    try Pickle.write(.dictionary(table), to: path, protocol: 2)
  }
}
