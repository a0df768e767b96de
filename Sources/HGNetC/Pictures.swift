// The names of the functions are C's, and hgnet.h documents them.
// swift-format-ignore-file: AlwaysUseLowerCamelCase, AllPublicDeclarationsHaveDocumentation

import CHGNet
import HGNet
import HGNetCore
import HGNetVision

/// A picture as a caller hands it over.
enum Picture {
  case file(UnsafePointer<CChar>?)
  case encoded(UnsafeRawPointer?, count: Int)
  case pixels(UnsafePointer<UInt8>?, height: Int32, width: Int32, bytesPerRow: Int, hgnet_pixel_format)

  /// A picture of several.
  init(_ picture: hgnet_picture) throws(CallFailure) {
    switch (picture.path, picture.bytes, picture.pixels) {
    case (let path?, nil, nil): self = .file(path)
    case (nil, let bytes?, nil): self = .encoded(bytes, count: picture.byte_count)
    case (nil, nil, let pixels?):
      self = .pixels(
        pixels, height: picture.height, width: picture.width, bytesPerRow: picture.bytes_per_row, picture.format)
    default:
      throw .invalidArgument("expected a picture with one of path, bytes and pixels, found none or several of them")
    }
  }

  /// What the network sees of it.
  func prepared(_ recipe: Recipe) throws -> PreparedPicture {
    switch self {
    case .file(let path):
      return try recipe.picture(decoding: Blob(mapping: String(cString: Call.required(path, "a path"))))
    case .encoded(let bytes, let count):
      return try recipe.picture(decoding: Blob(Call.bytes(bytes, count: count, "bytes of a picture")))
    case .pixels(let pixels, let height, let width, let bytesPerRow, let format):
      let image = try Picture.image(
        Call.required(pixels, "pixels"), size: Size(height: Int(height), width: Int(width)), bytesPerRow: bytesPerRow,
        format: format)
      return try PreparedPicture(image, applying: recipe.transforms)
    }
  }

  private static let largestPixelCount = 1 << 30

  private static func image(
    _ pixels: UnsafePointer<UInt8>, size: Size, bytesPerRow: Int, format: hgnet_pixel_format
  ) throws -> Image {
    let order: (pixelBytes: Int, red: Int, green: Int, blue: Int)
    switch format {
    case HGNET_RGB: order = (3, 0, 1, 2)
    case HGNET_BGR: order = (3, 2, 1, 0)
    case HGNET_RGBA: order = (4, 0, 1, 2)
    case HGNET_BGRA: order = (4, 2, 1, 0)
    case HGNET_GRAY: order = (1, 0, 0, 0)
    default: throw CallFailure.invalidArgument("expected a pixel format of 0 to 4, found \(format.rawValue)")
    }
    guard size.height >= 1, size.width >= 1, size.height * size.width <= largestPixelCount else {
      let isLarge = size.height >= 1 && size.width >= 1
      throw HGNetError(
        isLarge ? .limitExceeded : .invalidArgument,
        "expected a picture of at least 1×1 and at most \(largestPixelCount) pixels in all, found \(size)")
    }
    let rowBytes = size.width * order.pixelBytes
    let distance = bytesPerRow == 0 ? rowBytes : bytesPerRow
    guard distance >= rowBytes, !distance.multipliedReportingOverflow(by: size.height).overflow else {
      throw CallFailure.invalidArgument(
        "expected bytes_per_row of 0 or at least \(rowBytes) for \(size.width) pixels, found \(UInt(bitPattern: bytesPerRow))"
      )
    }
    return try Image(size: size) { target in
      guard let base = target.baseAddress else { return }
      for row in 0..<size.height {
        let source = pixels + row * distance
        let place = base + row * size.width * 3
        for column in 0..<size.width {
          place[column * 3] = source[column * order.pixelBytes + order.red]
          place[column * 3 + 1] = source[column * order.pixelBytes + order.green]
          place[column * 3 + 2] = source[column * order.pixelBytes + order.blue]
        }
      }
    }
  }

  /// Writes the classes of the picture into the memory of a caller.
  func classify(
    _ handle: hgnet_classifier, _ classes: UnsafeMutablePointer<hgnet_scored_class>?, capacity: Int,
    count: UnsafeMutablePointer<Int>?
  ) -> hgnet_status {
    Call.status {
      let open = try Classifiers.open(handle)
      let target = try Call.target(classes, capacity: capacity, "classes")
      let count = try Call.required(count, "the place for the number of classes")
      let results = try open.classifier.classes(ofPrepared: [prepared(open.classifier.recipe)]).first ?? []
      for (place, result) in zip(target.indices, results) {
        target.initializeElement(
          at: place,
          to: hgnet_scored_class(index: result.index, score: result.score, label: open.labels?[result.index]))
      }
      count.pointee = results.count
      guard results.count <= target.count else {
        throw CallFailure.tooSmall(expected: results.count, found: target.count, of: "classes")
      }
    }
  }

