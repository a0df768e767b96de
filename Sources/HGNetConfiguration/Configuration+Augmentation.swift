import HGNetCore
import HGNetVision

extension Configuration {
  /// What happens to pictures in training, nil when the configuration has no transforms for it.
  ///
  /// Read are `transform_ops` and `batch_transform_ops` of a data set with PaddleClas' names, arguments and defaults. A
  /// list without chance, such as that of the evaluation, is read as well.
  ///
  /// - Parameter dataset: the key of the data set.
  /// - Throws: `HGNetError.Code.invalidConfiguration` naming the key; `unsupported` for operators of PaddleClas that are
  ///   not part of the recipes of these networks.
  package func trainingTransforms(
    dataset: String = "DataLoader.Train.dataset"
  ) throws(HGNetError) -> TrainingTransforms? {
    guard let operators = try operators("\(dataset).transform_ops") else { return nil }
    var transforms = TrainingTransforms(steps: [])
    var isNormalized = false
    for (name, key) in operators {
      if isNormalized, !["RandomErasing", "ToCHWImage", "ToTensor"].contains(name) {
        throw HGNetError(
          .invalidConfiguration, "only RandomErasing and ToCHWImage may follow NormalizeImage; move \(name) up",
          path: path, key: key)
      }
      switch name {
      case "DecodeImage": transforms.decodingStyle = try decodingStyle(key)
      case "ResizeImage": transforms.steps.append(.fixed(try resize(key)))
      case "CropImage", "CenterCropImage": transforms.steps.append(.fixed(.centerCrop(try size("\(key).size"))))
      case "NormalizeImage":
        transforms.steps.append(.fixed(try normalization(key)))
        isNormalized = true
      case "ToCHWImage", "ToTensor": break
      case "RandomErasing":
        guard isNormalized, transforms.erasing == nil else {
          throw HGNetError(
            .invalidConfiguration, "expected one RandomErasing behind NormalizeImage", path: path, key: key)
        }
        transforms.erasing = try erasing(key)
      default: transforms.steps.append(.random(try augmentation(name, key)))
      }
    }
    for (name, key) in try self.operators("\(dataset).batch_transform_ops") ?? [] {
      transforms.mixing.append(try mixing(name, key))
    }
    return transforms
  }

  private func augmentation(_ name: String, _ key: String) throws(HGNetError) -> Augmentation {
    switch name {
    case "RandCropImage": return try randomCrop(key)
    case "RandFlipImage":
      let code = try integer("\(key).flip_code", in: -1...1) ?? 1
      return .randomFlip(Augmentation.FlipDirection(rawValue: code) ?? .horizontal)
    case "RandomHorizontalFlip": return .randomFlip(.horizontal, probability: try share("\(key).prob") ?? 0.5)
    case "TimmAutoAugment": return .autoAugment(try autoAugment(key))
    case "RandAugment":
      var policy = RandAugment()
      policy.operationCount = try integer("\(key).num_layers", in: 0...100) ?? policy.operationCount
      policy.magnitude = try number("\(key).magnitude", in: 0...10) ?? policy.magnitude
      policy.fill = try color("\(key).fillcolor") ?? policy.fill
      return .randAugment(policy)
    case "RandAugmentV4":
      if case .mapping(let arguments)? = self[key], let first = arguments.keys.first {
        throw HGNetError(
          .invalidConfiguration, "RandAugmentV4 has no arguments; remove it", path: path, key: "\(key).\(first)")
      }
      return .randAugmentV4
    case "Cutout":
      // Without a value it is black; null and "none" ask for random colours.
      let fill: PixelColor?
      switch self["\(key).fill_value"] {
      case nil where isNull("\(key).fill_value"), .text("none"): fill = nil
      default: fill = try color("\(key).fill_value") ?? .grey(0)
      }
      return .cutout(
        holes: try integer("\(key).n_holes", in: 0...1000) ?? 1,
        length: try integer("\(key).length", in: 0...Configuration.maximumSide) ?? 112, fill: fill)
    default:
      throw HGNetError(
        .unsupported,
        "\(name) is not part of these recipes; there are RandCropImage, RandFlipImage, RandomHorizontalFlip, "
          + "TimmAutoAugment, RandAugment, RandAugmentV4, Cutout and RandomErasing", path: path, key: key)
    }
  }

  private func randomCrop(_ key: String) throws(HGNetError) -> Augmentation {
    let (backend, interpolation) = try resampling(key)
    return .randomCrop(
      size: try size("\(key).size"), scale: try range("\(key).scale", in: 1e-6...1) ?? 0.08...1,
      ratio: try range("\(key).ratio", in: NumberRange.ratio) ?? 3.0 / 4...4.0 / 3,
      drawsRatioEvenlyInLogarithm: try boolean("\(key).use_log_aspect") ?? false, interpolation: interpolation,
      backend: backend)
  }

