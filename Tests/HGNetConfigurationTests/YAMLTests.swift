import HGNetConfiguration
import HGNetCore
import Testing

/// Which text a YAML file means.
///
/// The expected values are those of PyYAML 6.0.3 (`yaml.load(text, Loader=yaml.BaseLoader)`,
/// Python 3.11), with plain numbers as numbers and empty plain scalars as nothing.
@Suite("YAML")
struct YAMLTests {
  private static func mapping(_ entries: [(String, ConfigurationValue)]) -> ConfigurationValue {
    var mapping = ConfigurationMapping()
    for (key, value) in entries { mapping[key] = value }
    return .mapping(mapping)
  }

  @Test(
    "Scalars of every style, blocks and flow collections",
    arguments: [
      ("k: |\n  x\n   y\n\n  z\n\n", .text("x\n y\n\nz\n")), ("k: |-\n  x\n\n\n", .text("x")),
      ("k: |+\n  x\n\n\n", .text("x\n\n\n")), ("k: |\n  x", .text("x")), ("k: |2\n    x\n\n", .text("  x\n")),
      ("k: >\n  x\n  y\n\n  z\n   more\n  k\n\n", .text("x y\nz\n more\nk\n")),
      ("k: x\n  y\n\n  z\n", .text("x y\nz")), ("k: 'it''s\n\n  so'\n", .text("it's\nso")),
      ("k: \"x\\ty\\u00e9\\x41 \\\n   z\n  w\"\n", .text("x\tyéA z w")),
      (
        "k: [a, {b: c, d: [e, 'f,g']}, \"h\":1,\n  i: j, # c\n ]\n",
        .list([
          .text("a"), mapping([("b", .text("c")), ("d", .list([.text("e"), .text("f,g")]))]),
          mapping([("h", .integer(1))]), mapping([("i", .text("j"))]),
        ])
      ),
      ("k: {a, b: , 'c':d}\n", mapping([("a", .null), ("b", .null), ("c", .text("d"))])),
      // A tag keeps text text; PaddleClas then takes the Python literal in it.
      ("k: [!!str 5]\n", .list([.text("5")])), ("k: &x [1]\n", .list([.integer(1)])), ("k: a#b # c\n", .text("a#b")),
      ("k: http://x.y/z?q=1#f\n", .text("http://x.y/z?q=1#f")),
      (
        "k:\n- 1\n- - 2\n  - 3\n-\n  k: v\n-\n",
        .list([.integer(1), .list([.integer(2), .integer(3)]), mapping([("k", .text("v"))]), .null])
      ),
      ("k: []\n", .list([])), ("k: -1\n", .integer(-1)), ("k: a - b\n", .text("a - b")),
      ("%YAML 1.1\n---\nk: 1 # c\n...\n", .integer(1)), ("k:\r\n  - x\r\n", .list([.text("x")])),
      ("\u{FEFF}k: x\n", .text("x")),
    ] as [(String, ConfigurationValue)])
  func values(text: String, expected: ConfigurationValue) throws {
    #expect(try ConfigurationValue(yaml: text).value(at: "k") == expected)
  }

  @Test(
    "What is refused is refused with its line",
    arguments: [
      ("k: a: b\n", 1), ("k: - a\n", 1), ("- a\nk: b\n", 2), ("k:\n  - a\n b\n", 3), ("k: 'a\n", 1),
      ("k: \"\\q\"\n", 1),
      ("? [k]\n: v\n", 1), ("k: [a b: c\n", 1), ("k: [a]]\n", 1), ("k: {a: b\n", 1), ("k: @a\n", 1), ("k: \u{1}\n", 1),
      ("k: 1\n...\nk: 2\n", 3), ("k: *\n", 1), ("k: \"\\ud800\"\n", 1),
    ])
  func refused(text: String, line: Int) {
    let error = #expect(throws: HGNetError.self) { try ConfigurationValue(yaml: text) }
    #expect(error?.code == .invalidConfiguration)
    #expect(error?.context.line == line, "\(error?.description ?? "")")
  }

  @Test("Depth is bounded: written out, or through aliases", arguments: ["[", "{a: ", "- ", "a:\n", "&a *a "])
  func deep(opening: String) {
    var text = ""
    if opening == "a:\n" {
      for level in 0..<3000 { text += String(repeating: " ", count: level) + "a:\n" }
    } else if opening.hasPrefix("&") {
      text = "a0: [1]\n" + "b0: &b0 [1]\n"
      for level in 1..<5000 { text += "b\(level): &b\(level) [*b\(level - 1)]\n" }
    } else {
      text = String(repeating: opening, count: 50_000)
    }
    let error = #expect(throws: HGNetError.self) { try ConfigurationValue(yaml: text) }
    #expect(error?.code == .limitExceeded)
  }
}
