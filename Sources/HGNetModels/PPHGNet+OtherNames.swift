extension OtherNames {
  /// timm's names of PP-HGNet and PP-HGNetV2.
  ///
  /// - Parameters:
  ///   - firstParameter: the first convolution.
  ///   - aggregation: what PaddlePaddle calls the two parts of `aggregation`.
  ///   - hasNestedStem: whether the stem stands inside another module of that name.
  static func timm(firstParameter: String, aggregation: [String], hasNestedStem: Bool) -> OtherNames {
    OtherNames(.timm, firstParameter: firstParameter) { parts in
      var parts = parts
      if parts.starts(with: ["head", "last_conv", "0"]) { parts.replaceSubrange(0..<3, with: ["last_conv"]) }
      if parts.starts(with: ["head", "last_conv", "2"]) { parts.replaceSubrange(0..<3, with: ["lab"]) }
      if parts.starts(with: ["head", "fc"]) { parts.removeFirst() }
      if hasNestedStem, parts.starts(with: ["stem", "stem"]) { parts.removeFirst() }
      // timm's feature extractor writes an underscore for the dot.
      if parts[0].hasPrefix("stages_") {
        parts.replaceSubrange(0..<1, with: ["stages", String(parts[0].dropFirst(7))])
      }
      return joined(parts, aggregation)
    } otherParts: { parts in
      var result = split(parts, aggregation)
      switch parts[0] {
      case "fc" where !isLinear(parts): return nil
      case "fc": result.insert("head", at: 0)
      case "last_conv": result.replaceSubrange(0..<1, with: ["head", "last_conv", "0"])
      case "lab": result.replaceSubrange(0..<1, with: ["head", "last_conv", "2"])
      case "stem" where hasNestedStem: result.insert("stem", at: 0)
      default: break
      }
      return result
    }
  }

  /// The names of Hugging Face's transformers, which has no last convolution and no decoder.
  static func huggingFace(firstParameter: String, aggregation: [String]) -> OtherNames {
    OtherNames(.huggingFace, firstParameter: firstParameter) { parts in
      var parts = parts
      if parts[0] == "embedder" { parts[0] = "stem" }
      if parts[0] == "encoder" { parts.removeFirst() }
      return joined(parts.map { $0 == "convolution" ? "conv" : $0 == "normalization" ? "bn" : $0 }, aggregation)
    } otherParts: { parts in
      if parts[0] == "fc" { return isLinear(parts) ? parts : nil }
      var result = split(parts, aggregation)
      switch parts[0] {
      case "stem": result[0] = "embedder"
      case "stages": result.insert("encoder", at: 0)
      default: return nil
      }
      return result.map { $0 == "conv" ? "convolution" : $0 == "bn" ? "normalization" : $0 }
    }
  }

  /// Whether a parameter under `fc` is that of one linear layer; anything else there is a decoder of PaddleClas'.
  private static func isLinear(_ parts: [String]) -> Bool { parts == ["fc", "weight"] || parts == ["fc", "bias"] }

  /// The parts with PaddlePaddle's words for `aggregation` and a number.
  private static func joined(_ parts: [String], _ aggregation: [String]) -> [String] {
    var parts = parts
    if let index = parts.firstIndex(of: "aggregation"), index + 1 < parts.count,
      let number = aggregation.indices.first(where: { "\($0)" == parts[index + 1] })
    {
      parts.replaceSubrange(index...index + 1, with: [aggregation[number]])
    }
    return parts
  }

  /// The parts with `aggregation` and a number for PaddlePaddle's words.
  private static func split(_ parts: [String], _ aggregation: [String]) -> [String] {
    parts.flatMap { part in aggregation.firstIndex(of: part).map { ["aggregation", "\($0)"] } ?? [part] }
  }
}

extension NetworkFamily {
  /// `hgnetv2_b4` and `b4` for `PPHGNetV2_B4`.
  static let shortNames: @Sendable (_ model: String) -> [String] = { model in
    [String(model.dropFirst(2)), model.split(separator: "_").last.map(String.init) ?? model]
  }
}
