import HGNet
import HGNetConfiguration
import HGNetCore

/// At what precision a run trains.
public struct TrainingPrecision: Sendable, Hashable {
  /// The level of mixed precision; nil for float32.
  public var level: MixedPrecision?
  /// A line for the log that says what was decided; nil where nothing was asked for.
  public var notice: String?

  /// Says what was decided.
  package init(level: MixedPrecision? = nil, notice: String? = nil) {
    self.level = level
    self.notice = notice
  }
}

extension TrainingConfiguration {
  /// Decides at what precision a device trains.
  ///
  /// `precision` decides for good. Without it `AMP` takes effect where the device is quicker with bfloat16 than with float32,
  /// the rule of `--precision auto`. Quantisation-aware training is in float32.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for a precision that the device does not train at.
  public func trainingPrecision(on device: Device) throws(HGNetError) -> TrainingPrecision {
    let asked = mixedPrecision
    switch precision {
    case .float32:
      return TrainingPrecision(
        notice: asked.map { _ in "training in float32, as --precision says, and not as AMP does" })
    case .int8:
      throw HGNetError(
        .unsupported,
        "expected the precision float32 or bfloat16 for training, found int8; fine-tuning for int8 is "
          + "Slim.quant.name=pact")
    case .float16:
      throw HGNetError(
        .unsupported,
        "expected the precision float32 or bfloat16 for training, found float16, which GPUs have for inference")
    case .bfloat16:
      guard device.engine.mixesPrecision else {
        throw HGNetError(
          .unsupported, "the device \(device.kind.rawValue) does not train in bfloat16; leave out --precision")
      }
      guard !isQuantizationAware else {
        throw HGNetError(
          .unsupported, "quantisation-aware training is in float32; leave out --precision bfloat16",
          key: "Slim.quant.name")
      }
      return mixed(asked ?? .o1)
    case nil:
      guard let asked else { return TrainingPrecision() }
      if isQuantizationAware {
        return TrainingPrecision(notice: "AMP: quantisation-aware training stays in float32")
      }
      guard device.engine.mixesPrecision else {
        return TrainingPrecision(
          notice: "AMP: training stays in float32, the one precision that \(device.kind.rawValue) trains at")
      }
      guard device.engine.fastestPrecision == .bfloat16 else {
        return TrainingPrecision(
          notice: "AMP: training stays in float32, with which this device is quicker than with bfloat16 "
            + "(--precision bfloat16 takes it all the same)")
      }
      return mixed(asked)
    }
  }

  private func mixed(_ level: MixedPrecision) -> TrainingPrecision {
    TrainingPrecision(
      level: level,
      notice:
        "mixed precision (\(level.rawValue)): products in bfloat16 with sums in float32; parameters, statistics and "
        + "losses in float32"
        + (scalesLoss ? "; bfloat16 has the range of float32, so that the loss is not scaled" : ""))
  }
}

extension Configuration {
  /// What `AMP` asks for: the level, nil for float32, and whether the loss is to be scaled.
  ///
  /// As in PaddleClas the section counts unless it has `use_amp: False`, and the level is O1 where it has none.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for level O3 and float16, `invalidConfiguration` for other values.
  func mixedPrecision() throws(HGNetError) -> (level: MixedPrecision?, scalesLoss: Bool) {
    guard self["AMP"] != nil else { return (nil, false) }
    let isUsed = try boolean("AMP.use_amp") ?? true
    let (scale, isDynamic) = (try number("AMP.scale_loss"), try boolean("AMP.use_dynamic_loss_scaling"))
    let name = try text("AMP.level") ?? "O1"
    let type = try text("AMP.dtype") ?? "bfloat16"
    guard isUsed, name != "O0", type != "float32" else { return (nil, false) }
    guard let level = MixedPrecision(rawValue: name) else {
      throw HGNetError(
        name == "O3" ? .unsupported : .invalidConfiguration,
        "expected the level O1 or O2" + (name == "O3" ? ", which keep parameters in float32" : "") + ", found \(name)",
        path: path, key: "AMP.level")
    }
    guard type == "bfloat16" else {
      throw HGNetError(
        type == "float16" ? .unsupported : .invalidConfiguration,
        "expected bfloat16, the 16-bit type that processors multiply, found \(type); leave the key out", path: path,
        key: "AMP.dtype")
    }
    return (level, (scale ?? 1) != 1 || isDynamic == true)
  }
}
