import HGNetConfiguration
import HGNetCore
import HGNetTraining
import HGNetVision
import Testing

/// Keys and values that would decide nothing, or cannot mean what they say.
@Suite("Checks of training configurations")
struct ConfigurationCheckTests {
  static let yaml = """
    Global: {epochs: 4}
    Arch: {name: PPHGNetV2_B0, class_num: 3}
    Loss:
      Train: [{CELoss: {weight: 1.0}}]
      Eval: [{CELoss: {weight: 1.0}}]
    Optimizer: {name: Momentum, momentum: 0.9, lr: {name: Cosine, learning_rate: 0.1}}
    DataLoader:
      Train:
        dataset:
          name: ImageNetDataset
          transform_ops:
            - DecodeImage: {to_rgb: True, channel_first: False}
            - RandCropImage: {size: 24}
            - RandFlipImage: {flip_code: 1}
            - TimmAutoAugment: {config_str: rand-m7-mstd0.5-inc1, prob: 0.5}
            - RandAugment: {num_layers: 1, magnitude: 5}
            - Cutout: {n_holes: 1, length: 8}
            - NormalizeImage: {scale: 1.0/255.0, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}
            - RandomErasing: {EPSILON: 0.9, sl: 0.02, sh: 0.4, r1: 0.3, attempt: 10}
          batch_transform_ops:
            - OpSampler: {MixupOperator: {alpha: 0.2, prob: 0.5}, CutmixOperator: {alpha: 1.0, prob: 0.5}}
        sampler: {name: DistributedBatchSampler, batch_size: 4, drop_last: False, shuffle: True}
      Eval:
        dataset: {name: ImageNetDataset}
        sampler: {batch_size: 4}
    Metric:
      Train: [{TopkAcc: {topk: [1]}}]
      Eval: [{TopkAcc: {topk: [1]}}]
    """

  static func configuration(_ overrides: [String]) throws -> Configuration {
    try Configuration(ConfigurationValue(yaml: yaml), path: "c.yaml", overrides: overrides)
  }

  private static let severalLabels = [
    "Global.use_multilabel=True", "DataLoader.Train.dataset.name=MultiLabelDataset",
    "Loss.Train=[{'MultiLabelLoss':{'weight':1}}]",
    "Loss.Eval=[{'MultiLabelLoss':{'weight':1}}]",
  ]

