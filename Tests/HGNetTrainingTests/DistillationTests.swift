import Foundation
import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetTraining
import HGNetVision
import Testing

/// Losses over the logits of several networks.
@Suite struct DistillationLossTests {
  static func logits(_ seed: UInt64, rows: Int = 3, classes: Int = 5) -> Tensor {
    var random = RandomGenerator(seed: seed)
    return Tensor(
      shape: [rows, classes], values: (0..<rows * classes).map { _ in Float(random.uniform() * 4 - 2) })
  }

  static let rules: [(name: String, rule: DistillationLoss.Rule)] = [
    ("CELoss_Student_Teacher", .imitation(student: "Student", teacher: "Teacher")),
    ("CELoss_Student", .labels(model: "Student", CrossEntropyLoss(epsilon: 0.1))),
    ("DMLLoss_Student_Teacher_0", .mutual(first: "Student", second: "Teacher", MutualLearningLoss())),
    (
      "DMLLoss_Student_Teacher_0",
      .mutual(first: "Student", second: "Teacher", MutualLearningLoss(activation: .sigmoid, multipliesByClasses: true))
    ),
  ]

  @Test("Gradients are central differences", arguments: rules.indices)
  func gradients(_ index: Int) throws {
    let (name, rule) = Self.rules[index]
    let loss = try DistillationLoss([.init([rule])])
    let logits = ["Student": Self.logits(1), "Teacher": Self.logits(2)]
    let targets = Targets.classes([0, 4, 2])
    let result = try loss.evaluate(logits: logits, targets: targets)
    #expect(result.terms.map(\.name) == [name])
    for model in result.gradients.keys.sorted() {
      let gradient = try #require(result.gradients[model])
      for index in 0..<gradient.count {
        func value(_ step: Float) throws -> Double {
          var moved = logits
          moved[model]?.withUnsafeMutableBufferPointer { $0[index] += step }
          return Double(try loss.evaluate(logits: moved, targets: targets).value)
        }
        let slope = (try value(0.01) - value(-0.01)) / 0.02
        // The values are float32, whose rounding over the step of the difference is 1e-5.
        #expect(abs(slope - Double(gradient[index])) < 5e-5)
      }
    }
  }

  @Test("The student imitates the scores of the teacher") func imitation() throws {
    let (student, teacher) = (Self.logits(1, rows: 1), Self.logits(2, rows: 1))
    let loss = try DistillationLoss([.init([.imitation(student: "S", teacher: "T")], weight: 7)])
    let result = try loss.evaluate(logits: ["S": student, "T": teacher], targets: .classes([-1]))
    func scores(_ logits: Tensor) -> [Double] {
      let powers = logits.values.map { exp(Double($0)) }
      return powers.map { $0 / powers.reduce(0, +) }
    }
    let expected = -zip(scores(teacher), scores(student)).reduce(0) { $0 + $1.0 * log($1.1) }
    // A single loss ignores its weight, and labels are not looked at.
    #expect(abs(Double(result.value) - expected) < 1e-6)
    #expect(result.gradients["T"] == nil)
    #expect(!loss.usesLabels)
  }

  @Test("Two losses have their weights") func weights() throws {
    let logits = ["Student": Self.logits(1), "Teacher": Self.logits(2)]
    let targets = Targets.classes([1, 0, 3])
    var expected: Float = 0
    for (index, weight) in [(0, 0.25), (1, 2.0)] {
      let single = try DistillationLoss([.init([Self.rules[index].rule])])
      expected += Float(weight) * (try single.evaluate(logits: logits, targets: targets).value)
    }
    let both = try DistillationLoss([
      .init([Self.rules[0].rule], weight: 0.25), .init([Self.rules[1].rule], weight: 2),
    ])
    #expect(abs(try both.evaluate(logits: logits, targets: targets).value - expected) < 1e-6)
  }
}

/// What configurations say about distillation.
@Suite struct DistillationConfigurationTests {
  static let files = (0...6).flatMap { b in [1, 2].map { "PPHGNetV2_B\(b)_ssld_stage\($0).yaml" } }

