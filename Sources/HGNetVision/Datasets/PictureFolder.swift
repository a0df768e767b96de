import HGNetCore
import HGNetPlatform

/// Which files count as pictures, and in which order: the one rule of every command that is given a folder.
///
/// A file counts by its ending, `extensions` in any case. A file without an ending, or with that of another picture format
/// (`.tif`, `.gif`, `.heic` …), counts where its first bytes are a JPEG, PNG, WebP or BMP. The others are passed over and
/// told in one line. What systems and archives leave behind (`__MACOSX`, `._*`, `.ipynb_checkpoints`, `.DS_Store`,
/// `Thumbs.db` …) and everything else whose name begins with a dot is passed over at any depth. Paths are sorted by their
/// bytes, that is by code point.
///
/// Source: PaddleClas, `ppcls/utils/misc.py` (`get_image_list`), which takes `jpg png jpeg JPEG JPG bmp` alone.
public enum PictureFolder {
  /// The endings of pictures, in lower case.
  public static let extensions: Set<String> = [
    "jpg", "jpeg", "jpe", "jfif", "pjpeg", "pjp", "png", "bmp", "dib", "webp",
  ]

  /// The endings of pictures in formats that are not read; now and then one of ours has such a name.
  static let foreignExtensions: Set<String> = [
    "tif", "tiff", "gif", "heic", "heif", "avif", "jxl", "jp2", "j2k", "apng", "tga", "ico", "ppm", "pgm", "pbm", "psd",
    "svg", "raw", "dng", "cr2", "nef", "arw",
  ]

  /// The pictures that a path names: the file itself, or all files of a folder and the folders inside.
  ///
  /// Links to folders are not followed.
  ///
  /// - Parameters:
  ///   - path: a file or a folder.
  ///   - note: receives one line about the files that are passed over, where there are some.
  /// - Returns: at least one path, sorted; each begins with `path` as given.
  /// - Throws: `HGNetError.Code.fileNotFound` for a path that does not exist, `unreadableFile` for a folder that is
  ///   closed to us, `noInput` when there is no picture.
  public static func pictures(at path: String, note: (String) -> Void = { _ in }) throws(HGNetError) -> [String] {
    let listing = try listing(of: path)
    for line in listing.passedOver.lines { note("\(path): \(line)") }
    return listing.pictures
  }

  /// As `pictures(at:note:)`, with what was passed over as a value.
  static func listing(of path: String) throws(HGNetError) -> (pictures: [String], passedOver: PassedOverFiles) {
    var found: [String] = []
    var passedOver = PassedOverFiles()
    switch kind(of: path, followingLinks: true) {
    case .missing:
      throw HGNetError(.fileNotFound, "not found any img file in \(path): no such file or folder; check the path")
    case .folder:
      found = try contents(of: path, passedOver: &passedOver)
    case .file:
      if isPicture(path, name: path) { found = [path] } else { passedOver.add(path) }
    }
    guard !found.isEmpty else {
      let known = extensions.sorted().joined(separator: ", ")
      let others = passedOver.line.map { "; \($0)" } ?? ""
      throw HGNetError(
        .noInput, "not found any img file in \(path): expected files that end in one of \(known), in any case\(others)")
    }
    return (sorted(found), passedOver)
  }

