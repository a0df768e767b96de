import ArgumentParser
import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetModels
import HGNetPlatform

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
  func load() throws -> Configuration? {
    guard let file else {
      guard overrides.isEmpty else {
        throw HGNetError(
          .invalidArgument, "expected a configuration whose key is overridden; give one with -c FILE", key: "-o")
      }
      return nil
    }
    let configuration = try Configuration(contentsOf: file, overrides: overrides)
    if let notice = configuration.notice { StandardError.write("hgnet: \(notice)") }
    if verbose { for line in configuration.root.lines() { StandardError.write(line) } }
    return configuration
  }

  /// The configuration that a command cannot do without.
  func require() throws -> Configuration {
    guard let configuration = try load() else {
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

/// `--threads N`.
struct ThreadOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Threads, at most the processors that affinity, control group and HGNET_NUM_THREADS allow; otherwise all of them.",
      valueName: "n"))
  var threads: Int?

  func validate() throws {
    if let threads, !(1...1024).contains(threads) {
      throw ValidationError("expected 1 to 1024 threads, found \(threads)")
    }
  }

  /// The threads of this process: as many as wanted and allowed.
  ///
  /// - Parameter standard: how many are wanted where the command line says nothing.
  func pool(standard: Int? = nil) -> ThreadPool {
    if let text = getenv("HGNET_NUM_THREADS").map({ String(cString: $0) }), !text.isEmpty, (Int(text) ?? 0) < 1 {
      StandardError.write(
        "hgnet: warning: HGNET_NUM_THREADS: expected a whole number of at least 1, found \(HGNetError.quoted(text)); it is ignored"
      )
    }
    let allowed = ProcessorCount.current()
    if threads == nil, let wish = ProcessorCount.excessiveWish(over: allowed) {
      StandardError.write("hgnet: note: HGNET_NUM_THREADS=\(wish): \(allowed.count) at most here (\(allowed.reason))")
    }
    if let threads, threads > allowed.count {
      StandardError.write("hgnet: note: --threads \(threads): \(allowed.count) at most here (\(allowed.reason))")
    }
    return ThreadPool(count: min(threads ?? standard ?? allowed.count, allowed.count))
  }
}

/// Height and width on the command line: `224`, `193x257`.
struct SizeArgument: ExpressibleByArgument {
  let size: Size

  init?(argument: String) {
    let parts = argument.lowercased().split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
    switch parts.count {
    case 1:
      guard let side = parts[0], side > 0 else { return nil }
      size = Size(side)
    case 2:
      guard let height = parts[0], let width = parts[1], height > 0, width > 0 else { return nil }
      size = Size(height: height, width: width)
    default: return nil
    }
  }

  var defaultValueDescription: String { "\(size.height)x\(size.width)" }
}
