import HGNetCore
import Testing

@Suite("Pixels and planes")
struct ChannelOrderTests {
  @Test("Every value gets to its place, and back", arguments: [1, 3, 7], [1, 63, 64, 65, 200])
  func order(channels: Int, pixels: Int) {
    // The value of channel c at pixel p is 1000 c + p.
    let planes = (0..<channels).flatMap { channel in (0..<pixels).map { Int32(1000 * channel + $0) } }
    let expected = (0..<pixels).flatMap { pixel in (0..<channels).map { Int32(1000 * $0 + pixel) } }
    var found = [Int32](repeating: -1, count: planes.count)
    var back = found
    found.withUnsafeMutableBufferPointer { target in
      planes.withUnsafeBufferPointer { ChannelOrder.pixels(fromPlanes: $0, channels: channels, into: target) }
    }
    #expect(found == expected)
    back.withUnsafeMutableBufferPointer { target in
      found.withUnsafeBufferPointer { ChannelOrder.planes(fromPixels: $0, channels: channels, into: target) }
    }
    #expect(back == planes)
  }
}
