import Foundation
import HGNetCore
import Testing

/// The files beside `Tests/Fixtures/program/README.md`, and folders that a test may write into.
enum ProgramFixtures {
  static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/program").path

  static func path(_ name: String) -> String { "\(folder)/\(name)" }

  static func blob(_ name: String) throws -> Blob { try Blob(mapping: path(name)) }

  static func bytes(_ name: String) throws -> [UInt8] { try blob(name).withUnsafeBytes { Array($0) } }

  /// Calls `body` with a new folder that is removed afterwards.
  static func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    let url = FileManager.default.temporaryDirectory.appending(path: "hgnet-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: url) }
    return try body(url.path)
  }

  static func copy(_ name: String, to path: String) throws {
    try FileManager.default.copyItem(atPath: self.path(name), toPath: path)
  }

  static func write(_ bytes: some Collection<UInt8>, to path: String) throws {
    try Data(bytes).write(to: URL(filePath: path))
  }
}

/// Small seeded changes to a file, the same ones on every run.
struct Mutations: Sequence, IteratorProtocol {
  let original: [UInt8]
  var remaining: Int
  private var state: UInt64

  init(of original: [UInt8], count: Int, seed: UInt64 = 1) {
    self.original = original
    remaining = count
    state = seed
  }

  private mutating func random(below bound: Int) -> Int {
    // SplitMix64.
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
    return Int((value ^ value >> 31) % UInt64(Swift.max(bound, 1)))
  }

  mutating func next() -> [UInt8]? {
    guard remaining > 0 else { return nil }
    remaining -= 1
    var bytes = original
    for _ in 0...random(below: 4) where !bytes.isEmpty {
      let position = random(below: bytes.count)
      switch random(below: 6) {
      case 0: bytes[position] = UInt8(random(below: 256))
      case 1: bytes[position] ^= 1 << UInt8(random(below: 8))
      case 2: bytes[position] = [0, 0x7F, 0x80, 0xFF, 0x2D, 0x39, 0x5B, 0x7B][random(below: 8)]
      case 3: bytes.remove(at: position)
      case 4: bytes.insert(UInt8(random(below: 256)), at: position)
      default:
        let end = Swift.min(position + random(below: 32), bytes.count)
        bytes.insert(contentsOf: bytes[position..<end], at: random(below: bytes.count))
      }
    }
    return bytes
  }
}

/// The error that a call throws, which must be one of ours.
func hgnetError(
  _ body: () throws -> Void, sourceLocation: SourceLocation = #_sourceLocation
) -> HGNetError? {
  do {
    try body()
    Issue.record("expected an error", sourceLocation: sourceLocation)
    return nil
  } catch let error as HGNetError {
    return error
  } catch {
    Issue.record("expected an HGNetError, found \(error)", sourceLocation: sourceLocation)
    return nil
  }
}
