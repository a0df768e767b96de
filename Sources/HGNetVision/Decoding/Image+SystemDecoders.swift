import CHGNetSystem
import HGNetCore

/// A decoder of the C shims, called with the words of the library turned into an error.
private struct SystemDecoder {
  typealias Header =
    @convention(c) (
      UnsafePointer<UInt8>?, Int, UnsafeMutablePointer<hgnet_picture_header>?, UnsafeMutablePointer<CChar>?
    ) -> Int32
  typealias Decode =
    @convention(c) (
      UnsafePointer<UInt8>?, Int, UnsafeMutablePointer<UInt8>?, Int, UnsafeMutablePointer<CChar>?
    ) -> Int32

  let format: PictureFormat
  let bytes: Bytes

  func header(_ read: Header) throws(HGNetError) -> hgnet_picture_header {
    var header = hgnet_picture_header()
    try call { source, message in read(source, bytes.count, &header, message) }
    return header
  }

  /// Judges what the header claims: the size, and the memory that decoding will take.
  func size(_ header: hgnet_picture_header, pixelLimit: Int) throws(HGNetError) -> Size {
    let size = try Image.checkedSize(
      format, height: Int(header.height), width: Int(header.width), pixelLimit: pixelLimit,
      minimumBytes: header.minimum_bytes, count: bytes.count)
    var need = MemoryNeed("decoding a \(format.rawValue) of \(size) pixels")
    need.add("its pixels", bytes: 3, size.height, size.width)
    need.add("the decoder", bytes: Int(clamping: header.working_bytes))
    try need.check { _ in "make the picture smaller" }
    return size
  }

  func decode(_ decode: Decode, into target: UnsafeMutableBufferPointer<UInt8>) throws(HGNetError) {
    try call { source, message in decode(source, bytes.count, target.baseAddress, target.count, message) }
  }

  private func call(
    _ body: (UnsafePointer<UInt8>?, UnsafeMutablePointer<CChar>?) -> Int32
  ) throws(HGNetError) {
    var words = ""
    var status: Int32 = 0
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(HGNET_MESSAGE_CAPACITY)) { message in
      message.initialize(repeating: 0)
      status = body(bytes.base.baseAddress?.assumingMemoryBound(to: UInt8.self), message.baseAddress)
      if status != 0, let text = message.baseAddress { words = String(cString: text) }
    }
    let name = format.rawValue
    switch Int(status) {
    case HGNET_PICTURE_OK: return
    case HGNET_PICTURE_TRUNCATED:
      throw HGNetError(
        .malformedData,
        "the \(name) is truncated: expected more than the \(bytes.count) bytes found; fetch or save it again",
        cause: words)
    case HGNET_PICTURE_UNSUPPORTED:
      throw HGNetError(.unsupported, "the \(name) uses a feature that is not supported; save it again", cause: words)
    case HGNET_PICTURE_NO_MEMORY:
      throw HGNetError(.limitExceeded, "the system has no memory left for the \(name)", cause: words)
    default:
      throw HGNetError(
        .malformedData, "expected a sound \(name), found broken data; fetch or save it again", cause: words)
    }
  }
}

extension Image {
  init(jpeg bytes: Bytes, style: DecodingStyle, pixelLimit: Int) throws(HGNetError) {
    let decoder = SystemDecoder(format: .jpeg, bytes: bytes)
    let header = try decoder.header(hgnet_jpeg_header)
    let size = try decoder.size(header, pixelLimit: pixelLimit)
    let stored: Image
    if header.channels == 4 {
      stored = try Image(size: size) { (target) throws(HGNetError) in
        let inks = try PixelStorage(count: target.count / 3 * 4)
        try decoder.decode(
          hgnet_jpeg_decode, into: UnsafeMutableBufferPointer(start: inks.base, count: inks.count))
        Image.convert(inks: UnsafeBufferPointer(start: inks.base, count: inks.count), into: target, style: style)
      }
    } else {
      stored = try Image(size: size) { (target) throws(HGNetError) in
        try decoder.decode(hgnet_jpeg_decode, into: target)
      }
    }
    self = style == .openCV ? try stored.oriented(Orientation(jpeg: bytes)) : stored
  }

