import HGNetCore
import HGNetVision

extension Configuration {
  /// Whose decoder `DecodeImage` means.
  package func decodingStyle(_ key: String) throws(HGNetError) -> DecodingStyle {
    if try boolean("\(key).to_rgb") == false {
      throw HGNetError(
        .unsupported, "the networks are trained on red, green, blue; leave to_rgb True", path: path,
        key: "\(key).to_rgb")
    }
    if try boolean("\(key).channel_first") == true {
      throw HGNetError(
        .unsupported, "the transforms that follow take rows of pixels; leave channel_first False", path: path,
        key: "\(key).channel_first")
    }
    switch try text("\(key).backend")?.lowercased() {
    case nil, "cv2": return .openCV
    case "pil": return .pillow
    case let other?: throw wrong("\(key).backend", expected: "cv2 or pil", found: .text(other))
    }
  }

  /// The step of a `ResizeImage`.
  package func resize(_ key: String) throws(HGNetError) -> Transform {
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
    let defaultInterpolation = backend == .openCV ? Interpolation.bilinear : .bicubic
    let interpolationName = try text("\(key).interpolation") ?? defaultInterpolation.rawValue
    guard let interpolation = Interpolation(rawValue: interpolationName.lowercased()), backend.supports(interpolation)
    else {
      let known = Interpolation.allCases.filter(backend.supports).map(\.rawValue).joined(separator: ", ")
      throw wrong("\(key).interpolation", expected: "one of \(known)", found: .text(interpolationName))
    }
    return (backend, interpolation)
  }

  /// The longest side that a key may ask for, in pixels.
  package static let maximumSide = 1 << 15

  /// One number for a square, or `[width, height]` in PaddleClas' order.
  package func size(_ key: String) throws(HGNetError) -> Size {
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

  /// The step of a `NormalizeImage`.
  package func normalization(_ key: String) throws(HGNetError) -> Transform {
    func three(_ name: String, _ defaultValues: [Float]) throws(HGNetError) -> [Float] {
      guard let numbers = try numbers("\(key).\(name)", in: NumberRange.factor) else { return defaultValues }
      guard numbers.count == 3 else {
        throw HGNetError(
          .invalidConfiguration, "expected three numbers, for red, green and blue, found \(numbers.count)", path: path,
          key: "\(key).\(name)")
      }
      return numbers.map { Float($0) }
    }
    guard let order = Optional(try text("\(key).order") ?? ""), ["", "hwc"].contains(order) else {
      throw HGNetError(
        .unsupported, "pictures are rows of pixels when they are normalised; leave order out, or ''", path: path,
        key: "\(key).order")
    }
    let channels = try integer("\(key).channel_num") ?? 3
    guard channels == 3 else { throw wrong("\(key).channel_num", expected: "3", found: .integer(channels)) }
    if try boolean("\(key).output_fp16") == true {
      throw HGNetError(
        .unsupported, "the network computes in float32; leave output_fp16 False", path: path, key: "\(key).output_fp16")
    }
    let standardDeviation = try three("std", Transform.imageNetStandardDeviation)
    guard let smallest = standardDeviation.min(by: { abs($0) < abs($1) }), abs(smallest) >= 1e-6 else {
      throw HGNetError(
        .invalidConfiguration,
        "expected standard deviations other than 0, of at least 1e-06, found \(standardDeviation)",
        path: path, key: "\(key).std")
    }
    let scale = Float(try number("\(key).scale", in: NumberRange.factor) ?? 1.0 / 255)
    return .normalize(
      scale: scale, mean: try three("mean", Transform.imageNetMean),
      standardDeviation: standardDeviation)
  }
}