  @Test(
    "What cannot be meant is an error that names the key",
    arguments: [
      (["DataLoader.Train.sampler.name=Nonsense"], "DataLoader.Train.sampler.name", "DistributedBatchSampler"),
      (["DataLoader.Eval.sampler.name=PKSampler"], "DataLoader.Eval.sampler.name", "PKSampler"),
      (["Global.eval_mode=retrieval"], "Global.eval_mode", "classification"),
      (["Global.train_mode=fixmatch"], "Global.train_mode", "fixmatch"),
      (
        ["DataLoader.Train.dataset.transform_ops.0.DecodeImage.channel_first=True"],
        "DataLoader.Train.dataset.transform_ops.0.DecodeImage.channel_first", "False"
      ),
      (
        ["DataLoader.Train.dataset.transform_ops.6.NormalizeImage.order=chw"],
        "DataLoader.Train.dataset.transform_ops.6.NormalizeImage.order", "order"
      ),
      (severalLabels, "Metric.Train.0.TopkAcc", "use_multilabel"),
      (severalLabels + ["Metric.Train=[]"], "Metric.Eval.0.TopkAcc", "MultiLabelMAP"),
      (["Metric.Eval=[{'MultiLabelMAP':None}]"], "Metric.Eval.0.MultiLabelMAP", "TopkAcc"),
      (
        severalLabels + [
          "Metric.Train=[]", "Metric.Eval=[]", "Loss.Eval=[{'MultiLabelLoss':{'weight':1,'weight_ratio':True}}]",
        ],
        "Loss.Eval.0.MultiLabelLoss.weight_ratio", "DataLoader.Eval.dataset.label_ratio: True"
      ),
      (["Loss.Train=[{'DistillationDKDLoss':{'weight':1}}]"], "Loss.Train.0.DistillationDKDLoss", "DistillationModel"),
      (["Loss.Train=[{'DISTLoss':{'weight':1}}]"], "Loss.Train.0.DISTLoss", "unknown key"),
      (["Optimizer=[{'Adam':{'lr':{'learning_rate':0.1}}}]"], "Optimizer.0.Adam", "optimizer of PaddleClas"),
    ])
  func refused(_ overrides: [String], _ key: String, _ words: String) {
    let error = #expect(throws: HGNetError.self) {
      let configuration = try Self.configuration(overrides)
      _ = try configuration.trainingTransforms()
      _ = try TrainingConfiguration(configuration)
    }
    #expect(error?.context.key == key, "\(error?.description ?? "")")
    #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
  }

  @Test(
    "What PaddleClas has and hgnet does not is refused by name, with what there is",
    arguments: [
      ("Loss.Train", "DistillationDISTLoss", "DistillationKLDivLoss"), ("Loss.Train", "DistillationWSLLoss", "CELoss"),
      ("Loss.Eval", "DKDLoss", "DistillationDKDLoss"), ("Metric.Eval", "HammingDistance", "MultiLabelMAP"),
      ("DataLoader.Train.dataset.transform_ops", "GridMask", "RandomErasing"),
      ("DataLoader.Train.dataset.batch_transform_ops", "FmixOperator", "CutmixOperator"),
    ])
  func refusedByName(_ list: String, _ name: String, _ known: String) {
    let error = #expect(throws: HGNetError.self) { try Self.configuration(["\(list)=[{'\(name)':{'weight':1}}]"]) }
    #expect(error?.code == .unsupported && error?.context.key == "\(list).0.\(name)")
    #expect(error?.message.contains("\(name) is ") == true && error?.message.contains(known) == true)
    #expect(error?.message.contains("did you mean") == false)
  }

  @Test(
    "What PaddleClas warns of is told, and so is what decides nothing",
    arguments: [
      (["Optimizer.lr.warmup_epoch=9"], "not below the 4 epochs"),
      (
        ["Optimizer.weight_decay=0.1", "Optimizer.regularizer={'name':'L2','coeff':0.1}"],
        "weight_decay: 0.1 is ignored"
      ),
      (
        ["Optimizer.lr={'name':'Piecewise','learning_rate':0.1,'decay_epochs':[1],'values':[1,0.1]}"],
        "replaces decay_epochs"
      ),
      (["Metric.Eval=[{'TopkAcc':{'topk':[1,5]}}]"], "top5 of 3 classes is always 1"),
      (["Global.class_num=7"], "Global.class_num: 7 is ignored"),
      ([], "TopkAcc cannot be measured in training"),
      (
        severalLabels + ["Metric.Train=[]", "Metric.Eval=[]", "DataLoader.Train.dataset.label_ratio=True"],
        "label_ratio has no effect"
      ),
    ])
  func warned(_ overrides: [String], _ words: String) throws {
    let settings = try TrainingConfiguration(Self.configuration(overrides))
    #expect(settings.warnings.contains { $0.contains(words) }, "\(settings.warnings)")
  }

  @Test("A rate that is meant for another number of processes") func processes() throws {
    let plain = try Self.configuration([])
    let settings = try TrainingConfiguration(plain)
    #expect(settings.warning(plain, rankCount: 1)?.contains("meant for 4 processes") == true)
    #expect(settings.warning(plain, rankCount: 4) == nil)
    let adam = try Self.configuration(["Optimizer={'name':'AdamW','lr':{'learning_rate':0.1}}"])
    #expect(try TrainingConfiguration(adam).warning(adam, rankCount: 4)?.contains("meant for 8") == true)
    let told = try Self.configuration(["Global.scale_learning_rate=False"])
    #expect(try TrainingConfiguration(told).warning(told, rankCount: 1) == nil)
  }

  @Test("Keys that nothing has asked for are known") func unread() throws {
    let configuration = try Self.configuration([
      "Optimizer.lr.step_size=3", "Optimizer.beta1=0.5", "Optimizer.lr.max_lr=1",
    ])
    _ = try TrainingConfiguration(configuration)
    #expect(
      configuration.unreadKeys(in: ["Optimizer", "Metric", "Loss"]) == ["Optimizer.lr.step_size", "Optimizer.beta1"])
    #expect(configuration.notice == "these keys have no effect here: Optimizer.lr.max_lr")
  }

  @Test("A tenth every 30 epochs") func piecewise() throws {
    let settings = try TrainingConfiguration(
      Self.configuration(["Global.epochs=100", "Optimizer.lr={'name':'Piecewise','learning_rate':0.1}"]))
    guard case .piecewise(let epochs, let rates) = settings.rate.rule else {
      Issue.record("no piecewise rule")
      return
    }
    #expect(epochs == [30, 60, 90] && rates.count == 4)
    for (index, rate) in rates.enumerated() { #expect(abs(rate - [0.1, 0.01, 0.001, 0.0001][index]) < 1e-12) }
  }
}

