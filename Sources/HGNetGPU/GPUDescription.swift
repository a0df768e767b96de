import CHGNetVulkan
import HGNetCore

/// A device that a driver offers: what it is and what it can.
///
/// Threads: a value.
package struct GPUDescription: Sendable {
  /// Its place in the list, from 0; the N of `gpu:N`.
  package let number: Int
  /// Its name, such as `NVIDIA H200`.
  package let name: String
  /// Its driver with its version, such as `llvmpipe Mesa 22.3.6 (LLVM 15.0.6)`.
  package let driver: String
  let info: hgv_device_info

  /// Copies what the driver said.
  init(number: Int, info: hgv_device_info) {
    self.number = number
    self.info = info
    name = GPUDescription.text(info.name)
    driver = GPUDescription.text(info.driver)
  }

  private static func text<Characters>(_ characters: Characters) -> String {
    withUnsafeBytes(of: characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }

  /// What kind of device it is.
  package var kind: String {
    switch Int(info.type) {
    case Int(HGV_TYPE_INTEGRATED): "integrated"
    case Int(HGV_TYPE_DISCRETE): "discrete"
    case Int(HGV_TYPE_VIRTUAL): "virtual"
    case Int(HGV_TYPE_CPU): "software"
    default: "other"
    }
  }

  /// Whether the processor plays it, which is for tests: it is only used where it is named.
  package var isSoftware: Bool { info.type == UInt32(HGV_TYPE_CPU) }

  /// How much it is preferred to others; the driver's order among equals.
  var rank: Int {
    switch kind {
    case "discrete": 3
    case "integrated": 2
    case "virtual": 1
    default: 0
    }
  }

  /// Vulkan's version, such as `1.3`.
  package var version: String { "\(info.api_major).\(info.api_minor)" }

  /// Bytes of its memory.
  package var memory: Int { Int(clamping: info.memory) }

  /// Why networks cannot run on it; nil if they can.
  package var refusal: String? {
    if info.api_major == 1 && info.api_minor < 1 { return "its driver has Vulkan \(version), expected 1.1 or later" }
    if info.has_compute_queue == 0 { return "it has no queue that computes" }
    if info.has_push_descriptors == 0 { return "its driver lacks VK_KHR_push_descriptor" }
    if info.invocations < 128 || info.shared_memory < 16384 { return "its workgroups are too small" }
    return nil
  }

  /// What it computes with, such as `float32`.
  package var paths: [String] {
    guard refusal == nil else { return [] }
    guard info.has_float16 != 0 else { return ["float32"] }
    guard let shape = matrixShape else { return ["float32", "float16"] }
    return ["float32", "float16", "float16 on matrix units (\(shape.rows)×\(shape.columns)×\(shape.depth))"]
  }

  /// The largest blocks that its matrix units multiply and that fit our tiles; nil where it has none.
  var matrixShape: hgv_matrix_shape? {
    let shapes = withUnsafeBytes(of: info.matrix_shapes) { bytes in
      Array(bytes.bindMemory(to: hgv_matrix_shape.self).prefix(Int(info.matrix_shape_count)))
    }
    return shapes.filter { shape in
      [shape.rows, shape.columns, shape.depth].allSatisfy { [8, 16].contains($0) }
    }.max { $0.rows * $0.columns * $0.depth < $1.rows * $1.columns * $1.depth }
  }

  /// One line for people.
  package var title: String { "gpu:\(number) \(name) (\(kind)\(driver.isEmpty ? "" : ", \(driver)"))" }
}
