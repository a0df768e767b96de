extension NameTranslation {
  /// PaddlePaddle's name of a parameter, nil for one that PaddlePaddle does not have.
  static func paddleName(of name: String, _ recognition: Recognition) -> String? {
    if recognition.convention == .paddle { return name }
    var parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    switch parts.last {
    case "num_batches_tracked": return nil
    case "running_mean": parts[parts.count - 1] = "_mean"
    case "running_var": parts[parts.count - 1] = "_variance"
    default: break
    }
    if recognition.convention == .huggingFace {
      if parts[0] == "embedder" { parts[0] = "stem" }
      if parts[0] == "encoder" { parts.removeFirst() }
      parts = parts.map { $0 == "convolution" ? "conv" : $0 == "normalization" ? "bn" : $0 }
    } else {
      if parts.starts(with: ["head", "last_conv", "0"]) { parts.replaceSubrange(0..<3, with: ["last_conv"]) }
      if parts.starts(with: ["head", "last_conv", "2"]) { parts.replaceSubrange(0..<3, with: ["lab"]) }
      if parts.starts(with: ["head", "fc"]) { parts.removeFirst() }
      if recognition.isFirstGeneration, parts.starts(with: ["stem", "stem"]) { parts.removeFirst() }
      // timm's feature extractor writes an underscore for the dot.
      if parts[0].hasPrefix("stages_") {
        parts.replaceSubrange(0..<1, with: ["stages", String(parts[0].dropFirst(7))])
      }
    }
    if let index = parts.firstIndex(of: "aggregation"), index + 1 < parts.count {
      switch (parts[index + 1], recognition.isFirstGeneration) {
      case ("0", false): parts.replaceSubrange(index...index + 1, with: ["aggregation_squeeze_conv"])
      case ("1", false): parts.replaceSubrange(index...index + 1, with: ["aggregation_excitation_conv"])
      case ("0", true): parts.replaceSubrange(index...index + 1, with: ["aggregation_conv"])
      case ("1", true): parts.replaceSubrange(index...index + 1, with: ["att"])
      default: break
      }
    }
    return parts.joined(separator: ".")
  }

  /// A classifier that is one linear layer; anything else under `fc` is a decoder of PaddleClas'.
  private static let linearNames = ["fc.weight", "fc.bias"]

  /// timm's name of a parameter under PaddlePaddle's, nil for a decoder.
  static func timmName(of name: String, isFirstGeneration: Bool) -> String? {
    var parts = torchParts(of: name)
    switch parts[0] {
    case "fc" where !linearNames.contains(name): return nil
    case "fc": parts.insert("head", at: 0)
    case "last_conv": parts.replaceSubrange(0..<1, with: ["head", "last_conv", "0"])
    case "lab": parts.replaceSubrange(0..<1, with: ["head", "last_conv", "2"])
    case "stem" where isFirstGeneration: parts.insert("stem", at: 0)
    default: break
    }
    return parts.joined(separator: ".")
  }

  /// Hugging Face's name of a parameter under PaddlePaddle's, nil for a last convolution or a decoder.
  static func huggingFaceName(of name: String) -> String? {
    var parts = torchParts(of: name)
    switch parts[0] {
    case "stem": parts[0] = "embedder"
    case "stages": parts.insert("encoder", at: 0)
    case "fc" where linearNames.contains(name): return name
    default: return nil
    }
    return parts.map { $0 == "conv" ? "convolution" : $0 == "bn" ? "normalization" : $0 }.joined(separator: ".")
  }

  /// The parts of a name with what timm and transformers have in common.
  private static func torchParts(of name: String) -> [String] {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    return parts.flatMap { part in
      switch part {
      case "_mean": ["running_mean"]
      case "_variance": ["running_var"]
      case "aggregation_squeeze_conv", "aggregation_conv": ["aggregation", "0"]
      case "aggregation_excitation_conv", "att": ["aggregation", "1"]
      default: [part]
      }
    }
  }
}
