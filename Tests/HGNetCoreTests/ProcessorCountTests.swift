import Foundation
import HGNetCore
import Testing

/// The number of threads under made-up `/proc` and `/sys` trees.
@Suite struct ProcessorCountTests {
  /// Writes files into a fresh folder and calls `body` with it.
  func withTree(_ files: [String: String], _ body: (String) -> Void) throws {
    let root = FileManager.default.temporaryDirectory.appendingPathComponent("hgnet-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: root) }
    for (path, text) in files {
      let file = root.appendingPathComponent(path)
      try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try text.write(to: file, atomically: true, encoding: .utf8)
    }
    body(root.path)
  }

  static let sixteen = "Name:\tx\nCpus_allowed:\t0000ffff\nCpus_allowed_list:\t0-15\n"

  @Test func affinityMask() throws {
    try withTree(["proc/self/status": "Cpus_allowed:\t00000001,8000000f\n"]) {
      #expect(ProcessorCount.current(root: $0, requested: "").count == 6)
    }
  }

  @Test func version2QuotaOfAGroupAbove() throws {
    try withTree([
      "proc/self/status": Self.sixteen, "proc/self/cgroup": "0::/pod/box\n",
      "sys/fs/cgroup/pod/cpu.max": "250000 100000\n",
      "sys/fs/cgroup/pod/box/cpu.max": "max 100000\n",
    ]) {
      let count = ProcessorCount.current(root: $0, requested: "")
      #expect(count.count == 2)
      #expect(count.reason.contains("control group"))
    }
  }

  @Test func version1Quota() throws {
    try withTree([
      "proc/self/status": Self.sixteen, "proc/self/cgroup": "4:cpu,cpuacct:/a\n",
      "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "50000\n", "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
    ]) { #expect(ProcessorCount.current(root: $0, requested: "").count == 1) }
  }

  @Test func noLimitAndRequest() throws {
    try withTree([
      "proc/self/status": Self.sixteen, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n",
    ]) {
      #expect(ProcessorCount.current(root: $0, requested: "").count == 16)
      #expect(ProcessorCount.current(root: $0, requested: "3").count == 3)
      #expect(ProcessorCount.current(root: $0, requested: "99").count == 16)
      #expect(ProcessorCount.current(root: $0, requested: "none").count == 16)
    }
  }
}
