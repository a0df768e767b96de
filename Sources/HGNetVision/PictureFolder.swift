import HGNetCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Which files count as pictures, and in which order: PaddleClas' rules for `infer_imgs` and `infer_list`.
///
/// A file counts by its extension, exactly as spelt in `extensions`; others are passed over in silence. Beyond PaddleClas
/// we also take `BMP`, `PNG`, `webp` and `WEBP`. Paths are sorted by their bytes, that is by code point.
///
/// Source: PaddleClas, `ppcls/utils/misc.py` (`get_image_list`).
public enum PictureFolder {
  /// The extensions of pictures, with upper and lower case told apart.
  public static let extensions: Set<String> = [
    "jpg", "png", "jpeg", "JPEG", "JPG", "bmp", "BMP", "PNG", "webp", "WEBP",
  ]

  /// The pictures that a path names: the file itself, or all files of a folder and the folders inside.
  ///
  /// Links to folders are not followed.
  ///
  /// - Returns: at least one path, sorted; each begins with `path` as given.
  /// - Throws: `HGNetError.Code.fileNotFound` for a path that does not exist, `unreadableFile` for a folder that is
  ///   closed to us, `noInput` when there is no picture.
  public static func pictures(at path: String) throws(HGNetError) -> [String] {
    var found: [String] = []
    switch kind(of: path, followingLinks: true) {
    case .missing:
      throw HGNetError(.fileNotFound, "not found any img file in \(path): no such file or folder; check the path")
    case .folder:
      found = try contents(of: path)
    case .file:
      if hasPictureExtension(path) { found = [path] }
    }
    guard !found.isEmpty else {
      let known = extensions.sorted().joined(separator: ", ")
      throw HGNetError(
        .noInput, "not found any img file in \(path): expected files that end in one of \(known) (case matters)")
    }
    return sorted(found)
  }

  /// The pictures that a list file names, one a line.
  ///
  /// A line's first field is joined to a folder; empty lines are skipped.
  ///
  /// - Parameters:
  ///   - list: the path of the list file.
  ///   - folder: what the names are relative to; an absolute name stands alone.
  /// - Returns: at least one path, sorted. Whether the files exist is not looked at.
  /// - Throws: `HGNetError.Code.fileNotFound` when the list does not exist, `unreadableFile`, `malformedData` for text
  ///   that is not UTF-8, `noInput` when it names nothing.
  public static func pictures(listedIn list: String, under folder: String) throws(HGNetError) -> [String] {
    let blob: Blob
    do {
      blob = try Blob(mapping: list)
    } catch {
      if error.code == .fileNotFound { throw HGNetError(.fileNotFound, "not found infer list \(list); check the path") }
      throw error
    }
    guard var text = blob.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }) else {
      throw HGNetError(
        .malformedData, "expected a list of files as UTF-8 text, found other bytes; convert the file to UTF-8",
        path: list)
    }
    // Some editors begin a file with a byte order mark.
    if text.unicodeScalars.first == "\u{FEFF}" { text.unicodeScalars.removeFirst() }
    let names = text.split(whereSeparator: \.isNewline).compactMap { $0.split(whereSeparator: \.isWhitespace).first }
    guard !names.isEmpty else {
      throw HGNetError(.noInput, "not found any img file in \(list): expected one file name a line, found none")
    }
    return sorted(names.map { join(folder, String($0)) })
  }

  enum Kind { case missing, folder, file }

  static func kind(of path: String, followingLinks: Bool) -> Kind {
    var status = stat()
    guard (followingLinks ? stat(path, &status) : lstat(path, &status)) == 0 else { return .missing }
    return status.st_mode & S_IFMT == S_IFDIR ? .folder : .file
  }

  private static func contents(of root: String) throws(HGNetError) -> [String] {
    var found: [String] = []
    var waiting = [root]
    while let folder = waiting.popLast() {
      guard let stream = opendir(folder) else {
        throw HGNetError(
          .unreadableFile, "cannot list the folder; may we read it?", path: folder,
          cause: String(cString: strerror(errno)))
      }
      defer { closedir(stream) }
      while let entry = readdir(stream) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 1) { String(cString: $0) }
        }
        if name == "." || name == ".." { continue }
        let path = join(folder, name)
        switch kind(of: path, followingLinks: false) {
        case .folder: waiting.append(path)
        // A link to a folder is neither followed nor a picture.
        case .file, .missing:
          if hasPictureExtension(name), kind(of: path, followingLinks: true) != .folder { found.append(path) }
        }
      }
    }
    return found
  }

  private static func hasPictureExtension(_ name: String) -> Bool {
    guard let dot = name.utf8.lastIndex(of: UInt8(ascii: ".")) else { return extensions.contains(name) }
    return extensions.contains(String(name[name.utf8.index(after: dot)...]))
  }

  static func join(_ folder: String, _ name: String) -> String {
    if folder.isEmpty || name.hasPrefix("/") { return name }
    return folder.hasSuffix("/") ? folder + name : "\(folder)/\(name)"
  }

  static func sorted(_ paths: [String]) -> [String] {
    paths.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }
}
