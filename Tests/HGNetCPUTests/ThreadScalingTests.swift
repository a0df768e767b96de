import HGNetCPU
import HGNetCore
import HGNetModels
import HGNetProgram
import Testing

@Suite("Numbers of threads")
struct ThreadScalingTests {
  @Test("A layer takes as long as the thread with most of its tasks, then all wait for one another")
  func prediction() throws {
    let graph = try Model.b0.graph(inputSize: Size(64))
    let engine = CPUEngine(pool: ThreadPool(count: 1))
    let compiled = try engine.compile(
      Program(graph), parameters: Model.randomParameters(for: graph, seed: 1), precision: .float32)
    let extent = RunExtent(batch: 1, inputSize: Size(64))
    let layers = try compiled.session(extent).layerDescriptions.count
    let alone = [Double](repeating: 1e-3, count: layers)
    // Memory that is never waited for.
    let processor = ThreadScaling.Processor(threadReading: 1e15, socketReading: 1e15)
    func scaling(_ threads: Int) throws -> ThreadScaling {
      try engine.scaling(of: compiled, extent: extent, threads: threads, alone: alone, on: processor)
    }
    #expect(try scaling(1).efficiency == 1)
    for threads in [2, 5, 16] {
      let found = try scaling(threads)
      for layer in found.layers {
        let rounds = layer.tasks.map { (tasks: Int) -> Double in
          Double((tasks + threads - 1) / threads) / Double(tasks) / Double(layer.tasks.count)
        }.reduce(0, +)
        let waiting = layer.seconds - 1e-3 * rounds
        #expect(waiting > 0 && waiting < 1e-4, "\(layer.name)")
      }
      #expect(found.efficiency > 0 && found.efficiency < 1)
    }
    // Weights that come from memory at 1 MB/s decide; no layer becomes slower than it was measured.
    let slow = try engine.scaling(
      of: compiled, extent: extent, threads: 4, alone: alone,
      on: ThreadScaling.Processor(threadReading: 1e6, socketReading: 1e6))
    #expect(slow.layers.last { $0.algorithm == "product" }.map { $0.seconds > 1e-3 && $0.seconds < 1.1e-3 } == true)
    #expect(throws: HGNetError.self) {
      _ = try engine.scaling(of: compiled, extent: extent, threads: 2, alone: [1], on: processor)
    }
  }

  @Test(
    "A run takes no more threads than make it quicker",
    arguments: [(64, 32, 5), (64, 224, 29), (2, 224, 2), (1, 32, 1)])
  func useful(_ count: Int, _ side: Int, _ expected: Int) throws {
    let graph = try Model.b0.graph(inputSize: Size(side))
    #expect(CPUEngine.usefulThreads(count, multiplyAdds: graph.multiplyAdds, batch: 1) == expected)
    #expect(CPUEngine.usefulThreads(64, multiplyAdds: graph.multiplyAdds, batch: 64) > expected / 2)
  }
}
