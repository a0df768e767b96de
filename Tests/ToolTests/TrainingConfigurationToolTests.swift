import Foundation
import HGNetCore
import HGNetVision
import Testing

/// `hgnet train` with configurations that mean something else than they seem to.
@Suite("Training configurations of the tool") struct TrainingConfigurationToolTests {
  let workspace: Workspace

  init() throws {
    workspace = try Workspace()
    var lists = ("", "")
    for number in 0..<3 {
      for picture in 0..<9 {
        let name = "class\(number)/\(picture).png"
        try workspace.write("", "data/\(name)")
        var pixels = [UInt8](repeating: UInt8(picture * 5), count: 32 * 32 * 3)
        for index in stride(from: number, to: pixels.count, by: 3) { pixels[index] = 200 }
        try Image(size: Size(32), pixels: pixels).write(to: workspace.path("data/\(name)"))
        lists.0 += "\(name) \(number)\n"
        lists.1 += "\(name)\t\(["1,1,0", "0,1,0", "0,0,1"][number])\n"
      }
    }
    try workspace.write(lists.0, "one.txt")
    try workspace.write(lists.1, "several.txt")
    func part(_ shuffle: String) -> String {
      """
          dataset:
            name: ImageNetDataset
            image_root: data
            cls_label_path: one.txt
            transform_ops:
              - DecodeImage: {to_rgb: True, channel_first: False}
              - ResizeImage: {size: 32}
              - NormalizeImage: {scale: 1.0/255.0, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], order: ''}
          sampler: {name: DistributedBatchSampler, batch_size: 9, drop_last: False, shuffle: \(shuffle)}
      """
    }
    try workspace.write(
      """
      Global: {output_dir: out, save_interval: 0, eval_during_train: True, eval_interval: 1, epochs: 2, print_batch_step: 1, seed: 1}
      Arch: {name: PPHGNetV2_B0, class_num: 3, pretrained: False}
      Loss:
        Train: [{CELoss: {weight: 1.0}}]
        Eval: [{CELoss: {weight: 1.0}}]
      Optimizer: {name: Momentum, momentum: 0.9, lr: {name: Cosine, learning_rate: 0.1}}
      DataLoader:
        Train:
      \(part("True"))
        Eval:
      \(part("False"))
      Metric:
        Train: [{TopkAcc: {topk: [1]}}]
        Eval: [{TopkAcc: {topk: [1]}}]
      """, "c.yaml")
  }

  private func train(_ overrides: [String], configuration: String = "c.yaml") throws -> ToolRun {
    try ToolRun(
      ["train", "-c", configuration, "--threads", "1"] + overrides.flatMap { ["-o", $0] }, folder: workspace.url.path)
  }

  private let severalLabels = [
    "Global.use_multilabel=True", "DataLoader.Train.dataset.name=MultiLabelDataset",
    "DataLoader.Eval.dataset.name=MultiLabelDataset", "DataLoader.Train.dataset.cls_label_path=several.txt",
    "DataLoader.Eval.dataset.cls_label_path=several.txt",
  ]