  static func read(_ name: String, _ overrides: [String] = []) throws -> TrainingConfiguration {
    try TrainingConfiguration(
      Configuration(
        contentsOf: TrainingConfigurationTests.configs.appendingPathComponent(name).path, overrides: overrides))
  }

  @Test("The committed configurations", arguments: files)
  func committed(_ name: String) throws {
    let configuration = try Self.read(name)
    let distillation = try #require(configuration.distillation)
    let isFirst = name.hasSuffix("stage1.yaml")
    #expect(distillation.networks.map(\.name) == ["Teacher", "Student"])
    #expect(distillation.networks.map(\.model.name) == ["PPHGNet_small", String(name.prefix(12))])
    #expect(distillation.networks.map(\.isFrozen) == [true, false])
    #expect(distillation.inferred == "Student" && !distillation.observesTeachers)
    #expect(!distillation.loss.usesLabels)
    #expect(configuration.model.name == String(name.prefix(12)))
    #expect(configuration.epochs == (isFirst ? 360 : 60))
    #expect(configuration.rate.learningRate == (isFirst ? 0.5 : 0.005))
    #expect(configuration.evaluationMetrics == [.topK([1, 5])])
    let weights: Configuration.WeightsSource? = isFirst ? nil : .file("./output_stage1/best_model_student")
    #expect(distillation.networks[1].weights == weights)
    guard case .published? = distillation.networks[0].weights else {
      Issue.record("the teacher has no published weights")
      return
    }
  }

  @Test("Arch.class_num reaches the networks, unless they are named later") func classCount() throws {
    let both = try #require(Self.read(Self.files[0], ["Arch.class_num=7"]).distillation)
    #expect(both.networks.map(\.options.classCount) == [7, 7])
    #expect(throws: HGNetError.self) {
      try Self.read(Self.files[0], ["Arch.class_num=7", "Arch.models.0.Teacher.class_num=8"])
    }
  }

  @Test(
    "Wrong configurations are named",
    arguments: [
      (
        ["Loss.Train.0.DistillationCELoss.model_name_pairs=[[\"Student\",\"Professor\"]]"],
        "no network is named Professor"
      ),
      (["Metric.Train.0.DistillationTopkAcc.model_key=Pupil"], "no network is named Pupil"),
      (["Metric.Eval.0.DistillationTopkAcc.model_key=Teacher"], "only Student"),
      (["Arch.infer_model_name=Pupil"], "named \"Pupil\""),
      (["Arch.freeze_params_list=[True]"], "expected one entry for each of the 2 networks"),
      (["Arch.freeze_params_list=[True, True]"], "frozen"),
      (["Arch.models.1.Student.class_num=5"], "expected 5 classes as Student has, found 1000"),
      (["Arch.teacher_in_training_mode=True", "Arch.teacher_logits_cache=cache"], "evaluation mode"),
    ])
  func mistakes(_ overrides: [String], _ message: String) {
    let error = #expect(throws: HGNetError.self) { try Self.read(Self.files[0], overrides) }
    #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
  }

  @Test("A loss of distillation belongs to a distillation") func loss() {
    let error = #expect(throws: HGNetError.self) {
      try Self.read("PPHGNetV2_B0.yaml", ["Loss.Train=[{'DistillationCELoss': {'weight': 1.0}}]"])
    }
    #expect(error?.description.contains("DistillationModel") == true)
  }
}

/// Whole distillations on pictures.
@Suite struct DistillationRunTests {
  /// A workspace whose configuration distils B1 into B0, with changes to it.
  struct Run {
    let workspace: TrainerTests.Workspace
    var configuration: TrainingConfiguration
    let names: [String]

