import Foundation
import Testing

@Suite("The articles' code is the code that is compiled here")
struct ArticleTests {
  static let tests = (#filePath as NSString).deletingLastPathComponent
  static let catalogue = "\(tests)/../../Sources/HGNet/HGNet.docc"

  @Test(
    "Every block of Swift",
    arguments: try FileManager.default.contentsOfDirectory(atPath: ArticleTests.catalogue).filter {
      $0.hasSuffix(".md")
    })
  func blocks(_ article: String) throws {
    let text = try String(contentsOfFile: "\(ArticleTests.catalogue)/\(article)", encoding: .utf8)
    var compiled = ""
    for name in try FileManager.default.contentsOfDirectory(atPath: ArticleTests.tests)
    where name.hasSuffix("Code.swift") {
      compiled += try String(contentsOfFile: "\(ArticleTests.tests)/\(name)", encoding: .utf8)
    }
    let source = ArticleTests.flat(compiled)
    let blocks = text.components(separatedBy: "```swift\n").dropFirst().compactMap {
      $0.components(separatedBy: "```").first
    }
    #expect(!blocks.isEmpty)
    for block in blocks { #expect(source.contains(ArticleTests.flat(block)), "\(article): not compiled:\n\(block)") }
  }

  /// The lines without their indentation, which differs between an article and a function.
  private static func flat(_ text: String) -> String {
    text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }.joined(separator: "\n")
  }
}