/// Numbers at the ends of what a file may say.
@Suite("Numbers of configurations")
struct NumberSweepTests {
  static let keys: [String] = {
    let transforms = "DataLoader.Train.dataset.transform_ops"
    let batch = "DataLoader.Train.dataset.batch_transform_ops.0.OpSampler"
    return [
      "Global.epochs", "Global.update_freq", "Global.iter_per_epoch", "Global.seed", "Global.print_batch_step",
      "Global.eval_interval", "Global.save_interval", "Global.start_eval_epoch", "EMA.decay", "Arch.dropout_prob",
      "Arch.freeze_at", "Loss.Train.0.CELoss.weight", "Loss.Train.0.CELoss.epsilon", "Optimizer.momentum",
      "Optimizer.weight_decay", "Optimizer.clip_norm", "Optimizer.regularizer.coeff", "Optimizer.lr.learning_rate",
      "Optimizer.lr.warmup_epoch", "Optimizer.lr.warmup_start_lr", "Optimizer.lr.eta_min",
      "DataLoader.Train.sampler.batch_size", "\(transforms).1.RandCropImage.size",
      "\(transforms).1.RandCropImage.scale",
      "\(transforms).1.RandCropImage.ratio", "\(transforms).2.RandFlipImage.flip_code",
      "\(transforms).3.TimmAutoAugment.prob", "\(transforms).3.TimmAutoAugment.fillcolor",
      "\(transforms).4.RandAugment.num_layers", "\(transforms).4.RandAugment.magnitude",
      "\(transforms).5.Cutout.n_holes", "\(transforms).5.Cutout.length", "\(transforms).5.Cutout.fill_value",
      "\(transforms).6.NormalizeImage.scale", "\(transforms).6.NormalizeImage.mean",
      "\(transforms).6.NormalizeImage.std",
      "\(transforms).7.RandomErasing.EPSILON", "\(transforms).7.RandomErasing.sl", "\(transforms).7.RandomErasing.sh",
      "\(transforms).7.RandomErasing.r1", "\(transforms).7.RandomErasing.attempt", "\(batch).MixupOperator.alpha",
      "\(batch).CutmixOperator.alpha", "\(batch).MixupOperator.prob",
    ]
  }()

  static let values = [
    "0", "-1", "1e-320", "1e-45", "1e308", "-1e308", "inf", "float('nan')", "nan", "9223372036854775808",
    "9223372036854775807", "1", "0.5",
  ]

