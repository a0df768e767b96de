import HGNetPlatform

/// What lies under a path, without opening it.
package enum FileKind {
  package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  package static func isFolder(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// The file that a symbolic link leads to in the end; nil for what is no link, or leads nowhere.
  static func linkTarget(of path: String) -> String? {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK, let target = realpath(path, nil) else {
      return nil
    }
    defer { free(target) }
    return String(cString: target)
  }

  /// What well-known first bytes belong to, when they are not those of weights.
  static func foreign(_ head: [UInt8]) -> String? {
    func begins(_ bytes: [UInt8]) -> Bool { head.starts(with: bytes) }
    if begins([0xFF, 0xD8, 0xFF]) || begins([0x89, 0x50, 0x4E, 0x47]) { return "a picture" }
    if begins([0x1F, 0x8B]) { return "gzip-compressed data (unpack it first)" }
    if begins([0xFD, 0x37, 0x7A, 0x58, 0x5A]) { return "xz-compressed data (unpack it first)" }
    if begins([0x93] + Array("NUMPY".utf8)) { return "a NumPy array" }
    let text = String(decoding: head, as: UTF8.self).lowercased()
    if text.hasPrefix("<!doctype") || text.hasPrefix("<html") || text.hasPrefix("<?xml") {
      return "a web page (an error page instead of the file?)"
    }
    if text.hasPrefix("version https://") || text.hasPrefix("version http") {
      return "a Git LFS pointer (run \"git lfs pull\")"
    }
    return nil
  }
}
