import Foundation
import HGNetCore
import HGNetTraining
import Testing

/// One line of losses.json.
struct LossCase: Decodable, CustomTestStringConvertible {
  struct Options: Decodable {
    var epsilon: Double?
    var sizeSum: Bool?
    var weightRatio: Bool?
    var gammaPos: Double?
    var gammaNeg: Double?
    var clip: Double?
    var hold: Bool?
    var reduction: String?
  }

  var loss: String
  var options: Options
  var shape: [Int]
  var logits: [Float]
  var value: Float
  var gradient: [Float]
  var classes: [Int]?
  var vectors: [Float]?
  var targetShape: [Int]?

  var testDescription: String { "\(loss) \(shape) \(options)" }

  var rule: any Loss {
    switch loss {
    case "CELoss": CrossEntropyLoss(epsilon: options.epsilon)
    case "MultiLabelLoss":
      MultiLabelLoss(
        epsilon: options.epsilon, sumsClasses: options.sizeSum ?? false, weightsByRatio: options.weightRatio ?? false)
    default:
      MultiLabelAsymmetricLoss(
        positiveFocus: options.gammaPos ?? 1, negativeFocus: options.gammaNeg ?? 4, clip: options.clip ?? 0.05,
        holdsFocusConstant: options.hold ?? true, reduction: options.reduction == "mean" ? .mean : .sum)
    }
  }

  var targets: Targets {
    if let classes { return .classes(classes) }
    return .vectors(Tensor(shape: Shape(targetShape ?? [0]), values: vectors ?? []))
  }

  static let all: [LossCase] = (try? Fixture.decode("losses.json")) ?? []
}

@Suite("Losses")
struct LossTests {
  @Test("Value and gradient are Paddle's", arguments: LossCase.all)
  func golden(_ item: LossCase) throws {
    let logits = Tensor(shape: Shape(item.shape), values: item.logits)
    let (value, gradient) = try item.rule.evaluate(logits: logits, targets: item.targets)
    // Paddle computes in float32.
    #expect(abs(value - item.value) <= 5e-6 * max(1, abs(item.value)))
    #expect(relativeDifference(gradient.values, item.gradient) < 5e-6)
  }

  @Test("There are goldens") func goldens() { #expect(LossCase.all.count == 51) }

  @Test("The gradient is the slope of the value", arguments: LossCase.all)
  func centralDifferences(_ item: LossCase) throws {
    // With the focus held constant the gradient is not the slope, on purpose.
    if item.loss == "MultiLabelAsymmetricLoss", item.options.hold == true { return }
    let (rows, classes) = (item.shape[0], item.shape[1])
    let rule = item.rule
    for row in 0..<rows {
      var logits = (0..<classes).map { Double(item.logits[row * classes + $0]) * 0.3 }
      var gradient = [Double](repeating: 0, count: classes)
      func value() -> Double {
        var ignored = [Double](repeating: 0, count: classes)
        return logits.withUnsafeBufferPointer { source in
          ignored.withUnsafeMutableBufferPointer {
            rule.evaluate(row: row, of: rows, logits: source, targets: item.targets, gradient: $0)
          }
        }
      }
      _ = logits.withUnsafeBufferPointer { source in
        gradient.withUnsafeMutableBufferPointer {
          rule.evaluate(row: row, of: rows, logits: source, targets: item.targets, gradient: $0)
        }
      }
      for index in 0..<classes {
        let middle = logits[index]
        logits[index] = middle + 1e-5
        let above = value()
        logits[index] = middle - 1e-5
        let below = value()
        logits[index] = middle
        #expect(abs((above - below) / 2e-5 - gradient[index]) < 1e-8)
      }
    }
  }

  @Test("One loss ignores its weight, several are weighted and added")
  func combination() throws {
    let logits = Tensor(shape: [2, 3], values: [0.5, -1, 2, 0, 1, -0.25])
    let targets = Targets.classes([2, 0])
    let plain = try CrossEntropyLoss().evaluate(logits: logits, targets: targets)
    let smooth = try CrossEntropyLoss(epsilon: 0.1).evaluate(logits: logits, targets: targets)
    let single = try CombinedLoss([.init(CrossEntropyLoss(), weight: 3)]).evaluate(logits: logits, targets: targets)
    #expect(single.value == plain.value)
    #expect(single.gradient.values == plain.gradient.values)
    #expect(single.logged.map(\.name) == ["CELoss", "loss"])
    let sum = try CombinedLoss([
      .init(CrossEntropyLoss(), weight: 0.5), .init(CrossEntropyLoss(epsilon: 0.1), weight: 2),
    ]).evaluate(logits: logits, targets: targets)
    #expect(abs(sum.value - (0.5 * plain.value + 2 * smooth.value)) < 1e-6)
    for index in 0..<6 {
      #expect(abs(sum.gradient[index] - (0.5 * plain.gradient[index] + 2 * smooth.gradient[index])) < 1e-6)
    }
  }

  @Test("Targets that do not fit are refused")
  func badTargets() throws {
    let logits = Tensor(shape: [2, 3])
    #expect(throws: HGNetError.self) { try CrossEntropyLoss().evaluate(logits: logits, targets: .classes([0])) }
    #expect(throws: HGNetError.self) { try CrossEntropyLoss().evaluate(logits: logits, targets: .classes([0, -1])) }
    let error = #expect(throws: HGNetError.self) {
      try CrossEntropyLoss(epsilon: 0.1).evaluate(logits: logits, targets: .classes([0, 3]))
    }
    #expect(error?.message.contains("0 … 2, found 3") == true)
    #expect(throws: HGNetError.self) { try MultiLabelLoss().evaluate(logits: logits, targets: .classes([0, 1])) }
    #expect(throws: HGNetError.self) {
      try MultiLabelLoss().evaluate(logits: logits, targets: .vectors(Tensor(shape: [2, 2])))
    }
    #expect(throws: HGNetError.self) { try CombinedLoss([]) }
    let empty = Tensor(shape: [0, 3])
    #expect(throws: HGNetError.self) { try CrossEntropyLoss().evaluate(logits: empty, targets: .classes([])) }
  }

  @Test("A logit that is no number makes a loss that is no number")
  func notANumber() throws {
    let logits = Tensor(shape: [1, 3], values: [0, .nan, 1])
    #expect(try CrossEntropyLoss().evaluate(logits: logits, targets: .classes([0])).value.isNaN)
    let infinite = Tensor(shape: [1, 3], values: [0, .infinity, 1])
    #expect(try CrossEntropyLoss().evaluate(logits: infinite, targets: .classes([0])).value.isNaN)
  }
}
