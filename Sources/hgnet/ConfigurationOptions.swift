import ArgumentParser
import HGNet
import HGNetConfiguration
import HGNetCore

/// `-c FILE -o KEY=VALUE …`, as in PaddleClas.
struct ConfigurationOptions: ParsableArguments {
  @Option(
    name: [.customShort("c"), .customLong("config")],
    help: ArgumentHelp("A PaddleClas configuration in YAML.", valueName: "file"))
  var file: String?

  @Option(
    name: [.customShort("o"), .customLong("override")], parsing: .unconditionalSingleValue,
    help: ArgumentHelp("Override one key, such as Infer.PostProcess.topk=3; repeatable.", valueName: "key=value"))
  var overrides: [String] = []

  @Flag(name: .shortAndLong, help: "Print the configuration with its overrides, and what is loaded, to standard error.")
  var verbose = false

  @Option(name: [.customShort("p"), .customLong("profiler_options")], help: .hidden)
  var profilerOptions: String?

  /// The configuration, after saying which keys have no effect; nil without `-c`.
  ///
  /// - Parameter honoringDevice: whether a GPU that it asks for has an effect.
  func load(honoringDevice: Bool = false) throws -> Configuration? {
    guard let file else {
      guard overrides.isEmpty else {
        throw HGNetError(
          .invalidArgument, "expected a configuration whose key is overridden; give one with -c FILE", key: "-o")
      }
      return nil
    }
    let configuration = try Configuration(contentsOf: file, overrides: overrides)
    if let notice = configuration.notice(honoringDevice: honoringDevice) { StandardError.write("hgnet: \(notice)") }
    if verbose { for line in configuration.root.lines() { StandardError.write(line) } }
    return configuration
  }

  /// The configuration that a command cannot do without.
  func require(honoringDevice: Bool = false) throws -> Configuration {
    guard let configuration = try load(honoringDevice: honoringDevice) else {
      throw HGNetError(
        .invalidArgument, "expected a configuration; give one with -c FILE, such as Configs/PPHGNetV2_B4.yaml")
    }
    return configuration
  }
}

extension WeightsRecipe {
  /// Says on standard error what could not be used and what is assumed; with `-v` also where the recipe was found.
  func tell(verbose: Bool = false, isFirst: Bool = true) {
    guard isFirst else { return }
    for warning in warnings { StandardError.write("hgnet: warning: \(warning)") }
    if let assumption { StandardError.write("hgnet: note: \(assumption)") }
    if verbose, assumption == nil { StandardError.write("hgnet: transforms and labels of \(origin)") }
  }
}
