import HGNetPlatform

/// How much more memory this process may take, and what says so.
///
/// The least of: what the machine has available, the limit of the control group and of those above it (version 1 and 2)
/// less what it uses and cannot give back, and the limits on the address space and on data (`ulimit -v`, `-d`) less what
/// is taken. The environment variable `HGNET_MEMORY_LIMIT`, in MiB for the whole process, takes the place of the first
/// two. Where nothing is known there is no limit.
package struct MemoryLimit: Hashable, Sendable {
  /// Bytes that may still be taken, 0 or more.
  package let byteCount: Int
  /// What sets the limit, for an error.
  package let reason: String

  /// Names a limit.
  package init(byteCount: Int, reason: String) {
    self.byteCount = max(byteCount, 0)
    self.reason = reason
  }

  /// Reads the limits of this process; some 100 µs.
  ///
  /// - Parameters:
  ///   - root: where `/proc` and `/sys` are looked for; for tests.
  ///   - requested: the value of `HGNET_MEMORY_LIMIT`; nil reads the environment.
  package static func current(root: String = "", requested: String? = nil) -> MemoryLimit {
    var least = MemoryLimit(byteCount: .max, reason: "no limit")
    func consider(_ byteCount: Int?, _ reason: String) {
      if let byteCount, byteCount < least.byteCount { least = MemoryLimit(byteCount: byteCount, reason: reason) }
    }
    let pages = (ControlGroup.text(root + "/proc/self/statm") ?? "").split(separator: " ").map { Int($0) ?? 0 }
    func taken(_ field: Int) -> Int { field < pages.count ? pages[field] * Int(sysconf(Int32(_SC_PAGESIZE))) : 0 }

    let wish = requested ?? getenv("HGNET_MEMORY_LIMIT").map { String(cString: $0) }
    if let wish, let mebibytes = Int(wish), (1...(1 << 40)).contains(mebibytes) {
      consider(mebibytes << 20 - taken(1), "HGNET_MEMORY_LIMIT")
    } else {
      consider(availableInMachine(root: root), "the free memory of the machine")
      for folder in ControlGroup.folders(of: "memory", root: root) {
        consider(rest(of: folder), "the limit of the control group")
      }
    }
    for line in (ControlGroup.text(root + "/proc/self/limits") ?? "").split(separator: "\n") {
      // The name, then the soft limit, the hard one and the unit; `unlimited` is no number.
      for (name, field, reason) in [
        ("Max address space", 0, "the limit on the address space, ulimit -v"),
        ("Max data size", 5, "the limit on data, ulimit -d"),
      ] where line.hasPrefix(name) {
        let limit = line.dropFirst(name.count).split(separator: " ").first.flatMap { Int($0) }
        consider(limit.map { $0 - taken(field) }, reason)
      }
    }
    return least
  }

  private static func availableInMachine(root: String) -> Int? {
    var kibibytes: Int?
    for line in (ControlGroup.text(root + "/proc/meminfo") ?? "").split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard fields.count >= 2, fields[0] == "MemAvailable:" || fields[0] == "SwapFree:", let number = Int(fields[1]),
        (0...(1 << 50)).contains(number)
      else { continue }
      kibibytes = (kibibytes ?? 0) + number
    }
    return kibibytes.map { $0 << 10 }
  }

  /// The limit of a group less what it uses; pages of files can be given back and do not count.
  private static func rest(of folder: ControlGroup.Folder) -> Int? {
    let names =
      folder.isVersion2
      ? (limit: "/memory.max", use: "/memory.current", prefix: "")
      : (limit: "/memory.limit_in_bytes", use: "/memory.usage_in_bytes", prefix: "total_")
    guard let limit = ControlGroup.number(folder.path + names.limit), limit >= 0,
      let use = ControlGroup.number(folder.path + names.use), use >= 0
    else { return nil }
    var files = 0
    for line in (ControlGroup.text(folder.path + "/memory.stat") ?? "").split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard fields.count == 2, let count = Int(fields[1]), (0...use).contains(count),
        fields[0] == names.prefix + "inactive_file" || fields[0] == names.prefix + "active_file"
      else { continue }
      files += count
    }
    return limit - max(use - files, 0)
  }
}
