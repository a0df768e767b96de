import ArgumentParser
import HGNet

/// `--device NAME` and `--threads N`.
struct DeviceOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "What runs the network: cpu, or reference (float64 by the definition of each layer, to check with; very slow).",
      valueName: "name"))
  var device: Device.Kind = .cpu

  @OptionGroup var compute: ThreadOptions

  /// What networks run on, with as many threads as wanted and allowed.
  ///
  /// - Parameter defaultCount: how many are wanted where the command line says nothing.
  func device(defaultCount: Int? = nil) -> Device { Device(device, pool: compute.pool(defaultCount: defaultCount)) }
}

extension Device.Kind: ExpressibleByArgument {}
