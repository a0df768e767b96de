import HGNetCore

/// One step between a decoded picture and what the network sees; a list of them is applied in order.
///
/// The steps reproduce PaddleClas' single-image operators of evaluation and prediction. Threads: a value, safe to share.
///
/// Source: PaddleClas, `ppcls/data/preprocess/ops/operators.py`.
public enum Transform: Hashable, Sendable {
  /// Resizes so that the shorter side has a length in pixels and the aspect is kept (`ResizeImage`, `resize_short`).
  ///
  /// Both sides are multiplied by short side / min(height, width) in double precision and rounded half to even.
  case resizeShort(Int, interpolation: Interpolation = .bilinear, backend: ResizeBackend = .openCV)
  /// Resizes to a height and width, whatever the aspect (`ResizeImage`, `size`).
  case resize(Size, interpolation: Interpolation = .bilinear, backend: ResizeBackend = .openCV)
  /// Cuts out the middle (`CropImage`); the offsets are rounded down, and a smaller picture is an error.
  case centerCrop(Size)
  /// Turns bytes into float32 as `(value × scale − mean) / standardDeviation`, red, green, blue (`NormalizeImage`).
  ///
  /// Every operation is rounded to float32 in that order, as NumPy does it. It comes last.
  case normalize(scale: Float, mean: [Float], standardDeviation: [Float])

  /// The size of a picture after the steps, without touching pixels.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` for a picture that is too small to crop, `limitExceeded` for a size that
  ///   no memory holds, `invalidArgument` for a size below 1 or a step behind the normalisation.
  public static func size(of size: Size, applying transforms: [Transform]) throws(HGNetError) -> Size {
    try self.size(of: size, applying: transforms, isWhole: true)
  }

  /// - Parameter isWhole: whether the picture will exist as a whole; of one that will be cropped only a part does.
  private static func size(of size: Size, applying transforms: [Transform], isWhole: Bool) throws(HGNetError) -> Size {
    var size = size
    for (index, transform) in transforms.enumerated() {
      switch transform {
      case .resizeShort(let side, _, _):
        let scale = Double(side) / Double(min(size.height, size.width))
        size = Size(
          height: try scaled(size.height, by: scale, from: size), width: try scaled(size.width, by: scale, from: size))
      case .resize(let target, _, _):
        size = target
      case .centerCrop(let window):
        guard window.height >= 1, window.width >= 1 else {
          throw HGNetError(.invalidArgument, "expected a crop of at least 1×1 pixel, found \(window)")
        }
        guard window.height <= size.height, window.width <= size.width else {
          throw HGNetError(
            .shapeMismatch,
            "cannot crop \(window) pixels from a picture of \(size); resize to at least the size of the crop first")
        }
        size = window
      case .normalize:
        guard index == transforms.count - 1 else {
          throw HGNetError(.invalidArgument, "the normalisation must be the last transform; move it to the end")
        }
      }
    }
    guard size.height >= 1, size.width >= 1 else {
      throw HGNetError(.invalidArgument, "expected transforms that leave at least 1×1 pixel, found \(size)")
    }
    let (pixels, overflow) = size.height.multipliedReportingOverflow(by: size.width)
    guard !isWhole || (!overflow && pixels <= Image.maximumPixels) else {
      throw HGNetError(
        .limitExceeded,
        "the transforms would give a picture of \(size) pixels; expected at most \(Image.maximumPixels) in all")
    }
    return size
  }

  /// Height and width of every picture after the steps, nil where it depends on the picture.
  package static func outputSize(of transforms: [Transform]) -> Size? {
    for transform in transforms.reversed() {
      switch transform {
      case .resize(let size, _, _), .centerCrop(let size): return size
      case .resizeShort: return nil
      case .normalize: continue
      }
    }
    return nil
  }

  /// The picture after this step; a normalisation leaves it as it is.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` for a picture that is too small to crop, `limitExceeded` for a size that
  ///   no memory holds, `invalidArgument` for an interpolation that the backend lacks.
  public func applying(to image: Image) throws(HGNetError) -> Image {
    switch self {
    case .resizeShort(_, let interpolation, let backend), .resize(_, let interpolation, let backend):
      let size = try Transform.size(of: image.size, applying: [self])
      return try image.resized(to: size, interpolation: interpolation, backend: backend)
    case .centerCrop:
      return try image.centerCropped(to: Transform.size(of: image.size, applying: [self]))
    case .normalize:
      return image
    }
  }

