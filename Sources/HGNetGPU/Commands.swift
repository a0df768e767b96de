import CHGNetVulkan
import HGNetCore

/// Commands that are recorded once and run again and again.
///
/// Threads: one task at a time.
final class Commands {
  let handle: OpaquePointer
  let device: GPUDevice

  /// Begins to record.
  ///
  /// - Parameter times: how many times can be recorded.
  /// - Throws: `HGNetError.Code.deviceFailure`, `limitExceeded` without memory.
  init(on device: GPUDevice, times: Int = 0) throws(HGNetError) {
    try device.checkProcess()
    var handle: OpaquePointer?
    try hgv_commands_make(device.handle, UInt32(times), &handle).check("preparing a run of the network")
    guard let handle else { throw HGNetError(.internalInconsistency, "Vulkan gave no commands") }
    self.handle = handle
    self.device = device
  }

  deinit { if device.isOwn { hgv_commands_destroy(handle) } }

  /// Waits until they have run, also after a failure: only then may the memory that they use go.
  func finish() { if device.isOwn { hgv_commands_finish(handle) } }
}

/// Sends what the host has to memory of the device, through two staging buffers that take turns.
///
/// Threads: one task at a time.
final class Uploader {
  private struct Slot {
    let buffer: DeviceBuffer
    let commands: Commands
    var isRunning = false
  }

  private static let slotByteCount = 8 << 20
  /// What it takes of the device's memory for a while.
  static let byteCount = 2 * slotByteCount
  private let device: GPUDevice
  private var slots: [Slot]
  private var current = 0
  private var used = 0
  /// What is written to, kept until that has happened.
  private var targets: [ObjectIdentifier: DeviceBuffer] = [:]

  /// Takes the staging buffers.
  ///
  /// - Throws: `HGNetError.Code.deviceFailure`, `limitExceeded` without memory.
  init(on device: GPUDevice) throws(HGNetError) {
    self.device = device
    slots = []
    for _ in 0..<2 {
      slots.append(
        Slot(
          buffer: try DeviceBuffer(Uploader.slotByteCount, .toDevice, on: device, for: "the way of the weights"),
          commands: try Commands(on: device)))
    }
  }

  deinit { for slot in slots { slot.commands.finish() } }

  /// Sends bytes, whose number and place are multiples of 4.
  ///
  /// - Throws: `HGNetError.Code.deviceFailure`.
  func send(_ source: UnsafeRawBufferPointer, to target: DeviceBuffer, at offset: Int) throws(HGNetError) {
    targets[ObjectIdentifier(target)] = target
    var done = 0
    while done < source.count {
      if used == Uploader.slotByteCount { try turn() }
      let count = min(source.count - done, Uploader.slotByteCount - used)
      let slot = slots[current]
      guard let bytes = slot.buffer.bytes, let base = source.baseAddress else { return }
      (bytes + used).copyMemory(from: base + done, byteCount: count)
      hgv_record_copy(
        slot.commands.handle, slot.buffer.handle, UInt64(used), target.handle, UInt64(offset + done), UInt64(count))
      done += count
      used = min((used + count).roundedUp(to: 16), Uploader.slotByteCount)
    }
  }

  /// Lets the device take what is in the slot, and goes on with the other one once that is free.
  private func turn() throws(HGNetError) {
    let handle = slots[current].commands.handle
    hgv_record_barrier(handle)
    try hgv_commands_end(handle).check("sending the weights")
    try device.submit(handle).check("sending the weights")
    slots[current].isRunning = true
    current = 1 - current
    used = 0
    try wait(current)
    try hgv_commands_restart(slots[current].commands.handle).check("sending the weights")
  }

  private func wait(_ slot: Int) throws(HGNetError) {
    guard slots[slot].isRunning else { return }
    try hgv_wait(slots[slot].commands.handle).check("sending the weights")
    slots[slot].isRunning = false
  }

  /// Waits until everything has arrived.
  ///
  /// - Throws: `HGNetError.Code.deviceFailure`.
  func finish() throws(HGNetError) {
    try turn()
    try wait(1 - current)
  }
}
