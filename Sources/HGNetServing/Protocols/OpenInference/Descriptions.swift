import HGNet
import HGNetCore
import HGNetFormats

/// What the Open Inference Protocol tells about a server and its models.
enum Descriptions {
  /// The name of the server.
  static let serverName = "hgnet"
  /// The version of the server.
  static let serverVersion = PackageVersion.text
  /// What it does beyond the protocol's core.
  static let extensions = [
    "binary_tensor_data", "classification", "model_repository", "model_configuration", "statistics",
  ]
  /// What runs the models.
  static let platform = "hgnet"

  /// The server's metadata.
  static var server: JSONText {
    .object([
      ("name", .text(serverName)), ("version", .text(serverVersion)),
      ("extensions", .list(extensions.map { .text($0) })),
    ])
  }

  /// A model's metadata.
  static func model(_ model: ServedModel, versions: [String]) -> JSONText {
    .object([
      ("name", .text(model.name)), ("versions", .list(versions.map { .text($0) })), ("platform", .text(platform)),
      ("inputs", .list(model.inputs.map(tensor))), ("outputs", .list(model.outputs.map(tensor))),
      ("parameters", .object(parameters(model))),
    ])
  }

  /// What a client needs to know to prepare pictures itself.
  static func parameters(_ model: ServedModel) -> [(String, JSONText)] {
    var members: [(String, JSONText)] = [
      ("network", .text(model.network.modelName)), ("class_count", .text("\(model.network.classCount)")),
    ]
    if let labels = model.network.recipe.labels {
      members.append(
        ("labels", .text((0..<model.network.classCount).map { labels[$0] }.joined(separator: "\n"))))
    }
    return members
  }

  private static func tensor(_ tensor: ServedModel.TensorDescription) -> JSONText {
    .object([
      ("name", .text(tensor.name)), ("datatype", .text(tensor.datatype)),
      ("shape", .list(tensor.shape.map { .integer($0) })),
    ])
  }

  /// A model's configuration as Triton words it.
  static func configuration(_ model: ServedModel) -> JSONText {
    .object([
      ("name", .text(model.name)), ("platform", .text(platform)), ("backend", .text(platform)),
      ("max_batch_size", .integer(model.pictureLimit)),
      ("input", .list(model.inputs.map { configured($0, isOptional: true) })),
      ("output", .list(model.outputs.map { configured($0, isOptional: nil) })),
      ("dynamic_batching", .object([])),
    ])
  }

  private static func configured(_ tensor: ServedModel.TensorDescription, isOptional: Bool?) -> JSONText {
    var members: [(String, JSONText)] = [
      ("name", .text(tensor.name)), ("data_type", .text(dataType(tensor.datatype))),
      ("dims", .list(tensor.dimensions.map { .integer($0) })),
    ]
    if let isOptional { members.append(("optional", .boolean(isOptional))) }
    return .object(members)
  }

  /// The name of a type in Triton's configurations.
  static func dataType(_ datatype: String) -> String { datatype == "BYTES" ? "TYPE_STRING" : "TYPE_\(datatype)" }

  /// A model's statistics.
  static func statistics(_ model: ServedModel) -> JSONText {
    let totals = model.statistics.current
    func total(_ value: ModelStatistics.Total) -> JSONText {
      .object([("count", .integer(value.count)), ("ns", .integer(value.nanoseconds))])
    }
    return .object([
      ("name", .text(model.name)), ("version", .text(model.version)),
      ("inference_count", .integer(totals.pictureCount)),
      ("execution_count", .integer(Int(totals.batchCount.rounded()))),
      (
        "inference_stats",
        .object([
          ("success", total(totals.success)), ("fail", total(totals.failure)), ("queue", total(totals.queue)),
          ("compute_input", total(totals.prepare)), ("compute_infer", total(totals.compute)),
          ("compute_output", total(ModelStatistics.Total())),
        ])
      ),
      ("batch_stats", .list([])),
    ])
  }
}