  /// The pictures that a list file names, one a line.
  ///
  /// A line's first field is joined to a folder; empty lines are skipped. Of a line with white space inside, the whole, or
  /// what stands before its last field, is the name where such a file exists.
  ///
  /// - Parameters:
  ///   - list: the path of the list file.
  ///   - folder: what the names are relative to; an absolute name stands alone.
  /// - Returns: at least one path, sorted. Whether the files exist is only looked at where a line can be read in several
  ///   ways.
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
    let names = text.split(whereSeparator: \.isNewline).compactMap { line in name(inLine: line, under: folder) }
    guard !names.isEmpty else {
      throw HGNetError(.noInput, "not found any img file in \(list): expected one file name a line, found none")
    }
    return sorted(names.map { join(folder, $0) })
  }

  /// The name in a line of a list whose further fields do not matter; nil for an empty line.
  private static func name(inLine line: Substring, under folder: String) -> String? {
    let line = line.trimmed
    guard let first = line.split(whereSeparator: \.isWhitespace).first else { return nil }
    guard first.endIndex < line.endIndex else { return String(first) }
    let start = line.lastIndex(where: \.isWhitespace) ?? line.endIndex
    let candidates = [line, line[..<start], line[..<start].trimmed].map(String.init)
    return candidates.first { kind(of: join(folder, $0), followingLinks: true) == .file } ?? String(first)
  }

  enum Kind { case missing, folder, file }

  static func kind(of path: String, followingLinks: Bool) -> Kind {
    var status = stat()
    guard (followingLinks ? stat(path, &status) : lstat(path, &status)) == 0 else { return .missing }
    return status.st_mode & S_IFMT == S_IFDIR ? .folder : .file
  }

  private static func contents(
    of root: String, passedOver: inout PassedOverFiles
  ) throws(HGNetError) -> [String] {
    var found: [String] = []
    var waiting = [root]
    while let folder = waiting.popLast() {
      for name in try entries(of: folder) {
        let path = join(folder, name)
        switch kind(of: path, followingLinks: false) {
        case .folder: if !isLeftBehind(name) { waiting.append(path) }
        // A link to a folder is neither followed nor a picture.
        case .file, .missing:
          guard kind(of: path, followingLinks: true) != .folder else { continue }
          guard isPicture(path, name: name) else {
            passedOver.add(path)
            continue
          }
          found.append(path)
          if !hasPictureName(name) { passedOver.addReadByContent(path) }
        }
      }
    }
    return found
  }

  /// The names of what is in a folder, in no order.
  static func entries(of folder: String) throws(HGNetError) -> [String] {
    guard let stream = opendir(folder) else {
      throw HGNetError(
        .unreadableFile, "cannot list the folder; may we read it?", path: folder,
        cause: String(cString: strerror(errno)))
    }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 1) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  /// Whether a name is of something that systems, archives and programs leave behind, or is hidden.
  static func isLeftBehind(_ name: String) -> Bool {
    if name.hasPrefix(".") { return true }
    return [
      "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "lost+found", "$recycle.bin",
      "system volume information", "__pycache__",
    ].contains(name.lowercased())
  }

  /// Whether a file is a picture by its name, or by its first bytes where the name says nothing or something else.
  static func isPicture(_ path: String, name: String) -> Bool {
    let file = name.split(separator: "/").last.map(String.init) ?? name
    if isLeftBehind(file) { return false }
    if hasPictureName(file) { return true }
    guard fileExtension(file).map({ foreignExtensions.contains($0) }) ?? true else { return false }
    return hasSignature(path)
  }

  /// Whether a name alone makes a file a picture; PaddleClas takes a file that is called `jpg`, too.
  private static func hasPictureName(_ name: String) -> Bool { extensions.contains(fileExtension(name) ?? name) }

  /// The ending of a name in lower case; nil without one.
  static func fileExtension(_ path: String) -> String? {
    let name = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { path[path.utf8.index(after: $0)...] } ?? path[...]
    guard let dot = name.utf8.lastIndex(of: UInt8(ascii: ".")) else { return nil }
    return String(name[name.utf8.index(after: dot)...]).lowercased()
  }

  /// Whether a file begins as a picture does that can be read.
  private static func hasSignature(_ path: String) -> Bool {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 16)
    let count = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
    guard count == bytes.count else { return false }
    return bytes.withUnsafeBytes { raw in
      guard let format = PictureFormat(signatureOf: raw) else { return false }
      // Two letters begin many a text; a BMP has zeros where its reserved fields are.
      return format != .bmp || raw[6..<10].allSatisfy { $0 == 0 }
    }
  }

  static func join(_ folder: String, _ name: String) -> String {
    if folder.isEmpty || name.hasPrefix("/") { return name }
    return folder.hasSuffix("/") ? folder + name : "\(folder)/\(name)"
  }

  static func sorted(_ paths: [String]) -> [String] {
    paths.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }
}

/// Files whose names say something else than their contents: what lies among pictures and is none, and what is one.
struct PassedOverFiles: Sendable {
  /// Files of one kind.
  private struct Tally: Sendable {
    var count = 0
    var countsByEnding: [String: Int] = [:]
    var example: String?

    mutating func add(_ path: String) {
      count += 1
      countsByEnding[PictureFolder.fileExtension(path).map { ".\($0)" } ?? "without one", default: 0] += 1
      note(path)
    }

    mutating func add(_ other: Tally) {
      count += other.count
      countsByEnding.merge(other.countsByEnding) { $0 + $1 }
      if let path = other.example { note(path) }
    }

    /// Keeps the smallest path, so that a line does not depend on the order of a file system.
    private mutating func note(_ path: String) {
      if example.map({ path.utf8.lexicographicallyPrecedes($0.utf8) }) ?? true { example = path }
    }

    /// The endings, the most frequent first.
    var kinds: String {
      let endings = countsByEnding.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
      let kinds = endings.prefix(6).map { "\($0.value) \($0.key)" }.joined(separator: ", ")
      return endings.count > 6 ? kinds + " and others" : kinds
    }
  }

  private var others = Tally()
  private var readByContent = Tally()

  /// Counts a file that is no picture, unless it is one of those that nobody means.
  mutating func add(_ path: String) {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    if PictureFolder.isLeftBehind(name) {
      // A hidden picture may be meant; the shadows that a Mac leaves on other disks are not.
      let ending = PictureFolder.fileExtension(name) ?? ""
      guard !name.hasPrefix("._"), PictureFolder.extensions.contains(ending), name.utf8.count > ending.utf8.count + 1
      else { return }
    }
    others.add(path)
  }

  /// Counts a picture whose name does not say so.
  mutating func addReadByContent(_ path: String) { readByContent.add(path) }

  /// Counts those of another part, too.
  mutating func add(_ other: PassedOverFiles) {
    others.add(other.others)
    readByContent.add(other.readByContent)
  }

  /// A line about each kind that there is.
  var lines: [String] { [line, readLine].compactMap { $0 } }

  /// One line about the files that are no pictures; nil if there are none.
  var line: String? {
    guard let example = others.example else { return nil }
    return
      "\(others.count) file\(others.count == 1 ? " is" : "s are") passed over, not being pictures that can be read "
      + "(\(others.kinds)), such as \(example)"
  }

  private var readLine: String? {
    guard let example = readByContent.example else { return nil }
    return
      "\(readByContent.count) picture\(readByContent.count == 1 ? " is" : "s are") read by content, since the extension "
      + "does not say so (\(readByContent.kinds)), such as \(example)"
  }
}
