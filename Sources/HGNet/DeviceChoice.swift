import HGNetCore
import HGNetGPU

/// What a user wants networks to run on, as it is written on a command line.
///
/// Threads: a value.
public enum DeviceChoice: Hashable, Sendable, CustomStringConvertible {
  /// The host's processor.
  case cpu
  /// A GPU by its number in `GPU.all()`; nil for the first that is no software.
  case gpu(Int?)
  /// A GPU that is no software where there is one, else the processor.
  case auto
  /// float64 by the definition of each layer.
  case reference

  /// Reads `cpu`, `gpu`, `gpu:N`, `auto` or `reference`; nil for anything else.
  public init?(_ text: String) {
    switch text {
    case "cpu": self = .cpu
    case "gpu": self = .gpu(nil)
    case "auto": self = .auto
    case "reference": self = .reference
    default:
      guard text.hasPrefix("gpu:"), let number = Int(text.dropFirst(4)), (0..<64).contains(number) else { return nil }
      self = .gpu(number)
    }
  }

  /// As it is written.
  public var description: String {
    switch self {
    case .cpu: "cpu"
    case .gpu(let number): number.map { "gpu:\($0)" } ?? "gpu"
    case .auto: "auto"
    case .reference: "reference"
    }
  }
}

/// A GPU that a driver of Vulkan offers.
///
/// Threads: a value.
public struct GPU: Hashable, Sendable {
  /// Its number, from 0: `gpu:N`.
  public let number: Int
  /// Its name, such as `NVIDIA H200`.
  public let name: String
  /// `discrete`, `integrated`, `virtual`, `software` (the processor plays it, for tests) or `other`.
  public let kind: String
  /// The driver with its version.
  public let driver: String
  /// Vulkan's version, such as `1.3`.
  public let vulkanVersion: String
  /// Bytes of its memory.
  public let memoryByteCount: Int
  /// What networks can compute with there, such as `float32`; empty where they cannot run.
  public let paths: [String]
  /// Why networks cannot run there; nil if they can.
  public let refusal: String?

  /// All that there are, in the order of their numbers.
  ///
  /// Cost: loads Vulkan's library and its drivers, 20 … 400 ms.
  ///
  /// - Throws: `HGNetError.Code.deviceFailure` without a library or a driver, saying what was looked for.
  public static func all() throws(HGNetError) -> [GPU] {
    try VulkanLibrary().devices().map { device in
      GPU(
        number: device.number, name: device.name, kind: device.kind, driver: device.driver,
        vulkanVersion: device.version, memoryByteCount: device.memory, paths: device.paths, refusal: device.refusal)
    }
  }
}
