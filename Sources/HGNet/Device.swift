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
  /// What networks compute with; nil for the fastest precision that the device has for their weights.
  ///
  /// It is a matter of inference; a training run has a precision of its own.
  public let precision: Precision?
  /// What runs networks.
  package let engine: any Engine

  /// Names a device.
  ///
  /// - Parameters:
  ///   - kind: what runs networks.
  ///   - pool: the host's threads.
  ///   - precision: what networks compute with; nil for the fastest.
  public init(_ kind: Kind, pool: ThreadPool = ThreadPool(), precision: Precision? = .float32) {
    self.kind = kind
    self.pool = pool
    self.precision = precision
    engine =
      switch kind {
      case .cpu: CPUEngine(pool: pool)
      case .reference: ReferenceEngine()
      }
  }

  /// The processor with the kernels of one instruction set.
  package init(pool: ThreadPool, instructionSet: InstructionSet, precision: Precision? = .float32) {
    kind = .cpu
    self.pool = pool
    self.precision = precision
    engine = CPUEngine(pool: pool, instructionSet: instructionSet)
  }

  private init(_ device: Device, precision: Precision) {
    (kind, pool, engine) = (device.kind, device.pool, device.engine)
    self.precision = precision
  }

  /// The same device with another precision.
  package func computing(with precision: Precision) -> Device { Device(self, precision: precision) }

  /// The processor with some threads.
  public static func cpu(_ pool: ThreadPool = ThreadPool(), precision: Precision? = .float32) -> Device {
    Device(.cpu, pool: pool, precision: precision)
  }

  /// The processor with a number of threads.
  ///
  /// - Parameters:
  ///   - threads: 1 … 1024; nil for as many as the affinity mask, the control group and `HGNET_NUM_THREADS` allow.
  ///   - precision: what networks compute with; nil for the fastest.
  /// - Throws: `HGNetError.Code.invalidArgument` for other numbers.
  public static func cpu(threads: Int?, precision: Precision? = .float32) throws(HGNetError) -> Device {
    guard let threads else { return .cpu(precision: precision) }
    return .cpu(try ThreadPool(threads: threads), precision: precision)
  }

  /// The reference.
  public static var reference: Device { Device(.reference) }

  /// The device in words, such as `cpu, avx512, 2 threads`, and the precision where it is not float32.
  public var description: String {
    engine.deviceDescription + (chosenPrecision == .float32 ? "" : ", \(chosenPrecision.rawValue)")
  }

  /// What networks with some parameters compute with: the fastest precision for quantised weights is int8.
  package func precision(for parameters: some ParameterSource) -> Precision {
    parameters.ranges.isEmpty || kind != .cpu ? chosenPrecision : precision ?? .int8
  }

  /// Why a precision is the one that the device has chosen, where it was left to it.
  package func reason(for precision: Precision) -> String {
    switch precision {
    case .int8: "the weights are quantised"
    case .bfloat16: "the processor is quicker with it than with float32"
    case .float32: "the weights are not quantised, and the device is not quicker with bfloat16"
    }
  }

  /// What networks compute with whose weights are float32.
  public var chosenPrecision: Precision { precision ?? engine.fastestPrecision }
}
