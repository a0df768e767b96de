import ArgumentParser
import HGNet
import HGNetCore

/// `--device NAME`, `--precision NAME` and `--threads N`, for training.
struct TrainingDeviceOptions: ParsableArguments {
  @Option(help: DeviceOptions.deviceHelp) var device: Device.Kind = .cpu

  @Option(
    help: ArgumentHelp(
      "What training computes with: float32, or bfloat16 for products. By default bfloat16 where the configuration has AMP and this machine is quicker with it, else float32.",
      valueName: "name"))
  var precision: PrecisionChoice?

  @OptionGroup var compute: ThreadOptions

  func validate() throws {
    if precision == .int8 {
      throw ValidationError(
        "expected --precision float32 or bfloat16, found int8; training for it is Slim.quant.name=pact")
    }
  }

  /// What networks run on, with as many threads as wanted and allowed; evaluations as `hgnet eval` would.
  func training(configured: PrecisionChoice?) -> Device {
    // Weights in training are float.
    let evaluation = configured == .int8 ? nil : configured
    return Device(device, pool: compute.pool(), precision: (precision ?? evaluation ?? .float32).precision)
  }

  /// What training computes with; nil for what the configuration says.
  func precision(on device: Device) -> Precision? {
    precision.map { $0.precision ?? device.engine.fastestPrecision }
  }
}

/// `--device NAME`, `--precision NAME` and `--threads N`.
struct DeviceOptions: ParsableArguments {
  static let deviceHelp = ArgumentHelp(
    "What runs the network: cpu, or reference (float64 by the definition of each layer, to check with; very slow).",
    valueName: "name")

  @Option(help: deviceHelp) var device: Device.Kind = .cpu

  @OptionGroup var precision: PrecisionOptions

  @OptionGroup var compute: ThreadOptions

  /// What networks run on, with as many threads as wanted and allowed.
  ///
  /// - Parameters:
  ///   - defaultCount: how many are wanted where the command line says nothing.
  ///   - configured: what a configuration asks for, where the command line says nothing.
  ///   - parameters: of the network, for the line that says what `auto` is; nil where they are in float.
  func device(
    defaultCount: Int? = nil, configured: PrecisionChoice? = nil, for parameters: ParameterStore? = nil
  ) -> Device {
    let device = silentDevice(defaultCount: defaultCount, configured: configured)
    let taken = parameters.map { device.precision(for: $0) } ?? device.chosenPrecision
    if device.precision == nil { StandardError.write("hgnet: note: --precision auto: \(taken.rawValue)") }
    return device
  }

  /// The same, for those who tell later what `auto` is, once they know the weights.
  func silentDevice(defaultCount: Int? = nil, configured: PrecisionChoice? = nil) -> Device {
    let chosen = precision.precision ?? configured ?? .float32
    return Device(device, pool: compute.pool(defaultCount: defaultCount), precision: chosen.precision)
  }
}

/// `--precision NAME`.
struct PrecisionOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "What the network computes with: float32 (default), bfloat16, int8 for weights of hgnet quantize, or auto for the fastest on this machine.",
      valueName: "name"))
  var precision: PrecisionChoice?
}

extension PrecisionOptions {
  /// Refuses what training cannot do.
  func requireTraining() throws {
    guard precision == .int8 else { return }
    throw ValidationError("training computes in float32 or bfloat16; leave out --precision int8")
  }
}

extension Device.Kind: ExpressibleByArgument {}
extension PrecisionChoice: ExpressibleByArgument {}
extension MixedPrecision: ExpressibleByArgument {}
