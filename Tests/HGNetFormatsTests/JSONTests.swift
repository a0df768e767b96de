import HGNetCore
import HGNetFormats
import Testing

@Suite("JSON")
struct JSONTests {
  private func parse(_ text: String) throws -> JSON {
    try Array(text.utf8).withUnsafeBytes { try JSON($0) }
  }

  @Test("values")
  func values() throws {
    #expect(try parse(" null ") == .null)
    #expect(try parse("[true,false]") == .array([.bool(true), .bool(false)]))
    #expect(try parse("[0,-0,12,-9223372036854775808]") == .array([0, 0, 12, Int.min].map { .integer($0) }))
    #expect(try parse("[1.5,1e3,-2.5E-1,1E+2]") == .array([1.5, 1000, -0.25, 100].map { .number($0) }))
    // A whole number beyond 64 bits stays a number.
    #expect(try parse("18446744073709551616") == .number(18446744073709551616))
    #expect(try parse("{\"a\":{},\"b\":[]}")["b"] == .array([]))
    #expect(
      try parse(#""\"\\\/\b\f\n\r\t\u00e4\u4E2D\ud83d\ude00ä😀""#) == .string("\"\\/\u{8}\u{C}\n\r\tä中😀ä😀"))
  }

  @Test(
    "what is not JSON is refused",
    arguments: [
      "", " ", "{", "[", "[1", "[1,", "[1,]", "[,1]", "{,}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{1:1}",
      "tru", "nul",
      "True", "+1", "01", "-", "1.", ".5", "1e", "1e+", "0x10", "NaN", "Infinity", "1e999", "\"", "\"\\\"", "\"\\x\"",
      "\"\\u12\"",
      "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\n\"", "1 2", "[1]]", "{\"a\":1,\"a\":2}", "'a'",
      "// x\n1", "\u{FEFF}1",
    ])
  func malformed(text: String) {
    #expect(hgnetError { _ = try parse(text) }?.code == .malformedData)
  }

  @Test("bytes that are not UTF-8 are refused")
  func encoding() {
    let error = hgnetError { _ = try [UInt8]([0x22, 0xC3, 0x28, 0x22]).withUnsafeBytes { try JSON($0) } }
    #expect(error?.code == .malformedData)
  }

  @Test("depth, repetition in large objects and number of values are bounded")
  func bounds() {
    #expect(hgnetError { _ = try parse(String(repeating: "[", count: 100_000)) }?.code == .limitExceeded)
    let keys = (0..<100).map { "\"\($0)\":0" }.joined(separator: ",")
    #expect(hgnetError { _ = try parse("{\(keys),\"50\":1}") }?.code == .malformedData)
    #expect(
      hgnetError { _ = try Array("[1,2,3,4]".utf8).withUnsafeBytes { try JSON($0, maximumValueCount: 4) } }?.code
        == .limitExceeded)
  }

  @Test("quoting is undone by reading", arguments: ["", "plain", "\"\\\n\r\t\u{1}\u{1F}/ä中😀"])
  func quoting(text: String) throws {
    #expect(try parse(JSON.quoted(text)) == .string(text))
  }
}
