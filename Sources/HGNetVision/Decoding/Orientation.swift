import HGNetCore

/// How a stored picture is to be turned for display: the EXIF tag 0x0112, values 1 … 8.
///
/// Source: Exif 2.32, section 4.6.4; the names say what is done to the stored rows.
public enum Orientation: Int, CaseIterable, Sendable {
  /// Shown as stored.
  case upright = 1
  /// Left and right swapped.
  case mirrored = 2
  /// Turned by 180 degrees.
  case upsideDown = 3
  /// Top and bottom swapped.
  case flipped = 4
  /// Rows and columns swapped.
  case transposed = 5
  /// Turned clockwise by 90 degrees.
  case turnedRight = 6
  /// Rows and columns swapped, then turned by 180 degrees.
  case transversed = 7
  /// Turned counter-clockwise by 90 degrees.
  case turnedLeft = 8

  /// Whether height and width change places.
  public var swapsSides: Bool { rawValue >= 5 }
}

extension Image {
  /// The picture turned as an orientation tag asks.
  ///
  /// Cost: O(pixels) with one allocation, nothing for `upright`.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` when there is no memory for a second picture.
  public func oriented(_ orientation: Orientation) throws(HGNetError) -> Image {
    if orientation == .upright { return self }
    let (height, width) = (self.height, self.width)
    // Where the first stored pixel goes, and how far one step along a stored row and column moves, in pixels.
    let last = height * width - 1
    let (start, alongRow, alongColumn) =
      switch orientation {
      case .upright: (0, 1, width)
      case .mirrored: (width - 1, -1, width)
      case .upsideDown: (last, -1, -width)
      case .flipped: (last - (width - 1), 1, -width)
      case .transposed: (0, height, 1)
      case .turnedRight: (height - 1, height, -1)
      case .transversed: (last, -height, -1)
      case .turnedLeft: (last - (height - 1), -height, 1)
      }
    let target = try PixelStorage(count: storage.count)
    var source = UnsafePointer(storage.base)
    for row in 0..<height {
      var pixel = target.base + 3 * (start + row * alongColumn)
      for _ in 0..<width {
        pixel[0] = source[0]
        pixel[1] = source[1]
        pixel[2] = source[2]
        source += 3
        pixel += 3 * alongRow
      }
    }
    return Image(size: orientation.swapsSides ? Size(height: width, width: height) : size, storage: target)
  }

  init(size: Size, storage: PixelStorage) {
    self.size = size
    self.storage = storage
  }
}
