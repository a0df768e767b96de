import HGNetCPU
import HGNetCore
import HGNetModels
import HGNetProgram
import HGNetReference
import Testing

/// What every engine promises of quantisation-aware training.
@Suite("Engines: quantisation-aware training") struct QuantizedTrainingTests {
  /// Some values of each result lie outside.
  static let range: ClosedRange<Float> = -1.5...2
  /// Networks without a decoder.
  static let networks = [0, 1, 2]

  @Test("The gradients of ranges are the derivatives, by central differences", arguments: networks)
  func derivatives(index: Int) throws {
    // Steps have no derivatives; without them values are kept inside their ranges, by the same code.
    let setting = try TrainingSetting(
      EngineNetwork.all[index], size: Size(height: 33, width: 40), range: Self.range)
    let engine = ReferenceEngine(rounds: false)
    try setting.expectDerivatives(of: engine)
    let state = try setting.step(engine).state
    let ranges = try state.trainedIndices.filter {
      setting.declarations[$0].role == .quantizationRange(isLearned: true)
    }
    .map { try state.read(.gradient, of: $0) }
    // What only passes values on, such as a pool, has none outside.
    #expect(ranges.count { $0.largest > 0 } > 10)
  }

  @Test("Logits and running statistics are near the reference's", arguments: networks)
  func steps(index: Int) throws {
    let setting = try TrainingSetting(EngineNetwork.all[index], range: Self.range)
    let reference = try setting.step(EngineSubject.reference)
    let plain = try TrainingSetting(EngineNetwork.all[index]).step(EngineSubject.reference)
    #expect(reference.logits.distance(to: plain.logits) > 1e-3 * plain.logits.largest)
    for subject in EngineSubject.all.dropFirst() {
      var subject = subject
      // A sum that is off by its last digit may fall to the other of two steps, of which there are 255, and from there on
      // everything differs a little. That the steps are the same ones, the kernels' tests and those of int8 show.
      // Of the gradients of so deep a network on two pictures that leaves little to compare.
      (subject.tolerance, subject.gradientTolerance) = (0.08, .infinity)
      expectNothing(try setting.finding(subject, setting.step(subject.engine), reference: reference))
    }
  }

  @Test("Bits do not depend on the engine's twins", arguments: networks) func bits(index: Int) throws {
    let setting = try TrainingSetting(EngineNetwork.all[index], range: Self.range)
    for subject in EngineSubject.all where !subject.twins.isEmpty {
      let (logits, state) = try setting.step(subject.engine)
      for twin in subject.twins {
        let (others, other) = try setting.step(twin)
        #expect(logits.values == others.values)
        for at in state.declarations.indices {
          let isSame = try state.read(.gradient, of: at).values == other.read(.gradient, of: at).values
          #expect(isSame, "\(twin.deviceDescription): \(state.declarations[at].name)")
        }
      }
    }
  }

  @Test("Gradients end once each", arguments: EngineSubject.main, [nil, "stages.1."])
  func ends(subject: EngineSubject, frozenPrefix: String?) throws {
    let setting = try TrainingSetting(EngineNetwork.all[2], frozenPrefix: frozenPrefix, range: Self.range)
    let state = try setting.state(subject.engine)
    let run = try setting.run(subject.engine, state)
    let ended = Monitor<[Int: Int]>([:])
    var random = RandomGenerator(seed: 5)
    _ = try run.forward(setting.pictures, random: &random)
    try run.backward(setting.direction) { parameter in ended.withLock { $0[parameter, default: 0] += 1 } }
    let counts = ended.withLock { $0 }
    for at in state.declarations.indices { #expect(counts[at] == 1, "\(state.declarations[at].name)") }
  }

  @Test("A decoder is refused by name") func decoder() throws {
    let graph = try EngineNetwork.all[3].graph(Size(64))
    let error = #expect(throws: HGNetError.self) { try Program(graph, isTraining: true).quantizing() }
    #expect(error?.code == .unsupported && error?.context.layer != nil)
  }
}
