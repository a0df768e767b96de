import HGNetCore
import HGNetPlatform

/// The largest resident memory of this process so far.
enum PeakMemory {
  /// In bytes; 0 where the system does not say.
  static var bytes: Int {
    #if canImport(Darwin)
      var usage = rusage()
      return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss : 0
    #else
      // Not from `getrusage`: its maximum begins with the size of the program that started this one.
      let descriptor = open("/proc/self/status", O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else { return 0 }
      defer { close(descriptor) }
      var text: [UInt8] = []
      var part = [UInt8](repeating: 0, count: 4096)
      while true {
        let count = read(descriptor, &part, part.count)
        guard count > 0 else { break }
        text += part[..<count]
      }
      let line = text.split(separator: UInt8(ascii: "\n")).first { $0.starts(with: "VmHWM:".utf8) } ?? []
      let digits = line.filter { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
      return (Int(String(decoding: digits, as: UTF8.self)) ?? 0) * 1024
    #endif
  }
}
