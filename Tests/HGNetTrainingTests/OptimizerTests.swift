import Foundation
import HGNetCore
import HGNetProgram
import HGNetTraining
import Testing

/// The contents of optimizers.json.
struct OptimizerGoldens: Decodable {
  struct Parameter: Decodable {
    var name: String
    var shape: [Int]
    var factor: Float
    var role: String
  }

  struct Options: Decodable {
    var name: String
    var momentum: Float?
    var useNesterov: Bool?
    var l1: Float?
    var l2: Float?
    var clipNorm: Float?
    var noWeightDecayName: [String]?
    var oneDim: Bool?
    var weightDecay: Float?
  }

  struct Case: Decodable, CustomTestStringConvertible {
    var options: Options
    var start: [[Float]]
    var gradients: [[[Float]]]
    var results: [[[Float]]]
    var state: [String: [Float]]

    var testDescription: String { "\(options)" }

    var settings: Optimizer.Settings {
      let rule: Optimizer.Rule =
        switch options.name {
        case "SGD": .sgd
        case "Momentum": .momentum(options.momentum ?? 0.9, nesterov: options.useNesterov ?? false)
        default: .adamW(weightDecay: options.weightDecay ?? 0.01)
        }
      return Optimizer.Settings(
        rule, regularizer: options.l2.map { .l2($0) } ?? options.l1.map { .l1($0) } ?? .none,
        clipNorm: options.clipNorm, namesWithoutDecay: options.noWeightDecayName ?? [],
        oneAxisWithoutDecay: options.oneDim ?? false)
    }
  }

  var parameters: [Parameter]
  var rates: [Double]
  var cases: [Case]

  var declarations: [ParameterDeclaration] {
    let roles: [String: ParameterRole] = [
      "convolutionWeight": .convolutionWeight, "normalizationWeight": .normalizationWeight,
      "affineScale": .affineScale, "linearWeight": .linearWeight, "linearBias": .linearBias,
    ]
    return parameters.map {
      ParameterDeclaration(
        name: $0.name, shape: Shape($0.shape), role: roles[$0.role] ?? .linearBias, learningRateMultiplier: $0.factor)
    }
  }

  static let shared: OptimizerGoldens =
    (try? Fixture.decode("optimizers.json")) ?? OptimizerGoldens(parameters: [], rates: [], cases: [])
}

