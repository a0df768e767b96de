import HGNetCore
import Testing

@Suite struct HGNetErrorTests {
  @Test func aDescriptionNamesThePlaceFirst() {
    let error = HGNetError(.malformedData, "expected 3", path: "list.txt", key: "row", line: 7, cause: "why")
    #expect(error.description == "list.txt:7: row: expected 3 (why)")
    #expect(HGNetError(.fileNotFound, "no such file", path: "").description == "\"\": no such file")
  }

  @Test("However long the text of a file is, its message is short")
  func bounded() {
    let long = String(repeating: "x y", count: 1_000_000) + "end"
    let error = HGNetError(.malformedData, "found \(long)", path: long, key: long, layer: long, line: 3, cause: long)
    #expect(error.description.unicodeScalars.count < 2600)
    #expect(error.message.unicodeScalars.count <= 1000)
    #expect(error.message.hasPrefix("found x y") && error.message.hasSuffix("x yend") && error.message.contains("…"))
    var changed = HGNetError(.malformedData, "short")
    changed.message = long
    changed.context.path = long
    #expect(changed.description.unicodeScalars.count < 1600)
    // One character as people count them may have any length.
    let tower = "e" + String(repeating: "\u{301}", count: 100_000)
    #expect(HGNetError.quoted(tower).unicodeScalars.count <= 82)
    #expect(HGNetError.quoted("a\nb\u{1B}[2J") == "\"a\\nb\\u{1B}[2J\"")
    #expect(HGNetError.shortened("abcdefghij", to: 10) == "abcdefghij")
    #expect(HGNetError.shortened("abcdefghijk", to: 10) == "abcdefg…jk")
  }

  @Test(
    "A description is one line that does nothing to a terminal",
    arguments: [
      ("a\nb", "a\\nb"), ("a\r\tb", "a\\r\\tb"), ("\u{1B}]0;title\u{7}", "\\u{1B}]0;title\\u{07}"),
      ("\u{9B}2J", "\\u{009B}2J"), ("\u{202E}gpj", "\\u{202E}gpj"), ("Grün 猫 ×", "Grün 猫 ×"),
    ])
  func oneLine(found: String, shown: String) {
    #expect(HGNetError(.malformedData, "found \(found)", path: found).description == "\(shown): found \(shown)")
  }
}
