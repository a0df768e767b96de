/// The keys of PaddleClas' configurations: training, evaluation, `infer`, export, deployment and `inference.yml`.
///
/// One table for all commands, because one file serves several of them. Every key is declared as what it is: read by
/// some code (`.value`), without effect and named once where it asks for something (`.ignored`, with the reason), or
/// refused by name; a test goes through the table and proves each. Facts: PaddleClas' PP-HGNetV2 and PP-HGNet
/// configurations and the arguments of the classes that they name.
enum PaddleClasKeys {
  /// The whole table.
  static let root: ConfigurationKeys = .section([
    "Global": .section(global),
    "AMP": .section(
      joined(
        ConfigurationKeys.table("use_amp level dtype scale_loss use_dynamic_loss_scaling"),
        ignored("use_fp16_test", "Global.precision and --precision decide about evaluations"),
        ignored("use_promote", "each layer has one precision"))),
    "EMA": .values("decay"),
    "Arch": .section(
      architecture.merging([
        "models": .list(.open(.section(architecture))),
        "pretrained_list": .value, "freeze_params_list": .value, "infer_model_name": .value,
        "teacher_in_training_mode": .value, "teacher_logits_cache": .value, "teacher_precision": .value,
        "teacher_device": .value,
      ]) { first, _ in first }),
    // PaddleClas' own configurations have it here, beside Arch.
    "MLDecoder": decoder,
    "Loss": .section(["Train": .named(losses), "Eval": .named(losses)]),
    "Optimizer": .byName(common: optimizer, arguments: perModuleOptimizers),
    "DataLoader": .section(["Train": loader, "Eval": loader]),
    "Infer": .section([
      "infer_imgs": .value, "infer_list": .value, "batch_size": .value, "save_dir": .value,
      "transforms": .named(transforms),
      "PostProcess": .values("name topk class_id_map_file threshold delimiter label_list"),
    ]),
    "Slim": .section([
      "quant": .values("name"),
      "prune": .refused(
        "Slim.prune makes networks smaller by taking channels out, which hgnet does not have; leave it out, and take a "
          + "smaller model"),
    ]),
    "Metric": .section(["Train": .named(metrics), "Eval": .named(metrics)]),
    "PreProcess": .section(["transform_ops": .named(transforms)]),
    "PostProcess": .section(postProcessing),
    "Hpi": .ignored(Reason.otherTool),
    "profiler_options": .ignored(Reason.otherTool),
  ])

  /// Why a key decides nothing.
  private enum Reason {
    static let processor = "computing is on the CPU"
    static let otherTool = "it belongs to tools of PaddlePaddle"
    static let sameAnyway = "nothing here depends on it"
    static let otherSchedule = "no schedule that is there has it"
    static let log = "the log is one file of the first rank"
  }

  private static func ignored(_ names: String, _ reason: String) -> [String: ConfigurationKeys] {
    ConfigurationKeys.table(names, .ignored(reason))
  }

  /// Tables of different names as one.
  private static func joined(_ tables: [String: ConfigurationKeys]...) -> [String: ConfigurationKeys] {
    tables.reduce(into: [:]) { $0.merge($1) { first, _ in first } }
  }

  private static let global: [String: ConfigurationKeys] = joined(
    ConfigurationKeys.table(
      "checkpoints pretrained_model output_dir device save_interval eval_during_train eval_interval start_eval_epoch "
        + "epochs image_shape save_inference_dir use_multilabel seed update_freq iter_per_epoch eval_mode train_mode "
        + "print_batch_step pdx_model_name class_num infer_imgs inference_model_dir batch_size cpu_num_threads "
        + "model_name use_visualdl use_tensorboard save_safetensors use_sync_bn scale_learning_rate "
        + "recompute_learning_rate bf16_allreduce early_stop_patience"),
    ignored(
      "to_static use_dali use_gpu enable_mkldnn use_tensorrt gpu_mem use_npu use_xpu use_mlu gpu_id ir_optim",
      Reason.processor),
    ConfigurationKeys.table("precision use_fp16 use_int8 enable_mkldnn_bfloat16"),
    ignored("log_ranks print_mem_info save_log_path", Reason.log),
    ignored("uniform_output_enabled hpi_config_path enable_benchmark enable_profile benchmark", Reason.otherTool),
    ignored("export_for_fd", "inference.yml is written always"),
    ignored("use_onnx", "formats are told apart by content"))

  private static let architecture: [String: ConfigurationKeys] = joined(
    ConfigurationKeys.table(
      "name class_num pretrained use_ssld use_ml_decoder infer_add_softmax class_expand "
        + "dropout_prob use_last_conv use_lab lr_mult_list freeze_at freeze_norm use_sync_bn"),
    ["infer_output_key": .ignored("the networks give one output")],
    ["MLDecoder": decoder])

