import CHGNetKernels
import HGNetCore
import HGNetProgram

/// One kernel call with everything but addresses.
struct Step: Sendable {
  /// The layer's name, or what is done for it.
  var name: String
  /// What the kernel does.
  var work: any Work
  var taskCount: Int
  /// Floats of scratch of each thread.
  var scratchCount = 0
  /// Of the direct sum, for rates.
  var multiplyAdds = 0
  /// The pictures that it takes.
  var pictures = 0
  var inputShape: ActivationShape?
  var outputShape: ActivationShape?
  /// Bytes of packed weights that it reads.
  var weightByteCount = 0
  /// The place of its layer among those of the plan; several steps of one layer take pictures in turn.
  var layer = 0
  /// The implementations before the chosen one, and why they refused.
  var refusals: [(name: String, reason: String)] = []

  /// Operations of the algorithm, a multiply-add counted as two.
  var operations: Int { work.operations(of: self) }
}

/// What a kernel is told, as data: places, extents and how it is cut.
protocol Work: Sendable {
  /// The algorithm in one word; empty for work beside a layer.
  var algorithm: String { get }
  /// Floats of zeros that the kernel reads where its window leaves the picture.
  var zeroCount: Int { get }
  /// Operations of the algorithm without those that only rearrange or add up.
  func operations(of step: Step) -> Int
  /// Writes the kernel's descriptor with real addresses and returns the kernel.
  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task
}

extension Work {
  var algorithm: String { "" }
  var zeroCount: Int { 0 }
  func operations(of step: Step) -> Int { 2 * step.multiplyAdds }
}

/// Room for what a kernel is told.
struct Descriptor {
  /// Bytes of one; larger than any descriptor of the kernels.
  static let byteCount = 512

  let memory: UnsafeMutableRawPointer

  /// Writes a C structure.
  ///
  /// - Throws: `HGNetError.Code.internalInconsistency` for one that has no room.
  func set<Value>(_ value: Value) throws(HGNetError) {
    guard MemoryLayout<Value>.size <= Descriptor.byteCount else {
      throw HGNetError(.internalInconsistency, "a descriptor of \(MemoryLayout<Value>.size) bytes")
    }
    memory.initializeMemory(as: Value.self, to: value)
  }
}