  private func autoAugment(_ key: String) throws(HGNetError) -> AutoAugment {
    var policy: AutoAugment
    do throws(HGNetError) {
      policy = try AutoAugment(try text("\(key).config_str") ?? "rand-m9-mstd0.5-inc1")
    } catch {
      let code = error.code == .unsupported ? HGNetError.Code.unsupported : .invalidConfiguration
      throw HGNetError(code, error.message, path: path, key: "\(key).config_str")
    }
    policy.probability = try share("\(key).prob") ?? 1
    policy.fill = try color("\(key).fillcolor") ?? policy.fill
    // It is for operations that move by a number of pixels, which none of these policies has, in PaddleClas either.
    _ = try integer("\(key).img_size", in: 1...Configuration.maximumSide)
    switch self["\(key).interpolation"] {
    case nil where isNull("\(key).interpolation"), .text("random"), .text(""): policy.interpolation = nil
    case nil, .text("bicubic"): policy.interpolation = .bicubic
    case .text("bilinear"): policy.interpolation = .bilinear
    case .some(let other):
      throw wrong("\(key).interpolation", expected: "bicubic, bilinear or random", found: other)
    }
    return policy
  }

  private func erasing(_ key: String) throws(HGNetError) -> RandomErasing {
    var erasing = RandomErasing()
    erasing.probability = try share("\(key).EPSILON") ?? erasing.probability
    let low = try share("\(key).sl") ?? erasing.area.lowerBound
    let high = try share("\(key).sh") ?? erasing.area.upperBound
    guard low <= high else {
      throw HGNetError(
        .invalidConfiguration, "expected sl of at most sh, found \(low) and \(high)", path: path, key: "\(key).sl")
    }
    erasing.area = low...high
    erasing.ratio = try number("\(key).r1", in: NumberRange.ratio) ?? erasing.ratio
    erasing.attempts = try integer("\(key).attempt", in: 0...100_000) ?? erasing.attempts
    erasing.drawsRatioEvenlyInLogarithm = try boolean("\(key).use_log_aspect") ?? false
    switch try text("\(key).mode") ?? "const" {
    case "pixel": erasing.fill = .pixels
    case "rand": erasing.fill = .color
    case "const":
      let mean = try numbers("\(key).mean", in: NumberRange.factor) ?? [0, 0, 0]
      guard mean.count == 3 else {
        throw HGNetError(
          .invalidConfiguration, "expected three numbers, for red, green and blue, found \(mean.count)", path: path,
          key: "\(key).mean")
      }
      erasing.fill = .constant(Float(mean[0]), Float(mean[1]), Float(mean[2]))
    case let other: throw wrong("\(key).mode", expected: "pixel, rand or const", found: .text(other))
    }
    return erasing
  }

  private func mixing(_ name: String, _ key: String) throws(HGNetError) -> BatchMixing {
    let mixing: BatchMixing
    switch name {
    case "MixupOperator": mixing = .mixup(alpha: try number("\(key).alpha", in: NumberRange.alpha) ?? 1)
    case "CutmixOperator": mixing = .cutmix(alpha: try number("\(key).alpha", in: NumberRange.alpha) ?? 0.2)
    case "OpSampler":
      guard case .mapping(let mapping)? = self[key] else {
        throw HGNetError(
          .invalidConfiguration, "expected MixupOperator or CutmixOperator with a prob each", path: path, key: key)
      }
      var choices: [BatchMixing.Choice] = []
      for name in mapping.keys where name != "class_num" {
        choices.append(
          BatchMixing.Choice(
            try self.mixing(name, "\(key).\(name)"), probability: try share("\(key).\(name).prob") ?? 0))
      }
      guard !choices.isEmpty else {
        throw HGNetError(
          .invalidConfiguration, "expected MixupOperator or CutmixOperator with a prob each, found neither", path: path,
          key: key)
      }
      mixing = .oneOf(choices)
    default:
      throw HGNetError(
        .unsupported, "expected MixupOperator, CutmixOperator or OpSampler, found \(name)", path: path, key: key)
    }
    do throws(HGNetError) {
      try mixing.check()
    } catch {
      throw HGNetError(.invalidConfiguration, error.message, path: path, key: key)
    }
    return mixing
  }

  /// A number of 0 … 1.
  private func share(_ key: String) throws(HGNetError) -> Double? { try number(key, in: NumberRange.share) }

  /// Two numbers inside bounds, the smaller one first.
  private func range(_ key: String, in bounds: ClosedRange<Double>) throws(HGNetError) -> ClosedRange<Double>? {
    guard let numbers = try numbers(key) else { return nil }
    guard numbers.count == 2, numbers[0] <= numbers[1], numbers.allSatisfy(bounds.contains) else {
      throw HGNetError(
        .invalidConfiguration,
        "expected the smallest and the largest number, both in \(bounds.lowerBound) … \(bounds.upperBound), found \(numbers)",
        path: path, key: key)
    }
    return numbers[0]...numbers[1]
  }

  /// A grey, or red, green and blue.
  private func color(_ key: String) throws(HGNetError) -> PixelColor? {
    guard let value = self[key] else { return nil }
    if case .list(let list) = value {
      guard list.count == 3 else { throw wrong(key, expected: "a grey or [red, green, blue]", found: value) }
      var parts: [UInt8] = []
      for index in 0..<3 { parts.append(UInt8(try integer("\(key).\(index)", in: 0...255) ?? 0)) }
      return PixelColor(red: parts[0], green: parts[1], blue: parts[2])
    }
    return try integer(key, in: 0...255).map { .grey(UInt8($0)) }
  }
}
