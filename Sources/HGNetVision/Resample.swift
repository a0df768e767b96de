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
  /// Cost: one allocation for the result and small tables; Pillow's filters one more for the picture between passes.
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
    if size == self.size { return self }
    // The tables below are as long as the sides, so the size is judged first.
    for candidate in [size, Size(height: height, width: size.width), Size(height: size.height, width: width)] {
      let (pixels, overflow) = candidate.height.multipliedReportingOverflow(by: candidate.width)
      guard candidate.height >= 1, candidate.width >= 1 else {
        throw HGNetError(.invalidArgument, "expected a size of at least 1×1 pixel to resize to, found \(size)")
      }
      guard !overflow, pixels <= Image.maximumPixels else {
        throw HGNetError(
          .limitExceeded,
          "resizing a picture of \(self.size) pixels to \(size) takes more than \(Image.maximumPixels) pixels")
      }
    }
    return switch backend {
    case .openCV: try resizedLikeOpenCV(to: size, interpolation: interpolation)
    case .pillow: try resizedLikePillow(to: size, interpolation: interpolation)
    }
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