  /// CMYK as JPEG files hold it (255 is no ink) to RGB, in the integer arithmetic of either library.
  private static func convert(
    inks: UnsafeBufferPointer<UInt8>, into target: UnsafeMutableBufferPointer<UInt8>, style: DecodingStyle
  ) {
    for pixel in 0..<inks.count / 4 {
      let light = Int32(inks[4 * pixel + 3])
      for channel in 0..<3 {
        let lightOfInk = Int32(inks[4 * pixel + channel])
        let value: Int32
        switch style {
        case .openCV:
          value = light - (((255 - lightOfInk) * light) >> 8)
        case .pillow:
          // A product of two bytes divided by 255, rounded.
          let product = (255 - lightOfInk) * light + 128
          value = light - (((product >> 8) + product) >> 8)
        }
        target[3 * pixel + channel] = UInt8(clamping: value)
      }
    }
  }

  init(png bytes: Bytes, style: DecodingStyle, pixelLimit: Int) throws(HGNetError) {
    let decoder = SystemDecoder(format: .png, bytes: bytes)
    let header = try decoder.header(hgnet_png_header)
    let size = try decoder.size(header, pixelLimit: pixelLimit)
    if style == .pillow, header.is_grey != 0, header.bit_depth == 16 {
      self = try Image(size: size) { (target) throws(HGNetError) in
        let samples = try PixelStorage(count: target.count / 3 * 2)
        try decoder.decode(
          hgnet_png_decode_grey16, into: UnsafeMutableBufferPointer(start: samples.base, count: samples.count))
        for pixel in 0..<target.count / 3 {
          let value = samples.base[2 * pixel] == 0 ? samples.base[2 * pixel + 1] : 255
          for channel in 0..<3 { target[3 * pixel + channel] = value }
        }
      }
      return
    }
    let stored = try Image(size: size) { (target) throws(HGNetError) in
      try decoder.decode(hgnet_png_decode, into: target)
    }
    self = style == .openCV ? try stored.oriented(Orientation(png: bytes)) : stored
  }

  init(webp bytes: Bytes, style: DecodingStyle, pixelLimit: Int) throws(HGNetError) {
    let container = try WebPContainer(bytes)
    let whole = SystemDecoder(format: .webp, bytes: container.bytes)
    let header = try whole.header(hgnet_webp_header)
    let size = try whole.size(header, pixelLimit: pixelLimit)
    guard header.is_animation != 0 else {
      let stored = try Image(size: size) { (target) throws(HGNetError) in
        try whole.decode(hgnet_webp_decode, into: target)
      }
      self = style == .openCV ? try stored.oriented(container.orientation) : stored
      return
    }
    // The first picture of the animation, on a black canvas.
    let frame = try container.firstFrame()
    let file = frame.file
    let (top, left) = (frame.top, frame.left)
    let canvas = try Image(size: size) { (target) throws(HGNetError) in
      target.update(repeating: 0)
      try file.span.withUnsafeBytes { (raw) throws(HGNetError) in
        let decoder = SystemDecoder(format: .webp, bytes: Bytes(raw))
        let inner = try decoder.size(decoder.header(hgnet_webp_header), pixelLimit: pixelLimit)
        guard top + inner.height <= size.height, left + inner.width <= size.width else {
          throw HGNetError(
            .malformedData,
            "the first frame of the WebP, \(inner) at row \(top) and column \(left), leaves its canvas of \(size)")
        }
        let part = try Image(size: inner) { (pixels) throws(HGNetError) in
          try decoder.decode(hgnet_webp_decode, into: pixels)
        }
        for row in 0..<inner.height {
          (UnsafeMutableBufferPointer(rebasing: target[(3 * ((top + row) * size.width + left))...]).baseAddress)?
            .update(from: part.storage.base + 3 * row * inner.width, count: 3 * inner.width)
        }
      }
    }
    self = style == .openCV ? try canvas.oriented(container.orientation) : canvas
  }
}
