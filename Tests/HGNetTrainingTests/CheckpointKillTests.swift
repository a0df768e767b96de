import Foundation
import HGNetCore
import HGNetTraining
import Testing

@Suite("A process that is killed while it writes", .serialized)
struct CheckpointKillTests {
  @Test("leaves a complete checkpoint, wherever it was", arguments: 0..<12)
  func killed(round: Int) async throws {
    let folder = try CheckpointWorkspace()
    let prefix = folder.path("latest")
    var first = CheckpointKillTests.contents(number: 0)
    try Checkpoint.write(first, to: prefix)
    // Some milliseconds in, at a time of no particular number of writes.
    var random = RandomGenerator(seed: UInt64(round), stream: "kill")
    let delay = useconds_t(Int.random(in: 500...60_000, using: &random))
    await #expect(processExitsWith: .signal(SIGKILL)) { [prefix = prefix as String, delay = delay as UInt32] in
      Thread.detachNewThread {
        usleep(delay)
        kill(getpid(), SIGKILL)
      }
      for number in 1...Int.max { try Checkpoint.write(CheckpointKillTests.contents(number: number), to: prefix) }
    }
    for _ in 0..<2 {
      let read = try Checkpoint.read(prefix)
      let expected = CheckpointKillTests.contents(number: read.progress.globalStep)
      #expect(read.progress == expected.progress)
      #expect(CheckpointWorkspace.bytes(read.parameters) == CheckpointWorkspace.bytes(expected.parameters))
      #expect(
        CheckpointWorkspace.bytes(read.optimizer.tensors) == CheckpointWorkspace.bytes(expected.optimizer.tensors))
      #expect((read.averaged == nil) == (expected.averaged == nil))
      // The next run writes over whatever was left, and clears it away.
      first.progress.globalStep = 0
      try Checkpoint.write(first, to: prefix)
      #expect(folder.names.allSatisfy { !$0.contains("next") && !$0.contains("partial") }, "\(folder.names)")
    }
  }

  /// About a megabyte, all of it decided by the number; every other one has an average.
  static func contents(number: Int) -> CheckpointContents {
    func store(_ name: String, _ value: Int) -> ParameterStore {
      var store = ParameterStore()
      store[name] = Parameter(Tensor(shape: [300, 300], repeating: Float(value)))
      return store
    }
    var progress = TrainingProgress(epoch: number)
    progress.globalStep = number
    return CheckpointContents(
      parameters: store("fc.weight", number), internalNames: ["fc.weight": "linear_0.w_0"],
      optimizer: OptimizerState(tensors: store("linear_0.w_0_velocity_0", -number)), progress: progress,
      averaged: number % 2 == 0 ? nil : store("fc.weight", number + 1))
  }
}
