import HGNetCore
import HGNetProgram

/// How the time of a run changes with the number of threads, predicted from the cuts of the plan.
///
/// A layer takes as long as the thread with most of its tasks, and at least as long as its packed weights take to come
/// from memory; behind it all threads wait for one another. What a task takes is measured with one thread on this machine,
/// so the prediction is for processors whose cores are like this one's.
///
/// Threads: a value.
package struct ThreadScaling: Sendable {
  /// One layer.
  package struct LayerTime: Sendable {
    /// Its name.
    package let name: String
    /// What computes it.
    package let algorithm: String
    /// The tasks that it is cut into, for each of its steps; several steps take the pictures of a batch in turn.
    package let tasks: [Int]
    /// What it takes with one thread, in seconds.
    package let alone: Double
    /// What it is predicted to take, in seconds.
    package let seconds: Double
  }

  /// What is assumed of a processor.
  package struct Processor: Hashable, Sendable {
    /// Bytes a second that one thread reads from memory.
    package var threadReading: Double
    /// Bytes a second that all threads of a socket read together.
    package var socketReading: Double

    /// Names the assumptions.
    package init(threadReading: Double, socketReading: Double) {
      (self.threadReading, self.socketReading) = (threadReading, socketReading)
    }

    /// Bytes a second that some threads read together.
    func reading(_ threads: Int) -> Double { min(Double(threads) * threadReading, max(socketReading, threadReading)) }

    /// Seconds that threads wait for one another behind a step: each takes the line with the counter of tasks once more
    /// than it has tasks.
    func waiting(_ threads: Int) -> Double { threads == 1 ? 0 : 0.6e-6 + 0.1e-6 * Double(threads) }
  }

  /// The number of threads.
  package let threads: Int
  /// The layers, in their order.
  package let layers: [LayerTime]

  /// What a run is predicted to take, in seconds.
  package var seconds: Double { layers.reduce(0) { $0 + $1.seconds } }
  /// What it takes with one thread, in seconds.
  package var alone: Double { layers.reduce(0) { $0 + $1.alone } }
  /// The part of the threads' time that is spent computing, 0 … 1.
  package var efficiency: Double { alone / (Double(threads) * seconds) }
}

extension CPUEngine {
  /// How many of some threads make a run quicker: beyond a number, one more takes longer to wait for than it saves.
  ///
  /// With N threads a run of T seconds takes T ÷ N and, for each of some 65 layers, 0.1 µs × N in which threads take the
  /// counter of tasks from one another; the least of the sum is where N² = T ÷ 6.5 µs, and T is taken as 55 000 multiply-adds
  /// a microsecond. B0 at 224×224 uses up to 29 threads, B4 up to 100 (`hgnet summary --program --threads`).
  package static func usefulThreads(_ count: Int, multiplyAdds: Int, batch: Int) -> Int {
    let most = (Double(multiplyAdds) * Double(batch) / 55_000 / 6.5).squareRoot()
    return min(count, max(1, Int(min(most, 1024))))
  }

  /// Predicts a run with another number of threads.
  ///
  /// - Parameters:
  ///   - compiled: a program of this kind of engine.
  ///   - extent: batch and picture size.
  ///   - threads: 1 … 1024.
  ///   - alone: seconds of each layer with one thread, as `EngineSession.layerSeconds` of a session of `extent`.
  ///   - processor: what is assumed of the processor.
  /// - Throws: `HGNetError.Code.invalidArgument` for a program of another engine or another number of layers, and as
  ///   `CompiledProgram.memoryNeed(of:)`.
  package func scaling(
    of compiled: any CompiledProgram, extent: RunExtent, threads: Int, alone: [Double],
    on processor: ThreadScaling.Processor
  ) throws(HGNetError) -> ThreadScaling {
    guard let compiled = compiled as? CPUProgram else {
      throw HGNetError(.invalidArgument, "expected a program of the CPU engine, found one of another engine")
    }
    let plan = try compiled.plan(extent, threads: threads)
    var steps: [[Step]] = []
    for step in plan.steps {
      if step.layer == steps.count { steps.append([]) }
      steps[step.layer].append(step)
    }
    guard steps.count == alone.count else {
      throw HGNetError(.invalidArgument, "expected the times of \(steps.count) layers, found \(alone.count)")
    }
    let layers = zip(steps, alone).map { steps, alone in
      let first = steps[0]
      let reading = Double(first.weightByteCount) / processor.reading(threads)
      let computing = steps.reduce(0.0) { sum, step in
        let part = alone / Double(steps.count)
        return sum + part * Double(step.taskCount.divided(by: threads)) / Double(max(step.taskCount, 1))
      }
      return ThreadScaling.LayerTime(
        name: first.name, algorithm: first.work.algorithm, tasks: steps.map(\.taskCount), alone: alone,
        seconds: max(computing, min(reading, alone)) + Double(steps.count) * processor.waiting(threads))
    }
    return ThreadScaling(threads: threads, layers: layers)
  }
}
