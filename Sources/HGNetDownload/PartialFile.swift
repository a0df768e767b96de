import HGNetCore
import HGNetPlatform
import Synchronization

/// A file that is being fetched: `NAME.partial`, locked against other processes until it is renamed or let go.
///
/// Beside it lies `NAME.partial.source`, the facts of the server that resuming needs.
final class PartialFile: Sendable {
  /// Where the bytes came from: resuming is safe only if the server still has the same file.
  struct Source: Hashable, Sendable {
    var url: String
    /// A strong entity tag, or else the date of the last change, for the header `If-Range`.
    var validator: String?
    /// The length of the whole file.
    var total: Int?
  }

  let path: String
  private let finalPath: String
  private let descriptor: Int32
  private let state: Mutex<Int>

  /// The number of bytes that are there.
  var count: Int { state.withLock { $0 } }

  private init(path: String, finalPath: String, descriptor: Int32, count: Int) {
    self.path = path
    self.finalPath = finalPath
    self.descriptor = descriptor
    state = Mutex(count)
  }

  deinit { close(descriptor) }

  /// What an attempt to open the partial file of `finalPath` came to.
  enum Opening {
    case opened(PartialFile)
    /// Another process or task holds it.
    case busy
    /// It was renamed between opening and locking: the final file is there now, or soon.
    case replaced
  }

  /// Opens and locks the partial file without waiting.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile`.
  static func open(finalPath: String) throws(HGNetError) -> Opening {
    let path = finalPath + ".partial"
    let descriptor = openFile(path)
    guard descriptor >= 0 else {
      throw unwritable(path, "cannot create the file; set XDG_CACHE_HOME to a folder where you may write")
    }
    // A file system without locks (some network mounts) must not make downloads impossible; there, two processes at
    // once may spoil each other's partial file, which the check before the rename then finds.
    if flock(descriptor, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK || errno == EINTR {
      close(descriptor)
      return .busy
    }
    var opened = stat()
    var named = stat()
    guard fstat(descriptor, &opened) == 0, stat(path, &named) == 0, opened.st_ino == named.st_ino,
      opened.st_dev == named.st_dev
    else {
      close(descriptor)
      return .replaced
    }
    guard opened.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      throw HGNetError(.unwritableFile, "expected a regular file of our own; remove it", path: path)
    }
    return .opened(
      PartialFile(path: path, finalPath: finalPath, descriptor: descriptor, count: Int(opened.st_size)))
  }

  /// The facts written by the last `remember`, if they are there and readable.
  var source: Source? {
    guard let blob = try? Blob(mapping: sourcePath), blob.count < 65536,
      let text = blob.withUnsafeBytes({ String(validating: $0, as: UTF8.self) })
    else { return nil }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    guard lines.count >= 3, !lines[0].isEmpty else { return nil }
    return Source(url: lines[0], validator: lines[1].isEmpty ? nil : lines[1], total: Int(lines[2]))
  }

  /// Keeps the facts that resuming needs.
  func remember(_ source: Source) {
    // Losing them costs a download from the beginning, no more.
    let total = source.total.map { "\($0)" } ?? ""
    do throws(HGNetError) {
      var file = try FileOutput(path: sourcePath)
      try file.write("\(source.url)\n\(source.validator ?? "")\n\(total)\n")
      try file.commit()
    } catch {}
  }

  /// Appends bytes.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile`, for example when the disk is full.
  func append(_ bytes: UnsafeRawBufferPointer) throws(HGNetError) {
    try state.withLock { (count) throws(HGNetError) in
      var rest = bytes[...]
      while !rest.isEmpty {
        let written = pwrite(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count, off_t(count))
        if written < 0 {
          if errno == EINTR { continue }
          throw Self.unwritable(path, "cannot write the file completely; what is there stays for the next attempt")
        }
        count += written
        rest = rest[(rest.startIndex + written)...]
      }
    }
  }

  /// Forgets all bytes.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile`.
  func restart() throws(HGNetError) {
    try state.withLock { (count) throws(HGNetError) in
      guard ftruncate(descriptor, 0) == 0 else { throw Self.unwritable(path, "cannot shorten the file") }
      count = 0
    }
    unlink(sourcePath)
  }

  /// Removes the file.
  func remove() {
    unlink(sourcePath)
    unlink(path)
  }

  /// Flushes the bytes to the disk and gives the file its final name.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile`.
  func commit() throws(HGNetError) {
    guard fsync(descriptor) == 0 || errno == EINVAL, rename(path, finalPath) == 0 else {
      throw Self.unwritable(finalPath, "cannot give the fetched file its name")
    }
    unlink(sourcePath)
  }

  private var sourcePath: String { path + ".source" }

  private static func unwritable(_ path: String, _ message: String) -> HGNetError {
    HGNetError(.unwritableFile, message, path: path, cause: String(cString: strerror(errno)))
  }
}

/// Opens a file to write, and makes it if it is not there; the name of the system's function is taken inside.
private func openFile(_ path: String) -> Int32 { open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644) }