    init(_ workspace: TrainerTests.Workspace, arch: String = "", losses: String? = nil, frozen: Bool = true) throws {
      self.workspace = workspace
      let losses = losses ?? "{DistillationCELoss: {weight: 1.0, model_name_pairs: [[Student, Teacher]]}}"
      let text = """
        Global: {epochs: 2, eval_during_train: True, eval_interval: 1, save_interval: 1, print_batch_step: 1, seed: 7}
        Arch:
          name: DistillationModel
          class_num: 3
          freeze_params_list: [\(frozen ? "True" : "False"), False]
          models: [{Teacher: {name: PPHGNetV2_B1}}, {Student: {name: PPHGNetV2_B0}}]
        \(arch.isEmpty ? "" : "  \(arch)")
        Loss:
          Train: [\(losses)]
          Eval: [{DistillationGTCELoss: {weight: 1.0, model_names: [Student]}}]
        Optimizer:
          name: Momentum
          momentum: 0.9
          lr: {name: Cosine, learning_rate: 0.05, warmup_epoch: 1}
          regularizer: {name: L2, coeff: 0.00002}
        Metric:
          Train: [{DistillationTopkAcc: {model_key: Student, topk: [1, 2]}}]
          Eval: [{DistillationTopkAcc: {model_key: Student, topk: [1, 2]}}]
        """
      let path = "\(workspace.path)/distillation.yaml"
      try text.write(toFile: path, atomically: true, encoding: .utf8)
      configuration = try TrainingConfiguration(Configuration(contentsOf: path))
      names = configuration.distillation?.networks.map(\.name) ?? []
    }

    func trainer(
      saving folder: String?, flips: Bool = false, batchSize: Int = 7, communicator: any Communicator = SingleProcess()
    ) throws -> Trainer {
      let dataset = try Dataset(folder: "\(workspace.path)/data")
      let normalization = TrainingTransforms.Step.fixed(
        .normalize(scale: 1 / 255, mean: [0.45, 0.45, 0.45], standardDeviation: [0.25, 0.25, 0.25]))
      let flip: [TrainingTransforms.Step] = flips ? [.random(.randomFlip(.horizontal))] : []
      let fixed = TrainingTransforms(steps: [normalization])
      return try Trainer(
        configuration: configuration,
        training: TrainingData(
          dataset: dataset, batchSize: batchSize, shuffles: true,
          transforms: TrainingTransforms(steps: flip + [normalization])),
        evaluation: TrainingData(dataset: dataset, batchSize: 8, shuffles: false, transforms: fixed),
        folder: folder.map { (name) throws(HGNetError) in try CheckpointFolder(path: "\(workspace.path)/\(name)") },
        device: .cpu(threads: 2), communicator: communicator)
    }

    func initial() throws -> ParameterStore {
      var store = ParameterStore()
      for (index, network) in (configuration.distillation?.networks ?? []).enumerated() {
        let graph = try network.model.graph(options: network.options)
        store.add(try Model.initialParameters(for: graph, seed: UInt64(index)), prefix: "\(network.name).")
      }
      return store
    }
  }

  static func values(_ store: ParameterStore, _ prefix: String, where isIncluded: (String) -> Bool = { _ in true })
    -> [Float]
  {
    store.names.filter { $0.hasPrefix(prefix) && isIncluded($0) }.flatMap { store[$0]?.tensor().values ?? [] }
  }

  @Test("Checkpoints have PaddleClas' layout, and the student's file is a network of its own")
  func layout() throws {
    let run = try Run(TrainerTests.Workspace())
    let trainer = try run.trainer(saving: "output", flips: true)
    let initial = try run.initial()
    var lines: [String] = []
    let outcome = try trainer.run(from: initial, log: { lines.append($0) })
    #expect(lines.contains { $0.contains("CELoss_Student_Teacher: ") && $0.contains("top1") })
    #expect(lines.contains { $0.hasPrefix("[Eval]") && $0.contains("CELoss_Student: ") })

    let contents = try Checkpoint.read("\(run.workspace.path)/output/latest")
    let graphs = try [Model.b1, .b0].map { try $0.graph(options: run.configuration.options) }
    #expect(
      contents.parameters.names
        == graphs[0].parameters.map { "Teacher.\($0.name)" } + graphs[1].parameters.map { "Student.\($0.name)" })
    // The counts of the student's layers go on where those of the teacher end.
    let convolutions = graphs[0].parameters.count { $0.role == .convolutionWeight }
    #expect(contents.internalNames["Teacher.stem.stem1.conv.weight"] == "conv2d_0.w_0")
    #expect(contents.internalNames["Student.stem.stem1.conv.weight"] == "conv2d_\(convolutions).w_0")
    #expect(contents.optimizer.tensors.names.contains("linear_1.w_0_velocity_0"))
    #expect(!contents.optimizer.tensors.names.contains("linear_0.w_0_velocity_0"))
    // The teacher is as it was, the student is not.
    #expect(Self.values(outcome.parameters, "Teacher.") == Self.values(initial, "Teacher."))
    #expect(Self.values(outcome.parameters, "Student.") != Self.values(initial, "Student."))

