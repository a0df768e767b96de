import CHGNetVulkan
import HGNetCore
import HGNetPlatform

/// Vulkan's library, found at run time, with an instance of it.
///
/// Threads: safe to share.
package final class VulkanLibrary: Sendable {
  nonisolated(unsafe) let handle: OpaquePointer

  /// What the system's loader is called.
  #if canImport(Darwin)
    package static let name = "libvulkan.1.dylib"
  #else
    package static let name = "libvulkan.so.1"
  #endif

  /// Opens the library and makes an instance; 20 ms.
  ///
  /// - Throws: `HGNetError.Code.deviceFailure` saying what was looked for and what was found.
  package init(_ name: String = VulkanLibrary.name) throws(HGNetError) {
    var handle: OpaquePointer?
    var text = [CChar](repeating: 0, count: 512)
    let status = hgv_instance_make(name, &handle, &text, text.count)
    if status.result == Int32(HGV_NO_LIBRARY) {
      throw HGNetError(
        .deviceFailure,
        "there is no GPU to be used: Vulkan's library \(name) cannot be opened; install it (libvulkan1) and a driver of the "
          + "GPU", cause: String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }
    if status.result == Int32(HGV_OLD_LOADER) {
      throw HGNetError(
        .deviceFailure, "there is no GPU to be used: expected Vulkan 1.1 or later, found \(name) of version 1.0")
    }
    if let result = hgv_result_name(status.result), String(cString: result) == "VK_ERROR_INCOMPATIBLE_DRIVER" {
      throw HGNetError(
        .deviceFailure,
        "there is no GPU to be used: Vulkan's library \(name) finds no driver; install that of the GPU, or say where its "
          + "file is with VK_DRIVER_FILES", cause: "vkCreateInstance: VK_ERROR_INCOMPATIBLE_DRIVER")
    }
    try status.check("looking for drivers of GPUs")
    guard let handle else { throw HGNetError(.internalInconsistency, "Vulkan gave no instance") }
    self.handle = handle
  }

  deinit { hgv_instance_destroy(handle) }

  /// What there is, in the order of the drivers.
  ///
  /// - Throws: `HGNetError.Code.deviceFailure`.
  package func devices() throws(HGNetError) -> [GPUDescription] {
    var infos = [hgv_device_info](repeating: hgv_device_info(), count: 16)
    var count = UInt32(infos.count)
    try hgv_instance_devices(handle, &infos, &count).check("asking for GPUs")
    return infos.prefix(Int(count)).enumerated().map { GPUDescription(number: $0.offset, info: $0.element) }
  }
}

extension hgv_status {
  /// Throws unless the call went well.
  ///
  /// - Parameter work: what it was for, such as `running the network`.
  /// - Throws: `HGNetError.Code.limitExceeded` without memory, else `deviceFailure`.
  func check(_ work: @autoclosure () -> String) throws(HGNetError) {
    guard result != 0 else { return }
    let name = hgv_result_name(result).map { String(cString: $0) } ?? "error \(result)"
    let cause = "\(call.map { String(cString: $0) } ?? "Vulkan"): \(name)"
    switch name {
    case "VK_ERROR_OUT_OF_HOST_MEMORY", "VK_ERROR_OUT_OF_DEVICE_MEMORY":
      throw HGNetError(.limitExceeded, "the GPU has not enough memory for \(work())", cause: cause)
    case "VK_ERROR_DEVICE_LOST":
      throw HGNetError(
        .deviceFailure, "the GPU was lost while \(work()); open the network anew, or use --device cpu", cause: cause)
    case _ where result == Int32(HGV_NO_MEMORY_TYPE):
      throw HGNetError(.deviceFailure, "the GPU has no memory that the host can see", cause: cause)
    default: throw HGNetError(.deviceFailure, "the GPU failed while \(work())", cause: cause)
    }
  }
}
