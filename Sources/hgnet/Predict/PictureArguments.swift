import ArgumentParser
import HGNet
import HGNetCore
import HGNetPlatform
import HGNetVision

/// Pictures that a command line names: files, folders, a list of files, and one picture on standard input.
struct PictureArguments: ParsableArguments {
  /// The name of the picture on standard input.
  static let standardInput = "-"

  @Argument(help: ArgumentHelp("Pictures and folders; - for a picture on standard input.", valueName: "path"))
  var paths: [String] = []

  @Option(
    help: ArgumentHelp(
      "A file with a path of a picture on each line; - for a list on standard input.", valueName: "file"))
  var list: String?

  /// Whether nothing is named.
  var isEmpty: Bool { paths.isEmpty && list == nil }

  func validate() throws {
    guard
      paths.count(where: { $0 == PictureArguments.standardInput }) + (list == PictureArguments.standardInput ? 1 : 0)
        <= 1
    else { throw ValidationError("standard input can be read once; expected one -, found several") }
  }

  /// The pictures, in the order in which they are named; those of a folder sorted.
  ///
  /// - Throws: `HGNetError.Code.fileNotFound`, `unreadableFile`, `noInput`, `malformedData` for a list that is not UTF-8.
  func pictures() throws(HGNetError) -> [String] {
    var pictures: [String] = []
    for path in paths {
      // A file that is named is read whatever its extension; in folders the extension decides.
      if path != PictureArguments.standardInput, try PictureArguments.isFolder(path) {
        pictures += try PictureFolder.pictures(at: path, note: StandardError.note)
      } else {
        pictures.append(path)
      }
    }
    if let list { pictures += try PictureArguments.lines(of: list) }
    return pictures
  }

  /// What is under a path of `pictures()`.
  static func blob(_ path: String) throws(HGNetError) -> Blob {
    path == standardInput ? try StandardInput.blob() : try Blob(mapping: path)
  }

  private static func lines(of list: String) throws(HGNetError) -> [String] {
    let blob = try PictureArguments.blob(list)
    guard var text = blob.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }) else {
      throw HGNetError(
        .malformedData, "expected a list of files as UTF-8 text, found other bytes; convert it to UTF-8", path: list)
    }
    // Some editors begin a file with a byte order mark.
    if text.unicodeScalars.first == "\u{FEFF}" { text.unicodeScalars.removeFirst() }
    let lines = text.split(whereSeparator: \.isNewline).map(String.init)
    guard !lines.isEmpty else {
      throw HGNetError(.noInput, "expected one path a line, found none", path: list)
    }
    return lines
  }

  static func isFolder(_ path: String) throws(HGNetError) -> Bool {
    var status = stat()
    guard stat(path, &status) == 0 else {
      let hint = path.contains("\u{FFFD}") ? "rename it if its name is not UTF-8" : "check the path"
      throw HGNetError(.fileNotFound, "no such picture or folder; \(hint)", path: path)
    }
    return status.st_mode & S_IFMT == S_IFDIR
  }
}

/// What comes in.
enum StandardInput {
  private static let limit = 1 << 30

  /// All bytes, which can be read once.
  ///
  /// - Throws: `HGNetError.Code.unreadableFile`, `limitExceeded`.
  static func blob() throws(HGNetError) -> Blob {
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = piece.withUnsafeMutableBytes { read(0, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else {
        throw HGNetError(
          .unreadableFile, "cannot read standard input", path: PictureArguments.standardInput,
          cause: String(cString: strerror(errno)))
      }
      guard count > 0 else { return Blob(bytes, path: PictureArguments.standardInput) }
      bytes += piece[..<count]
      guard bytes.count <= limit else {
        throw HGNetError(
          .limitExceeded, "expected at most \(limit) bytes, found more", path: PictureArguments.standardInput)
      }
    }
  }
}
