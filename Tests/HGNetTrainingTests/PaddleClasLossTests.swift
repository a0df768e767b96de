import Foundation
import HGNetConfiguration
import HGNetCore
import HGNetTraining
import Testing

/// What PaddleClas' loss classes gave for random logits.
struct PaddleClasLosses: Decodable {
  struct Arguments: Decodable {
    var temperature: Double?
    var alpha: Double?
    var beta: Double?
    var useTargetAsGt: Bool?
    var epsilon: Double?
    var sizeSum: Bool?
    var weightRatio: Bool?
    var clip: Double?
    var gammaPos: Double?
  }

  struct Pair: Decodable, CustomTestStringConvertible {
    var kind: String
    var rows: Int
    var classes: Int
    var arguments: Arguments
    var student: [Float]
    var teacher: [Float]
    var labels: [Int]
    var key: String
    var value: Double
    var studentGradient: [Float]
    var teacherGradient: [Float]

    var testDescription: String { "\(kind) \(rows)×\(classes)" }
  }

  struct Single: Decodable, CustomTestStringConvertible {
    var kind: String
    var arguments: Arguments
    var rows: Int
    var classes: Int
    var logits: [Float]
    var targets: [Float]
    var ratios: [Float]?
    var value: Double
    var gradient: [Float]

    var testDescription: String { "\(kind)" }
  }

  var pairs: [Pair]
  var single: [Single]

  static let all = try? Fixture.decode("paddleclas_losses.json", as: PaddleClasLosses.self)
}

@Suite("Losses of PaddleClas' own classes")
struct PaddleClasLossTests {
  @Test("There are goldens") func goldens() {
    #expect(PaddleClasLosses.all?.pairs.count == 8 && PaddleClasLosses.all?.single.count == 6)
  }

  @Test("Losses between a student and a teacher", arguments: PaddleClasLosses.all?.pairs ?? [])
  func pairs(_ item: PaddleClasLosses.Pair) throws {
    let (arguments, shape) = (item.arguments, Shape([item.rows, item.classes]))
    let rule: DistillationLoss.Rule =
      item.kind == "DistillationKLDivLoss"
      ? .divergence(
        student: "Student", teacher: "Teacher", DivergenceLoss(temperature: arguments.temperature ?? 4))
      : .decoupled(
        student: "Student", teacher: "Teacher",
        DecoupledLoss(
          temperature: arguments.temperature ?? 1, alpha: arguments.alpha ?? 1, beta: arguments.beta ?? 1,
          takesTeachersClass: arguments.useTargetAsGt ?? false))
    let loss = try DistillationLoss([.init([rule])])
    let logits = [
      "Student": Tensor(shape: shape, values: item.student), "Teacher": Tensor(shape: shape, values: item.teacher),
    ]
    let result = try loss.evaluate(logits: logits, targets: .classes(item.labels))
    #expect(result.terms.map(\.name) == [item.key])
    #expect(abs(Double(result.value) - item.value) < 1e-5 * max(1, item.value))
    #expect(relativeDifference(result.gradients["Student"]?.values ?? [], item.studentGradient) < 1e-5)
    #expect(result.gradients["Teacher"] == nil && item.teacherGradient.allSatisfy { $0 == 0 })
    // Two halves of a batch add up to it.
    guard item.rows == 2 || item.rows == 3 else { return }
    var sum: Float = 0
    for row in 0..<item.rows {
      let range = row * item.classes..<(row + 1) * item.classes
      let part = logits.mapValues { Tensor(shape: [1, item.classes], values: Array($0.values[range])) }
      sum += try loss.evaluate(logits: part, targets: .classes([item.labels[row]]), of: item.rows).value
    }
    #expect(abs(sum - result.value) < 1e-5 * max(1, result.value))
  }

  @Test("DKD needs classes, unless the teacher names them") func targets() throws {
    let logits = ["S": Tensor(shape: [1, 3], values: [1, 2, 3]), "T": Tensor(shape: [1, 3], values: [3, 2, 1])]
    let vectors = Targets.vectors(Tensor(shape: [1, 3], values: [0, 0.5, 0.5]))
    let own = try DistillationLoss([.init([.decoupled(student: "S", teacher: "T", DecoupledLoss())])])
    #expect(own.usesLabels)
    #expect(throws: HGNetError.self) { try own.evaluate(logits: logits, targets: vectors) }
    #expect(throws: HGNetError.self) { try own.evaluate(logits: logits, targets: .classes([3])) }
    let free = try DistillationLoss([
      .init([.decoupled(student: "S", teacher: "T", DecoupledLoss(takesTeachersClass: true))])
    ])
    #expect(!free.usesLabels)
    #expect(try free.evaluate(logits: logits, targets: vectors).value.isFinite)
  }

  @Test(
    "Losses for several labels, as the configuration names their arguments",
    arguments: PaddleClasLosses.all?.single ?? [])
  func single(_ item: PaddleClasLosses.Single) throws {
    var arguments = "weight: 1.0"
    if let value = item.arguments.epsilon { arguments += ", epsilon: \(value)" }
    if let value = item.arguments.gammaPos { arguments += ", gamma_pos: \(value)" }
    if item.arguments.sizeSum == true { arguments += ", size_sum: True" }
    if item.arguments.weightRatio == true { arguments += ", weight_ratio: True" }
    if item.kind == "MultiLabelAsymmetricLoss" {
      arguments += ", clip: \(item.arguments.clip.map { "\($0)" } ?? "null")"
    }
    let yaml = """
      Global: {epochs: 1, use_multilabel: True}
      Arch: {name: PPHGNetV2_B0, class_num: \(item.classes)}
      Loss: {Train: [{\(item.kind): {\(arguments)}}]}
      Optimizer: {name: SGD, lr: {learning_rate: 0.1}}
      DataLoader: {Train: {dataset: {name: MultiLabelDataset, label_ratio: True}}}
      """
    let configuration = try TrainingConfiguration(Configuration(ConfigurationValue(yaml: yaml), path: "l.yaml"))
    var loss = configuration.trainingLoss
    if item.arguments.weightRatio == true, var rule = loss.terms.first?.loss as? MultiLabelLoss {
      rule.ratios = item.ratios
      loss = CombinedLoss(rule)
    }
    let shape = Shape([item.rows, item.classes])
    let result = try loss.evaluate(
      logits: Tensor(shape: shape, values: item.logits),
      targets: .vectors(Tensor(shape: shape, values: item.targets)))
    #expect(abs(Double(result.value) - item.value) < 1e-5 * max(1, item.value))
    #expect(relativeDifference(result.gradient.values, item.gradient) < 1e-5)
  }
}
