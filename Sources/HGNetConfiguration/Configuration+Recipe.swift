import HGNet
import HGNetCore
import HGNetModels
import HGNetVision

extension Configuration {
  /// The recipe that the configuration describes, nil when it has no transforms.
  ///
  /// Read are `Infer.transforms` with `Infer.PostProcess` (training configurations), or `PreProcess.transform_ops` with
  /// `PostProcess` (deployment configurations and `inference.yml`). The label file `imagenet1k_label_list.txt` need not
  /// exist: its names are built in. Another label file that is missing is looked for beside the configuration; when it is
  /// not there either, that is reported through `warn` and leaves the names unknown, as in PaddleClas.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` naming the key, `unsupported` for a transform that belongs to
  ///   training, `malformedData` for a damaged label file.
  package func recipe(warn: (String) -> Void = { _ in }) throws(HGNetError) -> Recipe? {
    let isTraining = self["Infer.transforms"] != nil
    let key = isTraining ? "Infer.transforms" : "PreProcess.transform_ops"
    guard let operators = try operators(key) else { return nil }
    var recipe = Recipe(transforms: [])
    for (name, key) in operators {
      switch name {
      case "DecodeImage": recipe.decodingStyle = try decodingStyle(key)
      case "ResizeImage": recipe.transforms.append(try resize(key))
      case "CropImage", "CenterCropImage": recipe.transforms.append(.centerCrop(try size("\(key).size")))
      case "NormalizeImage": recipe.transforms.append(try normalization(key))
      case "ToCHWImage", "ToTensor": break
      default:
        throw HGNetError(
          .unsupported,
          "\(name) belongs to training; expected DecodeImage, ResizeImage, CropImage, NormalizeImage or ToCHWImage",
          path: path, key: key)
      }
    }
    try readPostProcessing(
      isTraining ? "Infer.PostProcess" : "PostProcess", isTraining: isTraining, into: &recipe, warn: warn)
    return recipe
  }

  func decodingStyle(_ key: String) throws(HGNetError) -> DecodingStyle {
    if try boolean("\(key).to_rgb") == false {
      throw HGNetError(
        .unsupported, "the networks are trained on red, green, blue; leave to_rgb True", path: path,
        key: "\(key).to_rgb")
    }
    switch try text("\(key).backend")?.lowercased() {
    case nil, "cv2": return .openCV
    case "pil": return .pillow
    case let other?: throw wrong("\(key).backend", expected: "cv2 or pil", found: .text(other))
    }
  }

  func resize(_ key: String) throws(HGNetError) -> Transform {
    let (backend, interpolation) = try resampling(key)
    let short = try integer("\(key).resize_short", in: 1...Configuration.maximumSide)
    if let short {
      guard self["\(key).size"] == nil else {
        throw HGNetError(.invalidConfiguration, "expected resize_short or size, found both", path: path, key: key)
      }
      return .resizeShort(short, interpolation: interpolation, backend: backend)
    }
    return .resize(try size("\(key).size"), interpolation: interpolation, backend: backend)
  }

  /// Who resizes and how; each library has its own idea of what to do when no interpolation is named.
  func resampling(_ key: String) throws(HGNetError) -> (ResizeBackend, Interpolation) {
    let backendName = try text("\(key).backend") ?? ResizeBackend.openCV.rawValue
    guard let backend = ResizeBackend(rawValue: backendName.lowercased()) else {
      throw wrong("\(key).backend", expected: "cv2 or pil", found: .text(backendName))
    }
    let standard = backend == .openCV ? Interpolation.bilinear : .bicubic
    let interpolationName = try text("\(key).interpolation") ?? standard.rawValue
    guard let interpolation = Interpolation(rawValue: interpolationName.lowercased()), backend.supports(interpolation)
    else {
      let known = Interpolation.allCases.filter(backend.supports).map(\.rawValue).joined(separator: ", ")
      throw wrong("\(key).interpolation", expected: "one of \(known)", found: .text(interpolationName))
    }
    return (backend, interpolation)
  }

  static let maximumSide = 1 << 15

