import HGNetCore
import HGNetFormats
import Testing

@Suite("Unpacking of gzip and zlib")
struct PackingTests {
  // python3 -c 'import gzip, zlib; print(gzip.compress(b"hello, hello, hello\n", mtime=0).hex());
  //   print(zlib.compress(b"hello, hello, hello\n").hex())'  (Python 3.11.7, zlib 1.2.13)
  static let text = Array("hello, hello, hello\n".utf8)
  static let gzip = bytes("1f8b0800000000000203cb48cdc9c9d751c840a2b800e7426e5214000000")
  static let zlib = bytes("789ccb48cdc9c9d751c840a2b8004b0706df")
  // python3 -c 'import gzip; print(gzip.compress(bytes(10_000), mtime=0).hex())'
  static let zeros = bytes(
    "1f8b0800000000000203edc1010d000000c2a0f74f6d0e37a0000000000000000000e0df002eca3b4d10270000")

  static func bytes(_ digits: String) -> [UInt8] {
    let digits = Array(digits.utf8)
    return stride(from: 0, to: digits.count, by: 2).compactMap {
      UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)
    }
  }

  private func unpacked(_ bytes: [UInt8], _ packing: Packing, limit: Int = 1 << 20) throws(HGNetError) -> [UInt8] {
    try packing.unpack(Blob(bytes), limit: limit).withUnsafeBytes { Array($0) }
  }

  @Test("What Python's zlib packed comes out again")
  func whole() throws {
    #expect(try unpacked(Self.gzip, .gzip) == Self.text)
    #expect(try unpacked(Self.zlib, .zlib) == Self.text)
    #expect(try unpacked(Self.gzip + Self.gzip, .gzip) == Self.text + Self.text)
    #expect(try unpacked(Self.zeros, .gzip) == [UInt8](repeating: 0, count: 10_000))
  }

  @Test("The limit holds to the byte")
  func limit() throws {
    #expect(try unpacked(Self.gzip, .gzip, limit: Self.text.count) == Self.text)
    #expect(try unpacked(Self.zeros, .gzip, limit: 10_000).count == 10_000)
    for (packed, limit) in [(Self.gzip, Self.text.count - 1), (Self.gzip, 0), (Self.zeros, 9_999)] {
      #expect { try unpacked(packed, .gzip, limit: limit) } throws: { ($0 as? HGNetError)?.code == .limitExceeded }
    }
  }

  @Test("Every cut, another format, and what follows the end are refused")
  func malformed() throws {
    for (whole, packing) in [(Self.gzip, Packing.gzip), (Self.zlib, .zlib)] {
      for count in 0..<whole.count {
        #expect { try unpacked(Array(whole.prefix(count)), packing) } throws: {
          ($0 as? HGNetError)?.code == .malformedData
        }
      }
      #expect(throws: HGNetError.self) { try unpacked(whole + [0], packing) }
    }
    #expect(throws: HGNetError.self) { try unpacked(Self.gzip, .zlib) }
    #expect(throws: HGNetError.self) { try unpacked(Self.zlib, .gzip) }
    #expect(throws: HGNetError.self) { try unpacked(Self.text, .gzip) }
  }

  @Test("Damaged bytes never give other contents")
  func damaged() throws {
    for place in 10..<Self.gzip.count {
      for bit in 0..<8 {
        var bytes = Self.gzip
        bytes[place] ^= 1 << bit
        #expect(throws: HGNetError.self) { try unpacked(bytes, .gzip) }
      }
    }
  }
}
