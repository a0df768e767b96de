import HGNetCore
import HGNetProgram
import Testing

/// What every engine promises of the parameters between two steps.
@Suite("Engines: parameters") struct UpdateTests {
  static let rules: [UpdateRule] = {
    var clipped = UpdateRule(.sgd, rate: 0.1, gradientScale: 0.5)
    (clipped.clipNorm, clipped.decayL1) = (0.5, 1e-2)
    var momentum = UpdateRule(.momentum(0.9, nesterov: false), rate: 0.1)
    momentum.decayL2 = 1e-2
    let adamW = UpdateRule.AdamW(
      beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, power1: 0.9, power2: 0.999)
    return [
      UpdateRule(.sgd, rate: 0.1), clipped, momentum, UpdateRule(.momentum(0.9, nesterov: true), rate: 0.1),
      UpdateRule(.adamW(adamW), rate: 0.1),
    ]
  }()

  /// The rule of a step, whose powers of AdamW's betas have grown.
  static func rule(_ rule: UpdateRule, step: Int) -> UpdateRule {
    guard case .adamW(var numbers) = rule.formula else { return rule }
    for _ in 0..<step {
      (numbers.power1, numbers.power2) = (numbers.power1 * numbers.beta1, numbers.power2 * numbers.beta2)
    }
    var result = rule
    result.formula = .adamW(numbers)
    return result
  }

  /// Long enough to be shared by threads.
  static let declarations = [
    ParameterDeclaration(name: "short", shape: [5], role: .linearBias),
    ParameterDeclaration(name: "fixed", shape: [3], role: .linearWeight),
    ParameterDeclaration(name: "long", shape: [100_003], role: .linearWeight),
    ParameterDeclaration(name: "mean", shape: [4], role: .runningMean),
  ]

  static func store() -> ParameterStore {
    var store = ParameterStore()
    for (index, declaration) in declarations.enumerated() {
      store[declaration.name] = Parameter(seededTensor(declaration.shape, seed: 80 + UInt64(index)))
    }
    return store
  }

  static func state(_ engine: any Engine) throws -> any TrainingState {
    try engine.trainingState(of: declarations, parameters: store()) { $0.name == "fixed" }
  }

  /// Three updates with given gradients, then the average's.
  private func update(_ engine: any Engine, _ rule: UpdateRule) throws -> any TrainingState {
    let state = try Self.state(engine)
    for moment in 0..<rule.momentCount { try state.keep(.moment(moment)) }
    try state.keep(.average)
    for step in 0..<3 {
      for at in state.trainedIndices {
        let gradient = seededTensor(Self.declarations[at].shape, seed: UInt64(90 + 10 * step + at))
        try state.write(gradient, to: .gradient, of: at)
      }
      try state.update(state.trainedIndices.map { ($0, Self.rule(rule, step: step)) })
      try state.moveAverage(decay: 0.75)
    }
    return state
  }

  @Test("Three updates give the reference's parameters, moments and averages", arguments: rules.indices)
  func updates(index: Int) throws {
    let rule = Self.rules[index]
    let reference = try update(EngineSubject.reference, rule)
    for subject in EngineSubject.training {
      let state = try update(subject.engine, rule)
      let twins = try subject.twins.map { try update($0, rule) }
      for (at, declaration) in Self.declarations.enumerated() {
        var arrays: [ParameterArray] = [.value, .average]
        if state.trainedIndices.contains(at) { arrays += (0..<rule.momentCount).map { .moment($0) } }
        for array in arrays {
          let (one, other) = (try reference.read(array, of: at), try state.read(array, of: at))
          // A few units in the last place per step.
          #expect(
            one.distance(to: other) <= 2e-6 * max(one.largest, 1),
            "\(subject.testDescription): \(array) of \(declaration.name), \(rule.formula)")
          for twin in twins { #expect(try twin.read(array, of: at).values == other.values) }
        }
      }
      let fixed = Self.store()["fixed"]?.tensor().values
      #expect(try state.read(.value, of: 1).values == fixed)
    }
  }