  /// Writes what the network sees of the picture into the memory of a caller, `[3, H, W]`.
  func preprocess(
    _ handle: hgnet_classifier, _ tensor: UnsafeMutablePointer<Float>?, capacity: Int,
    height: UnsafeMutablePointer<Int32>?, width: UnsafeMutablePointer<Int32>?
  ) -> hgnet_status {
    Call.status {
      let open = try Classifiers.open(handle)
      let target = try Call.target(tensor, capacity: capacity, "the tensor")
      let height = try Call.required(height, "the place for the height")
      let width = try Call.required(width, "the place for the width")
      let seen = try prepared(open.classifier.recipe).tensor()
      height.pointee = Int32(clamping: seen.shape[0])
      width.pointee = Int32(clamping: seen.shape[1])
      guard seen.count <= target.count else {
        throw CallFailure.tooSmall(expected: seen.count, found: target.count, of: "floats")
      }
      seen.withUnsafeBufferPointer { source in
        ChannelOrder.planes(
          fromPixels: source, channels: 3, into: UnsafeMutableBufferPointer(rebasing: target[..<source.count]))
      }
    }
  }
}

@c @implementation
public func hgnet_file_classify(
  _ classifier: hgnet_classifier, _ path: UnsafePointer<CChar>?, _ classes: UnsafeMutablePointer<hgnet_scored_class>?,
  _ capacity: Int, _ count: UnsafeMutablePointer<Int>?
) -> hgnet_status {
  Picture.file(path).classify(classifier, classes, capacity: capacity, count: count)
}

@c @implementation
public func hgnet_encoded_classify(
  _ classifier: hgnet_classifier, _ bytes: UnsafeRawPointer?, _ byteCount: Int,
  _ classes: UnsafeMutablePointer<hgnet_scored_class>?, _ capacity: Int, _ count: UnsafeMutablePointer<Int>?
) -> hgnet_status {
  Picture.encoded(bytes, count: byteCount).classify(classifier, classes, capacity: capacity, count: count)
}

@c @implementation
public func hgnet_pixels_classify(
  _ classifier: hgnet_classifier, _ pixels: UnsafePointer<UInt8>?, _ height: Int32, _ width: Int32,
  _ bytesPerRow: Int, _ format: hgnet_pixel_format, _ classes: UnsafeMutablePointer<hgnet_scored_class>?,
  _ capacity: Int, _ count: UnsafeMutablePointer<Int>?
) -> hgnet_status {
  Picture.pixels(pixels, height: height, width: width, bytesPerRow: bytesPerRow, format)
    .classify(classifier, classes, capacity: capacity, count: count)
}

@c @implementation
public func hgnet_file_preprocess(
  _ classifier: hgnet_classifier, _ path: UnsafePointer<CChar>?, _ tensor: UnsafeMutablePointer<Float>?,
  _ capacity: Int, _ height: UnsafeMutablePointer<Int32>?, _ width: UnsafeMutablePointer<Int32>?
) -> hgnet_status {
  Picture.file(path).preprocess(classifier, tensor, capacity: capacity, height: height, width: width)
}

@c @implementation
public func hgnet_encoded_preprocess(
  _ classifier: hgnet_classifier, _ bytes: UnsafeRawPointer?, _ byteCount: Int, _ tensor: UnsafeMutablePointer<Float>?,
  _ capacity: Int, _ height: UnsafeMutablePointer<Int32>?, _ width: UnsafeMutablePointer<Int32>?
) -> hgnet_status {
  Picture.encoded(bytes, count: byteCount)
    .preprocess(classifier, tensor, capacity: capacity, height: height, width: width)
}

@c @implementation
public func hgnet_pixels_preprocess(
  _ classifier: hgnet_classifier, _ pixels: UnsafePointer<UInt8>?, _ pixelHeight: Int32, _ pixelWidth: Int32,
  _ bytesPerRow: Int, _ format: hgnet_pixel_format, _ tensor: UnsafeMutablePointer<Float>?, _ capacity: Int,
  _ height: UnsafeMutablePointer<Int32>?, _ width: UnsafeMutablePointer<Int32>?
) -> hgnet_status {
  Picture.pixels(pixels, height: pixelHeight, width: pixelWidth, bytesPerRow: bytesPerRow, format)
    .preprocess(classifier, tensor, capacity: capacity, height: height, width: width)
}
