import HGNetPlatform

/// An immutable block of bytes: a file mapped into memory, or an allocation.
///
/// Weights are read from here without a copy; `discard` hands pages of a mapped file back once they have been used, so
/// that loading a model does not hold its weights twice.
///
/// Threads: safe to share; the bytes never change. A mapped file that another program truncates is the one exception
/// that no reader of mapped memory can guard against: replace files by renaming, as this package does.
public final class Blob: Sendable {
  private nonisolated(unsafe) let base: UnsafeRawPointer
  /// The number of bytes.
  public let count: Int
  private let isMapped: Bool
  /// What the bytes are made of each time they are read, where they are not kept.
  private let derivation: Derivation?
  /// The file that the bytes come from, if any.
  public let path: String?

  private struct Derivation: Sendable {
    let source: BlobSlice
    let decode: @Sendable (UnsafeRawBufferPointer, UnsafeMutableRawBufferPointer) -> Void
  }

  /// Maps a whole file read-only.
  ///
  /// - Throws: `HGNetError.Code.fileNotFound`, or `unreadableFile` for a folder, a device or a lack of permission.
  public init(mapping path: String) throws(HGNetError) {
    // Without O_NONBLOCK a named pipe would wait for its writer before we can see what it is.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw Blob.openingError(path: path, number: errno) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw Blob.openingError(path: path, number: errno) }
    let kind = status.st_mode & S_IFMT
    guard kind == S_IFREG else {
      let found = kind == S_IFDIR ? "a folder" : "something that is not a regular file"
      throw HGNetError(.unreadableFile, "expected a file, found \(found)", path: path)
    }
    self.path = path
    derivation = nil
    count = Int(status.st_size)
    if count == 0 {
      base = UnsafeRawPointer(UnsafeMutableRawPointer.allocate(byteCount: 1, alignment: 64))
      isMapped = false
      return
    }
    guard let address = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), address != MAP_FAILED else {
      throw HGNetError(
        .unreadableFile, "cannot map the file into memory", path: path, cause: String(cString: strerror(errno)))
    }
    base = UnsafeRawPointer(address)
    isMapped = true
  }

  /// Allocates `count` bytes, aligned to 64, and lets `body` fill them; bytes that it leaves alone are zero.
  public init<Failure: Error>(
    count: Int, path: String? = nil, initializingWith body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Void
  ) throws(Failure) {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1), alignment: 64)
    memset(memory, 0, max(count, 1))
    self.base = UnsafeRawPointer(memory)
    self.count = count
    self.path = path
    isMapped = false
    derivation = nil
    try body(UnsafeMutableRawBufferPointer(start: memory, count: count))
  }

  /// Allocates bytes whose number comes from outside and lets `body` fill all of them.
  ///
  /// - Parameters:
  ///   - count: the number of bytes.
  ///   - subject: what they are for, in the words of an error.
  ///   - path: the file that they come from, if any.
  ///   - body: writes the bytes.
  /// - Throws: `HGNetError.Code.limitExceeded` when the process may not have that much memory, and what `body` throws.
  package init(
    allocating count: Int, for subject: @autoclosure () -> String, path: String? = nil,
    initializingWith body: (UnsafeMutableRawBufferPointer) throws(HGNetError) -> Void
  ) throws(HGNetError) {
    let memory = try MemoryBlock.allocate(byteCount: count, for: subject())
    self.base = UnsafeRawPointer(memory)
    self.count = count
    self.path = path
    isMapped = false
    derivation = nil
    try body(UnsafeMutableRawBufferPointer(start: memory, count: count))
  }

  /// Takes no memory: the bytes are made of others each time they are read, as text that stands for binary data needs it.
  ///
  /// Cost: every access decodes everything.
  ///
  /// - Parameters:
  ///   - count: the number of bytes that `decode` fills; it must fill all of them.
  ///   - source: what they are made of.
  ///   - decode: makes them, the same each time.
  public init(
    count: Int, madeOf source: BlobSlice,
    by decode: @escaping @Sendable (_ source: UnsafeRawBufferPointer, _ target: UnsafeMutableRawBufferPointer) -> Void
  ) {
    base = UnsafeRawPointer(UnsafeMutableRawPointer.allocate(byteCount: 1, alignment: 64))
    self.count = count
    path = source.blob.path
    isMapped = false
    derivation = Derivation(source: source, decode: decode)
  }

  /// Copies bytes.
  public convenience init(_ bytes: some Collection<UInt8>, path: String? = nil) {
    self.init(count: bytes.count, path: path) { $0.copyBytes(from: bytes) }
  }

  deinit {
    if isMapped {
      munmap(UnsafeMutableRawPointer(mutating: base), count)
    } else {
      UnsafeMutableRawPointer(mutating: base).deallocate()
    }
  }

  /// Calls `body` with all bytes; the pointer must not escape.
  public func withUnsafeBytes<Result, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    guard let derivation else { return try body(UnsafeRawBufferPointer(start: base, count: count)) }
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 64)
    defer { memory.deallocate() }
    derivation.source.withUnsafeBytes { derivation.decode($0, memory) }
    return try body(UnsafeRawBufferPointer(memory))
  }

  /// The byte at an offset, `0 ..< count`; traps outside.
  public subscript(offset: Int) -> UInt8 {
    precondition(offset >= 0 && offset < count, "byte \(offset) outside a blob of \(count)")
    return withUnsafeBytes { $0[offset] }
  }

  /// Tells the system that the whole pages inside a range will not be needed soon; they stay readable.
  public func discard(_ range: Range<Int>) {
    if let source = derivation?.source { return source.blob.discard(source.range) }
    guard isMapped else { return }
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let first = (range.lowerBound + page - 1) / page * page
    let last = range.upperBound / page * page
    guard last > first else { return }
    madvise(UnsafeMutableRawPointer(mutating: base + first), last - first, MADV_DONTNEED)
  }

  private static func openingError(path: String, number: Int32) -> HGNetError {
    if number == ENOENT || number == ENOTDIR {
      // A name that is not UTF-8 has been turned into text with this character, and so no longer names the file.
      let hint = path.contains("\u{FFFD}") ? "rename it if its name is not UTF-8" : "check the path"
      return HGNetError(.fileNotFound, "no such file; \(hint)", path: path)
    }
    return HGNetError(.unreadableFile, "cannot open the file", path: path, cause: String(cString: strerror(number)))
  }
}

/// A range of bytes inside a blob, which it keeps alive.
public struct BlobSlice: Sendable {
  /// The blob that holds the bytes.
  public let blob: Blob
  /// The bytes concerned, inside `0 ..< blob.count`.
  public let range: Range<Int>

  /// Makes a slice.
  ///
  /// - Throws: `HGNetError.Code.malformedData` when the range leaves the blob: a truncated file.
  public init(_ blob: Blob, range: Range<Int>) throws(HGNetError) {
    guard range.lowerBound >= 0, range.upperBound <= blob.count else {
      throw HGNetError(
        .malformedData,
        "the file is truncated: expected at least \(range.upperBound) bytes, found \(blob.count); fetch or save it again",
        path: blob.path)
    }
    self.blob = blob
    self.range = range
  }

  /// All of a blob.
  public init(_ blob: Blob) {
    self.blob = blob
    self.range = 0..<blob.count
  }

  /// The number of bytes.
  public var count: Int { range.count }

  /// Calls `body` with the bytes; the pointer must not escape and may be unaligned.
  public func withUnsafeBytes<Result, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try blob.withUnsafeBytes { (all) throws(Failure) in
      try body(UnsafeRawBufferPointer(rebasing: all[range]))
    }
  }
}
