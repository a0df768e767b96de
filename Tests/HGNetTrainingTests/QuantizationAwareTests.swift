import Foundation
import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetModels
import HGNetProgram
import HGNetReference
import HGNetTraining
import Testing

/// Quantisation-aware training: what is trained, kept, written, and what int8 makes of it.
@Suite("Quantisation-aware training") struct QuantizationAwareTests {
  private static let pact = ["Slim.quant.name=pact"]

  private func values(_ store: ParameterStore) -> [Float] { store.names.flatMap { store[$0]?.tensor().values ?? [] } }

  @Test("A run that was stopped goes on as if it had not been, ranges and their moments included") func resume() throws
  {
    let workspace = try TrainerTests.Workspace()
    let overrides = Self.pact + ["Global.epochs=2"]
    let whole = try workspace.trainer(saving: nil, threads: 1, overrides: overrides)
    let initial = try workspace.initial(whole)
    let expected = try whole.run(from: initial, log: { _ in })

    let first = try workspace.trainer(saving: "output", overrides: overrides)
    _ = try first.run(from: initial, log: { _ in }) { event in
      if case .step(let step) = event, step.position.epoch == 1, step.position.iteration == 3 { first.stop() }
    }
    let checkpoint = try Checkpoint.read("\(workspace.path)/output/latest")
    let second = try workspace.trainer(saving: "output", overrides: overrides)
    let resumed = try second.run(from: initial, checkpoint: checkpoint, log: { _ in })
    let isSame = values(resumed.parameters) == values(expected.parameters)
    #expect(isSame, "the resumed run has other parameters")
    #expect(resumed.progress.bestMetric == expected.progress.bestMetric)

    // Ranges are learned, but that of the pictures.
    let names = expected.parameters.names.filter { $0.hasSuffix(Program.rangeEnding) }
    #expect(names.count > 20 && names.count < 80)
    let begun = try #require(checkpoint.parameters["stem.stem1.conv.quantization_range"]).tensor().values
    let ended = try #require(expected.parameters["stem.stem1.conv.quantization_range"]).tensor().values
    #expect(begun != ended && ended[0] <= 0 && ended[1] > 0)
  }

