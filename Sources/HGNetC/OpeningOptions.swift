import CHGNet
import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetModels
import HGNetVision

/// `hgnet_options`, copied and checked.
struct OpeningOptions {
  let threads: Int?
  let model: Model?
  let keepsFeatures: Bool
  let precision: PrecisionChoice
  let device: DeviceChoice
  let hooks: Hooks
  private let recipe: hgnet_recipe
  private let recipeFile: String?
  private let labelsFile: String?
  private let resizeShort: Int?
  private let cropSize: Int?
  private let topK: Int?
  private let threshold: Double?

  private static let largestSide = 1 << 15

  /// Copies the options of a caller, whose structure may be older or newer than ours.
  init(_ pointer: UnsafePointer<hgnet_options>?) throws {
    let raw = try Call.copy(pointer, of: hgnet_options(), "hgnet_options") ?? hgnet_options()
    func number(_ value: Int32, _ name: String, in range: ClosedRange<Int>) throws -> Int? {
      guard value != 0 else { return nil }
      guard range.contains(Int(value)) else {
        throw CallFailure.invalidArgument(
          "expected \(name) of 0 or \(range.lowerBound) to \(range.upperBound), found \(value)")
      }
      return Int(value)
    }
    threads = try number(raw.threads, "threads", in: 1...1024)
    resizeShort = try number(raw.resize_short, "resize_short", in: 1...OpeningOptions.largestSide)
    cropSize = try number(raw.crop_size, "crop_size", in: 1...OpeningOptions.largestSide)
    topK = try number(raw.top_k, "top_k", in: 1...Int(Int32.max))
    keepsFeatures = try number(raw.keeps_features, "keeps_features", in: 1...1) != nil
    guard raw.threshold.isFinite else {
      throw CallFailure.invalidArgument("expected a finite threshold, found \(raw.threshold)")
    }
    threshold = raw.threshold == 0 ? nil : raw.threshold
    guard topK == nil || threshold == nil else {
      throw CallFailure.invalidArgument("expected top_k or threshold, found both")
    }
    guard [HGNET_RECIPE_OF_WEIGHTS, HGNET_RECIPE_EVALUATION, HGNET_RECIPE_DEPLOYMENT].contains(raw.recipe) else {
      throw CallFailure.invalidArgument("expected a recipe of 0 to 2, found \(raw.recipe.rawValue)")
    }
    guard let precision = PrecisionChoice(number: raw.precision) else {
      throw CallFailure.invalidArgument("expected a precision of hgnet_precision, found \(raw.precision.rawValue)")
    }
    self.precision = precision
    let name = raw.device.map { String(cString: $0) } ?? "cpu"
    guard let device = DeviceChoice(name) else {
      throw CallFailure.invalidArgument(
        "expected a device of cpu, gpu, gpu:N, auto or reference, found \(HGNetError.quoted(name))")
    }
    self.device = device
    hooks = Hooks(raw)
    recipe = raw.recipe
    recipeFile = raw.recipe_file.map { String(cString: $0) }
    labelsFile = raw.labels_file.map { String(cString: $0) }
    model = try raw.model.map { try Model.named(String(cString: $0)) }
  }

  /// How pictures become input for these weights, and logits classes.
  func recipe(for weights: WeightsFile) throws -> (recipe: Recipe, origin: WeightsRecipe.Origin) {
    var (recipe, origin) = try chosenRecipe(for: weights)
    if let labelsFile { recipe.labels = try weights.labels(contentsOf: labelsFile) }
    if let topK { recipe.postProcessing = .topK(topK) }
    if let threshold { recipe.postProcessing = .threshold(threshold) }
    if let resizeShort { recipe.resize(shortSide: resizeShort) }
    if let cropSize { recipe.crop(to: Size(cropSize)) }
    return (recipe, origin)
  }

