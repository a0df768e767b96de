import HGNetCore

/// How the value between pixels is computed; the raw values are PaddleClas' names.
public enum Interpolation: String, Sendable, CaseIterable {
  /// The pixel that lies there.
  case nearest
  /// Linear between neighbours.
  case bilinear
  /// Cubic convolution: a = −0.5 with Pillow, −0.75 with OpenCV.
  case bicubic
  /// The mean over the area (OpenCV only).
  case area
  /// Windowed sinc: three lobes with Pillow, eight taps with OpenCV.
  case lanczos
  /// The mean over the area, weighed by whole pixels (Pillow only).
  case box
  /// Hamming window (Pillow only).
  case hamming
}

/// Whose arithmetic resizes a picture; the raw values are PaddleClas' names.
public enum ResizeBackend: String, Sendable, CaseIterable {
  /// OpenCV's `cv2.resize`: half-pixel centres, no smoothing when a picture gets smaller.
  case openCV = "cv2"
  /// Pillow's `Image.resize`: the filter grows with the reduction (antialiased).
  case pillow = "pil"

  /// Whether the backend has an interpolation.
  public func supports(_ interpolation: Interpolation) -> Bool {
    switch (self, interpolation) {
    case (.openCV, .box), (.openCV, .hamming), (.pillow, .area): false
    default: true
    }
  }
}

extension Image {
  /// The picture at another size.
  ///
  /// Numeric promise: the same bytes as Pillow 13 for every interpolation that it has, and as OpenCV 5.0 for nearest,
  /// bilinear, area and Lanczos. (Pillow before 13 went along the rows first in every case; for pictures whose height
  /// shrinks by more than twice as many pixels as the width its last bit may differ.) OpenCV's bicubic depends on how the library was built: reproduced is its own code with
  /// 128-bit vectors; builds that hand the work to Intel's IPP differ by at most 1 in some pixels.
  ///
  /// Cost: one allocation for the result and tables as long as the sides; Pillow's filters one more for the picture between
  /// passes.
  ///
  /// - Parameters:
  ///   - size: the new height and width, at least 1.
  ///   - interpolation: how values between pixels are computed.
  ///   - backend: whose arithmetic to reproduce.
  /// - Throws: `HGNetError.Code.invalidArgument` for an empty size or an interpolation that the backend lacks,
  ///   `limitExceeded` for a size that no memory holds.
  public func resized(
    to size: Size, interpolation: Interpolation = .bilinear, backend: ResizeBackend = .openCV
  ) throws(HGNetError) -> Image {
    guard backend.supports(interpolation) else {
      let known = Interpolation.allCases.filter(backend.supports).map(\.rawValue).joined(separator: ", ")
      throw HGNetError(
        .invalidArgument,
        "the backend \(backend.rawValue) has no interpolation \(interpolation.rawValue); expected one of \(known)")
    }
    return try resized(
      to: size, keeping: Augmentation.Window(top: 0, left: 0, size: size), interpolation: interpolation,
      backend: backend)
  }

  /// A part of the picture at another size: the same bytes as resizing all of it and cutting the part out, for the memory
  /// and time of the part.
  ///
  /// - Parameters:
  ///   - size: the new height and width of the whole picture, 1 … 2³⁰ each; it never exists.
  ///   - window: the part of it that is wanted.
  ///   - interpolation: how values between pixels are computed.
  ///   - backend: whose arithmetic to reproduce.
  /// - Throws: as `resized(to:interpolation:backend:)`; `HGNetError.Code.shapeMismatch` for a window that does not lie
  ///   inside.
  package func resized(
    to size: Size, keeping window: Augmentation.Window, interpolation: Interpolation, backend: ResizeBackend
  ) throws(HGNetError) -> Image {
    guard size.height >= 1, size.width >= 1 else {
      throw HGNetError(.invalidArgument, "expected a size of at least 1×1 pixel to resize to, found \(size)")
    }
    guard size.height <= Image.maximumPixels, size.width <= Image.maximumPixels else {
      throw HGNetError(
        .limitExceeded, "expected sides of at most \(Image.maximumPixels) pixels to resize to, found \(size)")
    }
    guard window.top >= 0, window.left >= 0, window.size.height >= 1, window.size.width >= 1,
      window.size.height <= size.height - window.top, window.size.width <= size.width - window.left
    else {
      throw HGNetError(
        .shapeMismatch,
        "cannot crop \(window.size) pixels at row \(window.top), column \(window.left) from a picture of \(size)")
    }
    if size == self.size { return try cropped(to: window) }
    try Image.checkResizing(from: self.size, to: size, keeping: window.size)
    return switch backend {
    case .openCV: try resizedLikeOpenCV(to: size, window: window, interpolation: interpolation)
    case .pillow: try resizedLikePillow(to: size, window: window, interpolation: interpolation)
    }
  }

  /// Judges the memory of the result, of the picture between two passes, and of the tables, which are as long as the sides.
  private static func checkResizing(from old: Size, to new: Size, keeping kept: Size) throws(HGNetError) {
    let (pixels, overflow) = kept.height.multipliedReportingOverflow(by: kept.width)
    guard !overflow, pixels <= Image.maximumPixels else {
      throw HGNetError(
        .limitExceeded,
        "resizing a picture of \(old) pixels to \(new) takes more than \(Image.maximumPixels) pixels; crop it")
    }
    var need = MemoryNeed("resizing a picture of \(old) pixels to \(new) and keeping \(kept)")
    need.add("the result", bytes: 3, kept.height, kept.width)
    need.add("the picture between two passes", bytes: 3, max(old.height, kept.height), kept.width)
    // The widest filter has six taps for each new pixel, or for each old one where there are more.
    need.add("the weights", bytes: 12 * 7, max(old.height, kept.height) + max(old.width, kept.width))
    try need.check { _ in "make the picture smaller" }
  }

  /// Copies whole pixels from the given rows and columns; nil leaves a pixel black.
  func picked(rows: [Int?], columns: [Int?]) throws(HGNetError) -> Image {
    try Image(size: Size(height: rows.count, width: columns.count)) { (target) throws(HGNetError) in
      var offset = 0
      for row in rows {
        for column in columns {
          if let row, let column {
            let source = storage.base + 3 * (row * width + column)
            (target[offset], target[offset + 1], target[offset + 2]) = (source[0], source[1], source[2])
          } else {
            (target[offset], target[offset + 1], target[offset + 2]) = (0, 0, 0)
          }
          offset += 3
        }
      }
    }
  }
}
