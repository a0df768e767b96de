import CHGNetSystem
import HGNetCore
import HGNetPlatform

/// Whose pixels a decoded picture must have, byte for byte.
///
/// Both read the same files; they differ in the EXIF orientation, in CMYK, in 16-bit grey and in 16-bit BMP.
public enum DecodingStyle: String, Sendable, CaseIterable {
  /// `cv2.imdecode(bytes, 1)` with the channels in RGB order: what PaddleClas does.
  ///
  /// The EXIF orientation is applied (JPEG, PNG, WebP), alpha is dropped, 16 bits become the upper 8.
  case openCV
  /// Pillow's `Image.open(…).convert("RGB")`.
  ///
  /// The EXIF orientation is ignored, alpha is dropped, 16-bit grey is clipped at 255 (not scaled).
  case pillow
}

/// The formats that pictures are read from, told apart by their first bytes.
public enum PictureFormat: String, Sendable, CaseIterable {
  /// JPEG: baseline and progressive, grey, colour and CMYK.
  case jpeg = "JPEG"
  /// PNG: every colour type, depth and interlacing.
  case png = "PNG"
  /// WebP: lossy and lossless; the first picture of an animation.
  case webp = "WebP"
  /// BMP: 1, 4, 8, 16, 24 and 32 bits, run lengths, either row order.
  case bmp = "BMP"

  /// Recognises a format; nil for anything else.
  public init?(signatureOf bytes: UnsafeRawBufferPointer) {
    let bytes = Bytes(bytes)
    if bytes.byte(at: 0) == 0x89, bytes.has("PNG\r\n\u{1A}\n", at: 1) {
      self = .png
    } else if bytes.byte(at: 0) == 0xFF, bytes.byte(at: 1) == 0xD8, bytes.byte(at: 2) == 0xFF {
      self = .jpeg
    } else if bytes.has("RIFF"), bytes.has("WEBP", at: 8) {
      self = .webp
    } else if bytes.has("BM") {
      self = .bmp
    } else {
      return nil
    }
  }
}

extension Image {
  /// The number of pixels that a picture may have unless the caller says otherwise: Pillow's limit, 178 956 970, or what
  /// the environment variable `HGNET_MAX_PIXELS` says in millions, 1 … 1000.
  ///
  /// A larger picture is an error of that picture.
  public static let defaultPixelLimit: Int = {
    let wish = getenv("HGNET_MAX_PIXELS").flatMap { Int(String(cString: $0)) }
    return wish.flatMap { (1...1000).contains($0) ? $0 * 1_000_000 : nil } ?? 178_956_970
  }()

  /// Decodes a JPEG, PNG, WebP or BMP file that is in memory.
  ///
  /// The format follows from the first bytes, whatever the file is called. The size is judged from the header, before
  /// memory is taken for pixels; a header that claims more than the bytes can hold is an error as well.
  ///
  /// Numeric promise: the same bytes as the library that `style` names (OpenCV 5.0, Pillow 13; the tests hold pictures
  /// of every kind). A picture that ends early is an error, also where OpenCV would fill the rest with grey. Of an
  /// animated PNG the default picture is shown.
  ///
  /// - Parameters:
  ///   - bytes: the whole file.
  ///   - style: whose pixels to reproduce.
  ///   - pixelLimit: the largest height × width that is accepted.
  /// - Throws: `HGNetError.Code.noInput` for no bytes, `unsupported` for another format or an exotic variant,
  ///   `malformedData` for broken or truncated bytes, `limitExceeded` for too many pixels; the path is that of the blob.
  public init(
    decoding bytes: BlobSlice, style: DecodingStyle = .openCV, pixelLimit: Int = Image.defaultPixelLimit
  ) throws(HGNetError) {
    do {
      self = try bytes.withUnsafeBytes { (raw) throws(HGNetError) in
        try Image(decoding: raw, style: style, pixelLimit: pixelLimit)
      }
    } catch {
      if let path = bytes.blob.path { throw error.at(path: path) }
      throw error
    }
  }

