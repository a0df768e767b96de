import ArgumentParser
import HGNetCore
import HGNetPlatform

/// `--threads N`.
struct ThreadOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The number of threads (default: all cores that the affinity mask, the control group and HGNET_NUM_THREADS allow).",
      valueName: "n"))
  var threads: Int?

  func validate() throws {
    if let threads, !(1...1024).contains(threads) {
      throw ValidationError("expected 1 to 1024 threads, found \(threads)")
    }
  }

  /// The threads of this process: as many as wanted and allowed.
  ///
  /// - Parameter defaultCount: how many are wanted where the command line says nothing.
  func pool(defaultCount: Int? = nil) -> ThreadPool {
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
    return ThreadPool(count: min(threads ?? defaultCount ?? allowed.count, allowed.count))
  }
}
