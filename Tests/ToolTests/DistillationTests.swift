import Foundation
import HGNetCore
import HGNetVision
import Testing

/// Distillation and several labels a picture, from training to use, on small drawn pictures.
@Suite("Distillation and several labels", .serialized)
struct DistillationTests {
  let workspace: Workspace
  private static let normalize =
    "{NormalizeImage: {scale: 1.0/255.0, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], order: ''}}"

  /// Pictures of stripes across, down or both, and a list of each kind.
  init() throws {
    workspace = try Workspace()
    var lines: [String] = []
    var vectors: [String] = []
    for number in 0..<3 {
      for picture in 0..<4 {
        let side = 32
        var pixels = [UInt8](repeating: 0, count: side * side * 3)
        for index in pixels.indices {
          let (y, x) = (index / 3 / side, index / 3 % side)
          let (across, down) = ((y + picture) / 4 % 2 == 0, (x + picture) / 4 % 2 == 0)
          pixels[index] = (number == 0 ? across : number == 1 ? down : across != down) ? 190 : 70
        }
        try workspace.write("", "\(number)\(picture).png")
        try Image(size: Size(side), pixels: pixels).write(to: workspace.path("\(number)\(picture).png"))
        lines.append("\(number)\(picture).png \(number)")
        vectors.append("\(number)\(picture).png\t\(number != 1 ? 1 : 0),\(number != 0 ? 1 : 0),0")
      }
    }
    try workspace.write(lines.joined(separator: "\n"), "list.txt")
    try workspace.write(lines.map { "\($0.prefix(6)) -1" }.joined(separator: "\n"), "unlabelled.txt")
    try workspace.write(vectors.joined(separator: "\n"), "vectors.txt")
  }

  /// The sections that all runs have; `dataset` names the kind and the lists.
  private func sections(_ name: String, _ training: String, _ evaluation: String) -> String {
    func part(_ list: String) -> String {
      """
          dataset: {name: \(name), image_root: '', cls_label_path: \(list), transform_ops: [{DecodeImage: {to_rgb: True}}, \
      \(Self.normalize)]}
          sampler: {name: DistributedBatchSampler, batch_size: 4, drop_last: False, shuffle: True}
          loader: {num_workers: 1, use_shared_memory: True}
      """
    }
    return """
      DataLoader:
        Train:
      \(part(training))
        Eval:
      \(part(evaluation))
      """
  }

  private func run(_ arguments: [String]) throws -> ToolRun {
    try ToolRun(arguments + ["--threads", "1"], folder: workspace.url.path)
  }

  @Test("A teacher is trained and distilled on pictures without labels; every command takes both files of the student")
  func distillation() throws {
    let common = """
      Optimizer: {name: Momentum, momentum: 0.9, lr: {name: ConstLR, learning_rate: 0.01}}
      Infer:
        infer_imgs: 00.png
        transforms: [{DecodeImage: {to_rgb: True}}, \(Self.normalize), {ToCHWImage: }]
        PostProcess: {name: Topk, topk: 2}
      """
    let global = "epochs: 1, eval_interval: 1, print_batch_step: 1, image_shape: [3, 32, 32], save_interval: 0"
    try workspace.write(
      """
      Global: {\(global), output_dir: teacher}
      Arch: {name: PPHGNetV2_B1, class_num: 3}
      Loss: {Train: [{CELoss: {weight: 1.0}}], Eval: [{CELoss: {weight: 1.0}}]}
      Metric: {Eval: [{TopkAcc: {topk: [1]}}]}
      \(common)
      \(sections("ImageNetDataset", "list.txt", "list.txt"))
      """, "teacher.yaml")
    #expect(try run(["train", "-c", "teacher.yaml"]).status == 0)
    try workspace.write(
      """
      Global: {\(global), output_dir: out}
      Arch:
        name: DistillationModel
        class_num: &class_num 1000
        freeze_params_list: [True, False]
        models:
          - Teacher: {name: PPHGNetV2_B1, class_num: *class_num, pretrained: teacher/best_model}
          - Student: {name: PPHGNetV2_B0, class_num: *class_num, pretrained: False}
      Loss:
        Train: [{DistillationCELoss: {weight: 1.0, model_name_pairs: [[Student, Teacher]]}}]
        Eval: [{CELoss: {weight: 1.0}}]
      Metric: {Eval: [{DistillationTopkAcc: {model_key: Student, topk: [1]}}]}
      \(common)
      \(sections("ImageNetDataset", "unlabelled.txt", "list.txt"))
      """, "student.yaml")
    let student = ["-c", "student.yaml", "-o", "Arch.class_num=3"]
    let trained = try run(["train"] + student + ["-o", "Arch.teacher_logits_cache=cache"])
    #expect(trained.status == 0, "\(trained.errors)")
    #expect(trained.output.contains("Teacher: teacher/best_model.pdparams: PaddlePaddle state dictionary: "))
    #expect(trained.output.contains("CELoss_Student_Teacher: "))
    var answers: Set<String> = []
    for file in ["out/best_model", "out/best_model_student"] {
      let weights = student + ["-o", "Global.pretrained_model=\(file)"]
      let inferred = try run(["infer"] + weights)
      #expect(inferred.status == 0, "\(inferred.errors)")
      answers.insert(String(inferred.output.drop { $0 != "{" }))
      let measured = try run(["eval", "--json"] + weights)
      #expect(measured.status == 0 && measured.output.contains("top1"), "\(measured.errors)")
      #expect(!measured.errors.contains("nothing in this run"), "\(measured.errors)")
      let exported = try ToolRun(
        ["export"] + weights + ["--output", "exported", "--format", "onnx"], folder: workspace.url.path)
      #expect(exported.status == 0 && exported.output.contains("Export succeeded"), "\(exported.errors)")
    }
    #expect(answers.count == 1)

    // The run goes on, and mistakes have names.
    let longer = try run(
      ["train"] + student + ["-o", "Global.checkpoints=out/latest", "-o", "Global.epochs=2"])
    #expect(longer.status == 0 && longer.output.contains("[Train][Epoch 2/2][Avg]"), "\(longer.errors)")
    let wrong = try run(["train"] + student + ["-o", "Arch.models.0.Teacher.name=PPHGNetV2_B2"])
    #expect(wrong.status == 65, "\(wrong.errors)")
    #expect(wrong.errors.contains("expected the weights of PPHGNetV2_B2 for Teacher"), "\(wrong.errors)")
    #expect(wrong.errors.contains("Arch.models.0.Teacher.pretrained"), "\(wrong.errors)")
    let none = try run(["train"] + student + ["-o", "Arch.models.0.Teacher.pretrained=False"])
    #expect(none.errors.contains("Teacher is frozen and would keep random weights"), "\(none.errors)")
  }

