import HGNetCore
import Testing

@Suite struct HGNetErrorTests {
  @Test func aDescriptionNamesThePlaceFirst() {
    let error = HGNetError(.malformedData, "expected 3", path: "list.txt", key: "row", line: 7, cause: "why")
    #expect(error.description == "list.txt:7: row: expected 3 (why)")
    #expect(HGNetError(.fileNotFound, "no such file", path: "").description == "\"\": no such file")
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
