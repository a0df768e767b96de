import Foundation

extension FileManager {
  /// The bytes of a file, empty where there is none.
  func bytes(_ path: String) -> [UInt8] { contents(atPath: path).map { [UInt8]($0) } ?? [] }
}