    let student = try WeightsFile(contentsOf: "\(run.workspace.path)/output/best_model_student")
    let both = try WeightsFile(contentsOf: "\(run.workspace.path)/output/best_model", part: "Student")
    let teacher = try WeightsFile(contentsOf: "\(run.workspace.path)/output/best_model.pdparams", part: "Teacher")
    #expect(student.model == .b0 && both.model == .b0 && teacher.model == .b1)
    #expect(Self.values(student.parameters, "") == Self.values(both.parameters, ""))
    #expect(try WeightsFile.parts(of: "\(run.workspace.path)/output/best_model") == ["Teacher", "Student"])
    let names = try PaddleParameters.contents(of: Blob(mapping: student.path)).internalNames
    #expect(names["stem.stem1.conv.weight"] == "conv2d_\(convolutions).w_0")
  }

  @Test("A stopped distillation goes on as if it had not been") func resume() throws {
    let run = try Run(TrainerTests.Workspace())
    let whole = try run.trainer(saving: nil, flips: true)
    let expected = try whole.run(from: run.initial(), log: { _ in })
    let first = try run.trainer(saving: "output", flips: true)
    let part = try first.run(from: run.initial(), log: { _ in }) { event in
      if case .step(let step) = event, step.globalStep == 2 { first.stop() }
    }
    #expect(part.wasStopped)
    let checkpoint = try Checkpoint.read("\(run.workspace.path)/output/latest")
    let second = try run.trainer(saving: "output", flips: true)
    let rest = try second.run(from: checkpoint.parameters, checkpoint: checkpoint, log: { _ in })
    #expect(Self.values(rest.parameters, "") == Self.values(expected.parameters, ""))
    // A checkpoint of one network is not taken for one of two.
    #expect(throws: HGNetError.self) {
      let other = try TrainerTests.Workspace()
      _ = try other.trainer(saving: nil).run(from: checkpoint.parameters, checkpoint: checkpoint, log: { _ in })
    }
  }

  @Test("Kept logits give the same bits, and chance is refused") func cache() throws {
    let workspace = try TrainerTests.Workspace()
    let plain = try Run(workspace)
    let expected = try plain.trainer(saving: nil).run(from: plain.initial(), log: { _ in })
    let cached = try Run(workspace, arch: "teacher_logits_cache: \(workspace.path)/cache")
    for _ in 0..<2 {
      let outcome = try cached.trainer(saving: nil).run(from: cached.initial(), log: { _ in })
      #expect(Self.values(outcome.parameters, "") == Self.values(expected.parameters, ""))
    }
    let files = try FileManager.default.contentsOfDirectory(atPath: "\(workspace.path)/cache")
    #expect(files.count == 1)
    // 21 pictures of 3 logits.
    let path = "\(workspace.path)/cache/\(files[0])"
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)).count == 21 * 20)
    let error = #expect(throws: HGNetError.self) {
      try cached.trainer(saving: nil, flips: true).run(from: cached.initial(), log: { _ in })
    }
    #expect(error?.context.key == "Arch.teacher_logits_cache")
  }

  @Test("A teacher in fewer bits says nearly the same", arguments: ["bfloat16", "int8"])
  func teacherPrecision(_ precision: String) throws {
    let workspace = try TrainerTests.Workspace()
    func firstLoss(_ arch: String) throws -> Double {
      let run = try Run(workspace, arch: arch)
      let trainer = try run.trainer(saving: nil)
      var loss: Double?
      _ = try trainer.run(from: run.initial(), log: { _ in }) { event in
        guard case .step(let step) = event, loss == nil else { return }
        loss = step.loss
        trainer.stop()
      }
      return try #require(loss)
    }
    let (exact, found) = (try firstLoss(""), try firstLoss("teacher_precision: \(precision)"))
    #expect(found != exact && abs(found - exact) < 0.01 * exact, "\(found) beside \(exact)")
    let error = #expect(throws: HGNetError.self) { try Run(workspace, arch: "teacher_precision: float8") }
    #expect(error?.context.key == "Arch.teacher_precision")
  }

  /// Those that compute as exactly as the processor, and the GPU that `Scripts/check-gpu` names.
  private static let teacherDevices =
    ["reference"] + (ProcessInfo.processInfo.environment["HGNET_TEST_GPU"].map { ["gpu:\($0)"] } ?? [])

  @Test("A teacher on another device says the same", arguments: teacherDevices)
  func teacherDevice(_ device: String) throws {
    let workspace = try TrainerTests.Workspace()
    func losses(_ arch: String) throws -> [Double] {
      let run = try Run(workspace, arch: arch)
      var losses: [Double] = []
      _ = try run.trainer(saving: nil).run(from: run.initial(), log: { _ in }) { event in
        if case .step(let step) = event { losses.append(step.loss) }
      }
      return losses
    }
    let (expected, found) = (try losses(""), try losses("teacher_device: \(device)"))
    #expect(found.count == expected.count && found != expected)
    // What the rounding of another engine changes grows from step to step in networks this small: the first one is compared.
    let (first, exact) = (try #require(found.first), try #require(expected.first))
    #expect(abs(first - exact) <= 1e-4 * exact, "\(first) beside \(exact)")
  }

  @Test("A teacher's device that there is not, or that does not go with the rest, is an error")
  func wrongTeacherDevice() throws {
    let workspace = try TrainerTests.Workspace()
    for (arch, key) in [
      ("teacher_device: tpu", "Arch.teacher_device"),
      ("teacher_device: gpu, teacher_in_training_mode: True", "Arch.teacher_device"),
      ("teacher_device: gpu, teacher_precision: int8", "Arch.teacher_precision"),
    ] {
      let lines = arch.replacingOccurrences(of: ", ", with: "\n  ")
      let error = #expect(throws: HGNetError.self) { try Run(workspace, arch: lines) }
      #expect(error?.context.key == key)
    }
    // Numbers end long before this one on any machine.
    let run = try Run(workspace, arch: "teacher_device: gpu:63")
    let error = #expect(throws: HGNetError.self) {
      try run.trainer(saving: nil).run(from: run.initial(), log: { _ in })
    }
    #expect(error?.context.key == "Arch.teacher_device")
  }

  @Test("A teacher in training mode keeps its weights, and its statistics drift") func observed() throws {
    let run = try Run(TrainerTests.Workspace(), arch: "teacher_in_training_mode: True")
    let initial = try run.initial()
    let outcome = try run.trainer(saving: nil).run(from: initial, log: { _ in })
    func isStatistic(_ name: String) -> Bool { name.hasSuffix("._mean") || name.hasSuffix("._variance") }
    #expect(
      Self.values(outcome.parameters, "Teacher.") { !isStatistic($0) }
        == Self.values(initial, "Teacher.") { !isStatistic($0) })
    #expect(
      Self.values(outcome.parameters, "Teacher.", where: isStatistic)
        != Self.values(initial, "Teacher.", where: isStatistic))
  }

  @Test("Two networks learn from each other") func mutual() throws {
    let losses = """
      {DistillationGTCELoss: {weight: 1.0, model_names: [Student, Teacher]}},
      {DistillationDMLLoss: {weight: 1.0, model_name_pairs: [[Student, Teacher]]}}
      """.replacingOccurrences(of: "\n", with: " ")
    let run = try Run(TrainerTests.Workspace(), losses: losses, frozen: false)
    let initial = try run.initial()
    var lines: [String] = []
    let outcome = try run.trainer(saving: nil).run(from: initial, log: { lines.append($0) })
    #expect(lines.contains { $0.contains("CELoss_Student: ") && $0.contains("DMLLoss_Student_Teacher_0: ") })
    for name in ["Teacher.fc.weight", "Student.fc.weight", "Teacher.stem.stem1.conv.weight"] {
      #expect(outcome.parameters[name]?.tensor().values != initial[name]?.tensor().values)
    }
  }
}
