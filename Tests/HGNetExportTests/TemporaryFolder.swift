import Foundation

/// A folder that goes away with its last reference.
final class TemporaryFolder: Sendable {
  let path = FileManager.default.temporaryDirectory.appendingPathComponent("hgnet-export-\(UUID().uuidString)").path

  init() { try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// The path of a file inside.
  func file(_ name: String) -> String { "\(path)/\(name)" }

  /// The names inside, hidden ones too.
  var names: [String] { (try? FileManager.default.contentsOfDirectory(atPath: path))?.sorted() ?? [] }
}

extension FileManager {
  /// The bytes of a file, empty where there is none.
  func bytes(_ path: String) -> [UInt8] { contents(atPath: path).map { [UInt8]($0) } ?? [] }
}
