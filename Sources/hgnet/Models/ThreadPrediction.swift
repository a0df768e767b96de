import HGNet
import HGNetCPU
import HGNetCore
import HGNetFormats
import HGNetProgram

/// What a run would take with other numbers of threads, by the cuts of the plan and the times of one thread here.
struct ThreadPrediction {
  /// For 1, 2, 4 … threads, the wanted number last.
  let scalings: [ThreadScaling]
  /// Seconds of a run that were measured here, by the number of threads.
  let measured: [Int: Double]
  let processor: ThreadScaling.Processor

  /// Runs the network with one thread and with as many as there are, and predicts the rest.
  ///
  /// - Parameters:
  ///   - opened: the network.
  ///   - extent: batch and picture size.
  ///   - threads: the largest number, 1 … 1024.
  ///   - precision: what is computed with; nil for the fastest.
  ///   - socketReading: bytes a second that a socket reads from memory.
  /// - Throws: what compiling and running the network throws.
  init(
    of opened: ModelOrFile, extent: RunExtent, threads: Int, precision: Precision?, socketReading: Double
  ) throws(HGNetError) {
    let device = Device.cpu(ThreadPool(count: 1), precision: precision)
    let engine = CPUEngine(pool: device.pool)
    let parameters = try opened.parameters(for: device)
    let compiled = try engine.compile(
      Program(opened.graph), parameters: parameters, precision: device.precision(for: parameters))
    var layers: [Double] = []
    let alone = try ThreadPrediction.fastest(compiled.session(extent, memory: nil, isTimed: true)) { times in
      layers = layers.isEmpty ? times : zip(layers, times).map { min($0, $1) }
    }
    var measured = [1: alone]
    let count = min(ProcessorCount.current().count, threads)
    if count > 1 {
      let shared = try CPUEngine(pool: ThreadPool(count: count)).sharing(compiled)
      measured[count] = try ThreadPrediction.fastest(shared.session(extent)) { _ in }
    }
    self.measured = measured
    processor = ThreadScaling.Processor(
      threadReading: try MachinePeak.measured(on: device.pool).reading, socketReading: socketReading)
    var scalings: [ThreadScaling] = []
    var next = 1
    while scalings.last?.threads != threads {
      scalings.append(try engine.scaling(of: compiled, extent: extent, threads: next, alone: layers, on: processor))
      next = min(2 * next, threads)
    }
    self.scalings = scalings
  }

  /// The least time of a run in seconds, of twelve runs at least and of two seconds of runs at most.
  private static func fastest(
    _ session: any EngineSession, _ layerSeconds: ([Double]) -> Void
  ) throws(HGNetError) -> Double {
    session.withInput { FixedNoise.fill($0) }
    let clock = ContinuousClock()
    var (best, sum, runs) = (Double.infinity, 0.0, 0)
    while runs < 12 || (sum < 2 && runs < 200) {
      let begin = clock.now
      try session.execute()
      let took = (clock.now - begin).milliseconds / 1000
      (best, sum, runs) = (min(best, took), sum + took, runs + 1)
      // The first runs touch memory for the first time.
      if runs > 2 { layerSeconds(session.layerSeconds) }
    }
    return best
  }

  /// The table of all numbers of threads, then the layers that lose most with the largest.
  var text: String {
    func number(_ value: Double, _ digits: Int) -> String { FixedPoint.text(value, digits: digits) }
    var table = TextTable(titles: ["threads", "predicted ms", "efficiency", "measured here, ms"])
    table.rightAligned = [0, 1, 2, 3]
    for scaling in scalings {
      table.append([
        "\(scaling.threads)", number(scaling.seconds * 1e3, 2), number(scaling.efficiency * 100, 0) + " %",
        measured[scaling.threads].map { number($0 * 1e3, 2) } ?? "",
      ])
    }
    guard let last = scalings.last, last.threads > 1 else { return table.text }
    var layers = TextTable(titles: ["layer", "by", "tasks", "alone ms", "predicted ms", "lost ms"])
    layers.rightAligned = [2, 3, 4, 5]
    func lost(_ layer: ThreadScaling.LayerTime) -> Double { layer.seconds - layer.alone / Double(last.threads) }
    for layer in last.layers.sorted(by: { lost($0) > lost($1) }).prefix(20) {
      let counts = layer.tasks.count == 1 ? "" : "\(layer.tasks.count) × "
      layers.append([
        layer.name, layer.algorithm, counts + "\(layer.tasks.first ?? 0)", number(layer.alone * 1e3, 3),
        number(layer.seconds * 1e3, 3), number(lost(layer) * 1e3, 3),
      ])
    }
    return """
      \(table.text)

      Predicted for cores like those of this machine: a layer takes as long as the thread with most of its tasks,
      and at least as long as its weights take from memory, read at \(number(processor.threadReading / 1e9, 1)) GB/s by a \
      thread and at \(number(processor.socketReading / 1e9, 0)) GB/s by all.

      Of \(last.threads) threads, the layers that lose most:

      \(layers.text)
      """
  }
}
