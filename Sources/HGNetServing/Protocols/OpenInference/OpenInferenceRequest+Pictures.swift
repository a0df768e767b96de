import HGNetCore
import HGNetVision

extension OpenInferenceRequest {
  /// The name of the input that takes pictures as files.
  package static let imageInput = "image"
  /// The name of the input that takes pixels or the network's own input.
  package static let tensorInput = "input"

  /// The pictures of the request.
  ///
  /// - Parameters:
  ///   - limit: the number of pictures that a request may hold.
  ///   - pixelLimit: height × width that a picture may have.
  /// - Throws: `invalidRequest` naming the input, `tooLarge`.
  package func pictures(limit: Int, pixelLimit: Int) throws(ServingError) -> [PictureInput] {
    guard let input = inputs.first, inputs.count == 1 else {
      throw ServingError(
        .invalidRequest,
        "expected one input, \"\(Self.imageInput)\" or \"\(Self.tensorInput)\", found \(inputs.count)")
    }
    let pictures: [PictureInput]
    switch (input.name, input.datatype) {
    case (Self.imageInput, "BYTES"): pictures = try input.elements(limit: limit).map { .encoded($0) }
    case (Self.imageInput, "UINT8"): pictures = [.encoded(try input.file())]
    case (Self.tensorInput, "UINT8"): pictures = try input.pixels(limit: limit, pixelLimit: pixelLimit)
    case (Self.tensorInput, "FP32"), (Self.tensorInput, "FP16"):
      pictures = try input.tensors(limit: limit, pixelLimit: pixelLimit)
    case (Self.imageInput, _):
      throw input.refusal("expected the datatype BYTES or UINT8, found \(input.datatype)")
    case (Self.tensorInput, _):
      throw input.refusal("expected the datatype FP32, FP16 or UINT8, found \(input.datatype)")
    default:
      throw input.refusal("expected an input named \"\(Self.imageInput)\" or \"\(Self.tensorInput)\"")
    }
    guard !pictures.isEmpty else { throw input.refusal("expected at least one picture") }
    return pictures
  }
}

extension OpenInferenceRequest.Input {
  /// A refusal that names the input.
  fileprivate func refusal(_ text: String, _ kind: ServingError.Kind = .invalidRequest) -> ServingError {
    ServingError(kind, "input \"\(title ?? name)\": \(text)")
  }

