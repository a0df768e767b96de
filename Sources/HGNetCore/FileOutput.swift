import HGNetPlatform

/// A file that appears under its name only once it is complete.
///
/// Bytes go to a temporary file in the same folder; `commit` flushes it to the disk and renames it. A value that goes
/// away without `commit` removes the temporary file, so that a crash or an error leaves the old file or the new one.
/// A device or pipe, such as `/dev/null` or `/dev/stdout`, is never replaced: it gets the bytes directly.
///
/// Threads: one task.
package struct FileOutput: ~Copyable {
  private let path: String
  /// Nil for a device or pipe.
  private let temporaryPath: String?
  private var descriptor: Int32
  private var buffer: [UInt8]
  /// The number of bytes written so far.
  package private(set) var count: Int

  /// Opens a temporary file beside `path`.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile` when the folder is missing or closed to us.
  package init(path: String) throws(HGNetError) {
    var status = stat()
    let kind = stat(path, &status) == 0 ? status.st_mode & S_IFMT : S_IFREG
    guard kind != S_IFDIR else {
      throw HGNetError(.unwritableFile, "expected the name of a file to write, found a folder", path: path)
    }
    let temporary = kind == S_IFREG ? "\(path).\(getpid()).partial" : nil
    let opened =
      temporary.map { open($0, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644) } ?? open(path, O_WRONLY | O_CLOEXEC)
    guard opened >= 0 else {
      throw HGNetError(
        .unwritableFile, "cannot create the file; does the folder exist and may we write there?", path: path,
        cause: String(cString: strerror(errno)))
    }
    self.path = path
    temporaryPath = temporary
    descriptor = opened
    buffer = []
    buffer.reserveCapacity(1 << 16)
    count = 0
  }

  /// Checks that a file can be written, without touching anything: for work that takes long before it writes.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile` for a folder, and when the file's folder is missing or closed to us.
  package static func check(path: String) throws(HGNetError) {
    var status = stat()
    if stat(path, &status) == 0 {
      guard status.st_mode & S_IFMT != S_IFDIR else {
        throw HGNetError(.unwritableFile, "expected the name of a file to write, found a folder", path: path)
      }
      // A device or pipe is not replaced, so its folder does not matter.
      guard status.st_mode & S_IFMT == S_IFREG else { return }
    }
    let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
    let folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    guard access(folder, W_OK | X_OK) == 0 else {
      throw HGNetError(
        .unwritableFile, "cannot create the file; does the folder exist and may we write there?", path: path,
        cause: String(cString: strerror(errno)))
    }
  }

  deinit {
    if descriptor >= 0 {
      close(descriptor)
      if let temporaryPath { unlink(temporaryPath) }
    }
  }

  /// Appends bytes.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile`, for example when the disk is full.
  package mutating func write(_ bytes: some Collection<UInt8>) throws(HGNetError) {
    buffer.append(contentsOf: bytes)
    if buffer.count >= 1 << 16 { try flush() }
  }

  /// Appends bytes from memory.
  ///
  /// - Throws: as the other form.
  package mutating func write(_ bytes: UnsafeRawBufferPointer) throws(HGNetError) {
    try flush()
    try put(bytes)
  }

  /// Appends text as UTF-8.
  ///
  /// - Throws: as the other form.
  package mutating func write(_ text: String) throws(HGNetError) { try write(Array(text.utf8)) }

  /// Flushes everything to the disk and gives the file its name.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile`; the temporary file is then removed.
  package consuming func commit() throws(HGNetError) {
    try flush()
    if let temporaryPath {
      guard fsync(descriptor) == 0 || errno == EINVAL, rename(temporaryPath, path) == 0 else { throw failure() }
    }
    close(descriptor)
    descriptor = -1
  }

  private mutating func flush() throws(HGNetError) {
    guard !buffer.isEmpty else { return }
    let pending = buffer
    buffer.removeAll(keepingCapacity: true)
    try pending.span.withUnsafeBytes { (bytes) throws(HGNetError) in try put(bytes) }
  }

  private mutating func put(_ bytes: UnsafeRawBufferPointer) throws(HGNetError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      #if canImport(Darwin)
        let written = Darwin.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
      #elseif canImport(Musl)
        let written = Musl.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
      #else
        let written = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
      #endif
      if written < 0 {
        if errno == EINTR { continue }
        throw failure()
      }
      count += written
      rest = rest[(rest.startIndex + written)...]
    }
  }

  private func failure() -> HGNetError {
    HGNetError(
      .unwritableFile, "cannot write the file completely; nothing was replaced", path: path,
      cause: String(cString: strerror(errno)))
  }
}
