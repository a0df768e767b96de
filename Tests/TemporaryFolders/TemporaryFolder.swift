import Foundation

/// A folder for a test's files that goes away with its last reference.
public final class TemporaryFolder: Sendable {
  /// Where it is.
  public let path = FileManager.default.temporaryDirectory.appendingPathComponent("hgnet-tests-\(UUID().uuidString)")
    .path

  /// Makes the folder; where that fails, whatever is written into it says so.
  public init() { try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// The path of a file inside.
  public func file(_ name: String) -> String { "\(path)/\(name)" }

  /// The names inside, hidden ones too.
  public var names: [String] { TemporaryFolder.names(in: path) }

  /// The names in a folder, none where there is no such folder.
  public static func names(in path: String) -> [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: path))?.sorted() ?? []
  }

  /// Makes a folder inside, and those above it; returns its path.
  @discardableResult
  public func makeFolder(_ name: String) throws -> String {
    try FileManager.default.createDirectory(atPath: file(name), withIntermediateDirectories: true)
    return file(name)
  }

  /// Writes a file and returns its path.
  @discardableResult
  public func write(_ bytes: some Collection<UInt8>, to name: String) throws -> String {
    try Data(bytes).write(to: URL(fileURLWithPath: file(name)))
    return file(name)
  }
}
