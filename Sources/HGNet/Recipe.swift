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

  /// What the network sees of a picture.
  ///
  /// - Returns: `[H, W, 3]`, red, green, blue.
  /// - Throws: `HGNetError.Code.malformedData`, `unsupported`, `limitExceeded` for bytes that are no picture,
  ///   `shapeMismatch` for a picture that is too small to crop.
  public func tensor(decoding blob: Blob) throws(HGNetError) -> Tensor {
    do throws(HGNetError) {
      return try Transform.tensor(from: Image(decoding: blob, style: decodingStyle), applying: transforms)
    } catch {
      throw blob.path.map { error.at(path: $0) } ?? error
    }
  }

  /// What the network sees of a picture file.
  ///
  /// - Throws: `HGNetError.Code.fileNotFound`, `unreadableFile`, and as the other form.
  public func tensor(contentsOf path: String) throws(HGNetError) -> Tensor {
    try tensor(decoding: Blob(mapping: path))
  }
}
