import HGNetCore
import HGNetModels
import HGNetVision

/// Everything between a picture's bytes and its labelled scores, except the network.
///
/// A recipe belongs to weights: the same weights with another resize rule give other scores. Prediction, evaluation and
/// serving use the same code. Threads: a value, safe to share.
public struct Recipe: Sendable, Hashable {
  /// Whose decoder is reproduced.
  public var decodingStyle: DecodingStyle
  /// What is done to the decoded picture, in order; ends with a normalisation.
  public var transforms: [Transform]
  /// Which classes are told.
  public var postProcessing: PostProcessing
  /// How logits become scores; nil for what the weights file or else the post-processing asks for.
  public var activation: Activation?
  /// The names of the classes, if known.
  public var labels: Labels?

  /// Makes a recipe from its parts.
  public init(
    decodingStyle: DecodingStyle = .openCV, transforms: [Transform], postProcessing: PostProcessing = .topK(5),
    activation: Activation? = nil, labels: Labels? = nil
  ) {
    self.decodingStyle = decodingStyle
    self.transforms = transforms
    self.postProcessing = postProcessing
    self.activation = activation
    self.labels = labels
  }

  /// The mean of ImageNet's pixels, red, green, blue, in 0 … 1.
  public static let imageNetMean = Transform.imageNetMean
  /// The standard deviation of ImageNet's pixels, red, green, blue, in 0 … 1.
  public static let imageNetStandardDeviation = Transform.imageNetStandardDeviation

  /// The recipe of PaddleClas' evaluation and `infer`: short side 232, bicubic as Pillow does it, centre crop 224.
  ///
  /// - Parameters:
  ///   - shortSide: the side that the shorter side of a picture is resized to, in pixels.
  ///   - crop: the square that is cut out of the middle, in pixels.
  ///   - labels: the names of the classes.
  public static func evaluation(shortSide: Int = 232, crop: Int = 224, labels: Labels? = nil) -> Recipe {
    Recipe(
      transforms: [
        .resizeShort(shortSide, interpolation: .bicubic, backend: .pillow), .centerCrop(Size(crop)),
        .normalize(scale: Float(1) / 255, mean: imageNetMean, standardDeviation: imageNetStandardDeviation),
      ], labels: labels)
  }

  /// The recipe of a published model's evaluation configuration.
  public static func evaluation(of model: Model, labels: Labels? = nil) -> Recipe {
    let shortSide = PublishedWeights.mostAccurate(for: model)?.evaluationShortSide ?? 232
    return evaluation(shortSide: shortSide, labels: labels)
  }

  /// The recipe of PaddleClas' deployment: short side 256, bilinear as OpenCV does it, centre crop 224.
  ///
  /// It gives other scores than the evaluation. Source: `deploy/configs/inference_cls.yaml`.
  public static func deployment(labels: Labels? = nil) -> Recipe {
    Recipe(
      transforms: [
        .resizeShort(256, interpolation: .bilinear, backend: .openCV), .centerCrop(Size(224)),
        .normalize(scale: 0.003_921_57, mean: imageNetMean, standardDeviation: imageNetStandardDeviation),
      ], labels: labels)
  }

  /// The size of a picture after the transforms, nil where it depends on the picture.
  public var inputSize: Size? { Transform.outputSize(of: transforms) }

  /// The same recipe for another size of the network's input: crops have that size, and what is resized before them
  /// keeps its proportion to it.
  ///
  /// A recipe whose results have no fixed size is left as it is.
  ///
  /// - Parameter size: height and width, 1 or more.
  public func resized(to size: Size) -> Recipe {
    guard let own = inputSize, own != size else { return self }
    func scaled(_ side: Int, _ new: Int, _ old: Int) -> Int {
      // A side that no picture has is refused where pictures of it would be made.
      let scaled = (Double(side) * Double(new) / Double(max(old, 1)) + 0.5).rounded(.down)
      return max(Int(min(scaled, Double(Int32.max))), new)
    }
    var result = self
    let hasCrop = transforms.contains { if case .centerCrop = $0 { true } else { false } }
    result.transforms = transforms.map { transform in
      switch transform {
      case .resizeShort(let side, let interpolation, let backend):
        let longer = max(size.height, size.width)
        return .resizeShort(
          scaled(side, longer, max(own.height, own.width)), interpolation: interpolation, backend: backend)
      case .resize(let old, let interpolation, let backend):
        guard hasCrop else { return .resize(size, interpolation: interpolation, backend: backend) }
        let target = Size(
          height: scaled(old.height, size.height, own.height), width: scaled(old.width, size.width, own.width))
        return .resize(target, interpolation: interpolation, backend: backend)
      case .centerCrop: return .centerCrop(size)
      case .normalize: return transform
      }
    }
    return result
  }

  /// What the network sees of a picture.
  ///
  /// - Returns: `[H, W, 3]`, red, green, blue.
  /// - Throws: `HGNetError.Code.malformedData`, `unsupported`, `limitExceeded` for bytes that are no picture,
  ///   `shapeMismatch` for a picture that is too small to crop.
  public func tensor(decoding blob: Blob) throws(HGNetError) -> Tensor { try picture(decoding: blob).tensor() }

  /// What the network sees of a picture file.
  ///
  /// - Throws: `HGNetError.Code.fileNotFound`, `unreadableFile`, and as the other form.
  public func tensor(contentsOf path: String) throws(HGNetError) -> Tensor {
    try tensor(decoding: Blob(mapping: path))
  }

  /// What the network sees of a picture, without the numbers.
  ///
  /// - Throws: as `tensor(decoding:)`.
  package func picture(decoding blob: Blob) throws(HGNetError) -> PreparedPicture {
    do throws(HGNetError) {
      return try PreparedPicture(Image(decoding: blob, style: decodingStyle), applying: transforms)
    } catch {
      throw blob.path.map { error.at(path: $0) } ?? error
    }
  }
}
