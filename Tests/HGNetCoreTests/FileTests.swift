import HGNetCore
import HGNetPlatform
import Testing

@Suite struct FileTests {
  /// A path that no other test uses.
  private static func path(_ name: String) -> String { "/tmp/hgnet-file-tests-\(getpid())-\(name)" }

  @Test(.timeLimit(.minutes(1))) func aNamedPipeIsAnErrorAndNoWait() throws {
    let pipe = FileTests.path("pipe")
    #expect(mkfifo(pipe, 0o600) == 0)
    defer { unlink(pipe) }
    let error = try #require(throws: HGNetError.self) { try Blob(mapping: pipe) }
    #expect(error.code == .unreadableFile)
  }

  @Test func aBlobMadeOfAnotherHasItsBytesEachTime() throws {
    let source = Blob((0..<200).map { UInt8($0) })
    let half = Blob(count: 50, madeOf: try BlobSlice(source, range: 100..<200)) { source, target in
      for index in 0..<target.count { target[index] = source[2 * index] }
    }
    for _ in 0..<2 {
      #expect(half.withUnsafeBytes { $0.map { Int($0) } } == (0..<50).map { 100 + 2 * $0 })
      half.discard(0..<50)
    }
    #expect(half[7] == 114)
    #expect(try BlobSlice(half, range: 3..<5).withUnsafeBytes { Array($0) } == [106, 108])
  }

  @Test func aDeviceIsWrittenToAndNotReplaced() throws {
    var output = try FileOutput(path: "/dev/null")
    try output.write("text")
    try output.commit()
    var status = stat()
    #expect(stat("/dev/null", &status) == 0)
    #expect(status.st_mode & S_IFMT == S_IFCHR)
  }

  #if os(Linux)
    @Test func aFullDiskIsAnError() throws {
      let error = try #require(throws: HGNetError.self) {
        var output = try FileOutput(path: "/dev/full")
        try output.write("text")
        try output.commit()
      }
      #expect(error.code == .unwritableFile)
    }
  #endif

  @Test func aPlaceIsCheckedWithoutBeingTouched() throws {
    let path = FileTests.path("place")
    for place in [path, "/dev/null"] { try FileOutput.check(path: place) }
    #expect(access(path, F_OK) != 0)
    for place in ["/tmp", "\(path)/none/file", "/no-such-folder/file"] {
      let error = try #require(throws: HGNetError.self) { try FileOutput.check(path: place) }
      #expect(error.code == .unwritableFile)
      #expect(error.context.path == place)
    }
  }

  @Test func aFileIsReplacedOnlyByACommit() throws {
    let path = FileTests.path("file")
    defer { unlink(path) }
    for (text, isCommitted) in [("old", true), ("newer", false)] {
      var output = try FileOutput(path: path)
      try output.write(text)
      if isCommitted { try output.commit() }
    }
    #expect(try Blob(mapping: path).count == 3)
  }
}
