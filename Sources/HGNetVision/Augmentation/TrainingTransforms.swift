import HGNetCore

/// Everything between the bytes of a picture and the batch that a training step sees.
///
/// The order is that of PaddleClas: decoding, the steps, the erasing after the normalisation; the mixing is for whole
/// batches. Threads: a value, safe to share.
package struct TrainingTransforms: Hashable, Sendable {
  /// One step on a picture.
  package enum Step: Hashable, Sendable {
    /// A step without chance; a normalisation comes last.
    case fixed(Transform)
    /// A step with chance.
    case random(Augmentation)
  }

  /// Whose pixels a decoded picture has.
  package var decodingStyle = DecodingStyle.openCV
  /// The steps in order.
  package var steps: [Step]
  /// What is erased after the normalisation, nil for nothing.
  package var erasing: RandomErasing?
  /// What happens to whole batches, in order; nothing when empty.
  package var mixing: [BatchMixing]

  /// Makes a list of steps.
  package init(
    decodingStyle: DecodingStyle = .openCV, steps: [Step], erasing: RandomErasing? = nil, mixing: [BatchMixing] = []
  ) {
    self.decodingStyle = decodingStyle
    self.steps = steps
    self.erasing = erasing
    self.mixing = mixing
  }

  /// Height and width of every picture after the steps, nil where it depends on the picture.
  package var outputSize: Size? {
    for step in steps.reversed() {
      switch step {
      case .random(.randomCrop(let size, _, _, _, _, _)), .fixed(.resize(let size, _, _)),
        .fixed(.centerCrop(let size)):
        return size
      case .fixed(.resizeShort): return nil
      default: continue
      }
    }
    return nil
  }

  /// The picture after all steps but the normalisation.
  ///
  /// - Parameters:
  ///   - image: the decoded picture.
  ///   - generator: where chance comes from, best a stream of its own for each picture and epoch.
  /// - Throws: as `Augmentation.applying(to:using:)` and `Transform.applying(to:)`; `HGNetError.Code.invalidArgument`
  ///   for a step behind the normalisation.
  package func augmented(_ image: Image, using generator: inout RandomGenerator) throws(HGNetError) -> Image {
    var image = image
    // Steps without chance in a row, so that a resize and a crop are done at once.
    var fixed: [Transform] = []
    for (index, step) in steps.enumerated() {
      switch step {
      case .fixed(.normalize) where index < steps.count - 1:
        throw HGNetError(.invalidArgument, "the normalisation must be the last transform; move it to the end")
      case .fixed(let transform): fixed.append(transform)
      case .random(let augmentation):
        image = try Transform.picture(from: image, applying: fixed)
        fixed = []
        image = try augmentation.applying(to: image, using: &generator)
      }
    }
    return try Transform.picture(from: image, applying: fixed)
  }

  /// Writes what the network sees of a picture into its place in a batch.
  ///
  /// Without a normalisation the values are 0 … 255.
  ///
  /// - Parameters:
  ///   - image: the decoded picture.
  ///   - batch: a batch `[N, H, W, 3]` in C order; `H × W × 3` numbers are written, the others left alone.
  ///   - position: the place in the batch, `0 ..< N`.
  ///   - size: the height and width of the batch's pictures.
  ///   - generator: where chance comes from, best a stream of its own for each picture and epoch.
  /// - Throws: `HGNetError.Code.shapeMismatch` when the picture has another size than the batch or the batch has no such
  ///   position, and as `augmented(_:using:)`.
  package func write(
    _ image: Image, into batch: UnsafeMutableBufferPointer<Float>, at position: Int, size: Size,
    using generator: inout RandomGenerator
  ) throws(HGNetError) {
    let image = try augmented(image, using: &generator)
    try Transform.write(image, applying: normalization, into: batch, at: position, size: size)
    try erasing?.apply(to: batch, at: position, size: size, using: &generator)
  }

  /// What the network sees of a picture.
  ///
  /// - Returns: `[H, W, 3]` in C order, red, green, blue.
  /// - Throws: as `write(_:into:at:size:using:)`.
  package func tensor(from image: Image, using generator: inout RandomGenerator) throws(HGNetError) -> Tensor {
    try picture(from: image, using: &generator).tensor()
  }

  /// What the network sees of a picture, without the numbers unless some of them are erased.
  ///
  /// - Throws: as `write(_:into:at:size:using:)`.
  package func picture(
    from image: Image, using generator: inout RandomGenerator
  ) throws(HGNetError) -> PreparedPicture {
    let picture = try PreparedPicture(augmented(image, using: &generator), applying: normalization)
    guard let erasing else { return picture }
    var tensor = try picture.tensor()
    try erasing.apply(to: &tensor, using: &generator)
    return .numbers(tensor)
  }

  /// The last step alone, if it is a normalisation.
  private var normalization: [Transform] {
    if case .fixed(let last)? = steps.last, case .normalize = last { return [last] }
    return []
  }
}