  /// One number for a square, or `[width, height]` in PaddleClas' order.
  func size(_ key: String) throws(HGNetError) -> Size {
    let sides = 1...Configuration.maximumSide
    guard case .list(let list)? = self[key] else {
      guard let side = try integer(key, in: sides) else {
        throw HGNetError(
          .invalidConfiguration, "expected a size in pixels such as 224, found nothing", path: path, key: key)
      }
      return Size(side)
    }
    guard list.count == 2, let width = try integer("\(key).0", in: sides),
      let height = try integer("\(key).1", in: sides)
    else { throw wrong(key, expected: "a number or [width, height]", found: .list(list)) }
    return Size(height: height, width: width)
  }

  func normalization(_ key: String) throws(HGNetError) -> Transform {
    func three(_ name: String, _ standard: [Float]) throws(HGNetError) -> [Float] {
      guard let numbers = try numbers("\(key).\(name)") else { return standard }
      guard numbers.count == 3, numbers.allSatisfy({ Float($0).isFinite }) else {
        throw HGNetError(
          .invalidConfiguration, "expected three numbers, for red, green and blue, found \(numbers.count)", path: path,
          key: "\(key).\(name)")
      }
      return numbers.map { Float($0) }
    }
    let channels = try integer("\(key).channel_num") ?? 3
    guard channels == 3 else { throw wrong("\(key).channel_num", expected: "3", found: .integer(channels)) }
    if try boolean("\(key).output_fp16") == true {
      throw HGNetError(
        .unsupported, "the network computes in float32; leave output_fp16 False", path: path, key: "\(key).output_fp16")
    }
    let standardDeviation = try three("std", Recipe.imageNetStandardDeviation)
    guard standardDeviation.allSatisfy({ $0 != 0 }) else {
      throw HGNetError(
        .invalidConfiguration, "expected standard deviations other than 0", path: path, key: "\(key).std")
    }
    let scale = Float(try number("\(key).scale") ?? 1.0 / 255)
    guard scale.isFinite else {
      throw wrong("\(key).scale", expected: "a number that float32 can hold", found: self["\(key).scale"] ?? .null)
    }
    return .normalize(
      scale: scale, mean: try three("mean", Recipe.imageNetMean),
      standardDeviation: standardDeviation)
  }

  private func readPostProcessing(
    _ key: String, isTraining: Bool, into recipe: inout Recipe, warn: (String) -> Void
  ) throws(HGNetError) {
    guard let section = self[key] else { return }
    guard case .mapping(let mapping) = section else { throw wrong(key, expected: "a mapping", found: section) }
    // A training configuration names the operator; a deployment configuration has one section for each.
    let name: String
    let arguments: String
    if isTraining {
      name = try text("\(key).name") ?? "Topk"
      arguments = key
    } else {
      let present = ["Topk", "MultiLabelThreshOutput"].filter { mapping[$0] != nil }
      name = try text("\(key).main_indicator") ?? present.first ?? "Topk"
      arguments = "\(key).\(name)"
    }
    switch name {
    case "Topk": recipe.postProcessing = .topK(try integer("\(arguments).topk", in: 1...Int.max) ?? 1)
    case "MultiLabelThreshOutput":
      recipe.postProcessing = .threshold(try number("\(arguments).threshold") ?? 0.5)
    default:
      throw HGNetError(
        .invalidConfiguration, "expected Topk or MultiLabelThreshOutput, found \(name)", path: path,
        key: isTraining ? "\(key).name" : "\(key).main_indicator")
    }
    if let names = try texts("\(arguments).label_list") {
      recipe.labels = Labels(names)
    } else if let file = try text("\(arguments).class_id_map_file") {
      recipe.labels = try labels(file, warn: warn)
    }
  }

  private func labels(_ file: String, warn: (String) -> Void) throws(HGNetError) -> Labels? {
    do throws(HGNetError) {
      return try Labels(contentsOf: file)
    } catch {
      guard error.code == .fileNotFound else { throw error }
      let name = file.split(separator: "/").last ?? ""
      if name == "imagenet1k_label_list.txt" { return .imageNet }
      // A training run names its label file from the folder where it was started, and puts it beside its configuration.
      let folder = path.lastIndex(of: "/").map { path[...$0] } ?? ""
      if !name.isEmpty, let beside = try? Labels(contentsOf: "\(folder)\(name)") { return beside }
      warn("\(error); the classes are printed without names")
      return nil
    }
  }
}