  @Test("Several labels a picture with the ML-Decoder: trained, measured, threshold output, exported")
  func severalLabels() throws {
    try workspace.write(
      """
      Global: {epochs: 1, eval_interval: 1, print_batch_step: 1, image_shape: [3, 32, 32], use_multilabel: True, \
      output_dir: out, save_interval: 0}
      Arch:
        name: PPHGNetV2_B0
        class_num: 3
        use_ml_decoder: True
        MLDecoder: {embed_dim: 64, mlp_hidden_dim: 32}
      EMA: {decay: 0.9}
      Loss:
        Train: [{MultiLabelAsymmetricLoss: {weight: 1.0, gamma_pos: 0, gamma_neg: 4, clip: 0.05}}]
        Eval: [{MultiLabelAsymmetricLoss: {weight: 1.0, gamma_pos: 0, gamma_neg: 4, clip: 0.05}}]
      Optimizer:
        name: AdamW
        weight_decay: 0.0001
        one_dim_param_no_weight_decay: True
        lr: {name: Cosine, learning_rate: 0.0001, warmup_epoch: 0}
      Metric: {Eval: [{MultiLabelMAP: {map_type: integral}}]}
      Infer:
        infer_imgs: 00.png
        transforms: [{DecodeImage: {to_rgb: True}}, \(Self.normalize), {ToCHWImage: }]
        PostProcess: {name: MultiLabelThreshOutput, threshold: 0.0, label_list: [across, down, none]}
      \(sections("MultiLabelDataset", "vectors.txt", "vectors.txt"))
      """, "run.yaml")
    let trained = try run(["train", "-c", "run.yaml"])
    #expect(trained.status == 0, "\(trained.errors)")
    #expect(trained.output.contains("MultiLabelMAP(integral): "))
    let weights = ["-c", "run.yaml", "-o", "Global.pretrained_model=out/best_model"]
    let inferred = try run(["infer"] + weights)
    // Every score reaches a threshold of 0; classes come in order.
    #expect(inferred.output.contains("'class_ids': [0, 1, 2]"), "\(inferred.output) \(inferred.errors)")
    #expect(inferred.output.contains("'label_names': ['across', 'down', 'none']"))
    let predicted = try run(["predict", "00.png", "--weights", "out/best_model", "--threshold", "0", "--json"])
    #expect(predicted.status == 0 && predicted.output.contains("across"), "\(predicted.output) \(predicted.errors)")
    for format in ["onnx", "paddle-json", "paddle"] {
      let exported = try ToolRun(
        ["export"] + weights + ["--output", format, "--format", format], folder: workspace.url.path)
      #expect(exported.status == 0 && exported.output.contains("Checked: read back"), "\(exported.errors)")
      let again = try ToolRun(
        ["predict", "00.png", "--weights", format, "--threshold", "0", "--json"], folder: workspace.url.path)
      #expect(again.status == 0 && again.output.contains("across"), "\(again.output) \(again.errors)")
    }
    let refused = try run(["infer"] + weights + ["-o", "Arch.MLDecoder.depth=2"])
    #expect(refused.status == 78 || refused.status == 65 || refused.status == 69, "\(refused.status)")
    #expect(refused.errors.contains("Arch.MLDecoder.depth"), "\(refused.errors)")
  }
}