  /// The number of elements that the shape asks for.
  private func elementCount() throws(ServingError) -> Int {
    var count = 1
    for extent in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      guard extent >= 0, !overflow else { throw refusal("expected a shape of sizes, found \(shape)") }
      count = product
    }
    return count
  }

  private func check(count: Int, limit: Int) throws(ServingError) {
    guard count <= limit else {
      throw refusal("expected at most \(limit) pictures in a request, found \(count)", .tooLarge)
    }
  }

  private func check(found: Int, expected: Int) throws(ServingError) {
    guard found == expected else {
      throw refusal("the shape \(shape) asks for \(expected) values, found \(found)")
    }
  }

  /// The elements of a tensor of `BYTES`.
  fileprivate func elements(limit: Int) throws(ServingError) -> [BlobSlice] {
    guard (1...2).contains(shape.count), shape.count == 1 || shape[1] == 1 else {
      throw refusal("expected the shape [N] or [N, 1], found \(shape)")
    }
    let count = try elementCount()
    try check(count: count, limit: limit)
    let found: [BlobSlice]
    switch contents {
    case .elements(let elements): found = elements
    case .base64(let texts):
      var decoded: [BlobSlice] = []
      for text in texts {
        guard let bytes = try PictureText.decoded(text) else {
          throw refusal("expected pictures in base64, since JSON holds text; or send them in binary")
        }
        decoded.append(BlobSlice(bytes))
      }
      found = decoded
    case .raw(let slice): found = try split(slice, limit: limit)
    case .numbers, .floats: throw refusal("expected the elements of BYTES, found numbers")
    }
    try check(found: found.count, expected: count)
    return found
  }

  /// Elements that follow each other, each after its length.
  private func split(_ slice: BlobSlice, limit: Int) throws(ServingError) -> [BlobSlice] {
    var found: [BlobSlice] = []
    var start = slice.range.lowerBound
    while start < slice.range.upperBound {
      guard found.count < limit, slice.range.upperBound - start >= 4 else {
        throw refusal("expected each element after its length in four bytes, found other bytes")
      }
      let length = slice.blob.withUnsafeBytes {
        Int(UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: start, as: UInt32.self)))
      }
      start += 4
      guard length <= slice.range.upperBound - start else {
        throw refusal("expected an element of \(length) bytes, found \(slice.range.upperBound - start)")
      }
      do { found.append(try BlobSlice(slice.blob, range: start..<start + length)) } catch { throw ServingError(error) }
      start += length
    }
    return found
  }

  /// One picture file whose bytes are the elements of the tensor.
  fileprivate func file() throws(ServingError) -> BlobSlice {
    guard shape.count == 1 || (shape.count == 2 && shape[0] == 1) else {
      throw refusal("expected the bytes of one file, [L] or [1, L], found \(shape)")
    }
    return BlobSlice(Blob(try bytes(count: elementCount())))
  }

  /// The values of a tensor of `UINT8`.
  private func bytes(count: Int) throws(ServingError) -> [UInt8] {
    switch contents {
    case .raw(let slice):
      try check(found: slice.count, expected: count)
      return slice.withUnsafeBytes { Array($0) }
    case .numbers(let numbers):
      try check(found: numbers.count, expected: count)
      var bytes: [UInt8] = []
      bytes.reserveCapacity(count)
      for number in numbers {
        guard let byte = UInt8(exactly: number) else { throw refusal("expected values of 0 to 255, found \(number)") }
        bytes.append(byte)
      }
      return bytes
    case .floats, .elements, .base64: throw refusal("expected numbers")
    }
  }

  /// Height, width, and whether the channels come last.
  private func layout(pixelLimit: Int) throws(ServingError) -> (size: Size, isChannelsLast: Bool) {
    guard shape.count == 4, shape[1] == 3 || shape[3] == 3, shape.allSatisfy({ $0 > 0 }) else {
      throw refusal("expected the shape [N, 3, H, W]\(datatype == "UINT8" ? " or [N, H, W, 3]" : ""), found \(shape)")
    }
    let isChannelsLast = shape[1] != 3 || (datatype == "UINT8" && shape[3] == 3)
    let size =
      isChannelsLast ? Size(height: shape[1], width: shape[2]) : Size(height: shape[2], width: shape[3])
    let (pixels, overflow) = size.height.multipliedReportingOverflow(by: size.width)
    guard !overflow, pixels <= pixelLimit else {
      throw refusal("expected pictures of at most \(pixelLimit) pixels, found \(size)", .tooLarge)
    }
    return (size, isChannelsLast)
  }

  /// Pixels, to which the recipe applies.
  fileprivate func pixels(limit: Int, pixelLimit: Int) throws(ServingError) -> [PictureInput] {
    let (size, isChannelsLast) = try layout(pixelLimit: pixelLimit)
    try check(count: shape[0], limit: limit)
    let bytes = try bytes(count: elementCount())
    let pixels = size.height * size.width
    var pictures: [PictureInput] = []
    for picture in 0..<shape[0] {
      let part = bytes[(picture * pixels * 3)..<((picture + 1) * pixels * 3)]
      do throws(HGNetError) {
        if isChannelsLast {
          pictures.append(.pixels(try Image(size: size, pixels: Array(part))))
          continue
        }
        pictures.append(
          .pixels(
            try Image(size: size) { target in
              part.withUnsafeBufferPointer { ChannelOrder.pixels(fromPlanes: $0, channels: 3, into: target) }
            }))
      } catch { throw ServingError(error) }
    }
    return pictures
  }

  /// What the network takes.
  fileprivate func tensors(limit: Int, pixelLimit: Int) throws(ServingError) -> [PictureInput] {
    let (size, isChannelsLast) = try layout(pixelLimit: pixelLimit)
    guard !isChannelsLast else { throw refusal("expected the shape [N, 3, H, W], found \(shape)") }
    try check(count: shape[0], limit: limit)
    let values = try floats(count: elementCount())
    guard values.allSatisfy({ $0.isFinite }) else { throw refusal("expected finite numbers, found others") }
    let count = size.height * size.width * 3
    return (0..<shape[0]).map { .prepared(.planes(values[($0 * count)..<(($0 + 1) * count)], size)) }
  }

  /// The values of a tensor of floating point.
  private func floats(count: Int) throws(ServingError) -> [Float] {
    switch contents {
    case .floats(let values):
      try check(found: values.count, expected: count)
      return values
    case .numbers(let values):
      try check(found: values.count, expected: count)
      return values.map { Float($0) }
    case .raw(let slice):
      let isHalf = datatype == "FP16"
      let (byteCount, overflow) = count.multipliedReportingOverflow(by: isHalf ? 2 : 4)
      guard !overflow, byteCount == slice.count else {
        throw refusal("the shape \(shape) of \(datatype) asks for \(byteCount) bytes, found \(slice.count)")
      }
      return slice.withUnsafeBytes { bytes in
        [Float](unsafeUninitializedCapacity: count) { target, filled in
          if isHalf {
            for index in 0..<count {
              let bits = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))
              target.initializeElement(at: index, to: Float(Float16(bitPattern: bits)))
            }
          } else {
            for index in 0..<count {
              let bits = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self))
              target.initializeElement(at: index, to: Float(bitPattern: bits))
            }
          }
          filled = count
        }
      }
    case .elements, .base64: throw refusal("expected numbers")
    }
  }
}
