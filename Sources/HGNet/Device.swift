import HGNetCPU
import HGNetCore
import HGNetGPU
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
    /// A graphics processor, through Vulkan.
    case gpu
    /// The processor in float64 by the definition of each layer: exact and very slow, to check others with.
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

  /// Opens a device.
  ///
  /// - Parameters:
  ///   - choice: what is wanted.
  ///   - pool: the host's threads.
  ///   - precision: what networks compute with; nil for the fastest.
  /// - Throws: `HGNetError.Code.deviceFailure` for a GPU where none is found or it cannot be opened, saying what was looked
  ///   for and what is there; `invalidArgument` for a number that there is not.
  public init(
    _ choice: DeviceChoice, pool: ThreadPool = ThreadPool(), precision: Precision? = .float32
  ) throws(HGNetError) {
    switch choice {
    case .cpu: self.init(.cpu, CPUEngine(pool: pool), pool: pool, precision: precision)
    case .reference: self.init(.reference, ReferenceEngine(), pool: pool, precision: precision)
    case .gpu(let number): self.init(.gpu, try GPUEngine(number: number), pool: pool, precision: precision)
    case .auto:
      do throws(HGNetError) {
        self.init(.gpu, try GPUEngine(number: nil), pool: pool, precision: precision)
      } catch {
        self.init(.cpu, CPUEngine(pool: pool), pool: pool, precision: precision)
      }
    }
  }

  private init(_ kind: Kind, _ engine: any Engine, pool: ThreadPool, precision: Precision?) {
    (self.kind, self.engine, self.pool, self.precision) = (kind, engine, pool, precision)
  }

  /// The processor with the kernels of one instruction set.
  package init(pool: ThreadPool, instructionSet: InstructionSet, precision: Precision? = .float32) {
    self.init(.cpu, CPUEngine(pool: pool, instructionSet: instructionSet), pool: pool, precision: precision)
  }

  /// The same device with another precision.
  package func computing(with precision: Precision) -> Device {
    Device(kind, engine, pool: pool, precision: precision)
  }

  /// The same device with other threads of the host.
  package func with(_ pool: ThreadPool) -> Device {
    Device(kind, kind == .cpu ? CPUEngine(pool: pool) : engine, pool: pool, precision: precision)
  }

  /// The processor with some threads.
  public static func cpu(_ pool: ThreadPool = ThreadPool(), precision: Precision? = .float32) -> Device {
    Device(.cpu, CPUEngine(pool: pool), pool: pool, precision: precision)
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
  public static var reference: Device {
    Device(.reference, ReferenceEngine(), pool: ThreadPool(), precision: .float32)
  }

  /// A GPU.
  ///
  /// - Parameters:
  ///   - number: its place in `GPU.all()`; nil for the first that is no software.
  ///   - pool: the host's threads, which read and prepare pictures.
  /// - Throws: as `init(_:pool:precision:)`.
  public static func gpu(_ number: Int? = nil, pool: ThreadPool = ThreadPool()) throws(HGNetError) -> Device {
    try Device(.gpu(number), pool: pool)
  }

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
    case .float16: "the device is quicker with it than with float32"
    case .float32: "the weights are not quantised, and the device is not quicker with 16 bits"
    }
  }

  /// What networks compute with whose weights are float32.
  public var chosenPrecision: Precision { precision ?? engine.fastestPrecision }
}
