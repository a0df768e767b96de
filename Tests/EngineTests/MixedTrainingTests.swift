import HGNetCPU
import HGNetCore
import HGNetProgram
import Testing

/// What every engine that mixes precisions promises of a training step.
@Suite("Engines: mixed precision") struct MixedTrainingTests {
  static let subjects = EngineSubject.all.filter { $0.engine.mixesPrecision }

  /// The cosine of two gradients over all parameters, and the smallest of one parameter whose gradient is not next to nothing.
  private func cosines(
    _ one: any TrainingState, _ other: any TrainingState
  ) throws -> (all: Double, least: (name: String, value: Double)) {
    var all = (product: 0.0, one: 0.0, other: 0.0)
    var least = (name: "", value: 1.0)
    var pairs: [(name: String, product: Double, one: Double, other: Double)] = []
    for at in one.trainedIndices {
      let (left, right) = (try one.read(.gradient, of: at).values, try other.read(.gradient, of: at).values)
      let product = zip(left, right).reduce(0) { $0 + Double($1.0) * Double($1.1) }
      let (first, second) = (norm(left), norm(right))
      pairs.append((one.declarations[at].name, product, first, second))
      all = (all.product + product, all.one + first * first, all.other + second * second)
    }
    // What a normalisation takes out again has a gradient of nothing but rounding.
    for pair in pairs where pair.one > 1e-2 * all.one.squareRoot() {
      let value = pair.product / (pair.one * pair.other)
      if !(value >= least.value) { least = (pair.name, value) }
    }
    return (all.product / (all.one * all.other).squareRoot(), least)
  }

  @Test(
    "Logits, running statistics and gradients are near the reference's", arguments: EngineNetwork.all.indices,
    MixedPrecision.allCases)
  func steps(index: Int, level: MixedPrecision) throws {
    let setting = try TrainingSetting(EngineNetwork.all[index], level: level)
    let reference = try setting.step(EngineSubject.reference)
    for subject in Self.subjects {
      let own = try setting.step(subject.engine)
      var near = subject
      (near.tolerance, near.gradientTolerance) = (0.05, .infinity)
      expectNothing(try setting.finding(near, own, reference: reference))
      #expect(reference.logits.distance(to: own.logits) > 1e-4 * reference.logits.largest, "nothing was rounded")
      let found = try cosines(reference.state, own.state)
      #expect(found.all > 0.9, "\(subject.testDescription), \(setting.network.name): \(found.all)")
      #expect(found.least.value > 0.4, "\(subject.testDescription), \(setting.network.name): \(found.least)")
    }
  }

  @Test(
    "Bits do not depend on the engine's twins", arguments: EngineNetwork.all.indices, MixedPrecision.allCases)
  func bits(index: Int, level: MixedPrecision) throws {
    let setting = try TrainingSetting(EngineNetwork.all[index], level: level)
    for subject in Self.subjects {
      let (logits, state) = try setting.step(subject.engine)
      for twin in subject.twins {
        let (others, other) = try setting.step(twin)
        #expect(logits.values == others.values)
        for at in state.declarations.indices {
          for array in [ParameterArray.value, .gradient] {
            let isSame = try state.read(array, of: at).values == other.read(array, of: at).values
            #expect(isSame, "\(twin.deviceDescription): \(array) of \(state.declarations[at].name)")
          }
        }
      }
    }
  }

  @Test("Gradients end once each", arguments: EngineNetwork.all.indices, [nil, "stages.1."])
  func ends(index: Int, frozenPrefix: String?) throws {
    let setting = try TrainingSetting(EngineNetwork.all[index], frozenPrefix: frozenPrefix, level: .o2)
    let subject = try #require(Self.subjects.first)
    let state = try setting.state(subject.engine)
    let run = try setting.run(subject.engine, state)
    let ended = Monitor<[Int: Int]>([:])
    var random = RandomGenerator(seed: 5)
    _ = try run.forward(setting.pictures, random: &random)
    try run.backward(setting.direction) { parameter in ended.withLock { $0[parameter, default: 0] += 1 } }
    let counts = ended.withLock { $0 }
    for at in state.declarations.indices { #expect(counts[at] == 1, "\(state.declarations[at].name)") }
  }

  @Test("Two processes with the same pictures normalise as one", arguments: MixedPrecision.allCases)
  func statistics(level: MixedPrecision) throws {
    let setting = try TrainingSetting(EngineNetwork.all[0], level: level)
    for subject in Self.subjects {
      let alone = try setting.step(subject.engine)
      let together = try setting.step(subject.engine, statistics: TwoAlike())
      expectNothing(try setting.finding(subject, together, reference: alone))
    }
  }

  @Test("O2 needs less memory than O1, and that less than float32", arguments: subjects)
  func memory(subject: EngineSubject) throws {
    let program = try Program(EngineNetwork.all[0].graph(Size(128)), isTraining: true)
    func need(_ level: MixedPrecision?) throws -> Int {
      try subject.engine.trainingMemoryNeed(of: program.mixing(level), batch: 8) { _ in false }.byteCount
    }
    let (whole, first, second) = (try need(nil), try need(.o1), try need(.o2))
    #expect(second < first && first < whole, "\(whole), \(first), \(second)")
  }
}