  /// Decodes a whole blob; see the other form.
  ///
  /// - Throws: as the other form.
  public init(
    decoding blob: Blob, style: DecodingStyle = .openCV, pixelLimit: Int = Image.defaultPixelLimit
  ) throws(HGNetError) {
    try self.init(decoding: BlobSlice(blob), style: style, pixelLimit: pixelLimit)
  }

  /// Reads and decodes a file; see `init(decoding:style:pixelLimit:)`.
  ///
  /// - Throws: `HGNetError.Code.fileNotFound`, `unreadableFile`, and as the other form.
  public init(
    contentsOf path: String, style: DecodingStyle = .openCV, pixelLimit: Int = Image.defaultPixelLimit
  ) throws(HGNetError) {
    try self.init(decoding: BlobSlice(Blob(mapping: path)), style: style, pixelLimit: pixelLimit)
  }

  private init(decoding raw: UnsafeRawBufferPointer, style: DecodingStyle, pixelLimit: Int) throws(HGNetError) {
    guard raw.count > 0 else {
      throw HGNetError(.noInput, "expected a picture (JPEG, PNG, WebP or BMP), found an empty file")
    }
    guard let format = PictureFormat(signatureOf: raw) else {
      throw HGNetError(
        .unsupported,
        "expected a picture (JPEG, PNG, WebP or BMP), found \(Image.found(raw)); convert it to one of these formats")
    }
    let limit = min(pixelLimit, Image.maximumPixels)
    let bytes = Bytes(raw)
    switch format {
    case .jpeg: self = try Image(jpeg: bytes, style: style, pixelLimit: limit)
    case .png: self = try Image(png: bytes, style: style, pixelLimit: limit)
    case .webp: self = try Image(webp: bytes, style: style, pixelLimit: limit)
    case .bmp: self = try Image(bmp: bytes, style: style, pixelLimit: limit)
    }
  }

  /// What the first bytes look like, in words for an error.
  private static func found(_ raw: UnsafeRawBufferPointer) -> String {
    let bytes = Bytes(raw)
    if bytes.has("GIF8") { return "a GIF" }
    if bytes.has("II*\0") || bytes.has("MM\0*") { return "a TIFF" }
    if bytes.has("ftypavif", at: 4) { return "an AVIF" }
    if bytes.has("ftyphei", at: 4) || bytes.has("ftypmif1", at: 4) { return "a HEIF" }
    if bytes.has("%PDF") { return "a PDF" }
    if bytes.has("PK\u{3}\u{4}") { return "a ZIP archive" }
    if bytes.has("<") { return "text (SVG, XML or HTML?)" }
    let digits = Array("0123456789abcdef")
    let first = raw.prefix(4).map { "\(digits[Int($0 >> 4)])\(digits[Int($0 & 15)])" }
    return "something that starts with the bytes \(first.joined(separator: " "))"
  }

  /// Judges the size that a header claims.
  static func checkedSize(
    _ format: PictureFormat, height: Int, width: Int, pixelLimit: Int, minimumBytes: UInt64, count: Int
  ) throws(HGNetError) -> Size {
    let size = Size(height: height, width: width)
    guard height >= 1, width >= 1 else {
      throw HGNetError(.malformedData, "the \(format.rawValue) header claims \(size) pixels; expected at least 1×1")
    }
    let (pixels, overflow) = height.multipliedReportingOverflow(by: width)
    guard !overflow, pixels <= pixelLimit else {
      throw HGNetError(
        .limitExceeded,
        "the \(format.rawValue) header claims \(size) pixels; expected at most \(pixelLimit) in all. Make the picture "
          + "smaller, or raise the limit (HGNET_MAX_PIXELS, of a server --max-pixels)")
    }
    guard minimumBytes <= UInt64(count) else {
      throw HGNetError(
        .malformedData,
        "the \(format.rawValue) is truncated: its header claims \(size) pixels, which take at least \(minimumBytes) "
          + "bytes, found \(count); fetch or save it again")
    }
    return size
  }
}
