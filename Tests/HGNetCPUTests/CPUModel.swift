import HGNetCPU
import HGNetCore
import HGNetProgram

/// A network compiled for the processor, whose sessions choose their threads.
struct CPUModel {
  private let compiled: any CompiledProgram
  private let instructionSet: InstructionSet

  init(graph: Graph, parameters: ParameterStore, instructionSet: InstructionSet = .best) throws(HGNetError) {
    self.instructionSet = instructionSet
    compiled = try CPUEngine(pool: ThreadPool(count: 1), instructionSet: instructionSet)
      .compile(Program(graph), parameters: parameters, precision: .float32)
  }

  private func shared(_ pool: ThreadPool) throws(HGNetError) -> any CompiledProgram {
    try CPUEngine(pool: pool, instructionSet: instructionSet).sharing(compiled)
  }

  private func extent(_ batch: Int, _ size: Size?) -> RunExtent {
    RunExtent(batch: batch, inputSize: size ?? compiled.program.inputSize)
  }

  func session(batch: Int, inputSize: Size? = nil, pool: ThreadPool) throws(HGNetError) -> any EngineSession {
    try shared(pool).session(extent(batch, inputSize))
  }

  /// Bytes of a session's activations.
  func byteCount(batch: Int) throws(HGNetError) -> Int {
    try compiled.memory(for: [extent(batch, nil)]).byteCount
  }

  func memory(batches: [Int], threads: Int) throws(HGNetError) -> any EngineMemory {
    try shared(ThreadPool(count: threads)).memory(for: batches.map { extent($0, nil) })
  }

  func session(batch: Int, memory: any EngineMemory, pool: ThreadPool) throws(HGNetError) -> any EngineSession {
    try shared(pool).session(extent(batch, nil), memory: memory, isTimed: false)
  }

  func checkMemory(batch: Int, inputSize: Size) throws(HGNetError) {
    try compiled.memoryNeed(of: extent(batch, inputSize)).check()
  }
}
