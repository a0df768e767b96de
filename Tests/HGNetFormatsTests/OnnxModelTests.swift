import Foundation
import HGNetCore
import HGNetFormats
import Testing

@Suite("ONNX models from outside")
struct OnnxModelTests {
  private let bytes: [UInt8]

  init() throws {
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Fixtures/export/small-plain.onnx")
    bytes = [UInt8](try Data(contentsOf: file))
  }

  private func code(_ bytes: [UInt8]) -> HGNetError.Code? {
    do throws(HGNetError) {
      _ = try OnnxModel(BlobSlice(Blob(bytes)))
      return nil
    } catch {
      return error.code
    }
  }

  @Test("The first bytes tell an ONNX model")
  func recognition() {
    #expect(OnnxModel.recognises(Blob(bytes)))
    for other in ["", "{}", "\u{8}\u{8}", "\u{A}\u{8}\u{12}aaaaaaa", "PK\u{3}\u{4}aaaaa"] {
      #expect(!OnnxModel.recognises(Blob(Array(other.utf8))))
    }
  }

  @Test("A file that ends early is an error at every length")
  func truncated() {
    #expect(code(bytes) == nil)
    for length in 0..<bytes.count { #expect(code(Array(bytes.prefix(length))) == .malformedData, "\(length)") }
  }

  @Test("Changed bytes never trap")
  func changed() {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<3000 {
      var copy = bytes
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        copy[Int.random(in: 0..<copy.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      _ = code(copy)
    }
  }

  /// Set to count mutations of every model of other exporters, for a longer run by hand.
  private static let mutationCount = ProcessInfo.processInfo.environment["HGNET_MUTATIONS"].flatMap { Int($0) } ?? 25

  @Test(
    "Changed models of other exporters never trap",
    arguments: ["paddle2onnx-first", "timm-dynamo-files", "timm-script-plain", "transformers-script"])
  func changed(name: String) throws {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Fixtures/onnx")
    let original = [UInt8](try Data(contentsOf: folder.appendingPathComponent("\(name).onnx")))
    for bytes in Mutations(of: original, count: Self.mutationCount, seed: 7) { _ = code(bytes) }
  }

  /// The bytes with one text in place of another of the same length.
  private func replacing(_ old: String, _ new: String) -> [UInt8] {
    var copy = bytes
    let wanted = Array(old.utf8)
    for start in 0..<copy.count - wanted.count where Array(copy[start..<start + wanted.count]) == wanted {
      copy.replaceSubrange(start..<start + wanted.count, with: Array(new.utf8))
    }
    return copy
  }

  @Test("What is no part of the networks is named")
  func unknown() {
    let error = hgnetError { _ = try OnnxModel(BlobSlice(Blob(replacing("Relu", "Gelu")))) }
    #expect(error?.code == .unsupported)
    #expect(error?.message.contains("Gelu") == true)
    #expect(error?.context.layer?.contains("stem.relu") == true)
    // Names alone do not matter, as long as they are the same everywhere.
    #expect(code(replacing("fc.weight", "fc.weighs")) == nil)
  }

  @Test("Files that are something else")
  func foreign() {
    #expect(code([]) == .malformedData)
    #expect(code([0x08, 0x08]) == .malformedData)
    #expect(code(Array(repeating: 0xFF, count: 64)) == .malformedData)
    // A graph without inputs, nodes and outputs.
    #expect(code([0x08, 0x08, 0x3A, 0x00]) == .unsupported)
  }
}
