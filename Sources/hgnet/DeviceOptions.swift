import ArgumentParser
import HGNet
import HGNetCore

/// `--device NAME` and `--threads N`, for training, which computes in float32.
struct TrainingDeviceOptions: ParsableArguments {
  @Option(help: DeviceOptions.deviceHelp) var device: Device.Kind = .cpu
  @OptionGroup var compute: ThreadOptions

  /// What networks run on, with as many threads as wanted and allowed.
  func training() -> Device { Device(device, pool: compute.pool()) }
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
    guard let precision, precision != .float32 else { return }
    throw ValidationError("training computes in float32; leave out --precision \(precision.rawValue)")
  }
}

extension Device.Kind: ExpressibleByArgument {}
extension PrecisionChoice: ExpressibleByArgument {}
