import HGNetCore
import HGNetFormats

/// What clients and servers of Paddle Serving read about a Paddle inference model: `serving_client_conf` and
/// `serving_server_conf`, each in its folder, as text (`.prototxt`) and as a message of protobuf (`.stream.prototxt`), as
/// `paddle_serving_client.convert` writes them.
public enum PaddleServingFolders {
  /// The names of the files below the folder of the model.
  public static let names = [
    "serving_client/serving_client_conf.prototxt", "serving_client/serving_client_conf.stream.prototxt",
    "serving_server/serving_server_conf.prototxt", "serving_server/serving_server_conf.stream.prototxt",
  ]

  /// Writes the files.
  ///
  /// - Parameters:
  ///   - network: the network, as it was exported.
  ///   - folder: that of the model.
  /// - Returns: the files.
  /// - Throws: `HGNetError.Code.unwritableFile`.
  public static func write(_ network: ExportedNetwork, into folder: String) throws(HGNetError) -> [String] {
    let variables = try variables(of: network)
    let text = variables.map(\.text).joined()
    var message = ProtobufEncoder()
    for variable in variables { variable.encode(into: &message) }
    for name in names {
      let path = "\(folder)/\(name)"
      if let end = path.lastIndex(of: "/") { try ExportFolder.make(String(path[..<end])) }
      var file = try FileOutput(path: path)
      if name.hasSuffix(".stream.prototxt") { try file.write(message.bytes) } else { try file.write(text) }
      try file.commit()
    }
    return names.map { "\(folder)/\($0)" }
  }

  /// An input or an output, which has the same description for clients and servers.
  private struct Variable {
    /// `feed` or `fetch`.
    let kind: String
    let name: String
    /// Without the first extent, which is the number of pictures; a client puts it in front.
    let extents: [Int]
    /// float32.
    let type = 1

    var text: String {
      let shape = extents.map { "  shape: \($0)\n" }.joined()
      return """
        \(kind)_var {
          name: "\(name)"
          alias_name: "\(name)"
          is_lod_tensor: false
          \(kind)_type: \(type)
        \(shape)}

        """
    }

    /// Appends the variable to a `GeneralModelConfig`.
    func encode(into message: inout ProtobufEncoder) {
      message.message(kind == "feed" ? 1 : 2) { variable in
        variable.text(1, name)
        variable.text(2, name)
        variable.integer(3, 0)
        variable.integer(4, type)
        for extent in extents { variable.integer(5, extent) }
      }
    }
  }

  /// The input and the output of the program, each under its own name.
  private static func variables(of network: ExportedNetwork) throws(HGNetError) -> [Variable] {
    let program = try PaddleOperations(
      network.graph, activation: network.head, names: network.graph.internalParameterNames)
    return [
      Variable(kind: "feed", name: PaddleOperations.inputName, extents: Array(program.inputExtents.dropFirst())),
      Variable(kind: "fetch", name: program.outputName, extents: Array(program.outputExtents.dropFirst())),
    ]
  }
}
