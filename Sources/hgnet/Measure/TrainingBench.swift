import HGNet
import HGNetCore
import HGNetProgram
import HGNetFormats
import HGNetModels
import HGNetTraining

/// Measures whole training steps: forward, loss, backward and update on one batch that stays the same.
///
/// Cross entropy with smoothing 0.1, Momentum 0.9 with a learning rate of 0.001 and the L2 coefficient of the
/// configurations. The batch is the noise of `FixedNoise` with the labels of `labels`, so that another system can be
/// given the same one; the losses are reported for the same reason.
struct TrainingBench {
  /// The model or file, as on the command line.
  let subject: String
  let batch: Int
  let size: Size?
  let iterations: Int
  let warmup: Int
  let device: Device
  /// The level of mixed precision; nil for float32.
  let level: MixedPrecision?

  static let learningRate = 0.001
  static let decay: Float = 2e-5
  /// 12 GB of pictures, whose activations no machine holds.
  static let pixelLimit = 1 << 30

  /// One label per picture: the multiples of 389, a prime, within the classes.
  static func labels(_ count: Int, classes: Int) -> [Int] { (0..<count).map { $0 * 389 % max(classes, 1) } }

  /// Runs the steps.
  ///
  /// - Throws: `HGNetError` for a file that cannot be read or a network that cannot be trained.
  func measure() throws -> Report {
    let clock = ContinuousClock()
    let begin = clock.now
    var (title, isRandom) = (subject, true)
    var step = try makeStep(title: &title, isRandom: &isRandom)
    let load = clock.now - begin

    let size = self.size ?? step.graph.inputSize
    let multiplyAdds = try step.graph.resized(to: size).multiplyAdds
    // The sides were judged with the graph; a batch of this many pixels fits no memory and need not be counted exactly.
    guard batch <= TrainingBench.pixelLimit / size.height / size.width else {
      throw HGNetError(
        .limitExceeded,
        "expected at most \(TrainingBench.pixelLimit) pixels, found \(batch) × \(size); give a smaller "
          + "--batch or --input-size")
    }
    try step.graph.checkTrainingMemory(batch: batch, inputSize: size, precision: level)
    let pictures = try Tensor(
      allocating: [batch, size.height, size.width, 3], for: "\(batch) pictures of \(size)",
      initializingWith: FixedNoise.fill)
    let targets = Targets.classes(TrainingBench.labels(batch, classes: step.graph.classCount ?? 1))
    var times: [Double] = []
    times.reserveCapacity(iterations)
    var losses: [Float] = []
    for number in 0..<(warmup + iterations) {
      let start = clock.now
      let outcome = try step.run(pictures, targets: targets)
      if number >= warmup { times.append((clock.now - start).milliseconds) }
      losses.append(outcome.loss.value)
    }
    return Report(
      title: title, isRandom: isRandom, batch: batch, size: size, threads: device.pool.count, level: level,
      instructionSet: device.engine.arithmetic, load: load.milliseconds, times: RunTimes(times), losses: losses,
      parameterCount: step.graph.parameters.reduce(0) { $0 + $1.shape.count },
      multiplyAdds: multiplyAdds, peakMemory: PeakMemory.bytes)
  }

  /// The file is closed and the drawn weights are gone when this returns, so that only one copy stays in memory.
  private func makeStep(title: inout String, isRandom: inout Bool) throws -> TrainingStep {
    let opened = try ModelOrFile(subject)
    guard opened.graph.classCount != nil else {
      throw HGNetError(
        .unsupported, "expected a network with logits to train; give a model such as PPHGNetV2_B4 or its weights",
        path: subject)
    }
    title = opened.model?.name ?? subject
    isRandom = opened.file == nil
    let initial: ParameterStore
    if let file = opened.file {
      initial = file.parameters
    } else {
      initial = try Model.initialParameters(for: opened.graph, seed: 1)
    }
    let parameters = try device.engine.trainingState(
      of: opened.graph.parameters, parameters: initial, isFrozen: { _ in false })
    return try TrainingStep(
      graph: opened.graph, parameters: parameters, loss: CombinedLoss(CrossEntropyLoss(epsilon: 0.1)),
      optimizer: Optimizer.Settings(.momentum(0.9), regularizer: .l2(TrainingBench.decay)),
      schedule: Schedule(.constant, learningRate: TrainingBench.learningRate, epochs: 1, stepsPerEpoch: 1),
      device: device, mixedPrecision: level)
  }

