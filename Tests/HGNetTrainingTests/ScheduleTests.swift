import Foundation
import HGNetCore
import HGNetTraining
import Testing

/// One line of schedules.json.
struct ScheduleCase: Decodable, CustomTestStringConvertible {
  struct Options: Decodable {
    var etaMin: Double?
    var endLr: Double?
    var power: Double?
    var cycle: Bool?
    var stepSize: Double?
    var gamma: Double?
    var milestones: [Double]?
    var decayEpochs: [Double]?
    var values: [Double]?
  }

  struct Inner: Decodable {
    var lastEpoch: Int
    var lastLr: Double
  }

  struct State: Decodable {
    var lastEpoch: Int
    var lastLr: Double
    var inner: Inner?
  }

  var rule: String
  var options: Options
  var epochs: Int
  var steps: Int
  var rate: Double
  var warmup: Double
  var start: Double
  var byEpoch: Bool
  var rates: [Double]
  var states: [String: State]
  var name: String

  var testDescription: String { "\(rule) \(epochs)×\(steps) warm-up \(warmup) by epoch \(byEpoch)" }

  func schedule() throws -> Schedule {
    let rule: Schedule.Rule =
      switch rule {
      case "Cosine": .cosine(minimum: options.etaMin ?? 0)
      case "Linear": .polynomial(end: options.endLr ?? 0, power: options.power ?? 1, cycle: options.cycle ?? false)
      case "Step": .step(epochs: options.stepSize ?? 1, factor: options.gamma ?? 0.1)
      case "MultiStepDecay": .multiStep(epochs: options.milestones ?? [], factor: options.gamma ?? 0.1)
      case "Piecewise": .piecewise(epochs: options.decayEpochs ?? [], rates: options.values ?? [])
      default: .constant
      }
    return try Schedule(
      rule, learningRate: rate, epochs: epochs, stepsPerEpoch: steps, warmupEpochs: warmup, warmupStart: start,
      isByEpoch: byEpoch)
  }

  static let all: [ScheduleCase] = (try? Fixture.decode("schedules.json")) ?? []
}

@Suite("Schedules")
struct ScheduleTests {
  @Test("200 rates and the states are Paddle's", arguments: ScheduleCase.all)
  func golden(_ item: ScheduleCase) throws {
    var schedule = try item.schedule()
    #expect(schedule.name == item.name)
    for (step, rate) in item.rates.enumerated() {
      if step > 0 { schedule.advance() }
      #expect(schedule.learningRate == rate, "step \(step)")
      if let state = item.states["\(step)"] {
        #expect(schedule.state.step == state.lastEpoch)
        #expect(schedule.state.learningRate == state.lastLr)
        #expect(schedule.state.inner?.step == state.inner?.lastEpoch)
        #expect(schedule.state.inner?.learningRate == state.inner?.lastLr)
      }
    }
  }

  @Test("There are goldens") func goldens() { #expect(ScheduleCase.all.count == 18) }

  @Test("A restored schedule goes on as if it had not stopped", arguments: ScheduleCase.all)
  func resume(_ item: ScheduleCase) throws {
    var schedule = try item.schedule()
    for _ in 0..<37 { schedule.advance() }
    var other = try item.schedule()
    try other.restore(schedule.state)
    for step in 38..<item.rates.count {
      other.advance()
      #expect(other.learningRate == item.rates[step])
    }
  }

  @Test("Numbers outside their range are refused")
  func badNumbers() {
    func refused(_ make: () throws(HGNetError) -> Schedule) {
      #expect(throws: HGNetError.self) { _ = try make() }
    }
    refused { () throws(HGNetError) in try Schedule(.constant, learningRate: -1, epochs: 1, stepsPerEpoch: 1) }
    refused { () throws(HGNetError) in try Schedule(.constant, learningRate: 1, epochs: 0, stepsPerEpoch: 1) }
    refused { () throws(HGNetError) in try Schedule(.constant, learningRate: 1, epochs: 1, stepsPerEpoch: 0) }
    refused { () throws(HGNetError) in
      try Schedule(.cosine(), learningRate: 1, epochs: 2, stepsPerEpoch: 1, warmupEpochs: 1, warmupStart: 2)
    }
    refused { () throws(HGNetError) in
      try Schedule(.multiStep(epochs: [2, 2]), learningRate: 1, epochs: 2, stepsPerEpoch: 1)
    }
    refused { () throws(HGNetError) in
      try Schedule(.piecewise(epochs: [2], rates: [1]), learningRate: 1, epochs: 2, stepsPerEpoch: 1)
    }
    refused { () throws(HGNetError) in try Schedule(.step(epochs: 0), learningRate: 1, epochs: 2, stepsPerEpoch: 1) }
  }
}
