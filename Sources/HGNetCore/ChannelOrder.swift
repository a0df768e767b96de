/// The two orders of a picture's values: pixels, `[H, W, C]`, as everything inside has them, and planes, `[C, H, W]`, as
/// files and callers from outside do.
package enum ChannelOrder {
  /// Pixels that are gone through for one channel before the next has its turn, so that their lines stay in the cache.
  @usableFromInline static let blockLength = 64

  /// Writes planes as pixels.
  ///
  /// Traps unless source and target have the same number of values, a multiple of the channels.
  @inlinable
  package static func pixels<Value: BitwiseCopyable>(
    fromPlanes source: UnsafeBufferPointer<Value>, channels: Int, into target: UnsafeMutableBufferPointer<Value>
  ) {
    exchange(source.count, target.count, channels: channels) { pixel, channel, pixels in
      target[pixel * channels + channel] = source[channel * pixels + pixel]
    }
  }

  /// Writes pixels as planes.
  ///
  /// Traps unless source and target have the same number of values, a multiple of the channels.
  @inlinable
  package static func planes<Value: BitwiseCopyable>(
    fromPixels source: UnsafeBufferPointer<Value>, channels: Int, into target: UnsafeMutableBufferPointer<Value>
  ) {
    exchange(source.count, target.count, channels: channels) { pixel, channel, pixels in
      target[channel * pixels + pixel] = source[pixel * channels + channel]
    }
  }

  /// Calls `move` with each pixel and channel.
  @inlinable
  static func exchange(
    _ sourceCount: Int, _ targetCount: Int, channels: Int, move: (_ pixel: Int, _ channel: Int, _ pixels: Int) -> Void
  ) {
    precondition(
      sourceCount == targetCount && channels > 0 && sourceCount.isMultiple(of: channels),
      "\(sourceCount) values of \(channels) channels into room for \(targetCount)")
    let pixels = sourceCount / channels
    for first in stride(from: 0, to: pixels, by: blockLength) {
      for channel in 0..<channels {
        for pixel in first..<min(first + blockLength, pixels) { move(pixel, channel, pixels) }
      }
    }
  }
}
