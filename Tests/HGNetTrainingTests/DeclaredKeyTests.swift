import Foundation
import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetTraining
import Testing

/// Goes through the table of keys: each is read by some code, or is named or refused.
@Suite("Declared keys")
struct DeclaredKeyTests {
  /// Values for the keys that the committed configurations do not have.
  private static let others = [
    """
    Global: {epochs: 3, iter_per_epoch: 2, seed: 1, class_num: 4, checkpoints: a, eval_mode: classification, pdx_model_name: x}
    Arch: {name: PPHGNetV2_B0, use_ssld: True, pretrained: True}
    AMP: {use_amp: True, level: O1, scale_loss: 128.0, use_dynamic_loss_scaling: True}
    Loss:
      Train: [{MultiLabelLoss: {weight: 1.0, epsilon: 0.1, size_sum: True, weight_ratio: True}}]
      Eval: [{MultiLabelAsymmetricLoss: {weight: 1.0, clip: 0.1, epsilon: 1e-8, reduction: sum}}]
    Optimizer:
      name: AdamW
      beta1: 0.9
      lr: {name: MultiStepDecay, learning_rate: 0.1, milestones: [1]}
    DataLoader:
      Train:
        dataset:
          name: MultiLabelDataset
          label_ratio: True
          transform_ops:
            - DecodeImage:
            - CenterCropImage: {size: 8}
            - RandomHorizontalFlip: {prob: 0.5}
            - RandAugment: {num_layers: 1, magnitude: 3, fillcolor: 5}
            - NormalizeImage:
            - RandomErasing: {mode: const, mean: [0, 0, 0]}
    Metric: {Eval: [{MultiLabelMAP: {map_type: integral}}]}
    Infer:
      transforms: [{DecodeImage: }]
      PostProcess: {name: MultiLabelThreshOutput, threshold: 0.5, class_id_map_file: a, delimiter: ' '}
    """,
    """
    Global: {epochs: 3}
    Arch:
      name: DistillationModel
      class_num: 4
      pretrained_list: [null, null]
      freeze_params_list: [True, False]
      infer_model_name: Student
      models:
        - Teacher: {name: PPHGNetV2_B1, pretrained: True}
        - Student:
            name: PPHGNetV2_B0
            use_ml_decoder: True
            MLDecoder:
              {query_num: 4, embed_dim: 32, num_heads: 4, mlp_hidden_dim: 8, dropout: 0.1, depth: 1, activation: relu,
              freeze_query_embed: True, remove_self_attn: True, remove_layers: [avg_pool, flatten], replace_layer: fc,
              class_num: 4, in_channels: 2048}
    Loss:
      Train:
        - DistillationGTCELoss: {weight: 1, model_names: [Student], epsilon: 0.1}
        - DistillationDMLLoss: {weight: 1, model_name_pairs: [[Student, Teacher]], act: softmax}
        - DistillationKLDivLoss: {weight: 1, model_name_pairs: [[Student, Teacher]], temperature: 2}
        - DistillationDKDLoss: {weight: 1, model_name_pairs: [[Student, Teacher]], alpha: 2}
        - DistillationMultiLabelLoss: {weight: 1, model_names: [Student]}
      Eval: [{DistillationGTCELoss: {weight: 1, model_names: [Student]}}]
    Optimizer: [{SGD: {scope: all, lr: {name: Step, learning_rate: 0.1, step_size: 1, gamma: 0.1}}}]
    Metric: {Eval: [{DistillationTopkAcc: {model_key: Student, topk: 1}}]}
    """,
    """
    Global: {epochs: 3}
    Arch: {name: PPHGNetV2_B0}
    Slim: {quant: {name: pact}}
    Loss: {Train: [{CELoss: {weight: 1, reduction: mean}}]}
    Optimizer: {name: Momentum, lr: {name: Linear, learning_rate: 0.1}}
    DataLoader:
      Train:
        dataset:
          image_root: FOLDER/data
          cls_label_path: FOLDER/list.txt
          transform_ops: [{DecodeImage: }]
          batch_transform_ops: [{MixupOperator: {alpha: 1}}, {CutmixOperator: {alpha: 1}}]
        sampler: {batch_size: 1}
    PreProcess: {transform_ops: [{DecodeImage: }]}
    PostProcess: {main_indicator: MultiLabelThreshOutput, MultiLabelThreshOutput: {class_id_map_file: a}}
    """,
    """
    Global: {epochs: 3}
    Arch: {name: PPHGNetV2_B0}
    Loss: {Train: [{CELoss: {weight: 1}}]}
    Optimizer: {name: SGD, lr: {name: Piecewise, decay_epochs: [1], values: [1, 0.1]}}
    PreProcess: {transform_ops: [{DecodeImage: }]}
    PostProcess: {main_indicator: Topk, Topk: {topk: 5}, MultiLabelThreshOutput: {threshold: 0.5}}
    """,
    """
    PreProcess: {transform_ops: [{DecodeImage: }]}
    PostProcess: {main_indicator: MultiLabelThreshOutput, MultiLabelThreshOutput: {threshold: 0.5, label_list: [a]}}
    """,
  ]

