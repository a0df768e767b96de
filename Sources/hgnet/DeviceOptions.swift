import ArgumentParser
import HGNet
import HGNetCore

/// `--device NAME`, `--precision NAME` and `--threads N`, for training.
struct TrainingDeviceOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The device: cpu (default), gpu, gpu:N as listed by hgnet devices, auto (a GPU if there is one, else cpu), or reference (float64, very slow).",
      valueName: "name"))
  var device: DeviceChoice?

  @Option(
    help: ArgumentHelp(
      "The precision: float32, or bfloat16 (mixed precision). Default: bfloat16 if the configuration has AMP and this machine is faster with it, else float32.",
      valueName: "name"))
  var precision: PrecisionChoice?

  @OptionGroup var compute: ThreadOptions

  func validate() throws {
    if precision == .float16 { throw ValidationError("expected --precision float32 or bfloat16, found float16") }
    if precision == .int8 {
      throw ValidationError(
        "expected --precision float32 or bfloat16, found int8; training for it is Slim.quant.name=pact")
    }
  }

  /// What networks run on, with as many threads as wanted and allowed; evaluations as `hgnet eval` would.
  ///
  /// - Parameters:
  ///   - configured: the precision that a configuration asks for.
  ///   - gpu: the GPU that it asks for; where there is none, the processor trains, with a note.
  /// - Throws: as `Device`.
  func training(configured: PrecisionChoice?, gpu: String?) throws(HGNetError) -> Device {
    // Weights in training are float.
    let evaluation = configured == .int8 ? nil : configured
    return try openDevice(device, gpu: gpu, pool: compute.pool(), precision: precision, configured: evaluation)
  }

  /// What training computes with; nil for what the configuration says.
  func precision(on device: Device) -> Precision? {
    precision.map { $0.precision ?? device.engine.fastestPrecision }
  }
}

/// Opens what a command line asks for, else what a configuration asks for, else the processor.
///
/// - Throws: as `Device`.
private func openDevice(
  _ device: DeviceChoice?, gpu: String?, pool: ThreadPool, precision: PrecisionChoice?, configured: PrecisionChoice?
) throws(HGNetError) -> Device {
  func open(_ choice: DeviceChoice) throws(HGNetError) -> Device {
    // 16 bits that a configuration asks for are those of the device.
    let isGPU: Bool = if case .gpu = choice { true } else { false }
    let chosen = precision ?? (isGPU && configured == .bfloat16 ? .float16 : configured) ?? .float32
    return try Device(choice, pool: pool, precision: chosen.precision)
  }
  if device == nil, let gpu {
    do throws(HGNetError) {
      guard let choice = DeviceChoice(gpu) else {
        throw HGNetError(.invalidConfiguration, "expected gpu or gpu:N, found \(HGNetError.quoted(gpu))")
      }
      return try open(choice)
    } catch {
      StandardError.write("hgnet: note: Global.device \(gpu): \(error); the processor computes")
    }
  }
  let opened = try open(device ?? .cpu)
  if device == .auto { StandardError.write("hgnet: note: --device auto: \(opened)") }
  return opened
}

/// `--device NAME`, `--precision NAME` and `--threads N`.
struct DeviceOptions: ParsableArguments {
  static let deviceHelp = ArgumentHelp(
    "The device: cpu (default), gpu, gpu:N as listed by hgnet devices, auto (a GPU if there is one, else cpu), or reference (float64, exact and very slow).",
    valueName: "name")

  @Option(help: deviceHelp) var device: DeviceChoice?

  @OptionGroup var precision: PrecisionOptions

  @OptionGroup var compute: ThreadOptions

  /// What networks run on, with as many threads as wanted and allowed.
  ///
  /// - Parameters:
  ///   - defaultCount: how many are wanted where the command line says nothing.
  ///   - configured: the precision that a configuration asks for, where the command line says nothing.
  ///   - gpu: the GPU that it asks for; where there is none, the processor does it, with a note.
  ///   - parameters: of the network, for the line that says what `auto` is; nil where they are in float.
  /// - Throws: as `Device`.
  func device(
    defaultCount: Int? = nil, configured: PrecisionChoice? = nil, gpu: String? = nil,
    for parameters: ParameterStore? = nil
  ) throws(HGNetError) -> Device {
    let device = try silentDevice(defaultCount: defaultCount, configured: configured, gpu: gpu)
    let taken = parameters.map { device.precision(for: $0) } ?? device.chosenPrecision
    if device.precision == nil { StandardError.write("hgnet: note: --precision auto: \(taken.rawValue)") }
    return device
  }

  /// The same, for those who tell later what `auto` is, once they know the weights.
  ///
  /// - Throws: as `Device`.
  func silentDevice(
    defaultCount: Int? = nil, configured: PrecisionChoice? = nil, gpu: String? = nil
  ) throws(HGNetError) -> Device {
    try openDevice(
      device, gpu: gpu, pool: compute.pool(defaultCount: defaultCount), precision: precision.precision,
      configured: configured)
  }
}

/// `--precision NAME`.
struct PrecisionOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The precision: float32 (default), bfloat16, float16 (GPU), int8 (weights of hgnet quantize), or auto (the fastest on this machine).",
      valueName: "name"))
  var precision: PrecisionChoice?
}

extension PrecisionOptions {
  /// Refuses what training cannot do.
  func requireTraining() throws {
    guard let precision, precision == .int8 || precision == .float16 else { return }
    throw ValidationError("training computes in float32 or bfloat16; leave out --precision \(precision.rawValue)")
  }
}

extension DeviceChoice: ExpressibleByArgument {
  /// Reads the word on the command line.
  public init?(argument: String) { self.init(argument) }
}
extension PrecisionChoice: ExpressibleByArgument {}
extension MixedPrecision: ExpressibleByArgument {}
