import HGNetCore

/// What the headers of a BMP file say.
///
/// Source: the BITMAPCOREHEADER, BITMAPINFOHEADER, BITMAPV4HEADER and BITMAPV5HEADER structures of the Windows API.
private struct BMPHeader {
  enum Compression { case none, runLength }

  /// The three colours of one pixel, in memory order.
  typealias Colour = (red: UInt8, green: UInt8, blue: UInt8)

  let height: Int
  let width: Int
  let isTopDown: Bool
  let bits: Int
  let compression: Compression
  /// Where the colours stand in a pixel of 16 or 32 bits.
  let masks: [UInt32]
  let palette: [Colour]
  let pixelOffset: Int

  /// Bytes of an uncompressed row, which ends on a multiple of four.
  var rowBytes: Int { (width * bits + 31) / 32 * 4 }

  init(_ bytes: Bytes) throws(HGNetError) {
    guard let pixelOffset = bytes.integer32(at: 10, isBigEndian: false),
      let headerSize = bytes.integer32(at: 14, isBigEndian: false),
      headerSize <= bytes.count - 14
    else { throw BMPHeader.truncated(bytes, expected: "a header") }
    let isCore = headerSize == 12
    guard isCore || (headerSize >= 40 && headerSize <= 4096) else {
      throw HGNetError(.unsupported, "expected a BMP header of 12 or at least 40 bytes, found \(headerSize)")
    }
    let code: Int
    if isCore {
      guard let width = bytes.integer16(at: 18, isBigEndian: false),
        let height = bytes.integer16(at: 20, isBigEndian: false), let bits = bytes.integer16(at: 24, isBigEndian: false)
      else { throw BMPHeader.truncated(bytes, expected: "a header") }
      (self.width, self.height, self.bits, isTopDown, code) = (width, height, bits, false, 0)
    } else {
      guard let width = bytes.signed32(at: 18), let height = bytes.signed32(at: 22),
        let bits = bytes.integer16(at: 28, isBigEndian: false), let found = bytes.integer32(at: 30, isBigEndian: false)
      else { throw BMPHeader.truncated(bytes, expected: "a header") }
      (self.width, self.height, self.bits, isTopDown, code) = (width, abs(height), bits, height < 0, found)
    }
    self.pixelOffset = pixelOffset
    guard [1, 4, 8, 16, 24, 32].contains(bits) else {
      throw HGNetError(.unsupported, "expected a BMP of 1, 4, 8, 16, 24 or 32 bits per pixel, found \(bits)")
    }
    switch (code, bits) {
    case (0, _): compression = .none
    case (1, 8), (2, 4): compression = .runLength
    case (3, 16), (3, 32), (6, 16), (6, 32): compression = .none
    default:
      throw HGNetError(
        .unsupported, "a BMP of \(bits) bits with compression \(code) is not supported; save it again without it")
    }
    var masks: [UInt32] = bits == 16 ? [0x7C00, 0x3E0, 0x1F] : [0xFF0000, 0xFF00, 0xFF]
    var paletteOffset = 14 + headerSize
    if code == 3 || code == 6 {
      // The masks follow the short header, or are the first fields behind its part of a longer one: the same place.
      masks = try [54, 58, 62].map { (offset) throws(HGNetError) in
        guard let mask = bytes.integer32(at: offset, isBigEndian: false) else {
          throw BMPHeader.truncated(bytes, expected: "colour masks")
        }
        return UInt32(truncatingIfNeeded: mask)
      }
      if headerSize < 52 { paletteOffset += code == 6 ? 16 : 12 }
    }
    self.masks = masks
    var palette: [Colour] = []
    if bits <= 8 {
      let stated = isCore ? 0 : bytes.integer32(at: 46, isBigEndian: false) ?? 0
      let entryBytes = isCore ? 3 : 4
      let count = stated == 0 ? 1 << bits : min(stated, 1 << bits)
      for index in 0..<count {
        let entry = paletteOffset + index * entryBytes
        guard let blue = bytes.byte(at: entry), let green = bytes.byte(at: entry + 1),
          let red = bytes.byte(at: entry + 2)
        else { throw BMPHeader.truncated(bytes, expected: "a palette of \(count) colours") }
        palette.append((red, green, blue))
      }
      while palette.count < 1 << bits { palette.append((0, 0, 0)) }
    }
    self.palette = palette
  }

  static func truncated(_ bytes: Bytes, expected: String) -> HGNetError {
    HGNetError(
      .malformedData,
      "the BMP is truncated: expected \(expected), found \(bytes.count) bytes in all; fetch or save it again")
  }
}

extension Image {
  init(bmp bytes: Bytes, style: DecodingStyle, pixelLimit: Int) throws(HGNetError) {
    let header = try BMPHeader(bytes)
    let isPlain = header.compression == .none
    let size = try Image.checkedSize(
      .bmp, height: header.height, width: header.width, pixelLimit: pixelLimit, minimumBytes: 14, count: bytes.count)
    if isPlain {
      let needed = header.rowBytes * size.height
      guard header.pixelOffset <= bytes.count, needed <= bytes.count - header.pixelOffset else {
        throw BMPHeader.truncated(bytes, expected: "\(needed) bytes of pixels from byte \(header.pixelOffset)")
      }
    } else {
      // A run of two bytes covers at most 255 pixels; a file that jumps over nearly all of its pixels is refused.
      let needed = size.height * size.width / 255 * 2
      guard needed <= bytes.count else {
        throw BMPHeader.truncated(bytes, expected: "at least \(needed) bytes of runs")
      }
    }
    let unpack = try PixelUnpacker(header, style: style)
    let indices = isPlain ? nil : try Image.expandRuns(bytes, header)
    self = try Image(size: size) { (target) throws(HGNetError) in
      let rowBytes = header.rowBytes
      for row in 0..<size.height {
        let stored = header.isTopDown ? row : size.height - 1 - row
        let into = UnsafeMutableBufferPointer(rebasing: target[(3 * row * size.width)..<(3 * (row + 1) * size.width)])
        if let indices {
          for column in 0..<size.width {
            let colour = header.palette[Int(indices.base[stored * size.width + column])]
            (into[3 * column], into[3 * column + 1], into[3 * column + 2]) = colour
          }
        } else {
          let first = header.pixelOffset + stored * rowBytes
          unpack.row(UnsafeRawBufferPointer(rebasing: bytes.base[first..<(first + rowBytes)]), into: into)
        }
      }
    }
  }

