import HGNetCore
import HGNetGPU
import HGNetModels
import HGNetPlatform
import HGNetProgram
import Testing

/// The GPU whose number is in `HGNET_TEST_GPU`; tests that need one are left out without it.
///
/// `Scripts/check-gpu` sets it for software devices.
enum TestDevice {
  static let number: Int? = getenv("HGNET_TEST_GPU").flatMap { Int(String(cString: $0)) }
  static var isThere: Bool { number != nil }
  /// Whether differences are printed.
  static let isVerbose = getenv("HGNET_TEST_VERBOSE") != nil

  /// Whether one model stands for all.
  static let isQuick = getenv("HGNET_TEST_QUICK") != nil

  /// An engine on a device of its own, without the file of compiled shaders.
  static func engine(_ tiles: TileChoice = .fitting) throws -> GPUEngine {
    let library = try VulkanLibrary()
    let device = try GPUDevice(library.devices()[number ?? 0], of: library, keepsPipelines: false)
    return GPUEngine(device, tiles: tiles)
  }

  /// Pictures `[N, H, W, 3]` of mean 0 and variance 1.
  static func pictures(_ batch: Int, _ size: Size) -> Tensor {
    var random = RandomGenerator(seed: 12)
    let shape: Shape = [batch, size.height, size.width, 3]
    return Tensor(shape: shape, values: (0..<shape.count).map { _ in random.normal() })
  }
}

/// Bytes of this process that are in memory.
func residentByteCount() -> Int {
  guard let file = fopen("/proc/self/statm", "r") else { return 0 }
  defer { fclose(file) }
  var bytes = [UInt8](repeating: 0, count: 256)
  let count = fread(&bytes, 1, bytes.count, file)
  let fields = String(decoding: bytes.prefix(count), as: UTF8.self).split(separator: " ")
  return fields.count > 1 ? (Int(fields[1]) ?? 0) * 4096 : 0
}

/// All suites, one after the other: a failure that one of them lets happen would reach the others.
@Suite("GPU", .serialized) struct GPUTests {}
