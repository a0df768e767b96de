import Foundation
import HGNet
import HGNetCPU
import HGNetConfiguration
import HGNetCore
import HGNetModels
import HGNetTraining
import Testing

/// Training with AMP: what takes effect where, and that runs go on and ranks agree as in float32.
@Suite("Mixed precision") struct MixedPrecisionTests {
  private func values(_ store: ParameterStore) -> [Float] { store.names.flatMap { store[$0]?.tensor().values ?? [] } }

  private static func trainer(
    _ workspace: TrainerTests.Workspace, saving folder: String? = nil, threads: Int = 2, level: String?
  ) throws -> Trainer {
    let overrides = ["Global.epochs=2"] + (level.map { ["AMP.use_amp=True", "AMP.level=\($0)"] } ?? [])
    // Whatever the processor is quicker with.
    return try workspace.trainer(
      saving: folder, threads: threads, overrides: overrides, precision: level == nil ? .float32 : .bfloat16)
  }

  @Test("A run that was stopped goes on as if it had not been", arguments: ["O1", "O2"])
  func resume(level: String) throws {
    let workspace = try TrainerTests.Workspace()
    let whole = try Self.trainer(workspace, threads: 1, level: level)
    var lines: [String] = []
    let expected = try whole.run(from: workspace.initial(whole), log: { lines.append($0) })
    #expect(lines.contains { $0.hasPrefix("mixed precision (\(level))") })

    let first = try Self.trainer(workspace, saving: "output", level: level)
    _ = try first.run(from: workspace.initial(first), log: { _ in }) { event in
      if case .step(let step) = event, step.position.epoch == 1, step.position.iteration == 3 { first.stop() }
    }
    let checkpoint = try Checkpoint.read("\(workspace.path)/output/latest")
    let second = try Self.trainer(workspace, saving: "output", level: level)
    var warnings: [String] = []
    let resumed = try second.run(from: workspace.initial(second), checkpoint: checkpoint, log: { _ in }) { event in
      if case .warning(let text) = event { warnings.append(text) }
    }
    let isSame = values(resumed.parameters) == values(expected.parameters)
    #expect(isSame, "the resumed run has other parameters")
    #expect(!warnings.contains { $0.contains("checkpoint") }, "\(warnings)")
  }

  @Test(
    "A checkpoint goes on in the other precision, with a line",
    arguments: [("O1", nil), (nil, "O2")] as [(String?, String?)])
  func otherPrecision(before: String?, after: String?) throws {
    let workspace = try TrainerTests.Workspace()
    let first = try Self.trainer(workspace, saving: "output", level: before)
    _ = try first.run(from: workspace.initial(first), log: { _ in }) { event in
      if case .step(let step) = event, step.position.epoch == 1, step.position.iteration == 3 { first.stop() }
    }
    let checkpoint = try Checkpoint.read("\(workspace.path)/output/latest")
    let second = try Self.trainer(workspace, level: after)
    var warnings: [String] = []
    let outcome = try second.run(from: workspace.initial(second), checkpoint: checkpoint, log: { _ in }) { event in
      if case .warning(let text) = event { warnings.append(text) }
    }
    let isFinite = values(outcome.parameters).allSatisfy { $0.isFinite }
    #expect(isFinite && !outcome.wasStopped)
    let lines = warnings.filter { $0.hasPrefix("the checkpoint is of a run in ") }
    #expect(lines.count == 1 && lines[0].contains("float32"), "\(warnings)")
  }

  @Test("With synchronised normalisation two ranks are one rank of all pictures", arguments: MixedPrecision.allCases)
  func ranks(level: MixedPrecision) throws {
    let single = try DataParallelTests.train(ranks: 1, steps: 2, level: level)[0]
    let several = try DataParallelTests.train(ranks: 2, threads: 2, steps: 2, level: level)
    for one in several {
      // What another order of sums makes of a value may be the other of two halves, of which a result has 256.
      for (left, right) in zip(single.losses, one.losses) { #expect(abs(left - right) < 2e-2 * left) }
      let difference = DataParallelTests.difference(several[0].parameters, one.parameters)
      #expect(difference.value == 0, "ranks have drifted apart")
    }
  }

  @Test("Gradients that travel in halves are those of float32 but for two digits") func halves() throws {
    let exact = try DataParallelTests.train(ranks: 2, steps: 1)
    let halves = try DataParallelTests.train(ranks: 2, steps: 1, sumsInHalves: true)
    #expect(DataParallelTests.difference(halves[0].parameters, halves[1].parameters).value == 0)
    let difference = DataParallelTests.difference(exact[0].parameters, halves[0].parameters)
    #expect(difference.value > 0 && difference.value < 2e-3, "\(difference)")
  }

  private func precision(_ overrides: [String], _ wish: Precision? = nil, _ device: Device = .cpu()) throws
    -> TrainingPrecision
  {
    let workspace = try TrainerTests.Workspace()
    var configuration = try TrainingConfiguration(
      Configuration(contentsOf: "\(workspace.path)/run.yaml", overrides: overrides))
    configuration.precision = wish
    return try configuration.trainingPrecision(on: device)
  }

  @Test("AMP takes effect where the device is quicker with it, and --precision decides for good") func rule() throws {
    let isFast = Device.cpu().chosenPrecision == .float32 && Device.cpu(precision: nil).chosenPrecision == .bfloat16
    #expect(try precision([]) == TrainingPrecision())
    let asked = try precision(["AMP.level=O2"])
    #expect(asked.level == (isFast ? .o2 : nil) && asked.notice != nil)
    #expect(try precision(["AMP.use_amp=False", "AMP.level=O2"]) == TrainingPrecision())
    #expect(try precision(["AMP.level=O0"]) == TrainingPrecision())
    #expect(try precision(["AMP.use_amp=True"], .float32).level == nil)
    #expect(try precision([], .bfloat16).level == .o1)
    let scaled = try precision(["AMP.level=O2", "AMP.scale_loss=128.0"], .bfloat16)
    #expect(scaled.level == .o2 && scaled.notice?.contains("not scaled") == true)
    // Kernels without the instruction are slower than float32.
    let baseline = Device(
      pool: ThreadPool(count: 1),
      instructionSet: try #require(
        InstructionSet.available.first { $0.description == "baseline" || $0.description == "neon" }))
    let stays = try precision(["AMP.use_amp=True"], nil, baseline)
    #expect(stays.level == nil && stays.notice?.contains("stays in float32") == true)
    #expect(try precision(["AMP.use_amp=True"], nil, .reference).level == nil)
    #expect(throws: HGNetError.self) { try precision([], .bfloat16, .reference) }
    #expect(try precision(["AMP.use_amp=True", "Slim.quant.name=pact"]).level == nil)
  }

  @Test(
    "What cannot be is an error that names the key",
    arguments: [
      ("AMP.level=O3", "AMP.level"), ("AMP.level=fast", "AMP.level"), ("AMP.dtype=float16", "AMP.dtype"),
      ("AMP.use_amp=maybe", "AMP.use_amp"), ("AMP.scale_loss=much", "AMP.scale_loss"),
    ])
  func refused(override: String, key: String) throws {
    let error = #expect(throws: HGNetError.self) { try precision([override]) }
    #expect(error?.context.key == key)
  }
}
