import CHGNetVulkan
import HGNetCore

/// A block of memory that a device sees.
///
/// Threads: whoever holds it says who writes it.
final class DeviceBuffer: Sendable {
  /// Whose memory it is.
  enum Kind {
    /// The device's.
    case ofDevice
    /// The host writes, the device reads.
    case toDevice
    /// The device writes, the host reads.
    case fromDevice
  }

  nonisolated(unsafe) let handle: OpaquePointer
  let byteCount: Int
  private let device: GPUDevice

  /// Takes memory.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` for more than the device allows or has.
  init(_ byteCount: Int, _ kind: Kind, on device: GPUDevice, for subject: String) throws(HGNetError) {
    try device.checkProcess()
    let byteCount = max(byteCount, 16).roundedUp(to: 16)
    let most = Int(clamping: device.description.info.largest_allocation)
    guard byteCount <= most || most == 0 else {
      throw HGNetError(
        .limitExceeded,
        "\(subject) takes \(MemoryNeed.text(byteCount)) in one piece, and \(device.description.name) gives at most "
          + "\(MemoryNeed.text(most)); use a smaller batch or smaller pictures")
    }
    var handle: OpaquePointer?
    let number: Int32 =
      switch kind {
      case .ofDevice: Int32(HGV_OF_DEVICE)
      case .toDevice: Int32(HGV_TO_DEVICE)
      case .fromDevice: Int32(HGV_FROM_DEVICE)
      }
    try hgv_buffer_make(device.handle, UInt64(byteCount), number, &handle).check(subject)
    guard let handle else { throw HGNetError(.internalInconsistency, "Vulkan gave no buffer") }
    self.handle = handle
    self.byteCount = byteCount
    self.device = device
  }

  deinit { if device.isOwn { hgv_buffer_destroy(handle) } }

  /// Where the host sees it; nil for memory of the device.
  var bytes: UnsafeMutableRawPointer? { hgv_buffer_bytes(handle) }

  /// The host's values.
  ///
  /// - Throws: `HGNetError.Code.internalInconsistency` for memory of the device.
  func floats() throws(HGNetError) -> UnsafeMutablePointer<Float> {
    guard let bytes else { throw HGNetError(.internalInconsistency, "the host does not see this memory") }
    return bytes.assumingMemoryBound(to: Float.self)
  }
}
