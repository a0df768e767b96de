import HGNetCore
import HGNetPlatform

/// How the learning rate changes during training: a rule with an optional linear warm-up.
///
/// The rate of the first step is `learningRate` of a new schedule (0 with a plain warm-up); `advance` moves to the next
/// step, or epoch with `isByEpoch`. PaddleClas advances before it logs, so a logged rate is that of the next step. The
/// numbers are those of PaddlePaddle's schedulers, bit for bit: without warm-up its cosine is computed from the rate
/// before, with warm-up in closed form.
///
/// Threads: a value; one task advances it. Source: PaddleClas `ppcls/optimizer/learning_rate.py`, PaddlePaddle
/// `paddle.optimizer.lr`.
package struct Schedule: Sendable, Hashable {
  /// The rule after the warm-up.
  ///
  /// Lengths are epochs.
  package enum Rule: Sendable, Hashable {
    /// The same rate for ever.
    case constant
    /// Half a cosine down to `minimum`.
    case cosine(minimum: Double = 0)
    /// Down to `end` along a polynomial; with `cycle` it begins anew over a longer stretch.
    case polynomial(end: Double = 0, power: Double = 1, cycle: Bool = false)
    /// Times `factor` every `epochs`.
    case step(epochs: Double, factor: Double = 0.1)
    /// Times `factor` at each of the epochs, which ascend.
    case multiStep(epochs: [Double], factor: Double = 0.1)
    /// `rates[i]` before `epochs[i]`; one rate more than epochs. The first is the goal of the warm-up.
    case piecewise(epochs: [Double], rates: [Double])
  }

  /// Where a schedule stands, as PaddlePaddle stores it in `.pdopt` under `LR_Scheduler`.
  package struct State: Sendable, Hashable {
    /// The number of times the schedule has advanced (`last_epoch`).
    package var step: Int
    /// The current rate (`last_lr`).
    package var learningRate: Double
    /// The state of the rule below a warm-up (`LinearWarmup_LR`), nil without warm-up.
    package var inner: Inner?

    /// The state of the rule below a warm-up.
    package struct Inner: Sendable, Hashable {
      /// Steps since the end of the warm-up (`last_epoch`).
      package var step: Int
      /// The rate of the rule (`last_lr`).
      package var learningRate: Double

      /// Makes a state.
      package init(step: Int, learningRate: Double) {
        self.step = step
        self.learningRate = learningRate
      }
    }

    /// Makes a state.
    package init(step: Int, learningRate: Double, inner: Inner? = nil) {
      self.step = step
      self.learningRate = learningRate
      self.inner = inner
    }
  }

  /// The rule after the warm-up.
  package let rule: Rule
  /// The rate that the warm-up leads to and the rule begins with.
  package let baseRate: Double
  /// The rate at the beginning of the warm-up.
  package let warmupStart: Double
  /// Steps (or epochs) of the warm-up; 0 for none.
  package let warmupSteps: Int
  /// Whether `advance` is called once per epoch instead of once per optimiser step.
  package let isByEpoch: Bool
  /// Where the schedule stands.
  package private(set) var state: State

  // Steps of the whole rule after the warm-up; 0 or less leaves the rate constant.
  private let length: Double
  // Steps that an epoch of the rule's own lengths stands for.
  private let stepsPerUnit: Double

  /// Makes a schedule at its beginning.
  ///
  /// - Parameters:
  ///   - rule: the rule after the warm-up.
  ///   - learningRate: the base rate, at least 0; a piecewise rule brings its own.
  ///   - epochs: the epochs of the whole training, at least 1.
  ///   - stepsPerEpoch: optimiser steps in an epoch, at least 1.
  ///   - warmupEpochs: epochs of linear warm-up, 0 for none; at most `epochs` are used.
  ///   - warmupStart: the rate at the beginning of the warm-up, below the base rate.
  ///   - isByEpoch: whether everything counts epochs instead of steps.
  /// - Throws: `HGNetError.Code.invalidConfiguration` for values outside their range.
  package init(
    _ rule: Rule, learningRate: Double, epochs: Int, stepsPerEpoch: Int, warmupEpochs: Double = 0,
    warmupStart: Double = 0, isByEpoch: Bool = false
  ) throws(HGNetError) {
    guard epochs > 0, stepsPerEpoch > 0, epochs <= 1 << 31, stepsPerEpoch <= 1 << 31 else {
      throw Schedule.invalid("expected at least one epoch and one step, found \(epochs) × \(stepsPerEpoch)")
    }
    guard warmupEpochs >= 0, warmupEpochs.isFinite else {
      throw Schedule.invalid("expected warmup_epoch of at least 0, found \(warmupEpochs)")
    }
    var base = learningRate
    if case .piecewise(_, let rates) = rule, let first = rates.first { base = first }
    guard base >= 0, base.isFinite else {
      throw Schedule.invalid("expected a learning rate of at least 0, found \(base)")
    }
    try rule.check()
    let warmup = min(warmupEpochs, Double(epochs))
    let perEpoch = Double(stepsPerEpoch)
    let steps = (isByEpoch ? warmup : warmup * perEpoch).rounded(.toNearestOrEven)
    guard steps == 0 || warmupStart < base else {
      throw Schedule.invalid("expected warmup_start_lr below the learning rate \(base), found \(warmupStart)")
    }
    self.rule = rule
    baseRate = base
    self.warmupStart = warmupStart
    warmupSteps = Int(steps)
    self.isByEpoch = isByEpoch
    length = (Double(epochs) - warmup) * (isByEpoch ? 1 : perEpoch)
    stepsPerUnit = isByEpoch ? 1 : perEpoch
    state = State(step: 0, learningRate: base)
    let first = rate(at: 0, previous: base, isClosed: false)
    if warmupSteps > 0 {
      state = State(step: 0, learningRate: warmupStart, inner: State.Inner(step: 0, learningRate: first))
    } else {
      state.learningRate = first
    }
  }

  /// The rate of the coming step.
  package var learningRate: Double { state.learningRate }

  /// The name in log lines: PaddlePaddle's class.
  package var name: String {
    if warmupSteps > 0 { return "LinearWarmup" }
    switch rule {
    case .constant: return "Constant"
    case .cosine: return length > 0 ? "CosineAnnealingDecay" : "Constant"
    case .polynomial: return length > 0 ? "PolynomialDecay" : "Constant"
    case .step: return "StepDecay"
    case .multiStep: return "MultiStepDecay"
    case .piecewise: return "PiecewiseDecay"
    }
  }

  /// Moves to the next step.
  package mutating func advance() {
    let step = state.step + 1
    guard warmupSteps > 0 else {
      state = State(step: step, learningRate: rate(at: step, previous: state.learningRate, isClosed: false))
      return
    }
    if step < warmupSteps {
      let rate = (baseRate - warmupStart) * Double(step) / Double(warmupSteps) + warmupStart
      state.step = step
      state.learningRate = rate
    } else {
      let inner = step - warmupSteps
      let rate = rate(at: inner, previous: state.inner?.learningRate ?? baseRate, isClosed: true)
      state = State(step: step, learningRate: rate, inner: State.Inner(step: inner, learningRate: rate))
    }
  }

  /// Goes to a step at once, with the rates that the rule has in closed form, from which a cosine that was stepped differs
  /// by rounding alone.
  ///
  /// - Parameter step: the number of times that it would have advanced, at least 0.
  package mutating func jump(to step: Int) {
    let step = max(step, 0)
    guard warmupSteps > 0 else {
      state = State(step: step, learningRate: rate(at: step, previous: baseRate, isClosed: true))
      return
    }
    let inner = max(step - warmupSteps, 0)
    let innerRate = rate(at: inner, previous: baseRate, isClosed: true)
    let warm = (baseRate - warmupStart) * Double(step) / Double(warmupSteps) + warmupStart
    state = State(
      step: step, learningRate: step < warmupSteps ? warm : innerRate,
      inner: State.Inner(step: inner, learningRate: innerRate))
  }

  /// Continues from a stored state.
  ///
  /// - Throws: `HGNetError.Code.malformedData` for a negative step or a rate that is no number.
  package mutating func restore(_ stored: State) throws(HGNetError) {
    guard stored.step >= 0, stored.step <= 1 << 48, stored.learningRate.isFinite,
      (stored.inner?.step ?? 0) >= 0, stored.inner?.learningRate.isFinite ?? true
    else {
      throw HGNetError(
        .malformedData,
        "expected a step of at least 0 and a finite rate, found \(stored.step) and \(stored.learningRate)",
        key: "LR_Scheduler")
    }
    var new = stored
    if warmupSteps > 0, new.inner == nil {
      let inner = max(stored.step - warmupSteps, 0)
      new.inner = State.Inner(step: inner, learningRate: inner > 0 ? stored.learningRate : baseRate)
    } else if warmupSteps == 0 {
      new.inner = nil
    }
    state = new
  }

  private func rate(at step: Int, previous: Double, isClosed: Bool) -> Double {
    let time = Double(step)
    switch rule {
    case .constant: return baseRate
    case .cosine(let minimum):
      guard length > 0 else { return baseRate }
      if isClosed { return minimum + (baseRate - minimum) * (1 + cos(Double.pi * time / length)) / 2 }
      if step == 0 { return baseRate }
      if (time - 1 - length).truncatingRemainder(dividingBy: 2 * length) == 0 {
        return previous + (baseRate - minimum) * (1 - cos(Double.pi / length)) / 2
      }
      return (1 + cos(Double.pi * time / length)) / (1 + cos(Double.pi * (time - 1) / length)) * (previous - minimum)
        + minimum
    case .polynomial(let end, let power, let cycle):
      guard length > 0 else { return baseRate }
      var (now, whole) = (time, length)
      if cycle { whole = length * (step == 0 ? 1 : (time / length).rounded(.up)) } else { now = min(time, length) }
      return (baseRate - end) * pow(1 - now / whole, power) + end
    case .step(let epochs, let factor):
      // Whole steps, as in PaddleClas, and at least one.
      let length = isByEpoch ? epochs : max((epochs * stepsPerUnit).rounded(.down), 1)
      return baseRate * pow(factor, (time / length).rounded(.down))
    case .multiStep(let epochs, let factor):
      let passed = epochs.firstIndex { time < $0 * stepsPerUnit } ?? epochs.count
      return baseRate * pow(factor, Double(passed))
    case .piecewise(let epochs, let rates):
      let passed = epochs.firstIndex { time < $0 * stepsPerUnit } ?? (rates.count - 1)
      return rates[passed]
    }
  }

  static func invalid(_ message: String) -> HGNetError {
    HGNetError(.invalidConfiguration, message, key: "Optimizer.lr")
  }
}

