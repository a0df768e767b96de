import HGNetCore
import HGNetModels

extension Configuration {
  /// The head of `use_ml_decoder` with its keys.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for a wrong value, `unsupported` for a decoder of another form.
  func decoder(_ key: String, _ options: ModelOptions) throws(HGNetError) -> MLDecoder {
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
