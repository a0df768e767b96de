import HGNetConfiguration
import HGNetCore
import Testing

@Suite("YAML as PaddleClas reads it")
struct ConfigurationValueTests {
  @Test(
    "Plain scalars under a mapping",
    arguments: [
      ("1e-4", .number(1e-4)), ("1.5e3", .number(1500)), ("1.0e-4", .number(1e-4)), ("None", .null), ("null", .null),
      ("~", .null), ("", .null), ("yes", .boolean(true)), ("Off", .boolean(false)), ("True", .boolean(true)),
      ("010", .integer(8)), ("0x1F", .integer(31)), ("1_000", .integer(1000)), ("-5", .integer(-5)),
      ("+5", .integer(5)), ("1:30", .integer(90)), (".5", .number(0.5)), ("5.", .number(5)),
      ("-.inf", .number(-.infinity)), ("1.0/255.0", .text("1.0/255.0")), ("pil", .text("pil")), ("''", .text("")),
      ("'1e-8'", .number(1e-8)), ("\"[1, 2]\"", .list([.integer(1), .integer(2)])),
      ("[1, 5]", .list([.integer(1), .integer(5)])),
      ("9223372036854775808", .largeInteger("9223372036854775808")), ("./output/", .text("./output/")),
      ("rand-m7-mstd0.5-inc1", .text("rand-m7-mstd0.5-inc1")), ("1.2.3", .text("1.2.3")),
    ] as [(String, ConfigurationValue)])
  func scalar(text: String, expected: ConfigurationValue) throws {
    let value = try ConfigurationValue(yaml: "a:\n  b: \(text)\n")
    #expect(value.value(at: "a.b") == expected)
  }

  @Test("Text inside lists stays text")
  func listsStayText() throws {
    let value = try ConfigurationValue(
      yaml: """
        ops:
          - NormalizeImage:
              scale: 1.0/255.0
              epsilon: 1e-4
              order: ''
          - ToCHWImage:
        """)
    #expect(value.value(at: "ops.0.NormalizeImage.epsilon") == .text("1e-4"))
    #expect(value.value(at: "ops.0.NormalizeImage.scale") == .text("1.0/255.0"))
    #expect(value.value(at: "ops.1.ToCHWImage") == .null)
  }

  @Test("Anchors are expanded, so that changing one place leaves the other alone")
  func anchors() throws {
    var value = try ConfigurationValue(
      yaml: "a:\n  n: &n 10\n  m:\n    - c: *n\nbase: &base {x: 1, y: 2}\nderived:\n  <<: *base\n  y: 3\n")
    try value.apply(ConfigurationOverride("a.n=20"))
    #expect(value.value(at: "a.n") == .integer(20))
    #expect(value.value(at: "a.m.0.c") == .integer(10))
    #expect(value.value(at: "derived.x") == .integer(1))
    #expect(value.value(at: "derived.y") == .integer(3))
  }

  @Test(
    "What is not a configuration gives one error with its line",
    arguments: [
      ("a:\n  b: 1\n\tc: 2\n", 3, "tab"), ("a: 1\nb: 2\na: 3\n", nil, "again"), ("a: [1, 2\n", nil, ""),
      ("a: 1\n---\nb: 2\n", nil, ""), ("a: *missing\n", 1, "alias"), ("[1, 2]: 3\n", 1, "name"),
      ("a: 1\n  b: 2\n", 2, ""),
    ] as [(String, Int?, String)])
  func malformed(yaml: String, line: Int?, word: String) {
    let error = #expect(throws: HGNetError.self) { try ConfigurationValue(yaml: yaml) }
    #expect(error?.code == .invalidConfiguration)
    #expect(error?.message.contains(word) == true || word.isEmpty, "\(error?.description ?? "")")
    if let line { #expect(error?.context.line == line) } else { #expect(error?.context.line != nil) }
  }

  @Test("Aliases that multiply without end are refused")
  func aliasBomb() {
    var yaml = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n"
    for level in 1...9 {
      let names = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ",")
      yaml += "a\(level): &a\(level) [\(names)]\n"
    }
    let error = #expect(throws: HGNetError.self) { try ConfigurationValue(yaml: yaml) }
    #expect(error?.code == .limitExceeded)
  }