  /// What was measured, in milliseconds and bytes.
  struct Report {
    let title: String
    let isRandom: Bool
    let batch: Int
    let size: Size
    let threads: Int
    let level: MixedPrecision?
    let instructionSet: String
    let load: Double
    let times: RunTimes
    /// Of every step, those before the measurement included.
    let losses: [Float]
    let parameterCount: Int
    /// Of the forward pass of one picture.
    let multiplyAdds: Int
    let peakMemory: Int

    private var picturesPerSecond: Double { Double(batch) / times.median * 1000 }

    /// Backward computes two products for each of the forward pass: that for the input and that for the weights.
    private var gigaflopsPerSecond: Double { Double(3 * multiplyAdds) * 2 * picturesPerSecond / 1e9 }

    /// The report for people.
    var text: String {
      func milliseconds(_ value: Double) -> String { FixedPoint.text(value, digits: 2, width: 9) + " ms" }
      return """
        training steps of \(title)\(isRandom ? " (random weights)" : ""), input \(batch)×3×\(size), \(threads) \
        thread\(threads == 1 ? "" : "s"), \(instructionSet)\(level.map { ", mixed precision (\($0.rawValue))" } ?? "")
          load     \(milliseconds(load))\(isRandom ? "   drawing the weights included" : "")
          minimum  \(milliseconds(times.minimum))
          median   \(milliseconds(times.median))   \(FixedPoint.text(picturesPerSecond, digits: 1)) pictures/s, \
        \(FixedPoint.text(gigaflopsPerSecond, digits: 0)) GFLOP/s of direct arithmetic
          90 %     \(milliseconds(times.percentile(0.9)))
          99 %     \(milliseconds(times.percentile(0.99)))
          maximum  \(milliseconds(times.maximum))   (\(times.milliseconds.count) steps)
          loss     \(FixedPoint.text(Double(losses.first ?? 0), digits: 4, width: 9))   at the first step, \
        \(FixedPoint.text(Double(losses.last ?? 0), digits: 4)) at the last
          memory   \(FixedPoint.text(Double(peakMemory) / 1e6, digits: 1, width: 9)) MB at the peak; the weights are \
        \(FixedPoint.text(Double(parameterCount) * 4 / 1e6, digits: 1)) MB
        """
    }

    /// The report for programs.
    var json: String {
      JSONText.object(
        [
          ("model", .text(title)), ("training", .boolean(true)), ("random_weights", .boolean(isRandom)),
          ("batch", .integer(batch)), ("input_size", .list([.integer(size.height), .integer(size.width)])),
          ("threads", .integer(threads)), ("instruction_set", .text(instructionSet)),
          ("mixed_precision", level.map { .text($0.rawValue) } ?? .null), ("load_milliseconds", .number(load)),
        ] + times.json + [
          ("pictures_per_second", .number(picturesPerSecond)), ("gigaflops_per_second", .number(gigaflopsPerSecond)),
          ("multiply_adds", .integer(multiplyAdds)), ("weight_bytes", .integer(parameterCount * 4)),
          ("peak_memory_bytes", .integer(peakMemory)), ("losses", .list(losses.map { .number(Double($0)) })),
          ("iteration_milliseconds", .list(times.milliseconds.map { .number($0) })),
        ]
      ).line
    }
  }
}

/// Numbers for a measurement: any will do, but the same ones each time, and none so small that arithmetic slows down.
enum FixedNoise {
  /// Fills with numbers in -1 ..< 1: the upper 24 bits of a linear congruential generator that begins with 1.
  static func fill(_ values: UnsafeMutableBufferPointer<Float>) {
    var state: UInt32 = 1
    for index in values.indices {
      state = state &* 1_664_525 &+ 1_013_904_223
      values[index] = Float(state >> 8) / Float(1 << 23) - 1
    }
  }
}
