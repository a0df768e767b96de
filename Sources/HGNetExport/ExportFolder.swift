import HGNetCore
import HGNetPlatform

/// A folder beside the real one, in which files are collected until they are known to be right.
///
/// A value that goes away without `commit` removes everything, so that an error leaves the old files as they were.
/// Threads: one task.
struct ExportFolder: ~Copyable {
  /// The folder that the files are written to.
  let path: String
  private let target: String

  /// Makes the folder and, if need be, the one that the files will end in.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile`.
  init(target: String) throws(HGNetError) {
    try ExportFolder.make(target)
    let path = "\(target)/.export-\(getpid())"
    // Left behind by a process of the same number.
    ExportFolder.remove(path)
    guard mkdir(path, 0o755) == 0 else {
      throw HGNetError(
        .unwritableFile, "cannot write into the folder", path: target, cause: String(cString: strerror(errno)))
    }
    self.path = path
    self.target = target
  }

  deinit { ExportFolder.remove(path) }

  /// Moves the files to their place, replacing older ones.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile` naming the file.
  func commit(_ names: [String]) throws(HGNetError) {
    for name in names {
      guard rename("\(path)/\(name)", "\(target)/\(name)") == 0 else {
        throw HGNetError(
          .unwritableFile, "cannot give the file its name", path: "\(target)/\(name)",
          cause: String(cString: strerror(errno)))
      }
    }
  }

  /// Makes a folder with those above it.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile`.
  static func make(_ path: String) throws(HGNetError) {
    var end = path.startIndex
    while end < path.endIndex {
      let next = path[path.index(after: end)...].firstIndex(of: "/") ?? path.endIndex
      let part = String(path[..<next])
      guard mkdir(part, 0o755) == 0 || errno == EEXIST || access(part, X_OK) == 0 else {
        throw HGNetError(
          .unwritableFile, "cannot make the folder", path: part, cause: String(cString: strerror(errno)))
      }
      end = next
    }
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
      throw HGNetError(.unwritableFile, "expected a folder, found a file of that name", path: path)
    }
  }

  /// Removes a folder with the files in it, if it exists.
  private static func remove(_ path: String) {
    guard let handle = opendir(path) else { return }
    while let entry = readdir(handle) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { unlink("\(path)/\(name)") }
    }
    closedir(handle)
    rmdir(path)
  }
}
