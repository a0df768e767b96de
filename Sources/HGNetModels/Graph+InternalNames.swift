import HGNetCore

extension Graph {
  /// PaddlePaddle's internal names of the parameters, such as `conv2d_0.w_0`, by the names of the state dictionary.
  ///
  /// A state dictionary written by PaddlePaddle carries them, and optimiser states are keyed by them. They count the
  /// layers of each class in the order of construction, as a process that builds only this network would.
  package var internalParameterNames: [String: String] { parameters.internalNames }
}

extension [ParameterDeclaration] {
  /// PaddlePaddle's internal names, as a process that builds the networks of these parameters in this order gives them:
  /// the counts of a second network go on where those of the first have ended.
  package var internalNames: [String: String] {
    var counts: [String: Int] = [:]
    var layers: [String: String] = [:]
    var result: [String: String] = [:]
    var taken: Set<String> = []
    for parameter in self {
      let (layerClass, suffix): (String, String) =
        switch parameter.role {
        case .convolutionWeight: ("conv2d", "w_0")
        case .convolutionBias: ("conv2d", "b_0")
        case .normalizationWeight: ("batch_norm2d", "w_0")
        case .normalizationBias: ("batch_norm2d", "b_0")
        case .runningMean: ("batch_norm2d", "w_1")
        case .runningVariance: ("batch_norm2d", "w_2")
        case .affineScale: ("learnable_affine_block", "w_0")
        case .affineBias: ("learnable_affine_block", "w_1")
        case .linearWeight: ("linear", "w_0")
        case .linearBias: ("linear", "b_0")
        case .layerNormalizationWeight: ("layer_norm", "w_0")
        case .layerNormalizationBias: ("layer_norm", "b_0")
        case .queryEmbedding: ("embedding", "w_0")
        case .quantizationRange: ("pact", "w_0")
        }
      // The parameters of one layer share everything before the last dot. Those of other exporters may have no dots: a name
      // that is taken begins another layer.
      let path = parameter.name.split(separator: ".").dropLast().joined(separator: ".")
      let key = "\(layerClass) \(path)"
      if layers[key].map({ taken.contains("\($0).\(suffix)") }) ?? true {
        // PaddleClas makes the plain classifier and a self-attention of four layers, and takes them out again.
        if path.hasSuffix("decoder.layers.0.cross_attn.q_proj") { counts["linear", default: 0] += 5 }
        layers[key] = "\(layerClass)_\(counts[layerClass, default: 0])"
        counts[layerClass, default: 0] += 1
      }
      let name = "\(layers[key] ?? path).\(suffix)"
      taken.insert(name)
      result[parameter.name] = name
    }
    return result
  }
}