  @Test("update_freq that does not divide an epoch: whole updates, and the schedule ends where training ends")
  func accumulation() throws {
    let run = try train(["Global.update_freq=2", "Global.epochs=3", "Global.eval_during_train=False"])
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.errors.contains("hgnet: warning: Global.update_freq: 2 does not divide the 3 iterations"))
    let rates = run.output.components(separatedBy: "lr(CosineAnnealingDecay): ").dropFirst().map {
      String($0.prefix(10))
    }
    #expect(rates == ["0.10000000", "0.07500000", "0.07500000", "0.02500000", "0.02500000", "0.00000000"])
    #expect(run.errors.contains("meant for 4 processes"))
  }

  @Test("Metrics of one label for several are refused before anything is written") func metrics() throws {
    let run = try train(
      severalLabels + ["Loss.Train=[{'MultiLabelLoss':{'weight':1}}]", "Loss.Eval=[{'MultiLabelLoss':{'weight':1}}]"])
    #expect(run.status == 78 && run.errors.contains("Metric.Train.0.TopkAcc"), "\(run.errors)")
    #expect(!FileManager.default.fileExists(atPath: workspace.path("out")))
  }

  @Test("weight_ratio takes the shares of the data set, in training and in evaluation") func ratios() throws {
    let weighted = "[{'MultiLabelLoss':{'weight':1.0,'weight_ratio':True,'size_sum':True}}]"
    let metrics = severalLabels + ["Metric.Train=[]", "Metric.Eval=[{'MultiLabelMAP':None}]", "Global.epochs=1"]
    let both = try train(
      metrics + [
        "Loss.Train=\(weighted)", "Loss.Eval=\(weighted)", "DataLoader.Train.dataset.label_ratio=True",
        "DataLoader.Eval.dataset.label_ratio=True",
      ])
    #expect(both.status == 0 && both.output.contains("MultiLabelMAP(integral): "), "\(both.errors)")
    let without = try train(
      metrics + ["Loss.Train=[{'MultiLabelLoss':{'weight':1}}]", "Loss.Eval=\(weighted)", "Global.output_dir=no"])
    #expect(
      without.status == 78 && without.errors.contains("Loss.Eval.0.MultiLabelLoss.weight_ratio"), "\(without.errors)")
    #expect(!FileManager.default.fileExists(atPath: workspace.path("no")))
  }

  @Test("A finished run that is made longer is told that it learns nothing") func longer() throws {
    #expect(try train(["Global.epochs=1"]).status == 0)
    let more = [
      "Global.checkpoints=out/latest", "Global.epochs=2", "Optimizer.lr.learning_rate=0.3",
      "Global.eval_during_train=False",
    ]
    let run = try train(more, configuration: "out/config.yaml")
    #expect(run.status == 0, "\(run.errors)")
    #expect(
      run.errors.contains("hgnet: warning: the learning rate goes on from the checkpoint's 0.00000000"), "\(run.errors)"
    )
    #expect(run.errors.contains("0.15000000 at this step"))
    let log = try String(contentsOfFile: workspace.path("out/train.log"), encoding: .utf8)
    #expect(log.contains("ppcls WARNING: the learning rate goes on"))
  }

  @Test("A picture alone in the last batch, names that match nothing, keys of other schedules") func warnings() throws {
    let run = try train([
      "DataLoader.Train.sampler.batch_size=26", "Optimizer.no_weight_decay_name=fc nonsense",
      "Optimizer.lr.step_size=3",
      "Global.epochs=1", "Global.eval_during_train=False",
    ])
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.errors.contains("a batch of one picture of 32×32 pixels"))
    #expect(run.errors.contains("no parameter has nonsense in its name"))
    #expect(run.errors.contains("nothing in this run depends on these keys: Optimizer.lr.step_size"))

    // An evaluation is told what it was given in vain, and not what the file holds for other commands.
    func evaluation(_ more: [String]) throws -> ToolRun {
      let overrides = ["Global.pretrained_model=out/latest"] + more
      return try ToolRun(
        ["eval", "-c", "out/config.yaml", "--threads", "1"] + overrides.flatMap { ["-o", $0] },
        folder: workspace.url.path)
    }
    let plain = try evaluation([])
    #expect(plain.status == 0 && !plain.errors.contains("nothing in this run"), "\(plain.errors)")
    let idle = try evaluation([
      "Global.epochs=7", "Optimizer.lr.learning_rate=0.5", "DataLoader.Train.sampler.batch_size=3",
      "DataLoader.Eval.sampler.batch_size=3", "Metric.Eval=[{'TopkAcc':{'topk':[1]}}]",
      "DataLoader.Eval.dataset.batch_transform_ops=[{'MixupOperator':{'alpha':0.2}}]",
    ])
    #expect(
      idle.errors.contains(
        "hgnet: warning: nothing in this run depends on these keys: Global.epochs, Optimizer.lr.learning_rate, "
          + "DataLoader.Train.sampler.batch_size\n"), "\(idle.errors)")
  }
}