  @Test("Each either runs or is an error", arguments: keys)
  func sweep(_ key: String) throws {
    for value in Self.values {
      for text in [value, "[\(value), \(value)]", "[\(value), \(value), \(value)]"] {
        var overrides = ["\(key)=\(text)"]
        if key.contains("regularizer") { overrides.append("Optimizer.regularizer.name=L2") }
        if key.hasPrefix("Optimizer.lr.warmup_start") { overrides.append("Optimizer.lr.warmup_epoch=1") }
        do { try run(overrides) } catch { #expect(error.code != .internalInconsistency, "\(error)") }
      }
    }
  }

  @Test(
    "Arguments of other schedules, optimizers and losses",
    arguments: [
      "{'name':'Step','learning_rate':0.1,'step_size':X,'gamma':0.5}",
      "{'name':'Step','learning_rate':0.1,'step_size':1,'gamma':X}",
      "{'name':'MultiStepDecay','learning_rate':0.1,'milestones':[X]}", "{'name':'Piecewise','learning_rate':X}",
      "{'name':'Piecewise','decay_epochs':[X],'values':[0.1,X]}",
      "{'name':'Linear','learning_rate':0.1,'end_lr':X,'power':2}",
      "{'name':'Linear','learning_rate':0.1,'power':X,'cycle':True}",
    ])
  func schedules(_ text: String) throws {
    for value in Self.values {
      let lr = text.replacing("X", with: value)
      for byEpoch in ["True", "False"] {
        do { try run(["Optimizer.lr=\(lr)", "Optimizer.lr.by_epoch=\(byEpoch)"]) } catch {
          #expect(error.code != .internalInconsistency, "\(error)")
        }
      }
    }
  }

  @Test("The error names key, range and value") func message() {
    let key = "DataLoader.Train.dataset.batch_transform_ops.0.OpSampler.CutmixOperator.alpha"
    let error = #expect(throws: HGNetError.self) { try run(["\(key)=1e-320"]) }
    #expect(error?.description == "c.yaml: \(key): expected a number in 1e-06 … 1000000, found 1e-320")
    let rate = #expect(throws: HGNetError.self) { try run(["Optimizer.lr.learning_rate=1e308"]) }
    #expect(rate?.description == "c.yaml: Optimizer.lr.learning_rate: expected a number in 0 … 1e+30, found 1e+308")
  }

  @Test(
    "The beta distribution stays between 0 and 1 for any parameter",
    arguments: [Double.leastNonzeroMagnitude, 1e-300, 1e-30, 1e-6, 0.2, 1, 1e6, 1e300])
  func beta(_ alpha: Double) throws {
    var random = RandomGenerator(seed: 5)
    for mixing in [BatchMixing.mixup(alpha: alpha), .cutmix(alpha: alpha)] {
      for _ in 0..<200 {
        let mix = try #require(try mixing.draw(count: 3, size: Size(24), using: &random))
        #expect((0...1).contains(mix.share))
      }
    }
  }

  /// Everything that the numbers decide, on one small picture.
  private func run(_ overrides: [String]) throws(HGNetError) {
    let configuration: Configuration
    do { configuration = try ConfigurationCheckTests.configuration(overrides) } catch let error as HGNetError {
      throw error
    } catch {
      throw HGNetError(.invalidConfiguration, "\(error)")
    }
    let settings = try TrainingConfiguration(configuration)
    var schedule = try settings.schedule(iterationsPerEpoch: 3)
    for _ in 0..<20 { schedule.advance() }
    guard schedule.learningRate.isFinite else { throw HGNetError(.internalInconsistency, "a rate that is no number") }
    _ = EpochPlan(
      batches: 3, iterationsPerEpoch: settings.iterationsPerEpoch, updateFrequency: settings.updateFrequency
    ).segment(epoch: 1, iteration: 0)
    let parameters = try plainState(
      [ParameterDeclaration(name: "fc.weight", shape: [2, 2], role: .convolutionWeight)], values: [[1, -1, 0, 2]])
    try parameters.setGradient(0, [0.5, 0, -1, 2])
    var optimizer = try Optimizer(settings.optimizer, for: parameters)
    try optimizer.step(learningRate: schedule.learningRate)
    let logits = Tensor(shape: [2, 3], values: [1, 2, 3, -1, 0, 5])
    _ = try settings.trainingLoss.evaluate(logits: logits, targets: .classes([0, 2]))
    guard let transforms = try configuration.trainingTransforms() else { return }
    // Sizes are other tests' work.
    if let size = transforms.outputSize, size.height > 64 || size.width > 64 { return }
    let image = try Image(size: Size(height: 20, width: 30), pixels: [UInt8](repeating: 90, count: 1800))
    var random = RandomGenerator(seed: 1)
    for _ in 0..<3 { _ = try transforms.tensor(from: image, using: &random) }
    for mixing in transforms.mixing {
      for _ in 0..<5 { _ = try mixing.draw(count: 4, size: Size(24), using: &random) }
    }
    _ = try DistributedBatchSampler(
      sampleCount: 5, batchSize: configuration.integer("DataLoader.Train.sampler.batch_size") ?? 4, shuffles: true
    ).batches(epoch: 0)
  }
}
