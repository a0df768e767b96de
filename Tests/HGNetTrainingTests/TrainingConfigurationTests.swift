import Foundation
import HGNetConfiguration
import HGNetCore
import HGNetModels
import HGNetTraining
import Testing

@Suite("Training configurations")
struct TrainingConfigurationTests {
  static let configs = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Configs")

  private func read(_ overrides: [String] = []) throws -> TrainingConfiguration {
    try TrainingConfiguration(
      Configuration(
        contentsOf: Self.configs.appendingPathComponent("PPHGNetV2_B0.yaml").path, overrides: overrides))
  }

  @Test("The committed configurations of the family", arguments: (0...6).map { "PPHGNetV2_B\($0).yaml" })
  func committed(_ name: String) throws {
    let configuration = try TrainingConfiguration(
      Configuration(contentsOf: Self.configs.appendingPathComponent(name).path))
    #expect(configuration.epochs == 200)
    #expect(configuration.printInterval == 10)
    #expect(configuration.optimizer == .init(.momentum(0.9), regularizer: .l2(0.00002)))
    #expect(configuration.rate == .init(.cosine(), learningRate: 0.5, warmupEpochs: 5))
    #expect((configuration.trainingLoss.terms.first?.loss as? CrossEntropyLoss)?.epsilon == 0.1)
    #expect((configuration.evaluationLoss?.terms.first?.loss as? CrossEntropyLoss)?.epsilon == nil)
    #expect(configuration.trainingMetrics == [.topK([1, 5])])
    #expect(configuration.evaluationMetrics == [.topK([1, 5])])
    #expect(configuration.averageDecay == nil)
    #expect(configuration.updateFrequency == 1)
    #expect(configuration.options.classCount == 1000)
    let schedule = try configuration.schedule(iterationsPerEpoch: 7)
    #expect(schedule.name == "LinearWarmup" && schedule.warmupSteps == 35)
  }

  @Test("The committed configurations for several labels", arguments: [0, 4, 6])
  func severalLabels(number: Int) throws {
    let configuration = try TrainingConfiguration(
      Configuration(contentsOf: Self.configs.appendingPathComponent("PPHGNetV2_B\(number)_multilabel.yaml").path))
    #expect(configuration.options.decoder == MLDecoder())
    #expect(configuration.options.classCount == 80 && configuration.usesMultipleLabels)
    #expect(configuration.averageDecay == 0.9997 && configuration.epochs == 40)
    #expect(configuration.evaluationMetrics == [.meanAveragePrecision(.integral)])
    #expect(configuration.rate.learningRate == 1e-4 && configuration.rate.warmupStart == 1e-6)
  }

  @Test("Overrides reach every section")
  func overrides() throws {
    let configuration = try read([
      "Global.update_freq=4", "Global.use_visualdl=True", "Global.start_eval_epoch=3", "Global.eval_interval=2",
      "EMA.decay=0.9997", "Optimizer.name=AdamW", "Optimizer.regularizer=None", "Optimizer.weight_decay=1e-4",
      "Optimizer.no_weight_decay_name=a b", "Optimizer.one_dim_param_no_weight_decay=True", "Optimizer.clip_norm=1.0",
      "Optimizer.lr.name=Step", "Optimizer.lr.step_size=30", "Optimizer.lr.gamma=0.2",
    ])
    #expect(configuration.optimizer.rule == .adamW(weightDecay: 1e-4))
    #expect(configuration.optimizer.namesWithoutDecay == ["a", "b"])
    #expect(configuration.optimizer.clipNorm == 1)
    #expect(configuration.rate.rule == .step(epochs: 30, factor: 0.2))
    #expect(configuration.averageDecay == 0.9997)
    #expect(configuration.writesTensorBoard)
    #expect(try configuration.schedule(iterationsPerEpoch: 10).warmupSteps == 10)
    #expect((1...6).filter(configuration.evaluates) == [4, 6])
  }

  @Test(
    "A wrong value names its key",
    arguments: [
      ("Global.epochs=0", "Global.epochs"), ("Global.epochs=None", "Global.epochs"),
      ("Loss.Train.0.CELoss.weight=None", "Loss.Train.0.CELoss.weight"), ("Loss.Train=None", "Loss.Train"),
      ("Optimizer.name=RMSProp", "Optimizer.name"), ("Optimizer.momentum=1.5", "Optimizer.momentum"),
      ("Optimizer.lr.name=Cyclic", "Optimizer.lr.name"),
      ("Optimizer.lr.learning_rate=-1", "Optimizer.lr.learning_rate"),
      ("Optimizer.lr.learning_rate=None", "Optimizer.lr.learning_rate"),
      ("Optimizer.regularizer.name=L3", "Optimizer.regularizer.name"), ("EMA.decay=2", "EMA.decay"),
      ("Metric.Train.0.TopkAcc.topk=[0]", "Metric.Train.0.TopkAcc.topk.0"),
    ])
  func wrongValues(override: String, key: String) {
    let error = #expect(throws: HGNetError.self) { try read([override]) }
    #expect(error?.context.key == key)
    #expect(error?.context.path?.hasSuffix("PPHGNetV2_B0.yaml") == true)
  }
}