  @Test("Parameters after three whole steps are the reference's", arguments: rules.indices)
  func steps(index: Int) throws {
    var rule = Self.rules[index]
    rule.rate = 1e-3
    // By √s alone AdamW makes rounding of gradients that are zero as large as any step.
    if case .adamW(var numbers) = rule.formula {
      numbers.epsilon = 1e-2
      rule.formula = .adamW(numbers)
    }
    let setting = try TrainingSetting(EngineNetwork.all[0], size: Size(height: 33, width: 40))
    func train(_ engine: any Engine) throws -> ParameterStore {
      let state = try setting.state(engine)
      for moment in 0..<rule.momentCount { try state.keep(.moment(moment)) }
      let run = try setting.run(engine, state)
      for step in 0..<3 {
        var random = RandomGenerator(seed: 5)
        _ = try run.forward(setting.pictures, random: &random)
        try state.zeroGradients()
        try run.backward(setting.direction, ended: nil)
        try state.update(state.trainedIndices.map { ($0, Self.rule(rule, step: step)) })
      }
      return try state.store()
    }
    let expected = try train(EngineSubject.reference)
    for subject in EngineSubject.training.dropFirst() {
      let found = try train(subject.engine)
      for declaration in setting.graph.parameters {
        guard let one = expected[declaration.name]?.tensor(), let other = found[declaration.name]?.tensor(),
          let start = setting.parameters[declaration.name]?.tensor()
        else {
          Issue.record("\(declaration.name) is missing")
          continue
        }
        let moved = norm(zip(one.values, start.values).map { $0 - $1 })
        let distance = norm(zip(one.values, other.values).map { $0 - $1 })
        #expect(
          distance <= 2e-3 * moved + 1e-6 * max(norm(one.values), 1),
          "\(subject.testDescription): \(declaration.name) is off by \(distance), having moved by \(moved)")
      }
    }
  }

  @Test("Arrays come back as they were written; what is not kept is an error", arguments: EngineSubject.training)
  func arrays(subject: EngineSubject) throws {
    let state = try Self.state(subject.engine)
    #expect(state.declarations == Self.declarations)
    #expect(state.trainedIndices == [0, 2])
    #expect(try state.store().names == Self.declarations.map(\.name))
    #expect(try state.read(.value, of: 2).values == Self.store()["long"]?.tensor().values)
    for array in [ParameterArray.moment(0), .average] {
      #expect(code { _ = try state.read(array, of: 0) } == .invalidArgument)
      try state.keep(array)
      #expect(
        try state.read(array, of: 0).values
          == (array == .average ? Self.store()["short"]?.tensor().values ?? [] : [0, 0, 0, 0, 0]))
    }
    #expect(code { _ = try state.read(.moment(0), of: 1) } == .invalidArgument, "no optimiser changes it")
    #expect(code { _ = try state.read(.moment(1), of: 0) } == .invalidArgument)
    #expect(code { _ = try state.read(.value, of: 4) } == .invalidArgument)
    #expect(code { try state.write(Tensor(shape: [4]), to: .value, of: 0) } == .shapeMismatch)
    #expect(code { try Self.state(subject.engine).moveAverage(decay: 0.5) } == .invalidArgument)
    #expect(code { try state.update([(0, Self.rules[0]), (0, Self.rules[4])]) } == .invalidArgument)
    #expect(try state.read(.value, of: 0).values == Self.store()["short"]?.tensor().values, "nothing has changed")
    try state.write(Tensor(shape: [5], values: [1, 2, 3, 4, 5]), to: .average, of: 0)
    var store = try state.store(.average)
    #expect(store["short"]?.tensor().values == [1, 2, 3, 4, 5])
    try state.load(store)
    #expect(try state.read(.value, of: 0).values == [1, 2, 3, 4, 5])
    store["mean"] = nil
    store["short"] = Parameter(Tensor(shape: [5], values: [0, 0, 0, 0, 0]))
    #expect(code { try state.load(store) } == .parameterMismatch)
    #expect(try state.read(.value, of: 0).values == [1, 2, 3, 4, 5], "nothing has changed")
  }

  @Test("Gradients become sums over processes, values their means", arguments: EngineSubject.training)
  func processes(subject: EngineSubject) throws {
    let state = try Self.state(subject.engine)
    for at in state.trainedIndices {
      try state.write(seededTensor(Self.declarations[at].shape, seed: UInt64(at)), to: .gradient, of: at)
    }
    try state.sumGradients(of: 0...2, over: TwoAlike())
    for at in state.trainedIndices {
      let expected = seededTensor(Self.declarations[at].shape, seed: UInt64(at)).values.map { 2 * $0 }
      #expect(try state.read(.gradient, of: at).values == expected)
    }
    try state.averageValues(of: [3], over: TwoAlike(), processes: 2)
    #expect(try state.read(.value, of: 3).values == Self.store()["mean"]?.tensor().values)
    try state.averageValues(of: [3], over: TwoAlike(), processes: 1)
    #expect(try state.read(.value, of: 3).values == Self.store()["mean"]?.tensor().values.map { 2 * $0 })
  }
}