  @Test("Random damage never traps")
  func fuzz() {
    var state: UInt64 = 7
    func next(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % bound
    }
    let seed = Array("a:\n  - b: &x [1, 2.5, 'c']\n    d: {e: *x, f: \"1e-4\"}\n  - g: |\n      text\nh: 0x1F\n".utf8)
    let alphabet = Array("\t\n :-&*!|>'\"{}[],#%@`0x_e.+?<=~\u{0}".utf8)
    for _ in 0..<3000 {
      var bytes = seed
      for _ in 0...next(4) {
        switch next(3) {
        case 0: bytes[next(bytes.count)] = alphabet[next(alphabet.count)]
        case 1: bytes.insert(alphabet[next(alphabet.count)], at: next(bytes.count))
        default: bytes.removeSubrange(next(bytes.count / 2)..<(bytes.count / 2 + 1))
        }
        if bytes.count < 4 { bytes = seed }
      }
      _ = try? ConfigurationValue(yaml: String(decoding: bytes, as: UTF8.self))
    }
  }
}

@Suite("Overrides")
struct OverrideTests {
  @Test(
    "Values are Python literals, arithmetic or text",
    arguments: [
      ("True", .boolean(true)), ("False", .boolean(false)), ("None", .null), ("true", .boolean(true)),
      ("false", .boolean(false)), ("null", .null), ("1e-3", .number(1e-3)), ("3", .integer(3)),
      ("1/255", .number(1.0 / 255)), ("4/2", .number(2)), ("2*3+1", .integer(7)), ("-(1+1)", .integer(-2)),
      ("[1,5]", .list([.integer(1), .integer(5)])), ("[0.5, 'a']", .list([.number(0.5), .text("a")])),
      ("1,5", .list([.integer(1), .integer(5)])), ("(3,)", .list([.integer(3)])), ("[]", .list([])),
      (
        "{'a': 1}",
        .mapping(
          {
            var m = ConfigurationMapping(); m["a"] = .integer(1); return m
          }())
      ),
      ("'3'", .text("3")), ("\"it's\"", .text("it's")), ("./a/b.jpg", .text("./a/b.jpg")), ("a=b", .text("a=b")),
      ("", .text("")), ("005", .text("005")), ("1/0", .text("1/0")), ("[1,", .text("[1,")),
      ("0-9223372036854775807-1", .integer(.min)), ("-(0-9223372036854775807-1)", .number(9_223_372_036_854_775_808)),
      ("99999999999*99999999999", .number(99_999_999_999.0 * 99_999_999_999.0)), ("1_0", .integer(10)),
      ("__import__('os')", .text("__import__('os')")),
    ] as [(String, ConfigurationValue)])
  func value(text: String, expected: ConfigurationValue) throws {
    #expect(try ConfigurationOverride("a.b=\(text)").value == expected)
  }

  @Test("Deep nesting is text, not a crash")
  func deep() throws {
    let text = String(repeating: "[", count: 100_000)
    #expect(try ConfigurationOverride("a=\(text)").value == .text(text))
  }

  @Test("Keys reach into lists and create what is missing")
  func paths() throws {
    var value = try ConfigurationValue(yaml: "a:\n  - X: {s: 1}\n  - Y:\n")
    try value.apply(ConfigurationOverride("a.1.Y.s=2"))
    try value.apply(ConfigurationOverride("b.c=3"))
    #expect(value.value(at: "a.0.X.s") == .integer(1))
    #expect(value.value(at: "a.1.Y.s") == .integer(2))
    #expect(value.value(at: "b.c") == .integer(3))
    for key in ["a.2.X=1", "a.-1.X=1", "a.x=1"] {
      let error = #expect(throws: HGNetError.self) { try value.apply(ConfigurationOverride(key)) }
      #expect(error?.code == .invalidArgument)
    }
  }

  @Test("An assignment needs a key and =", arguments: ["abc", "=1", "a..b=1", ".a=1"])
  func malformed(text: String) {
    let error = #expect(throws: HGNetError.self) { try ConfigurationOverride(text) }
    #expect(error?.code == .invalidArgument)
  }
}
