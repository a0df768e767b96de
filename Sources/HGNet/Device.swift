import HGNetCPU
import HGNetCore
import HGNetProgram
import HGNetReference

/// What networks run on, and the host's threads that read and prepare pictures beside it.
///
/// The one place where an engine is chosen. Threads: safe to share.
public struct Device: Sendable, CustomStringConvertible {
  /// The kinds of devices.
  public enum Kind: String, Sendable, CaseIterable {
    /// The host's processor.
    case cpu
    /// The same in float64 by the definition of each layer: exact and very slow, to check others with.
    case reference
  }

  /// The kind.
  public let kind: Kind
  /// The host's threads; those of the processor's engine, too.
  public let pool: ThreadPool
  /// What runs networks.
  package let engine: any Engine

  /// Names a device.
  ///
  /// - Parameters:
  ///   - kind: what runs networks.
  ///   - pool: the host's threads.
  public init(_ kind: Kind, pool: ThreadPool = ThreadPool()) {
    self.kind = kind
    self.pool = pool
    engine =
      switch kind {
      case .cpu: CPUEngine(pool: pool)
      case .reference: ReferenceEngine()
      }
  }

  /// The processor with the kernels of one instruction set.
  package init(pool: ThreadPool, instructionSet: InstructionSet) {
    kind = .cpu
    self.pool = pool
    engine = CPUEngine(pool: pool, instructionSet: instructionSet)
  }

  /// The processor with some threads.
  public static func cpu(_ pool: ThreadPool = ThreadPool()) -> Device { Device(.cpu, pool: pool) }

  /// The processor with a number of threads.
  ///
  /// - Parameter threads: 1 … 1024; nil for as many as the affinity mask, the control group and `HGNET_NUM_THREADS` allow.
  /// - Throws: `HGNetError.Code.invalidArgument` for other numbers.
  public static func cpu(threads: Int?) throws(HGNetError) -> Device {
    guard let threads else { return .cpu() }
    return .cpu(try ThreadPool(threads: threads))
  }

  /// The reference.
  public static var reference: Device { Device(.reference) }

  /// The device in words, such as `cpu, avx512, 2 threads`.
  public var description: String { engine.deviceDescription }
}