  /// The palette indices of a run-length encoded BMP, stored order of rows; what no run reaches has index 0.
  private static func expandRuns(_ bytes: Bytes, _ header: BMPHeader) throws(HGNetError) -> PixelStorage {
    let (height, width) = (header.height, header.width)
    let isNibbles = header.bits == 4
    let indices = try PixelStorage(count: height * width)
    indices.base.update(repeating: 0, count: indices.count)
    var (row, column) = (0, 0)
    var offset = header.pixelOffset

    func put(_ index: UInt8) {
      // Runs that leave the picture are cut, as the reference decoders do.
      if row < height, column < width { indices.base[row * width + column] = index }
      column += 1
    }

    while row < height {
      guard let count = bytes.byte(at: offset), let value = bytes.byte(at: offset + 1) else {
        throw BMPHeader.truncated(bytes, expected: "runs up to row \(height), found them up to row \(row)")
      }
      offset += 2
      switch (count, value) {
      case (0, 0):
        row += 1
        column = 0
      case (0, 1):
        return indices
      case (0, 2):
        guard let right = bytes.byte(at: offset), let down = bytes.byte(at: offset + 1) else {
          throw BMPHeader.truncated(bytes, expected: "a jump")
        }
        offset += 2
        column += Int(right)
        row += Int(down)
      case (0, _):
        let literal = isNibbles ? (Int(value) + 1) / 2 : Int(value)
        guard offset + literal <= bytes.count else {
          throw BMPHeader.truncated(bytes, expected: "\(value) literal pixels")
        }
        for index in 0..<Int(value) {
          let byte = bytes.base[offset + (isNibbles ? index / 2 : index)]
          put(isNibbles ? (index % 2 == 0 ? byte >> 4 : byte & 15) : byte)
        }
        offset += literal + literal % 2
      default:
        for index in 0..<Int(count) { put(isNibbles ? (index % 2 == 0 ? value >> 4 : value & 15) : value) }
      }
    }
    return indices
  }
}

/// Turns rows of an uncompressed BMP into RGB.
private struct PixelUnpacker {
  private let header: BMPHeader
  private let style: DecodingStyle
  private let shifts: [UInt32]
  private let widths: [Int]

  init(_ header: BMPHeader, style: DecodingStyle) throws(HGNetError) {
    self.header = header
    self.style = style
    shifts = header.masks.map { UInt32($0.trailingZeroBitCount % 32) }
    widths = header.masks.map { $0.nonzeroBitCount }
    var isContiguous = true
    for (channel, mask) in header.masks.enumerated() {
      let bits = widths[channel]
      let adjacent: UInt32 = bits > 0 && bits <= 8 ? (1 << UInt32(bits)) - 1 : 0
      if adjacent == 0 || mask >> shifts[channel] != adjacent { isContiguous = false }
    }
    guard header.bits < 16 || header.bits == 24 || isContiguous else {
      let masks = header.masks.map { String($0, radix: 16) }.joined(separator: ", ")
      throw HGNetError(.unsupported, "expected colour masks of 1 to 8 adjacent bits in the BMP, found \(masks)")
    }
  }

  func row(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableBufferPointer<UInt8>) {
    let width = header.width
    switch header.bits {
    case 24:
      for column in 0..<width {
        target[3 * column] = source[3 * column + 2]
        target[3 * column + 1] = source[3 * column + 1]
        target[3 * column + 2] = source[3 * column]
      }
    case 16, 32:
      for column in 0..<width {
        let pixel =
          header.bits == 16
          ? UInt32(UInt16(littleEndian: source.loadUnaligned(fromByteOffset: 2 * column, as: UInt16.self)))
          : UInt32(littleEndian: source.loadUnaligned(fromByteOffset: 4 * column, as: UInt32.self))
        for channel in 0..<3 {
          let value = (pixel & header.masks[channel]) >> shifts[channel]
          target[3 * column + channel] = widen(value, bits: widths[channel])
        }
      }
    default:
      let perByte = 8 / header.bits
      let mask = UInt8((1 << header.bits) - 1)
      for column in 0..<width {
        let shift = 8 - header.bits * (column % perByte + 1)
        let colour = header.palette[Int((source[column / perByte] >> UInt8(shift)) & mask)]
        (target[3 * column], target[3 * column + 1], target[3 * column + 2]) = colour
      }
    }
  }

  /// Fewer than eight bits spread over a byte: OpenCV shifts, Pillow scales.
  private func widen(_ value: UInt32, bits: Int) -> UInt8 {
    switch style {
    case .openCV: UInt8(truncatingIfNeeded: value << UInt32(8 - bits))
    case .pillow: UInt8(truncatingIfNeeded: value * 255 / ((1 << UInt32(bits)) - 1))
    }
  }
}
