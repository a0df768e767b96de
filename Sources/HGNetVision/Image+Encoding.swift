import CHGNetSystem
import HGNetCore

/// A file format that pictures are written in.
public enum PictureEncoding: Hashable, Sendable {
  /// Baseline JPEG of a quality 1 … 100, with chroma at half resolution.
  case jpeg(quality: Int = 90)
  /// PNG, 8-bit RGB, without loss.
  case png
}

extension Image {
  /// The picture as the bytes of a file.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for a quality outside 1 … 100, `unsupported` for a side that the format
  ///   cannot hold (JPEG: 65 500 pixels).
  public func encoded(as encoding: PictureEncoding) throws(HGNetError) -> [UInt8] {
    guard height <= Int(Int32.max), width <= Int(Int32.max) else {
      throw HGNetError(.unsupported, "a side of \(max(height, width)) pixels does not fit the format")
    }
    var bytes: UnsafeMutablePointer<UInt8>?
    var count = 0
    var words = ""
    var status: Int32 = 0
    let (width, height) = (UInt32(self.width), UInt32(self.height))
    if case .jpeg(let quality) = encoding, !(1...100).contains(quality) {
      throw HGNetError(.invalidArgument, "expected a JPEG quality of 1 … 100, found \(quality)")
    }
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(HGNET_MESSAGE_CAPACITY)) { message in
      message.initialize(repeating: 0)
      switch encoding {
      case .jpeg(let quality):
        status = hgnet_jpeg_encode(
          storage.base, width, height, Int32(quality), &bytes, &count, message.baseAddress)
      case .png:
        status = hgnet_png_encode(storage.base, width, height, &bytes, &count, message.baseAddress)
      }
      if status != 0, let text = message.baseAddress { words = String(cString: text) }
    }
    defer { hgnet_picture_free(bytes) }
    guard status == 0, let bytes else {
      throw HGNetError(.unsupported, "cannot encode a picture of \(size) pixels in this format", cause: words)
    }
    return Array(UnsafeBufferPointer(start: bytes, count: count))
  }

  /// Writes the picture to a file, which appears once it is complete.
  ///
  /// - Parameters:
  ///   - path: the file; without an encoding its extension (`jpg`, `jpeg` or `png`) chooses the format.
  ///   - encoding: the format, or nil.
  /// - Throws: `HGNetError.Code.invalidArgument` for an extension that says nothing, `unwritableFile`, and as
  ///   `encoded(as:)`.
  public func write(to path: String, as encoding: PictureEncoding? = nil) throws(HGNetError) {
    let chosen: PictureEncoding
    let lowercased = path.lowercased()
    if let encoding {
      chosen = encoding
    } else if lowercased.hasSuffix(".png") {
      chosen = .png
    } else if lowercased.hasSuffix(".jpg") || lowercased.hasSuffix(".jpeg") {
      chosen = .jpeg()
    } else {
      throw HGNetError(.invalidArgument, "expected a name that ends in .png, .jpg or .jpeg", path: path)
    }
    var output = try FileOutput(path: path)
    try output.write(encoded(as: chosen))
    try output.commit()
  }
}
