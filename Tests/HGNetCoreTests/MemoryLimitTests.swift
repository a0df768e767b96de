import Foundation
import HGNetCore
import Testing

/// What the process may have under made-up `/proc` and `/sys` trees, and what a need says that is above it.
@Suite struct MemoryLimitTests {
  /// The limit under some files below a fresh folder.
  func limit(_ files: [String: String], requested: String? = "") throws -> MemoryLimit {
    let root = FileManager.default.temporaryDirectory.appendingPathComponent("hgnet-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: root) }
    for (path, text) in files {
      let file = root.appendingPathComponent(path)
      try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try text.write(to: file, atomically: true, encoding: .utf8)
    }
    return MemoryLimit.current(root: root.path, requested: requested)
  }

  static let machine = ["proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    8000 kB\nSwapFree:  1000 kB\n"]

  @Test func theMachine() throws {
    #expect(try limit([:]).byteCount == .max)
    let found = try limit(Self.machine)
    #expect(found.byteCount == 9000 * 1024)
    #expect(found.reason.contains("machine"))
  }

  @Test func version2GroupsLessTheirUseWithoutFiles() throws {
    var files = Self.machine
    files["proc/self/cgroup"] = "0::/pod/box\n"
    files["sys/fs/cgroup/pod/memory.max"] = "5000000\n"
    files["sys/fs/cgroup/pod/memory.current"] = "3000000\n"
    files["sys/fs/cgroup/pod/memory.stat"] = "anon 1\nactive_file 400000\ninactive_file 600000\n"
    files["sys/fs/cgroup/pod/box/memory.max"] = "max\n"
    files["sys/fs/cgroup/pod/box/memory.current"] = "1\n"
    let found = try limit(files)
    #expect(found.byteCount == 3_000_000)
    #expect(found.reason.contains("control group"))
  }

  @Test func version1Groups() throws {
    var files = Self.machine
    files["proc/self/cgroup"] = "9:name=systemd:/\n4:memory:/a/b\n"
    files["sys/fs/cgroup/memory/a/b/memory.limit_in_bytes"] = "9223372036854771712\n"
    files["sys/fs/cgroup/memory/a/b/memory.usage_in_bytes"] = "100\n"
    #expect(try limit(files).byteCount == 9000 * 1024)
    files["sys/fs/cgroup/memory/a/memory.limit_in_bytes"] = "4000\n"
    files["sys/fs/cgroup/memory/a/memory.usage_in_bytes"] = "3000\n"
    files["sys/fs/cgroup/memory/a/memory.stat"] = "inactive_file 9\ntotal_inactive_file 500\n"
    #expect(try limit(files).byteCount == 1500)
    // Above the limit there is nothing, not less.
    files["sys/fs/cgroup/memory/a/memory.usage_in_bytes"] = "30000\n"
    #expect(try limit(files).byteCount == 0)
  }

  @Test func addressSpaceAndData() throws {
    var files = Self.machine
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    files["proc/self/statm"] = "300 50 20 5 0 100 0\n"
    files["proc/self/limits"] =
      "Limit                     Soft Limit           Hard Limit           Units     \n"
      + "Max data size             unlimited            unlimited            bytes     \n"
      + "Max address space         \(1000 * page)              unlimited            bytes     \n"
    let found = try limit(files)
    #expect(found.byteCount == 700 * page)
    #expect(found.reason.contains("ulimit -v"))
  }

  @Test func whatTheUserSaysTakesThePlaceOfMachineAndGroup() throws {
    let files = Self.machine.merging(["proc/self/statm": "300 1 20 5 0 100 0\n"]) { $1 }
    #expect(try limit(files, requested: "100").byteCount == 100 << 20 - Int(sysconf(Int32(_SC_PAGESIZE))))
    #expect(try limit(files, requested: "many").byteCount == 9000 * 1024)
    #expect(try limit(files, requested: "-3").byteCount == 9000 * 1024)
  }

  @Test func needsAreCheckedProducts() throws {
    var need = MemoryNeed("a batch of 8 pictures")
    need.add("pixels", bytes: 8, 1000, 1000, 3)
    need.add("numbers", bytes: 8, 1000, 1000, 12)
    #expect(need.byteCount == 120_000_000)
    try need.check(limit: MemoryLimit(byteCount: 120_000_000, reason: "a test"))
    let error = #expect(throws: HGNetError.self) {
      try need.check(
        limit: MemoryLimit(byteCount: 60_000_000, reason: "a test"),
        advice: MemoryNeed.fittingPictures(8, of: Size(1000)))
    }
    #expect(error?.code == .limitExceeded)
    for words in [
      "a batch of 8 pictures", "120 MB", "24 MB for pixels", "60 MB more (a test)", "a batch of 4 would fit",
    ] {
      #expect(error?.message.contains(words) == true, "\(words) in \(error?.message ?? "")")
    }
    #expect(MemoryNeed("x", bytes: 1 << 40, 1 << 40).byteCount == .max)
    #expect(MemoryNeed("x", bytes: 1 << 40, 0, 1 << 40).byteCount == 0)
    let advice = MemoryNeed.fittingPictures(1, of: Size(height: 400, width: 200))(0.25)
    #expect(advice.contains("200×100"))
  }

  @Test func numbersForPeople() {
    #expect(MemoryNeed.text(999) == "999 bytes")
    #expect(MemoryNeed.text(16_400_000) == "16.4 MB")
    #expect(MemoryNeed.text(137_438_953_472) == "137 GB")
    #expect(MemoryNeed.text(.max).contains("TB"))
  }

  @Test func allocationsThatTheSystemCannotGiveAreErrors() throws {
    for shape: Shape in [[1 << 40, 1 << 20], [1 << 16, 1 << 16, 1 << 16, 1 << 16]] {
      let error = #expect(throws: HGNetError.self) {
        _ = try Tensor(allocating: shape, for: "a test") { _ in }
      }
      #expect(error?.code == .limitExceeded)
    }
    #expect(throws: HGNetError.self) { _ = try Blob(allocating: .max, for: "a test") { _ in } }
    let small = try Tensor(allocating: [2, 3], for: "a test") { $0.update(repeating: 4) }
    #expect(small.values == [4, 4, 4, 4, 4, 4])
  }
}
