import HGNetConfiguration
import HGNetCore
import HGNetVision

extension Recipe {
  /// The recipe as `inference.yml`: `PreProcess.transform_ops`, `PostProcess` and the names of the classes.
  ///
  /// It reads back as the same recipe with `Configuration.recipe(warn:)`, and PaddleX reads it as PaddleClas' own.
  ///
  /// - Parameters:
  ///   - modelName: for `Global.model_name`; nil leaves the section out.
  ///   - classCount: how many names are written, where there are labels.
  public func inferenceConfiguration(modelName: String?, classCount: Int) -> ConfigurationValue {
    var root = ConfigurationMapping()
    if let modelName { root["Global"] = .mapping([("model_name", .text(modelName))]) }
    var operators: [ConfigurationValue] = []
    func append(_ name: String, _ arguments: [(String, ConfigurationValue)]) {
      operators.append(.mapping([(name, arguments.isEmpty ? .null : .mapping(arguments))]))
    }
    // OpenCV's decoder is what readers take where nothing is said.
    if decodingStyle == .pillow { append("DecodeImage", [("to_rgb", .boolean(true)), ("backend", .text("pil"))]) }
    for transform in transforms {
      switch transform {
      case .resizeShort(let side, let interpolation, let backend):
        append("ResizeImage", [("resize_short", .integer(side))] + Recipe.resampling(interpolation, backend))
      case .resize(let size, let interpolation, let backend):
        append("ResizeImage", [("size", Recipe.sides(size))] + Recipe.resampling(interpolation, backend))
      case .centerCrop(let size): append("CropImage", [("size", Recipe.sides(size))])
      case .normalize(let scale, let mean, let deviation):
        append(
          "NormalizeImage",
          [
            ("channel_num", .integer(3)), ("mean", Recipe.numbers(mean)), ("order", .text("")),
            ("scale", Recipe.number(scale)), ("std", Recipe.numbers(deviation)),
          ])
      }
    }
    append("ToCHWImage", [])
    root["PreProcess"] = .mapping([("transform_ops", .list(operators))])
    let (name, key, value): (String, String, ConfigurationValue) =
      switch postProcessing {
      case .topK(let count): ("Topk", "topk", .integer(count))
      case .threshold(let threshold): ("MultiLabelThreshOutput", "threshold", .number(threshold))
      }
    var arguments: [(String, ConfigurationValue)] = [(key, value)]
    if let labels { arguments.append(("label_list", .list((0..<classCount).map { .text(labels[$0]) }))) }
    root["PostProcess"] = .mapping([(name, .mapping(arguments))])
    return .mapping(root)
  }

  private static func resampling(
    _ interpolation: Interpolation, _ backend: ResizeBackend
  ) -> [(String, ConfigurationValue)] {
    [("interpolation", .text(interpolation.rawValue)), ("backend", .text(backend.rawValue))]
  }

  /// PaddleClas' order: width, height.
  private static func sides(_ size: Size) -> ConfigurationValue {
    size.width == size.height ? .integer(size.width) : .list([.integer(size.width), .integer(size.height)])
  }

  private static func numbers(_ values: [Float]) -> ConfigurationValue { .list(values.map { number($0) }) }

  /// The shortest decimal that is the same float.
  private static func number(_ value: Float) -> ConfigurationValue { .number(Double("\(value)") ?? Double(value)) }
}

extension ConfigurationValue {
  fileprivate static func mapping(_ entries: [(String, ConfigurationValue)]) -> ConfigurationValue {
    var mapping = ConfigurationMapping()
    for (key, value) in entries { mapping[key] = value }
    return .mapping(mapping)
  }
}
