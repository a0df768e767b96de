import HGNetCore
import HGNetCPU
import HGNetModels
import HGNetProgram
import Testing

@Suite("Sizes that come from outside")
struct MemoryTests {
  @Test("Sides beyond any memory are errors, however large", arguments: [65_537, 1 << 31, 1 << 62, Int.max])
  func sides(_ side: Int) throws {
    let graph = try Model.b0.graph(inputSize: Size(64))
    for size in [Size(side), Size(height: side, width: 64), Size(height: 64, width: side)] {
      let error = #expect(throws: HGNetError.self) { try graph.resized(to: size) }
      #expect(error?.code == .limitExceeded)
    }
  }

  @Test("A run that no machine has the memory for is refused before it is taken")
  func batches() throws {
    let graph = try Model.b0.graph(options: ModelOptions(classCount: 4), inputSize: Size(32))
    let model = try CPUModel(graph: graph, parameters: Model.randomParameters(for: graph, seed: 1))
    let pool = try ThreadPool(threads: 1)
    for (batch, size) in [(1 << 16, Size(2048)), (1, Size(1 << 16)), (1 << 16, Size(1 << 16))] {
      let error = #expect(throws: HGNetError.self) { _ = try model.session(batch: batch, inputSize: size, pool: pool) }
      #expect(error?.code == .limitExceeded)
      #expect(throws: HGNetError.self) { try model.checkMemory(batch: batch, inputSize: size) }
      #expect(throws: HGNetError.self) { try graph.checkTrainingMemory(batch: batch, inputSize: size) }
    }
    try model.checkMemory(batch: 2, inputSize: Size(64))
    try graph.checkTrainingMemory(batch: 2, inputSize: Size(64))
  }

  @Test("Parameters that no machine has the memory for are refused before they are taken")
  func parameters() throws {
    // 2^24 classes and 2^16 numbers before them: 4 TB.
    let graph = try Model.b0.graph(
      options: ModelOptions(classCount: 1 << 24, classExpand: 1 << 16), inputSize: Size(32))
    let error = #expect(throws: HGNetError.self) { _ = try CPUModel(graph: graph, parameters: ParameterStore()) }
    #expect(error?.code == .limitExceeded && error?.message.contains("TB") == true, "\(error?.message ?? "")")
    #expect(throws: HGNetError.self) {
      _ = try CPUEngine(pool: ThreadPool(count: 1))
        .trainingState(of: graph.parameters, parameters: ParameterStore()) { _ in false }
    }
  }
}
