import CHGNetVulkan
import HGNetCore
import HGNetPlatform
import Synchronization

/// A device that was opened: its queue, and the shaders that were compiled for it.
///
/// Threads: safe to share; runs take turns at its queue. A child of `fork` cannot use it, which is an error.
package final class GPUDevice: Sendable {
  /// What it is.
  package let description: GPUDescription
  private let library: VulkanLibrary
  nonisolated(unsafe) let handle: OpaquePointer
  private let process = getpid()
  private let queue = ForkSafeLock(0)
  private let pipelines = ForkSafeLock(PipelineTable())
  private let file: PipelineFile?

  private struct PipelineTable: Sendable {
    nonisolated(unsafe) var made: [PipelineKey: OpaquePointer] = [:]
    /// Those that are in the file.
    var stored = 0
  }

  /// Opens a device.
  ///
  /// - Parameters:
  ///   - description: one of the library's.
  ///   - keepsPipelines: whether compiled shaders are kept in a file for the next process.
  /// - Throws: `HGNetError.Code.deviceFailure`, also for one on which networks cannot run.
  package init(
    _ description: GPUDescription, of library: VulkanLibrary, keepsPipelines: Bool = true
  ) throws(HGNetError) {
    if let refusal = description.refusal {
      throw HGNetError(.deviceFailure, "\(description.title) cannot be used: \(refusal)")
    }
    self.description = description
    self.library = library
    var handle: OpaquePointer?
    try hgv_device_make(library.handle, UInt32(description.number), &handle).check("opening \(description.title)")
    guard let handle else { throw HGNetError(.internalInconsistency, "Vulkan gave no device") }
    self.handle = handle
    file = keepsPipelines ? PipelineFile(for: description) : nil
    // Without the file shaders are compiled anew, no more.
    let bytes = file?.read() ?? []
    _ = bytes.withUnsafeBytes { hgv_device_load_cache(handle, $0.baseAddress, $0.count) }
  }

  deinit {
    // The driver's threads do not exist in a child of fork.
    guard isOwn else { return }
    _ = try? pipelines.withLock { (table) throws(HGNetError) in table.made.values.forEach(hgv_pipeline_destroy) }
    hgv_device_destroy(handle)
  }

  /// Whether this is the process that opened it.
  var isOwn: Bool { getpid() == process }

  /// - Throws: `HGNetError.Code.unsupported` in a child of `fork`.
  func checkProcess() throws(HGNetError) {
    guard isOwn else {
      throw HGNetError(
        .unsupported, "a process that was forked cannot use the GPU of its parent; open the network in this process")
    }
  }

  /// What its memory allows now.
  var memoryLimit: MemoryLimit {
    let budget = hgv_device_budget(handle)
    return budget > 0
      ? MemoryLimit(byteCount: Int(clamping: budget), reason: "free memory of \(description.name)")
      : MemoryLimit(byteCount: description.memory, reason: "the memory of \(description.name)")
  }

  /// A shader with its constants, compiled once.
  ///
  /// - Throws: `HGNetError.Code.deviceFailure`, `limitExceeded` without memory.
  func pipeline(_ key: PipelineKey) throws(HGNetError) -> OpaquePointer {
    if let found = try pipelines.withLock({ (table) throws(HGNetError) in table.made[key] }) { return found }
    // Without the lock, so that several are compiled at once.
    var made: OpaquePointer?
    try hgv_pipeline_make(
      handle, hgv_all_shaders() + key.shader.index, key.constants, UInt32(key.constants.count), key.subgroup, &made
    ).check("compiling the shader \(key.shader.name)")
    guard let made else { throw HGNetError(.internalInconsistency, "Vulkan gave no pipeline") }
    nonisolated(unsafe) let own = made
    return try pipelines.withLock { (table) throws(HGNetError) in
      if let found = table.made[key] {
        hgv_pipeline_destroy(own)
        return found
      }
      table.made[key] = own
      return own
    }
  }

  /// Compiles shaders on several threads; a failure is left to `pipeline`, which meets it again.
  ///
  /// - Returns: the threads, to be joined.
  func compiling(_ keys: Set<PipelineKey>) -> [SystemThread] {
    guard isOwn else { return [] }
    let known = try? pipelines.withLock { (table) throws(HGNetError) in Set(table.made.keys) }
    let list = Array(keys.subtracting(known ?? [])), next = Counter()
    return (0..<min(list.count, ProcessorCount.current().count, 16)).compactMap { _ in
      SystemThread {
        while true {
          let index = next.value.add(1, ordering: .relaxed).oldValue
          guard index < list.count else { return }
          _ = try? self.pipeline(list[index])
        }
      }
    }
  }

  private final class Counter: Sendable { let value = Atomic<Int>(0) }

  /// Writes the compiled shaders to the file if there are new ones; failures only cost the next process time.
  func storePipelines() {
    guard let file else { return }
    let isNew =
      (try? pipelines.withLock { (table) throws(HGNetError) in
        defer { table.stored = table.made.count }
        return table.stored < table.made.count
      }) ?? false
    guard isNew else { return }
    var size = 0
    guard hgv_device_cache(handle, nil, &size).result == 0, size > 64 else { return }
    var bytes = [UInt8](repeating: 0, count: size)
    guard hgv_device_cache(handle, &bytes, &size).result == 0 else { return }
    file.write(bytes.prefix(size))
  }

  /// Gives commands to the queue.
  ///
  /// - Throws: `HGNetError.Code.unsupported` in a child of `fork`.
  func submit(_ commands: OpaquePointer) throws(HGNetError) -> hgv_status {
    try checkProcess()
    nonisolated(unsafe) let commands = commands
    return try queue.withLock { (_) throws(HGNetError) in hgv_submit(commands) }
  }

  /// Gives commands to the queue and waits until they have run.
  ///
  /// - Throws: `HGNetError.Code.deviceFailure`, such as for a device that was lost.
  func run(_ commands: OpaquePointer, for work: @autoclosure () -> String) throws(HGNetError) {
    try submit(commands).check(work())
    try hgv_wait(commands).check(work())
  }
}

/// A shader with its constants.
struct PipelineKey: Hashable, Sendable {
  var shader: Shader
  var constants: [UInt32] = []
  /// The threads of a subgroup; 0 leaves it to the device.
  var subgroup: UInt32 = 0
}

/// One of the compiled shaders.
struct Shader: Hashable, Sendable {
  /// Its place in the table.
  let index: Int
  let name: String

  private struct Key: Hashable {
    var name: String
    var values: UInt32
    var isHalf: Bool
  }

  private static let places: [Key: Int] = {
    var places: [Key: Int] = [:]
    for index in 0..<Int(hgv_shader_count) {
      let shader = hgv_all_shaders()[index]
      places[Key(name: String(cString: shader.name), values: shader.values, isHalf: shader.is_half != 0)] = index
    }
    return places
  }()

  /// Finds a shader.
  ///
  /// - Parameters:
  ///   - name: that of its file.
  ///   - values: the channels that a value stands for.
  ///   - isHalf: whether it reads and writes float16.
  /// - Throws: `HGNetError.Code.internalInconsistency` for one that there is not.
  init(_ name: String, values: Int, isHalf: Bool) throws(HGNetError) {
    guard let index = Shader.places[Key(name: name, values: UInt32(values), isHalf: isHalf)] else {
      throw HGNetError(.internalInconsistency, "there is no shader \(name) for \(values) channels")
    }
    self.index = index
    self.name = name
  }
}