  @Test("best_model is read as the weights in 8 bits that it stands for") func written() throws {
    let workspace = try TrainerTests.Workspace()
    let trainer = try workspace.trainer(saving: "output", overrides: Self.pact + ["Global.epochs=1", "EMA=null"])
    let outcome = try trainer.run(from: workspace.initial(trainer), log: { _ in })
    let path = "\(workspace.path)/output/best_model"
    let options = trainer.configuration.options
    let integers = try WeightsFile(contentsOf: "\(path).safetensors", options: options)
    let learned = try WeightsFile(contentsOf: "\(path).pdparams", options: options)
    #expect(integers.parameters.ranges == learned.parameters.ranges && !integers.parameters.ranges.isEmpty)
    for name in integers.graph.parameters.map(\.name) {
      let (one, other) = (try #require(integers.parameters[name]), try #require(learned.parameters[name]))
      let isSame = one.tensor().values == other.tensor().values && one.scales == other.scales
      #expect(isSame, "\(name)")
    }
    // The ranges are what was learned.
    let range = try #require(outcome.parameters["stem.stem1.conv.quantization_range"]).tensor().values
    #expect(integers.parameters.ranges["stem.stem1.conv"] == range[0]...range[1])
    #expect(throws: HGNetError.self) { try learned.requireFloat(for: "training") }
  }

  /// A network with ranges of which some values lie outside, on a few pictures: what training gives, by an engine, what
  /// int8 gives and what float32 gives.
  private func results(
    _ graph: Graph, engine: any Engine, batch: Int
  ) throws -> (trained: [Float], integers: [Float], float: [Float]) {
    let float = try Model.initialParameters(for: graph, seed: 5)
    var random = RandomGenerator(seed: 9)
    let count = 64 * 64 * 3
    let pictures = Tensor(shape: [batch, 64, 64, 3], values: (0..<batch * count).map { _ in random.normal() })
    var calibration = try Calibration(graph: graph, parameters: float, device: .cpu(threads: 2))
    try calibration.add(Size(64)) { target in
      pictures.withUnsafeBufferPointer { _ = target.update(fromContentsOf: $0[..<count]) }
    }
    let program = try Program(graph, isTraining: true).quantizing()
    var parameters = float
    for (layer, range) in try calibration.ranges(.percentile) {
      guard let name = program.quantization?.names[layer] else { continue }
      let old = parameters[name]?.tensor().values ?? [0, 0]
      parameters[name] = Parameter(
        Tensor(shape: [2], values: [min(old[0], range.lowerBound * 0.9), max(old[1], range.upperBound * 0.9)]))
    }
    // Running statistics that are kept are those of inference.
    let state = try engine.trainingState(of: program.trainedParameters, parameters: parameters) { _ in true }
    let run = try engine.trainingRun(program, state: state, batch: batch, statistics: nil)
    let trained: [Float]
    if let exact = run as? ReferenceTrainingRun {
      trained = try exact.exactForward(pictures, random: &random).map { Float($0) }
    } else {
      trained = try run.forward(pictures, random: &random).values
    }
    func inferred(_ parameters: ParameterStore, _ precision: Precision) throws -> [Float] {
      let device = try Device.cpu(threads: 2, precision: precision)
      var session = try InferenceModel(graph: graph, parameters: parameters, device: device)
        .session(batch: batch, inputSize: Size(64))
      return try session.run(pictures)[0].values
    }
    let integers = try LearnedRanges(parameters).quantizing(graph, parameters)
    return (trained, try inferred(integers, .int8), try inferred(float, .float32))
  }

  private func graph(_ name: String) throws -> Graph {
    var options = ModelOptions(classCount: 10)
    options.classExpand = 32
    return try Model.named(name).graph(options: options).resized(to: Size(64))
  }

  @Test("The stem is that of int8 but for what rounding decides", arguments: ["PPHGNetV2_B0", "PPHGNet_tiny"])
  func agreementOfValues(name: String) throws {
    let whole = try graph(name)
    let stage = try #require(whole.stages.first)
    let found = try results(whole.selecting(outputs: [stage.role]), engine: ReferenceEngine(), batch: 1)
    let largest = found.integers.reduce(0) { max($0, abs($1)) }
    let distances = zip(found.trained, found.integers).map { abs($0 - $1) / largest }
    let rounding = zip(found.float, found.integers).map { abs($0 - $1) / largest }
    let (mean, other) = (
      distances.reduce(0, +) / Float(distances.count), rounding.reduce(0, +) / Float(distances.count)
    )
    // A sum that is off by its last digit may fall to the other of two bytes, which the next layers see.
    #expect(mean < other / 10, "\(mean), rounding \(other)")
  }

  @Test("Training computes what int8 computes", arguments: ["PPHGNetV2_B0", "PPHGNetV2_B4", "PPHGNet_tiny"])
  func agreement(name: String) throws {
    let found = try results(graph(name), engine: Device.cpu(threads: 2).engine, batch: 8)
    let (difference, rounding) = (
      relativeDifference(found.trained, found.integers), relativeDifference(found.float, found.integers)
    )
    // Through all layers what falls to the other of two bytes adds up; it stays below what rounding does to the network.
    #expect(difference < 0.08 && difference < rounding / 2, "\(difference), rounding \(rounding)")
    for row in stride(from: 0, to: 80, by: 10) {
      let (one, two) = (Array(found.trained[row..<row + 10]), Array(found.integers[row..<row + 10]))
      let (first, second) = (one.sorted().reversed()[0], one.sorted().reversed()[1])
      // The same class, where it is not as good as a tie.
      guard first - second > 0.05 * first else { continue }
      #expect(one.firstIndex(of: first) == two.firstIndex(of: two.max() ?? 0))
    }
  }

  @Test("A checkpoint of the other kind of training is one clear error", arguments: [true, false])
  func mixed(isAware: Bool) throws {
    let workspace = try TrainerTests.Workspace()
    let first = try workspace.trainer(saving: "output", overrides: (isAware ? Self.pact : []) + ["Global.epochs=1"])
    _ = try first.run(from: workspace.initial(first), log: { _ in })
    let second = try workspace.trainer(saving: nil, overrides: (isAware ? [] : Self.pact) + ["Global.epochs=2"])
    let checkpoint = try Checkpoint.read("\(workspace.path)/output/latest")
    let error = #expect(throws: HGNetError.self) {
      try second.run(from: workspace.initial(second), checkpoint: checkpoint, log: { _ in })
    }
    #expect(error?.code == .parameterMismatch && error?.context.key == "Global.checkpoints")
    #expect(error?.message.contains(isAware ? "Slim.quant.name=pact" : "Global.pretrained_model") == true)
  }

  @Test("Another method, and what is not trained so, is refused by name") func configurations() throws {
    let workspace = try TrainerTests.Workspace()
    func read(_ overrides: [String]) throws -> TrainingConfiguration {
      try TrainingConfiguration(Configuration(contentsOf: "\(workspace.path)/run.yaml", overrides: overrides))
    }
    #expect(try !read([]).isQuantizationAware)
    #expect(try read(Self.pact).isQuantizationAware)
    // As PaddleClas, which lowers the name.
    #expect(try read(["Slim.quant.name=PACT"]).isQuantizationAware)
    for (overrides, word) in [
      (["Slim.quant.name=lsq"], "lsq"), (Self.pact + ["Arch.use_ml_decoder=True"], "decoder"),
      (["Slim.prune.name=fpgm"], "Slim.prune"),
    ] {
      let error = #expect(throws: HGNetError.self) { _ = try read(overrides) }
      #expect(error?.code == .unsupported && error?.description.contains(word) == true, "\(overrides)")
    }
    let unknown = #expect(throws: HGNetError.self) { _ = try read(["Slim.quant.bits=4"]) }
    #expect(unknown?.code == .invalidConfiguration)
  }

}