  private static let decoder = ConfigurationKeys.values(
    "query_num in_channels class_num embed_dim depth num_heads mlp_hidden_dim dropout activation "
      + "freeze_query_embed remove_self_attn remove_layers replace_layer")

  private static let losses: [String: ConfigurationKeys] = {
    var table = ConfigurationKeys.operators(
      """
      CELoss weight epsilon reduction
      DistillationCELoss weight model_name_pairs epsilon key
      DistillationGTCELoss weight model_names epsilon key
      DistillationDMLLoss weight model_name_pairs act weight_ratio sum_across_class_dim key
      DistillationKLDivLoss weight model_name_pairs temperature key
      DistillationDKDLoss weight model_name_pairs temperature alpha beta use_target_as_gt key name
      DistillationMultiLabelLoss weight model_names epsilon size_sum weight_ratio key
      MultiLabelLoss weight epsilon size_sum weight_ratio
      MultiLabelAsymmetricLoss weight gamma_pos gamma_neg clip epsilon eps disable_focal_loss_grad reduction
      """)
    // PaddleClas' code has these names and does nothing with them.
    for name in table.keys where name.hasPrefix("Distillation") && name != "DistillationDKDLoss" {
      guard case .section(var arguments)? = table[name] else { continue }
      arguments["name"] = .ignored(Reason.sameAnyway)
      table[name] = .section(arguments)
    }
    if case .section(var arguments)? = table["DistillationCELoss"] {
      arguments["act"] = .refused("DistillationCELoss takes logits; leave act out")
      table["DistillationCELoss"] = .section(arguments)
    }
    return joined(
      table,
      ConfigurationKeys.refused(
        """
        MixCELoss GoogLeNetLoss CenterLoss ContrastiveLoss ContrastiveLoss_XBM EmlLoss MSMLoss NpairsLoss TriHardLoss
        TripletLoss TripletLossV2 TripletAngularMarginLoss TripletAngularMarginLoss_XBM SupConLoss SoftSupConLoss
        CCSSLCELoss PairwiseCosface DMLLoss DistanceLoss SoftTargetCrossEntropy DistillationDistanceLoss
        DistillationRKDLoss DistillationWSLLoss DistillationSKDLoss DistillationDISTLoss DistillationPairLoss AFDLoss
        DSHSDLoss LCDSHLoss DCHLoss CELossForMetaBIN TripletLossForMetaBIN InterDomainShuffleLoss
        IntraDomainScatterLoss KLDivLoss DKDLoss
        """, "a loss", known: Array(table.keys)))
  }()

  private static let metrics: [String: ConfigurationKeys] = {
    let table = ConfigurationKeys.operators(
      """
      TopkAcc topk
      DistillationTopkAcc model_key topk feature_key
      MultiLabelMAP map_type
      """)
    return joined(
      table,
      ConfigurationKeys.refused(
        """
        mAP mINP TprAtFpr MultilabelMeanAccuracy Recallk Precisionk GoogLeNetTopkAcc HammingDistance AccuracyScore
        ATTRMetric MultiLabelTopkAcc
        """, "a metric", known: Array(table.keys)))
  }()

  private static let optimizer: [String: ConfigurationKeys] = [
    "name": .value, "momentum": .value, "use_nesterov": .value,
    "multi_precision": .ignored("parameters are always float32"),
    "beta1": .value, "beta2": .value, "epsilon": .value, "weight_decay": .value,
    "one_dim_param_no_weight_decay": .value, "no_weight_decay_name": .value, "grad_clip": .value, "clip_norm": .value,
    "scope": .value,
    "lr": .section(
      joined(
        ConfigurationKeys.table(
          "name learning_rate warmup_epoch warmup_start_lr eta_min by_epoch end_lr power cycle step_size gamma "
            + "decay_epochs values milestones"),
        ignored("last_epoch", "Global.checkpoints decides where a run goes on"),
        ignored(
          "max_lr initial_lr step_size_up step_size_down mode factor patience threshold threshold_mode cooldown min_lr "
            + "divide_factor end_learning_rate phase_pct anneal_strategy three_phase", Reason.otherSchedule))),
    "regularizer": .values("name coeff"),
  ]

  /// The second form: a list of `{Momentum: {scope: …}}`.
  private static let perModuleOptimizers: [String: ConfigurationKeys] = {
    let names = ["Momentum", "SGD", "AdamW"]
    let table = Dictionary(uniqueKeysWithValues: names.map { ($0, ConfigurationKeys.section(optimizer)) })
    return joined(table, ConfigurationKeys.refused("Adam AdamWDL RMSProp", "an optimizer", known: names))
  }()

