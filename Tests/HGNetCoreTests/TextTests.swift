import HGNetCore
import Testing

@Suite("Numbers and bytes as text") struct TextTests {
  // RFC 4648, section 10.
  @Test(
    "Base 64 as in RFC 4648",
    arguments: [
      ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
      ("foobar", "Zm9vYmFy"),
    ])
  func base64(plain: String, text: String) throws {
    #expect(Base64.encoded(Array(plain.utf8)) == text)
    let blob = try #require(try Base64.decoded(Array(text.utf8)))
    #expect(blob.withUnsafeBytes { Array($0) } == Array(plain.utf8))
  }

  @Test func base64OfEveryByte() throws {
    let bytes = (0...255).map { UInt8($0) }
    let blob = try #require(try Base64.decoded(Array(Base64.encoded(bytes).utf8)))
    #expect(blob.withUnsafeBytes { Array($0) } == bytes)
  }

  @Test(
    "What is no base 64",
    arguments: ["Z", "Zg", "Zg=", "Zg===", "=", "====", "Zm9v\n", "Zm 9v", "Zm9-", "Zg==Zg==", "Zö"])
  func damaged(text: String) throws {
    #expect(try Base64.decoded(Array(text.utf8)) == nil)
  }

  // What Python 3.11 gives for format(value, ".Nf").
  @Test(
    "Fixed decimals as Python writes them",
    arguments: [
      (0.5, 0, "0"), (1.5, 0, "2"), (2.675, 2, "2.67"), (0.125, 2, "0.12"), (0.375, 2, "0.38"), (-1e-9, 3, "-0.000"),
      (1e22, 1, "10000000000000000000000.0"), (.nan, 3, "nan"), (-.infinity, 1, "-inf"),
    ] as [(Double, Int, String)])
  func fixed(value: Double, digits: Int, text: String) {
    #expect(FixedPoint.text(value, digits: digits) == text)
    #expect(FixedPoint.text(value, digits: digits, width: 30).count == 30)
  }

  @Test func localTime() {
    #expect(LocalTime.text(.nan) == "")
    let text = LocalTime.text(86_400 * 365)
    #expect(text.hasPrefix("1970/12/31") || text.hasPrefix("1971/01/01"))
    #expect(text.count == 19)
  }
}
