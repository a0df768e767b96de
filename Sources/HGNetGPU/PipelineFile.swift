import CHGNetVulkan
import HGNetCore
import HGNetPlatform

/// Where compiled shaders wait for the next process: a file for each device and driver in the user's cache folder.
///
/// Drivers trust what they wrote, so the bytes are kept with their length and a sum. Threads: a value.
struct PipelineFile: Sendable {
  private let folder: String
  private let path: String
  private static let mark: [UInt8] = Array("HGNetPC1".utf8)
  /// More is no cache of ours.
  private static let largest = 256 << 20

  private static func sum(_ bytes: [UInt8]) -> UInt64 { bytes.withUnsafeBytes { XXHash64.value(of: $0) } }

  /// The file of a device; nil where there is no folder for it (`XDG_CACHE_HOME`, else `~/.cache`).
  init?(for device: GPUDescription) {
    func folder(_ variable: String) -> String? {
      getenv(variable).map { String(cString: $0) }.flatMap { $0.hasPrefix("/") ? $0 : nil }
    }
    guard let base = folder("XDG_CACHE_HOME") ?? folder("HOME").map({ $0 + "/.cache" }) else { return nil }
    self.folder = base + "/hgnet"
    let id = withUnsafeBytes(of: device.info.cache_id) { bytes in
      bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
    path = self.folder + "/gpu-\(id)-\(device.info.vendor)-\(device.info.device)-\(device.info.driver_version)"
  }

  /// The bytes; empty where there is no sound file.
  func read() -> [UInt8] {
    guard let file = fopen(path, "rb") else { return [] }
    defer { fclose(file) }
    var head = [UInt8](repeating: 0, count: 24)
    guard fread(&head, 1, 24, file) == 24, Array(head.prefix(8)) == PipelineFile.mark else { return [] }
    func number(_ start: Int) -> UInt64 { (0..<8).reduce(0) { $0 | UInt64(head[start + $1]) << (8 * $1) } }
    let count = number(8)
    guard count <= UInt64(PipelineFile.largest) else { return [] }
    var bytes = [UInt8](repeating: 0, count: Int(count))
    guard fread(&bytes, 1, bytes.count, file) == bytes.count, PipelineFile.sum(bytes) == number(16) else { return [] }
    return bytes
  }

  /// Writes the file beside its place and puts it there; without a word where that cannot be.
  func write(_ bytes: some Collection<UInt8>) {
    guard bytes.count <= PipelineFile.largest else { return }
    var part = ""
    for piece in folder.split(separator: "/") {
      part += "/" + piece
      mkdir(part, 0o755)
    }
    func little(_ number: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } }
    let content = Array(bytes)
    let head = PipelineFile.mark + little(UInt64(content.count)) + little(PipelineFile.sum(content))
    do {
      var file = try FileOutput(path: path)
      try file.write(head + content)
      try file.commit()
    } catch {}
  }
}
