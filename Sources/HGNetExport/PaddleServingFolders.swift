import HGNetCore
import HGNetFormats

/// What clients and servers of Paddle Serving read about a Paddle inference model: `serving_client_conf.prototxt` and
/// `serving_server_conf.prototxt`, each in its folder, as `paddle_serving_client.convert` writes them.
public enum PaddleServingFolders {
  /// The names of the files below the folder of the model.
  public static let names = [
    "serving_client/serving_client_conf.prototxt", "serving_server/serving_server_conf.prototxt",
  ]

  /// Writes both files.
  ///
  /// - Parameters:
  ///   - network: the network, as it was exported.
  ///   - folder: that of the model.
  /// - Returns: the files.
  /// - Throws: `HGNetError.Code.unwritableFile`.
  public static func write(_ network: ExportedNetwork, into folder: String) throws(HGNetError) -> [String] {
    let text = try description(of: network)
    for name in names {
      let path = "\(folder)/\(name)"
      if let end = path.lastIndex(of: "/") { try ExportFolder.make(String(path[..<end])) }
      var file = try FileOutput(path: path)
      try file.write(text)
      try file.commit()
    }
    return names.map { "\(folder)/\($0)" }
  }

  /// The text, which is the same in both: the input and the output of the program, each under its own name.
  package static func description(of network: ExportedNetwork) throws(HGNetError) -> String {
    let program = try PaddleOperations(
      network.graph, activation: network.head, names: network.graph.internalParameterNames)
    return variable("feed", name: PaddleOperations.inputName, extents: program.inputExtents)
      + variable("fetch", name: program.outputName, extents: program.outputExtents)
  }

  private static func variable(_ kind: String, name: String, extents: [Int]) -> String {
    // The first extent is the number of pictures, which a client puts in front. 1 is the type float32.
    let shape = extents.dropFirst().map { "  shape: \($0)\n" }.joined()
    return """
      \(kind)_var {
        name: "\(name)"
        alias_name: "\(name)"
        is_lod_tensor: false
        \(kind)_type: 1
      \(shape)}

      """
  }
}
