import Foundation
import HGNetCore
import HGNetVision

/// The committed tables of pixel hashes, and the picture that they were made of.
enum Golden {
  /// The rows of a table below `Fixtures`, without their line ends.
  static func rows(of table: String) -> [[String]] {
    let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let file = tests.appendingPathComponent("Fixtures/\(table)")
    let text = (try? String(contentsOf: file, encoding: .utf8)) ?? ""
    return text.split(separator: "\n").map { $0.split(separator: "\t").map(String.init) }
  }

  /// The FNV-1a hash of bytes.
  static func hash(_ bytes: some Sequence<UInt8>) -> String {
    let value = bytes.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    let text = String(value, radix: 16)
    return String(repeating: "0", count: 16 - text.count) + text
  }

  /// Pseudo-random pixels: the upper byte of a linear congruential generator.
  static func noise(height: Int, width: Int) throws -> Image {
    var state = UInt64(height * 65536 + width)
    return try Image(
      size: Size(height: height, width: width),
      pixels: (0..<height * width * 3).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt8(truncatingIfNeeded: state >> 56)
      })
  }
}
