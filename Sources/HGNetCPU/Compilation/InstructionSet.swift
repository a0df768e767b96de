import CHGNetKernels
import HGNetCore
import HGNetPlatform

/// One implementation of all kernels that this processor can run.
///
/// Results of two instruction sets agree to rounding, not bit for bit: a fused multiply-add rounds once where the
/// baseline rounds twice. Threads: safe to share.
package struct InstructionSet: Sendable, CustomStringConvertible {
  nonisolated(unsafe) let kernels: UnsafePointer<hg_kernels>
  nonisolated(unsafe) let trainingKernels: UnsafePointer<hg_training_kernels>
  /// Its place among those that this processor can run.
  let index: Int32

  private init(index: Int32) {
    kernels = hg_kernels_at(index)
    trainingKernels = hg_training_kernels_at(index)
    self.index = index
  }

  /// The name: `avx512`, `avx2`, `neon`, `baseline` or `reference`.
  package var description: String { String(cString: kernels.pointee.name) }

  /// All implementations for this processor, fastest first; the scalar reference comes last.
  package static var available: [InstructionSet] {
    (0..<hg_kernels_count()).map { InstructionSet(index: $0) }
  }

  /// The fastest one, or the one that the environment variable `HGNET_INSTRUCTION_SET` names where it is available.
  package static var best: InstructionSet {
    let all = available
    if let name = getenv("HGNET_INSTRUCTION_SET").map({ String(cString: $0) }),
      let named = all.first(where: { $0.description == name })
    {
      return named
    }
    return all.first ?? InstructionSet(index: 0)
  }
}