  private func chosenRecipe(for weights: WeightsFile) throws -> (Recipe, WeightsRecipe.Origin) {
    if let recipeFile {
      let configuration = try Configuration(contentsOf: recipeFile)
      guard var recipe = try configuration.recipe() else {
        throw HGNetError(
          .invalidConfiguration, "expected the transforms of the pictures, found none", path: recipeFile,
          key: "PreProcess.transform_ops")
      }
      // Classes whose names are not found stay without names.
      recipe.labels = weights.fittingLabels(recipe.labels) { hooks.log(.warning, $0) }
      return (try weights.completing(recipe), .given)
    }
    let fallback = weights.defaultRecipe
    switch recipe {
    case HGNET_RECIPE_EVALUATION: return (try weights.completing(fallback), .given)
    case HGNET_RECIPE_DEPLOYMENT:
      var recipe = Recipe.deployment(labels: fallback.labels)
      recipe.postProcessing = fallback.postProcessing
      return (try weights.completing(recipe), .given)
    default:
      let found = try weights.findRecipe()
      for line in found.warnings + [found.assumption].compactMap({ $0 }) { hooks.log(.warning, line) }
      return (found.recipe, found.origin)
    }
  }
}

extension Call {
  /// Copies a structure whose first member is its size; members that the caller does not know keep their `defaults`.
  ///
  /// - Returns: nil for a null pointer.
  static func copy<Structure: BitwiseCopyable>(
    _ pointer: UnsafePointer<Structure>?, of defaults: Structure, _ name: String
  ) throws(CallFailure) -> Structure? {
    guard let pointer else { return nil }
    let source = UnsafeRawPointer(pointer)
    let size = try structureSize(source, name)
    let own = MemoryLayout<Structure>.size
    var copy = defaults
    withUnsafeMutableBytes(of: &copy) { target in
      target.copyMemory(from: UnsafeRawBufferPointer(start: source, count: min(size, own)))
    }
    for offset in min(size, own)..<size where source.load(fromByteOffset: offset, as: UInt8.self) != 0 {
      throw CallFailure(
        status: HGNET_UNSUPPORTED,
        text: "\(name) asks for something that this version of the library does not know; install a newer one")
    }
    return copy
  }

  /// The size at the beginning of a structure.
  static func structureSize(_ pointer: UnsafeRawPointer, _ name: String) throws(CallFailure) -> Int {
    let size = pointer.load(as: UInt.self)
    // Nothing that calls itself larger is one of ours: memory that was not initialised.
    guard size >= UInt(MemoryLayout<UInt>.size), size <= 4096 else {
      throw .invalidArgument("expected struct_size = sizeof(\(name)), found \(size)")
    }
    return Int(size)
  }
}

extension Recipe {
  /// Sets the length of the shorter side, with the interpolation that the recipe has.
  fileprivate mutating func resize(shortSide: Int) {
    for index in transforms.indices {
      switch transforms[index] {
      case .resizeShort(_, let interpolation, let backend), .resize(_, let interpolation, let backend):
        transforms[index] = .resizeShort(shortSide, interpolation: interpolation, backend: backend)
        return
      case .centerCrop, .normalize: continue
      }
    }
    transforms.insert(.resizeShort(shortSide), at: 0)
  }

  /// Sets the window of the crop; without one it is put before the normalisation.
  fileprivate mutating func crop(to size: Size) {
    for index in transforms.indices {
      if case .centerCrop = transforms[index] {
        transforms[index] = .centerCrop(size)
        return
      }
    }
    var end = transforms.count
    if case .normalize? = transforms.last { end -= 1 }
    transforms.insert(.centerCrop(size), at: end)
  }
}

extension PrecisionChoice {
  /// What C calls it.
  var number: hgnet_precision {
    switch self {
    case .float32: HGNET_FLOAT32
    case .bfloat16: HGNET_BFLOAT16
    case .float16: HGNET_FLOAT16
    case .int8: HGNET_INT8
    case .auto: HGNET_PRECISION_AUTO
    }
  }

  /// The choice that C calls so; nil for a number that means nothing.
  init?(number: hgnet_precision) {
    guard let choice = PrecisionChoice.allCases.first(where: { $0.number == number }) else { return nil }
    self = choice
  }

  /// The choice of a precision.
  init(_ precision: Precision) { self = PrecisionChoice(rawValue: precision.rawValue) ?? .float32 }
}
