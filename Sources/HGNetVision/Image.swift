import HGNetCore
import HGNetPlatform

/// The memory of a picture: one allocation with spare bytes behind the last row, so that vector loads may run over.
final class PixelStorage: Sendable {
  static let spareBytes = 64
  nonisolated(unsafe) let base: UnsafeMutablePointer<UInt8>
  let count: Int

  /// - Throws: `HGNetError.Code.limitExceeded` when the process may not have that much memory.
  init(count: Int) throws(HGNetError) {
    self.count = count
    let bytes = count + PixelStorage.spareBytes
    base = try MemoryBlock.allocate(byteCount: bytes, for: "a picture in memory")
      .bindMemory(to: UInt8.self, capacity: bytes)
    (base + count).initialize(repeating: 0, count: PixelStorage.spareBytes)
  }

  deinit { free(base) }
}

/// A picture of 8-bit RGB pixels, `[H, W, 3]` in row-major order without gaps, `H ≥ 1` and `W ≥ 1`.
///
/// Values are 0 … 255 in the order red, green, blue. A value type that never changes after it is made: copies share
/// their memory.
///
/// Threads: safe to share.
public struct Image: Sendable, Equatable {
  /// Height and width in pixels.
  public let size: Size
  let storage: PixelStorage

  /// The largest number of pixels that a picture may have in memory: 2³⁰, whose bytes are counted safely everywhere.
  static let maximumPixels = 1 << 30

  /// Makes a picture and lets `body` write its `height × width × 3` bytes, which start out undefined.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for a side below 1, `limitExceeded` above 2³⁰ pixels or without
  ///   memory for them, and what `body` throws.
  public init(
    size: Size, initializingWith body: (UnsafeMutableBufferPointer<UInt8>) throws(HGNetError) -> Void
  ) throws(HGNetError) {
    guard size.height >= 1, size.width >= 1 else {
      throw HGNetError(.invalidArgument, "expected a picture of at least 1×1 pixel, found \(size)")
    }
    let (pixels, overflow) = size.height.multipliedReportingOverflow(by: size.width)
    guard !overflow, pixels <= Image.maximumPixels else {
      throw HGNetError(
        .limitExceeded, "a picture of \(size) pixels is too large; expected at most \(Image.maximumPixels) pixels")
    }
    self.size = size
    storage = try PixelStorage(count: pixels * 3)
    try body(UnsafeMutableBufferPointer(start: storage.base, count: storage.count))
  }

  /// Makes a picture from bytes in `[H, W, 3]` order.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` when there are not exactly `height × width × 3` bytes, and as the other
  ///   form.
  public init(size: Size, pixels: [UInt8]) throws(HGNetError) {
    try self.init(size: size) { (target) throws(HGNetError) in
      guard pixels.count == target.count else {
        throw HGNetError(
          .shapeMismatch, "expected \(target.count) bytes for a picture of \(size) pixels, found \(pixels.count)")
      }
      _ = target.update(fromContentsOf: pixels)
    }
  }

  /// Rows.
  public var height: Int { size.height }
  /// Columns.
  public var width: Int { size.width }
  /// The bytes in `[H, W, 3]` order, copied.
  public var pixels: [UInt8] { withUnsafeBytes { Array($0) } }

  /// Calls `body` with the bytes in `[H, W, 3]` order; the pointer must not escape.
  public func withUnsafeBytes<Result, Failure: Error>(
    _ body: (UnsafeBufferPointer<UInt8>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(UnsafeBufferPointer(start: storage.base, count: storage.count))
  }

  /// Two pictures are equal when their sizes and all their pixels are.
  public static func == (left: Image, right: Image) -> Bool {
    guard left.size == right.size else { return false }
    return left.withUnsafeBytes { leftBytes in
      right.withUnsafeBytes { rightBytes in leftBytes.elementsEqual(rightBytes) }
    }
  }
}
