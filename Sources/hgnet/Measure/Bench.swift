import ArgumentParser
import HGNet
import HGNetCore
import HGNetFormats
import HGNetCPU
import HGNetModels

/// Measures the time per run and the memory of a network.
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure load time, time per run and peak memory of a network.",
    discussion: """
      A model by name gets random weights (in int8 with ranges calibrated on noise). HGNET_VERBOSE=1 prints a line per layer; \
      --roofline compares the minimum time of each layer with the limits of the machine. With --training a run is a whole \
      training step: forward pass, cross entropy, backward pass and Momentum update on one batch.
      """)

  @Argument(
    help: ArgumentHelp("A model such as PPHGNetV2_B4, or a file of weights.", valueName: "model-or-file"),
    completion: .modelNames)
  var subject: String

  @Flag(help: "Measure training steps instead of inference.")
  var training = false

  @Flag(help: "Compare each layer with the peak arithmetic and memory bandwidth of this machine.")
  var roofline = false

  @Flag(help: "Print the minimum time of each layer (on a GPU by timestamp queries).")
  var verbose = false

  @Option(help: ArgumentHelp("The batch size. (default: 1; with --training 16)", valueName: "n"))
  var batch: Int?

  @Option(name: .customLong("input-size"), help: ArgumentHelp("Height and width in pixels.", valueName: "HxW"))
  var inputSize: SizeArgument?

  @Option(help: ArgumentHelp("Measured runs. (default: 50; with --training 10)", valueName: "k"))
  var iterations: Int?

  @Option(help: ArgumentHelp("Warm-up runs. (default: 5; with --training 2)", valueName: "k"))
  var warmup: Int?

  @Option(
    help: ArgumentHelp(
      "With --training and --precision bfloat16: O1 (default), or O2, which keeps more in bfloat16.", valueName: "level"
    ))
  var level: MixedPrecision?

  @Flag(help: "Print JSON, with the time of every run.")
  var json = false

  @OptionGroup var compute: DeviceOptions

  func validate() throws {
    func check(_ value: Int?, _ name: String, _ range: ClosedRange<Int>) throws {
      if let value, !range.contains(value) {
        throw ValidationError("expected \(name) of \(range.lowerBound) to \(range.upperBound), found \(value)")
      }
    }
    if training { try compute.precision.requireTraining() }
    if level != nil, !training || ![.bfloat16, .auto].contains(compute.precision.precision) {
      throw ValidationError("--level is of training steps in bfloat16; give it with --training --precision bfloat16")
    }
    if training, roofline || verbose {
      throw ValidationError("--\(roofline ? "roofline" : "verbose") shows the steps of inference; leave out --training")
    }
    try check(batch, "--batch", 1...65536)
    try check(iterations, "--iterations", 1...10_000_000)
    try check(warmup, "--warmup", 0...10_000_000)
  }

  func run() throws {
    guard training else { return try measureInference() }
    let device = try compute.silentDevice()
    let bench = TrainingBench(
      subject: subject, batch: batch ?? 16, size: inputSize?.size, iterations: iterations ?? 10, warmup: warmup ?? 2,
      device: device, level: device.chosenPrecision == .bfloat16 ? level ?? .o1 : nil)
    let report = try bench.measure()
    try StandardOutput.write(json ? report.json : report.text)
  }

  private func measureInference() throws {
    let (batch, iterations, warmup) = (self.batch ?? 1, self.iterations ?? 50, self.warmup ?? 5)
    let clock = ContinuousClock()
    let begin = clock.now
    let opened = try ModelOrFile(subject)
    let device = try compute.device(for: opened.file?.parameters)
    if roofline, device.kind != .cpu {
      throw ValidationError("--roofline knows the processor only; --verbose shows the steps of other devices")
    }
    let isTimed = roofline || verbose
    let graph = opened.graph
    let size = inputSize?.size ?? graph.inputSize
    let model = try InferenceModel(graph: graph, parameters: opened.parameters(for: device), device: device)
    var session = try model.session(batch: batch, inputSize: size, isTimed: isTimed)
    let load = clock.now - begin

    session.withInput { FixedNoise.fill($0) }
    var first: Duration?
    func execute(_ session: inout Session) throws(HGNetError) {
      try session.execute()
      if first == nil { first = clock.now - begin }
    }
    for _ in 0..<warmup { try execute(&session) }
    var times: [Double] = []
    times.reserveCapacity(iterations)
    var steps = [Double](repeating: .infinity, count: isTimed ? session.layerDescriptions.count : 0)
    for _ in 0..<iterations {
      let start = clock.now
      try execute(&session)
      times.append((clock.now - start).milliseconds)
      if isTimed {
        for (index, time) in session.layerSeconds().enumerated() { steps[index] = min(steps[index], time) }
      }
    }
    let report = BenchReport(
      title: opened.model?.name ?? subject, isRandom: opened.file == nil, batch: batch, size: size,
      threads: device.pool.count,
      instructionSet: device.engine.arithmetic, load: load.milliseconds, first: (first ?? load).milliseconds,
      times: RunTimes(times),
      parameterCount: graph.parameters.reduce(0) { $0 + $1.shape.count },
      multiplyAdds: try graph.resized(to: size).multiplyAdds,
      peakMemory: PeakMemory.bytes)
    guard isTimed else { return try StandardOutput.write(json ? report.json : report.text) }
    let table = RooflineReport(
      peak: roofline ? try MachinePeak.measured(on: device.pool) : nil, steps: session.layerDescriptions, seconds: steps
    )
    try StandardOutput.write(json ? report.json(with: table.json) : report.text + "\n\n" + table.text)
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
  /// Until the first result, what a driver compiles by then included.
  let first: Double
  let times: RunTimes
  let parameterCount: Int
  let multiplyAdds: Int
  let peakMemory: Int

  /// The report for people.
  var text: String {
    func milliseconds(_ value: Double) -> String { FixedPoint.text(value, digits: 2, width: 9) + " ms" }
    let median = times.median
    let rate = Double(batch) / median * 1000
    let speed = Double(multiplyAdds) * 2 * Double(batch) / median / 1e6
    return """
      \(title)\(isRandom ? " (random weights)" : ""), input \(batch)×3×\(size), \(threads) \
      thread\(threads == 1 ? "" : "s"), \(instructionSet)
        load     \(milliseconds(load))\(isRandom ? "   drawing the weights included" : "")
        first    \(milliseconds(first))   until the first result
        minimum  \(milliseconds(times.minimum))
        median   \(milliseconds(median))   \(FixedPoint.text(rate, digits: 1)) pictures/s, \
      \(FixedPoint.text(speed, digits: 0)) GFLOP/s of direct arithmetic
        90 %     \(milliseconds(times.percentile(0.9)))
        99 %     \(milliseconds(times.percentile(0.99)))
        maximum  \(milliseconds(times.maximum))   (\(times.milliseconds.count) run\(times.milliseconds.count == 1 ? "" : "s"))
        memory   \(FixedPoint.text(Double(peakMemory) / 1e6, digits: 1, width: 9)) MB at the peak; the weights are \
      \(FixedPoint.text(Double(parameterCount) * 4 / 1e6, digits: 1)) MB
      """
  }

  /// The report for programs.
  var json: String { json(with: []) }

  /// The report for programs with more members.
  func json(with members: [(String, JSONText)]) -> String {
    JSONText.object(
      [
        ("model", .text(title)), ("random_weights", .boolean(isRandom)), ("batch", .integer(batch)),
        ("input_size", .list([.integer(size.height), .integer(size.width)])), ("threads", .integer(threads)),
        ("instruction_set", .text(instructionSet)), ("load_milliseconds", .number(load)),
        ("first_result_milliseconds", .number(first)),
      ] + times.json + [
        ("multiply_adds", .integer(multiplyAdds)), ("weight_bytes", .integer(parameterCount * 4)),
        ("peak_memory_bytes", .integer(peakMemory)),
        ("iteration_milliseconds", .list(times.milliseconds.map { .number($0) })),
      ] + members
    ).line
  }
}