  /// One name for what several sections share.
  private func common(_ path: String) -> String {
    var parts = path.split(separator: ".").filter { Int($0) == nil }.map(String.init)
    if parts.starts(with: ["Arch", "models"]), parts.count > 2 { parts.replaceSubrange(0...2, with: ["Arch"]) }
    for (list, name) in [("transform_ops", "transforms"), ("transforms", "transforms")] {
      if let index = parts.firstIndex(of: list), index <= 3 { parts.replaceSubrange(0...index, with: [name]) }
    }
    if let first = parts.first, ["Loss", "Metric", "DataLoader"].contains(first), parts.count > 1,
      ["Train", "Eval"].contains(parts[1])
    {
      parts.remove(at: 1)
    }
    if parts.first == "Optimizer", parts.count > 1, ["Momentum", "SGD", "AdamW"].contains(parts[1]) {
      parts.remove(at: 1)
    }
    return parts.joined(separator: ".")
  }

  private func read(_ configuration: Configuration) -> Set<String> {
    _ = try? TrainingConfiguration(configuration)
    for part in ["Train", "Eval"] {
      _ = try? TrainingData(configuration, part: part, classCount: 4)
      _ = try? configuration.trainingTransforms(dataset: "DataLoader.\(part).dataset")
    }
    _ = try? configuration.recipe()
    _ = try? configuration.export()
    _ = try? configuration.input()
    _ = try? configuration.trainingWeightsSource()
    _ = try? configuration.weightsSource()
    _ = try? configuration.precision()
    _ = configuration.notice
    return Set(configuration.readKeys.map(common))
  }

  @Test("Each key is read, or there is a reason why not") func table() throws {
    var known: Set<String> = []
    let folder = TrainingConfigurationTests.configs.path
    for name in try FileManager.default.contentsOfDirectory(atPath: folder) where name.hasSuffix(".yaml") {
      known.formUnion(read(try Configuration(contentsOf: "\(folder)/\(name)")))
    }
    let workspace = try TrainerTests.Workspace()
    try "class0/0.png 0\n".write(toFile: "\(workspace.path)/list.txt", atomically: true, encoding: .utf8)
    for yaml in Self.others {
      let text = yaml.replacingOccurrences(of: "FOLDER", with: workspace.path)
      known.formUnion(read(try Configuration(ConfigurationValue(yaml: text), path: "a.yaml")))
    }
    // Keys of the tool's own are quoted in its sources.
    var sources = ""
    let root = TrainingConfigurationTests.configs.deletingLastPathComponent().appendingPathComponent("Sources")
    for folder in ["hgnet", "HGNetServing"] {
      let path = root.appendingPathComponent(folder).path
      for name in try FileManager.default.subpathsOfDirectory(atPath: path) where name.hasSuffix(".swift") {
        sources += try String(contentsOfFile: "\(path)/\(name)", encoding: .utf8)
      }
    }
    var unread: [String] = []
    for (path, reason) in Configuration.declaredKeys {
      if let reason {
        #expect(reason.count > 10, "\(path) has no reason")
      } else if !known.contains(common(path)), !sources.contains("\"\(path)\"") {
        unread.append(path)
      }
    }
    #expect(unread.isEmpty, "no code reads \(unread.joined(separator: ", "))")
    #expect(Configuration.declaredKeys.count > 300)
  }

  @Test("A key without effect is named when it asks for something, and not otherwise") func named() throws {
    for (path, reason) in Configuration.declaredKeys where reason != nil {
      guard path.hasPrefix("Global.") else { continue }
      let asked = try Configuration(ConfigurationValue(yaml: "Global: {}"), path: "a.yaml", overrides: ["\(path)=True"])
      #expect(asked.notice?.contains(path) == true, "\(path)")
      let off = try Configuration(ConfigurationValue(yaml: "Global: {}"), path: "a.yaml", overrides: ["\(path)=False"])
      #expect(off.notice == nil, "\(path)")
    }
  }
}