  private static let loader: ConfigurationKeys = .section([
    "dataset": .section([
      "name": .value, "image_root": .value, "cls_label_path": .value, "delimiter": .value, "relabel": .value,
      "label_ratio": .value, "transform_ops": .named(transforms), "batch_transform_ops": .named(batchTransforms),
    ]),
    "sampler": .values("name batch_size drop_last shuffle"),
    "loader": .values("num_workers use_shared_memory"),
  ])

  private static let transforms: [String: ConfigurationKeys] = {
    var table = ConfigurationKeys.operators(
      """
      DecodeImage to_rgb channel_first backend
      ResizeImage size resize_short interpolation backend
      CropImage size
      CenterCropImage size
      NormalizeImage scale mean std order output_fp16 channel_num
      ToCHWImage
      ToTensor
      RandCropImage size scale ratio interpolation backend use_log_aspect
      RandFlipImage flip_code
      TimmAutoAugment prob config_str interpolation img_size fillcolor
      RandAugmentV4
      RandAugment num_layers magnitude fillcolor
      RandomErasing EPSILON sl sh r1 attempt use_log_aspect mode mean
      Cutout n_holes length fill_value
      RandomHorizontalFlip prob
      """)
    let idle = [
      "DecodeImage": ("to_np return_numpy", Reason.sameAnyway), "ResizeImage": ("return_numpy", Reason.sameAnyway),
    ]
    for (name, (keys, reason)) in idle {
      guard case .section(let arguments)? = table[name] else { continue }
      table[name] = .section(joined(arguments, ignored(keys, reason)))
    }
    return joined(
      table,
      ConfigurationKeys.refused(
        """
        AutoAugment RandomApply RandAugmentV2 RandAugmentV3 HideAndSeek GridMask CropImageAtRatio CenterCrop Resize
        RandCropImageV2 AugMix Pad Normalize RandomResizedCrop CropWithPadding RandomInterpolationAugment ColorJitter
        RandomGrayscale RandomCropImage RandomRotation Padv2 RandomRot90 PCALighting
        """, "an operator", known: Array(table.keys)))
  }()

  private static let batchTransforms: [String: ConfigurationKeys] = {
    var single = ConfigurationKeys.operators("MixupOperator alpha\nCutmixOperator alpha")
    var choices = ConfigurationKeys.operators("MixupOperator alpha prob\nCutmixOperator alpha prob")
    let classes = ignored("class_num", "that of Arch counts")
    for name in single.keys {
      single[name] = .section(joined(single[name]?.children ?? [:], classes))
      choices[name] = .section(joined(choices[name]?.children ?? [:], classes))
    }
    let known = Array(single.keys) + ["OpSampler"]
    return joined(
      single, ["OpSampler": .section(joined(choices, classes))],
      ConfigurationKeys.refused("FmixOperator MixupCutmixHybrid", "a batch operator", known: known))
  }()

  private static let postProcessing: [String: ConfigurationKeys] = ConfigurationKeys.operators(
    """
    Topk topk class_id_map_file label_list delimiter
    MultiLabelThreshOutput threshold class_id_map_file label_list delimiter
    """
  ).merging([
    "main_indicator": .value,
    "SavePreLabel": .section(["save_dir": .ignored("PaddleClas writes nothing there either")]),
  ]) { first, _ in first }

  /// Every key with what becomes of its value: nil for one that is read, else why it decides nothing or is refused.
  ///
  /// Lists show no index, names of the user's own choice are `*`.
  static var declared: [(path: String, reason: String?)] {
    var found: [(String, String?)] = []
    func walk(_ keys: ConfigurationKeys, _ path: String) {
      switch keys {
      case .value: found.append((path, nil))
      case .ignored(let reason), .refused(let reason): found.append((path, reason))
      case .list(let element): walk(element, path)
      case .open(let element): walk(element, "\(path).*")
      default:
        for (name, child) in keys.children.sorted(by: { $0.key < $1.key }) {
          walk(child, path.isEmpty ? name : "\(path).\(name)")
        }
      }
    }
    walk(root, "")
    return found
  }

  /// The dotted paths under which a key exists, shortest first; lists show no index.
  static func paths(of key: String) -> [String] {
    var found: [String] = []
    func walk(_ keys: ConfigurationKeys, _ path: String, depth: Int) {
      guard depth < 8 else { return }
      switch keys {
      case .list(let element), .open(let element): walk(element, path, depth: depth + 1)
      default:
        for (name, child) in keys.children.sorted(by: { $0.key < $1.key }) {
          let full = path.isEmpty ? name : "\(path).\(name)"
          if case .refused = child { continue }
          if name == key { found.append(full) }
          walk(child, full, depth: depth + 1)
        }
      }
    }
    walk(root, "", depth: 0)
    return found.sorted { ($0.count, $0) < ($1.count, $1) }
  }
}