  /// The picture after some steps, in order, without a normalisation.
  ///
  /// Of a resize that a crop follows only what the crop keeps is computed: the same bytes, and a thin picture whose short
  /// side grows does not take the memory of the long one.
  ///
  /// - Throws: as `size(of:applying:)` and `applying(to:)`.
  package static func picture(
    from image: Image, applying transforms: some Sequence<Transform>
  ) throws(HGNetError) -> Image {
    var picture = image
    var waiting: Transform?
    for transform in transforms {
      if let resize = waiting {
        waiting = nil
        if case .centerCrop = transform {
          picture = try resize.resizing(picture, andApplying: transform)
          continue
        }
        picture = try resize.applying(to: picture)
      }
      switch transform {
      case .resizeShort, .resize: waiting = transform
      case .centerCrop, .normalize: picture = try transform.applying(to: picture)
      }
    }
    if let waiting { picture = try waiting.applying(to: picture) }
    return picture
  }

  /// A resize and a crop at once.
  private func resizing(_ image: Image, andApplying crop: Transform) throws(HGNetError) -> Image {
    switch self {
    case .resizeShort(_, let interpolation, let backend), .resize(_, let interpolation, let backend):
      let whole = try Transform.size(of: image.size, applying: [self], isWhole: false)
      let window = Augmentation.Window(center: try Transform.size(of: whole, applying: [crop]), of: whole)
      return try image.resized(to: whole, keeping: window, interpolation: interpolation, backend: backend)
    case .centerCrop, .normalize: return try crop.applying(to: applying(to: image))
    }
  }

  /// What the network sees of a picture: the steps in order, then float32.
  ///
  /// Without a normalisation the values are 0 … 255.
  ///
  /// - Returns: `[H, W, 3]` in C order, red, green, blue.
  /// - Throws: as `size(of:applying:)` and `applying(to:)`; `invalidArgument` for a normalisation whose lists do not
  ///   have three numbers.
  public static func tensor(from image: Image, applying transforms: [Transform]) throws(HGNetError) -> Tensor {
    try PreparedPicture(image, applying: transforms).tensor()
  }

  /// Writes what the network sees of a picture into its place in a batch.
  ///
  /// - Parameters:
  ///   - image: the decoded picture.
  ///   - transforms: the steps, in order.
  ///   - batch: a batch `[N, H, W, 3]` in C order; `H × W × 3` numbers are written, the others left alone.
  ///   - position: the place in the batch, `0 ..< N`.
  ///   - size: the height and width of the batch's pictures.
  /// - Throws: `HGNetError.Code.shapeMismatch` when the transformed picture has another size than the batch or the batch
  ///   has no such position, and as `tensor(from:applying:)`.
  public static func write(
    _ image: Image, applying transforms: [Transform], into batch: UnsafeMutableBufferPointer<Float>, at position: Int,
    size: Size
  ) throws(HGNetError) {
    let found = try Transform.size(of: image.size, applying: transforms)
    guard found == size else {
      throw HGNetError(.shapeMismatch, "expected a picture of \(size) after the transforms, found \(found); crop it")
    }
    let count = size.height * size.width * 3
    let (end, overflow) = count.multipliedReportingOverflow(by: position &+ 1)
    guard position >= 0, !overflow, end <= batch.count, let base = batch.baseAddress else {
      throw HGNetError(
        .shapeMismatch, "a batch of \(batch.count) numbers has no position \(position) for pictures of \(size)")
    }
    try PreparedPicture(image, applying: transforms)
      .write(into: UnsafeMutableBufferPointer(start: base + (end - count), count: count))
  }

  /// A side multiplied and rounded half to even.
  private static func scaled(_ side: Int, by scale: Double, from size: Size) throws(HGNetError) -> Int {
    let length = (Double(side) * scale).rounded(.toNearestOrEven)
    guard length >= 1, length <= Double(Image.maximumPixels) else {
      throw HGNetError(
        .limitExceeded, "resizing a picture of \(size) pixels would give a side of \(length) pixels; expected 1 … 2³⁰")
    }
    return Int(length)
  }
}

extension Image {
  /// The middle of the picture; the offsets are rounded down.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` when the picture is smaller than the window, `invalidArgument` for an
  ///   empty window.
  public func centerCropped(to window: Size) throws(HGNetError) -> Image {
    let size = try Transform.size(of: self.size, applying: [.centerCrop(window)])
    if size == self.size { return self }
    let top = (height - size.height) / 2
    let left = (width - size.width) / 2
    return try Image(size: size) { (target) throws(HGNetError) in
      for row in 0..<size.height {
        (target.baseAddress.map { $0 + 3 * row * size.width })?
          .update(from: storage.base + 3 * ((top + row) * width + left), count: 3 * size.width)
      }
    }
  }
}

extension Transform {
  /// The mean of ImageNet's pixels, red, green, blue, in 0 … 1.
  package static let imageNetMean: [Float] = [0.485, 0.456, 0.406]
  /// The standard deviation of ImageNet's pixels, red, green, blue, in 0 … 1.
  package static let imageNetStandardDeviation: [Float] = [0.229, 0.224, 0.225]
}