@Suite("Optimisers")
struct OptimizerTests {
  @Test("Five steps and the state are Paddle's", arguments: OptimizerGoldens.shared.cases)
  func golden(_ item: OptimizerGoldens.Case) throws {
    let goldens = OptimizerGoldens.shared
    let parameters = try plainState(goldens.declarations, values: item.start)
    var optimizer = try Optimizer(item.settings, for: parameters)
    for (step, rate) in goldens.rates.enumerated() {
      for index in goldens.parameters.indices { try parameters.setGradient(index, item.gradients[step][index]) }
      try optimizer.step(learningRate: rate)
      for index in goldens.parameters.indices {
        // A few units in the last place per step.
        #expect(
          relativeDifference(try parameters.values(index), item.results[step][index]) < 2e-6,
          "step \(step), \(goldens.parameters[index].name)")
      }
    }
    let state = try optimizer.state(internalNames: [:])
    #expect(Set(state.map(\.name)) == Set(item.state.keys))
    for entry in state {
      #expect(relativeDifference(entry.value.values, item.state[entry.name] ?? []) < 2e-6, "\(entry.name)")
    }
  }

  @Test("There are goldens") func goldens() { #expect(OptimizerGoldens.shared.cases.count == 12) }

  @Test("A restored optimiser goes on bit for bit", arguments: OptimizerGoldens.shared.cases)
  func resume(_ item: OptimizerGoldens.Case) throws {
    let goldens = OptimizerGoldens.shared
    let parameters = try plainState(goldens.declarations, values: item.start)
    let names = ["conv.weight": "conv2d_0.w_0"]
    var optimizer = try Optimizer(item.settings, for: parameters)
    for (step, rate) in goldens.rates.enumerated() {
      if step == 3 {
        let state = try optimizer.state(internalNames: names)
        // Begins the moments of the parameters anew.
        var other = try Optimizer(item.settings, for: parameters)
        try other.restore(
          Dictionary(state.map { ($0.name, $0.value) }) { first, _ in first }, internalNames: names)
        if case .momentum = item.settings.rule { #expect(state.first?.name == "conv2d_0.w_0_velocity_0") }
        optimizer = other
      }
      for index in goldens.parameters.indices { try parameters.setGradient(index, item.gradients[step][index]) }
      try optimizer.step(learningRate: rate)
    }
    let straight = try plainState(goldens.declarations, values: item.start)
    var whole = try Optimizer(item.settings, for: straight)
    for (step, rate) in goldens.rates.enumerated() {
      for index in goldens.parameters.indices { try straight.setGradient(index, item.gradients[step][index]) }
      try whole.step(learningRate: rate)
    }
    for index in goldens.parameters.indices { #expect(try parameters.values(index) == straight.values(index)) }
  }

  @Test("Frozen parameters and running statistics stay, and have no state")
  func frozen() throws {
    let declarations = [
      ParameterDeclaration(name: "a.weight", shape: [2], role: .convolutionWeight),
      ParameterDeclaration(name: "b._mean", shape: [2], role: .runningMean),
      ParameterDeclaration(name: "c.weight", shape: [2], role: .linearWeight),
    ]
    let parameters = try plainState(declarations, values: [[1, 2], [3, 4], [5, 6]], frozen: ["a.weight"])
    for index in 0..<3 { try parameters.setGradient(index, [1, 1]) }
    var optimizer = try Optimizer(.init(.momentum(0.9)), for: parameters)
    try optimizer.step(learningRate: 0.5)
    #expect(try parameters.values(0) == [1, 2])
    #expect(try parameters.values(1) == [3, 4])
    #expect(try parameters.values(2) == [4.5, 5.5])
    #expect(try optimizer.state(internalNames: [:]).map(\.name) == ["c.weight_velocity_0"])
  }

  @Test("The same bits on any number of threads")
  func threads() throws {
    var random = RandomGenerator(seed: 3)
    let count = 200_003
    let declaration = ParameterDeclaration(name: "w", shape: [count], role: .linearWeight)
    let start = (0..<count).map { _ in random.normal() }
    let gradient = (0..<count).map { _ in random.normal() }
    for rule in [Optimizer.Rule.sgd, .momentum(), .adamW()] {
      var results: [[UInt32]] = []
      for threads in [1, 2, 3] {
        let parameters = try plainState([declaration], values: [start], threads: threads)
        try parameters.setGradient(0, gradient)
        var optimizer = try Optimizer(.init(rule, clipNorm: 1), for: parameters)
        for _ in 0..<2 { try optimizer.step(learningRate: 0.1, gradientScale: 0.5) }
        results.append(try parameters.values(0).map(\.bitPattern))
      }
      #expect(results[0] == results[1])
      #expect(results[0] == results[2])
    }
  }

  @Test("A foreign state is refused, and nothing changes")
  func foreignState() throws {
    let declaration = ParameterDeclaration(name: "w", shape: [2], role: .linearWeight)
    let parameters = try plainState([declaration], values: [[1, 2]])
    var optimizer = try Optimizer(.init(.momentum()), for: parameters)
    #expect(throws: HGNetError.self) { try optimizer.restore([:], internalNames: [:]) }
    let error = #expect(throws: HGNetError.self) {
      try optimizer.restore(["w_velocity_0": Tensor(shape: [3])], internalNames: [:])
    }
    #expect(error?.code == .parameterMismatch)
    #expect(try optimizer.state(internalNames: [:]).first?.value.values == [0, 0])
  }

  @Test("Numbers outside their range are refused")
  func badSettings() throws {
    let parameters = try plainState([], values: [])
    for settings in [
      Optimizer.Settings(.momentum(1)), .init(.momentum(-0.1)), .init(.adamW(beta2: 1)), .init(.sgd, clipNorm: 0),
      .init(.sgd, regularizer: .l2(-1)), .init(.adamW(), regularizer: .l2(1e-4)), .init(.momentum(.nan)),
    ] {
      #expect(throws: HGNetError.self) { _ = try Optimizer(settings, for: parameters) }
    }
  }

  @Test("An average moves towards the parameters and can be taken up again")
  func average() throws {
    let declaration = ParameterDeclaration(name: "w", shape: [3], role: .runningMean)
    let parameters = try plainState([declaration], values: [[1, 2, 3]])
    let average = try ExponentialMovingAverage(of: parameters, decay: 0.75)
    try parameters.write(Tensor(shape: [3], values: [5, 2, 3]), to: .value, of: 0)
    try average.update()
    let store = try average.store()
    #expect(store["w"]?.tensor().values == [2, 2, 3])
    try average.update()
    try average.restore(store)
    #expect(try parameters.read(.average, of: 0).values == [2, 2, 3])
    #expect(throws: HGNetError.self) { try ExponentialMovingAverage(of: parameters, decay: 1) }
    #expect(throws: HGNetError.self) { try average.restore(ParameterStore()) }
  }
}
