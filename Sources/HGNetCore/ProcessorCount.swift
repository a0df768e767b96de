import HGNetPlatform

/// How many threads this process should use, and why.
///
/// The least of: the processors that the affinity mask allows, the quota of the control group (version 1 and 2; a
/// part of a processor is not counted), and the environment variable `HGNET_NUM_THREADS`. At least 1.
package struct ProcessorCount: Hashable, Sendable {
  /// The number of threads, at least 1.
  package let count: Int
  /// The limit that decided, for a log line.
  package let reason: String

  /// Reads the limits of this process.
  ///
  /// - Parameters:
  ///   - root: where `/proc` and `/sys` are looked for; for tests.
  ///   - requested: the value of `HGNET_NUM_THREADS`; nil reads the environment.
  package static func current(root: String = "", requested: String? = nil) -> ProcessorCount {
    var result = ProcessorCount(count: affinityCount(root: root), reason: "processors of the affinity mask")
    if let quota = controlGroupQuota(root: root), quota < Double(result.count) {
      result = ProcessorCount(count: max(1, Int(quota)), reason: "quota of the control group")
    }
    let wish = requested ?? getenv("HGNET_NUM_THREADS").map { String(cString: $0) }
    if let wish, let number = Int(wish), number >= 1, number < result.count {
      result = ProcessorCount(count: number, reason: "HGNET_NUM_THREADS")
    }
    return result
  }

  /// The number in `HGNET_NUM_THREADS` where it asks for more than is allowed.
  package static func excessiveWish(over allowed: ProcessorCount) -> Int? {
    guard let wish = getenv("HGNET_NUM_THREADS").flatMap({ Int(String(cString: $0)) }), wish > allowed.count else {
      return nil
    }
    return wish
  }

  /// The processors of the affinity mask, which Linux shows as hexadecimal digits with commas.
  private static func affinityCount(root: String) -> Int {
    for line in (ControlGroup.text(root + "/proc/self/status") ?? "").split(separator: "\n")
    where line.hasPrefix("Cpus_allowed:") {
      let bits = line.dropFirst("Cpus_allowed:".count).reduce(0) { $0 + ($1.hexDigitValue?.nonzeroBitCount ?? 0) }
      if bits > 0 { return bits }
    }
    return max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
  }

  /// Processors per wall-clock time that the control group grants, or nil without a limit.
  private static func controlGroupQuota(root: String) -> Double? {
    var least: Double?
    func consider(_ quota: Double?) {
      if let quota, quota > 0 { least = min(least ?? quota, quota) }
    }
    for folder in ControlGroup.folders(of: "cpu", root: root) {
      if folder.isVersion2 {
        consider(quota(ControlGroup.text(folder.path + "/cpu.max")))
      } else {
        let parts = ["/cpu.cfs_quota_us", "/cpu.cfs_period_us"].compactMap { ControlGroup.text(folder.path + $0) }
        consider(parts.count == 2 ? quota(parts.joined(separator: " ")) : nil)
      }
    }
    return least
  }

  private static func quota(_ text: String?) -> Double? {
    let numbers = (text ?? "").split { $0 == " " || $0 == "\n" }.map { Double($0) }
    guard numbers.count >= 2, let quota = numbers[0], let period = numbers[1], quota > 0, period > 0 else { return nil }
    return quota / period
  }
}
