import ArgumentParser
import HGNet
import HGNetCore
import HGNetEngine
import HGNetModels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Measures the time per run and the memory of a network.
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure load time, time per run and peak memory of a network.",
    discussion: "A model by name gets random weights. Set HGNET_VERBOSE=1 for a line per step of the network.")

  @Argument(help: ArgumentHelp("A model such as PPHGNetV2_B4, or a file of weights.", valueName: "model-or-file"))
  var subject: String

  @Option(help: ArgumentHelp("Pictures per run.", valueName: "n"))
  var batch = 1

  @Option(name: .customLong("input-size"), help: ArgumentHelp("Height and width in pixels.", valueName: "HxW"))
  var inputSize: SizeArgument?

  @Option(help: ArgumentHelp("Runs that are measured.", valueName: "k"))
  var iterations = 50

  @Option(help: ArgumentHelp("Runs before, which are not measured.", valueName: "k"))
  var warmup = 5

  @Flag(help: "Print JSON, with the time of every run.")
  var json = false

  @OptionGroup var compute: ThreadOptions

  func validate() throws {
    guard (1...65536).contains(batch) else { throw ValidationError("expected --batch of 1 to 65536, found \(batch)") }
    guard (1...10_000_000).contains(iterations) else {
      throw ValidationError("expected --iterations of 1 to 10000000, found \(iterations)")
    }
    guard (0...10_000_000).contains(warmup) else {
      throw ValidationError("expected --warmup of 0 to 10000000, found \(warmup)")
    }
  }

  func run() throws {
    let pool = compute.pool()
    let clock = ContinuousClock()
    let begin = clock.now
    let opened = try ModelOrFile(subject)
    let graph = opened.graph
    let size = inputSize?.size ?? graph.inputSize
    let model = try InferenceModel(graph: graph, parameters: opened.parameters())
    var session = try model.session(batch: batch, inputSize: size, pool: pool)
    let load = clock.now - begin

    session.withInput { values in
      // Any numbers will do, but the same ones each time, and none so small that arithmetic slows down.
      var state: UInt32 = 1
      for index in values.indices {
        state = state &* 1_664_525 &+ 1_013_904_223
        values[index] = Float(state >> 8) / Float(1 << 23) - 1
      }
    }
    for _ in 0..<warmup { session.execute() }
    var times: [Double] = []
    times.reserveCapacity(iterations)
    for _ in 0..<iterations {
      let start = clock.now
      session.execute()
      times.append((clock.now - start).milliseconds)
    }
    let report = BenchReport(
      title: opened.model?.name ?? subject, isRandom: opened.file == nil, batch: batch, size: size, threads: pool.count,
      instructionSet: model.instructionSet.description, load: load.milliseconds, times: times,
      parameterCount: graph.parameters.reduce(0) { $0 + $1.shape.count },
      multiplyAdds: try graph.resized(to: size).multiplyAdds,
      peakMemory: PeakMemory.bytes)
    try StandardOutput.write(json ? report.json : report.text)
  }
}

/// What was measured, in milliseconds and bytes.
struct BenchReport {
  let title: String
  let isRandom: Bool
  let batch: Int
  let size: Size
  let threads: Int
  let instructionSet: String
  let load: Double
  let times: [Double]
  let parameterCount: Int
  let multiplyAdds: Int
  let peakMemory: Int

  private var sorted: [Double] { times.sorted() }

  private func percentile(_ share: Double, of sorted: [Double]) -> Double {
    sorted[min(sorted.count - 1, max(0, Int((share * Double(sorted.count)).rounded(.up)) - 1))]
  }

  /// The report for people.
  var text: String {
    let sorted = self.sorted
    func milliseconds(_ value: Double) -> String { FixedPoint.text(value, digits: 2, width: 9) + " ms" }
    let median = percentile(0.5, of: sorted)
    let rate = Double(batch) / median * 1000
    let speed = Double(multiplyAdds) * 2 * Double(batch) / median / 1e6
    return """
      \(title)\(isRandom ? " (random weights)" : ""), input \(batch)×3×\(size), \(threads) \
      thread\(threads == 1 ? "" : "s"), \(instructionSet)
        load     \(milliseconds(load))\(isRandom ? "   drawing the weights included" : "")
        minimum  \(milliseconds(sorted[0]))
        median   \(milliseconds(median))   \(FixedPoint.text(rate, digits: 1)) pictures/s, \
      \(FixedPoint.text(speed, digits: 0)) GFLOP/s of direct arithmetic
        90 %     \(milliseconds(percentile(0.9, of: sorted)))
        99 %     \(milliseconds(percentile(0.99, of: sorted)))
        maximum  \(milliseconds(sorted[sorted.count - 1]))   (\(times.count) run\(times.count == 1 ? "" : "s"))
        memory   \(FixedPoint.text(Double(peakMemory) / 1e6, digits: 1, width: 9)) MB at the peak; the weights are \
      \(FixedPoint.text(Double(parameterCount) * 4 / 1e6, digits: 1)) MB
      """
  }

  /// The report for programs.
  var json: String {
    let sorted = self.sorted
    return JSONText.object([
      ("model", .text(title)), ("random_weights", .boolean(isRandom)), ("batch", .integer(batch)),
      ("input_size", .list([.integer(size.height), .integer(size.width)])), ("threads", .integer(threads)),
      ("instruction_set", .text(instructionSet)), ("load_milliseconds", .number(load)),
      ("minimum_milliseconds", .number(sorted[0])),
      ("mean_milliseconds", .number(times.reduce(0, +) / Double(times.count))),
      ("median_milliseconds", .number(percentile(0.5, of: sorted))),
      ("percentile_90_milliseconds", .number(percentile(0.9, of: sorted))),
      ("percentile_95_milliseconds", .number(percentile(0.95, of: sorted))),
      ("percentile_99_milliseconds", .number(percentile(0.99, of: sorted))),
      ("maximum_milliseconds", .number(sorted[sorted.count - 1])),
      ("multiply_adds", .integer(multiplyAdds)), ("weight_bytes", .integer(parameterCount * 4)),
      ("peak_memory_bytes", .integer(peakMemory)),
      ("iteration_milliseconds", .list(times.map { .number($0) })),
    ]).line
  }
}

/// The largest resident memory of this process so far.
enum PeakMemory {
  static var bytes: Int {
    var usage = rusage()
    #if canImport(Darwin)
      guard getrusage(RUSAGE_SELF, &usage) == 0 else { return 0 }
      return usage.ru_maxrss
    #else
      guard getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
      return usage.ru_maxrss * 1024
    #endif
  }
}

extension Duration {
  /// The length in milliseconds.
  var milliseconds: Double { Double(components.seconds) * 1000 + Double(components.attoseconds) / 1e15 }
}
