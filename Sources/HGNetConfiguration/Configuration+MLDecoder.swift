import HGNetCore
import HGNetModels

extension Configuration {
  private static let decoderKey = "MLDecoder"

  /// Sections of a decoder that no network asks for.
  var unusedDecoderKeys: [String] {
    let isUsed = { (section: String) in self["\(section).use_ml_decoder"] == .boolean(true) }
    var sections = ["Arch"]
    if case .list(let entries)? = self["Arch.models"] {
      for (index, entry) in entries.enumerated() {
        guard case .mapping(let networks) = entry else { continue }
        sections += networks.keys.map { "Arch.models.\(index).\($0)" }
      }
    }
    var unused = sections.filter { !isUsed($0) }.map { "\($0).\(Configuration.decoderKey)" }
    if !sections.contains(where: isUsed) { unused.append(Configuration.decoderKey) }
    return unused.filter { self[$0] != nil }
  }

  /// The head of a network with `use_ml_decoder`, from the keys of `MLDecoder`.
  ///
  /// The section stands beside `Arch`, as in PaddleClas' configurations, or in the network's own.
  ///
  /// - Parameters:
  ///   - section: the path of the network, such as `Arch`.
  ///   - options: the network's other options.
  /// - Throws: `HGNetError.Code.invalidConfiguration` for a wrong value or two sections that differ, `unsupported` for a
  ///   decoder of another form.
  func decoder(of section: String, _ options: ModelOptions) throws(HGNetError) -> MLDecoder {
    let own = "\(section).\(Configuration.decoderKey)"
    let key = self[own] == nil ? Configuration.decoderKey : own
    if let first = self[own], let second = self[Configuration.decoderKey], first != second {
      throw HGNetError(
        .invalidConfiguration,
        "expected one section \(Configuration.decoderKey), found another one beside Arch that differs; remove one of them",
        path: path, key: own)
    }
    var decoder = MLDecoder()
    let widths = 1...(1 << 20)
    if let count = try integer("\(key).query_num", in: widths) { decoder.queryCount = count }
    if let features = try integer("\(key).embed_dim", in: widths) { decoder.features = features }
    if let heads = try integer("\(key).num_heads", in: widths) { decoder.heads = heads }
    if let features = try integer("\(key).mlp_hidden_dim", in: widths) { decoder.hiddenFeatures = features }
    if let probability = try number("\(key).dropout", in: NumberRange.share) {
      decoder.dropoutProbability = Float(probability)
    }
    let fixed: [(name: String, values: [ConfigurationValue])] = [
      ("depth", [.integer(1)]), ("activation", [.text("relu")]), ("freeze_query_embed", [.boolean(true)]),
      ("remove_self_attn", [.boolean(true)]), ("remove_layers", [.list([.text("avg_pool"), .text("flatten")])]),
      ("replace_layer", [.text("fc")]), ("class_num", [.integer(options.classCount)]),
      ("in_channels", [.integer(options.classExpand)]),
    ]
    for (name, values) in fixed {
      guard let found = self["\(key).\(name)"], !values.contains(found) else { continue }
      throw HGNetError(
        .unsupported, "this value is fixed; leave the key out", path: path, key: "\(key).\(name)")
    }
    return decoder
  }
}