extension Schedule.Rule {
  /// Checks the numbers of a rule.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration`.
  func check() throws(HGNetError) {
    func ascending(_ epochs: [Double]) -> Bool {
      epochs.allSatisfy(\.isFinite) && zip(epochs, epochs.dropFirst()).allSatisfy { $0 < $1 }
    }
    switch self {
    case .constant: break
    case .cosine(let minimum):
      guard minimum.isFinite else { throw Schedule.invalid("expected a finite eta_min, found \(minimum)") }
    case .polynomial(let end, let power, _):
      guard end.isFinite, power > 0, power.isFinite else {
        throw Schedule.invalid("expected a finite end_lr and a power above 0, found \(end) and \(power)")
      }
    case .step(let epochs, let factor):
      guard epochs > 0, epochs.isFinite, factor >= 0, factor < 1 else {
        throw Schedule.invalid("expected step_size above 0 and gamma in 0 ..< 1, found \(epochs) and \(factor)")
      }
    case .multiStep(let epochs, let factor):
      guard ascending(epochs), factor >= 0, factor < 1 else {
        throw Schedule.invalid("expected ascending milestones and gamma in 0 ..< 1, found \(epochs) and \(factor)")
      }
    case .piecewise(let epochs, let rates):
      guard !epochs.isEmpty, ascending(epochs), rates.count == epochs.count + 1,
        rates.allSatisfy({ $0 >= 0 && $0.isFinite })
      else {
        throw Schedule.invalid(
          "expected ascending decay_epochs and one value more than epochs, found \(epochs.count) and \(rates.count)")
      }
    }
  }
}
