/// The keys of PaddleClas' configurations: training, evaluation, `infer`, export, deployment and `inference.yml`.
///
/// One table for all commands, because one file serves several of them. Facts: PaddleClas' PP-HGNetV2 and PP-HGNet
/// configurations and the arguments of the classes that they name.
enum PaddleClasKeys {
  /// The whole table.
  static let root: ConfigurationKeys = .section([
    "Global": .section(global),
    "AMP": .ignored,
    "EMA": .values("decay"),
    "Arch": .section(
      architecture.merging([
        "models": .list(.open(.section(architecture))),
        "pretrained_list": .value, "freeze_params_list": .value, "infer_model_name": .value,
        "teacher_in_training_mode": .value, "teacher_logits_cache": .value,
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
    "Metric": .section(["Train": .named(metrics), "Eval": .named(metrics)]),
    "PreProcess": .section(["transform_ops": .named(transforms)]),
    "PostProcess": .section(postProcessing),
    "Hpi": .ignored,
    "profiler_options": .ignored,
  ])

  private static let global: [String: ConfigurationKeys] = ConfigurationKeys.table(
    "checkpoints pretrained_model output_dir device save_interval eval_during_train eval_interval start_eval_epoch "
      + "epochs image_shape save_inference_dir use_multilabel seed update_freq iter_per_epoch eval_mode train_mode "
      + "print_batch_step uniform_output_enabled export_for_fd pdx_model_name class_num infer_imgs "
      + "inference_model_dir batch_size cpu_num_threads model_name use_visualdl use_tensorboard save_safetensors "
      + "use_sync_bn scale_learning_rate"
  ).merging(
    ConfigurationKeys.table(
      "to_static use_dali log_ranks print_mem_info hpi_config_path use_gpu enable_mkldnn "
        + "enable_benchmark use_fp16 ir_optim use_tensorrt gpu_mem enable_profile use_onnx use_npu use_xpu use_mlu "
        + "use_int8 gpu_id benchmark save_log_path", .ignored)
  ) { first, _ in first }

  private static let architecture: [String: ConfigurationKeys] = ConfigurationKeys.table(
    "name class_num pretrained use_ssld use_ml_decoder infer_add_softmax infer_output_key class_expand "
      + "dropout_prob use_last_conv use_lab lr_mult_list freeze_at freeze_norm"
  ).merging([
    "use_sync_bn": .value,
    "MLDecoder": decoder,
  ]) { first, _ in first }

  private static let decoder = ConfigurationKeys.values(
    "query_num in_channels class_num embed_dim depth num_heads mlp_hidden_dim dropout activation "
      + "freeze_query_embed remove_self_attn remove_layers replace_layer")

  private static let losses = ConfigurationKeys.operators(
    """
    CELoss weight epsilon reduction
    DistillationCELoss weight model_name_pairs epsilon act key name
    DistillationGTCELoss weight model_names epsilon act key name
    DistillationDMLLoss weight model_name_pairs act weight_ratio sum_across_class_dim key name
    DistillationKLDivLoss weight model_name_pairs temperature key name
    DistillationMultiLabelLoss weight model_names epsilon size_sum weight_ratio name
    MultiLabelLoss weight epsilon size_sum weight_ratio
    MultiLabelAsymmetricLoss weight gamma_pos gamma_neg clip eps disable_focal_loss_grad reduction
    """)

  private static let metrics = ConfigurationKeys.operators(
    """
    TopkAcc topk
    DistillationTopkAcc model_key topk feature_key
    MultiLabelMAP map_type
    HammingDistance
    AccuracyScore base
    MultiLabelTopkAcc topk
    """)

  private static let optimizer: [String: ConfigurationKeys] = [
    "name": .value, "momentum": .value, "use_nesterov": .value, "multi_precision": .value, "beta1": .value,
    "beta2": .value, "epsilon": .value, "weight_decay": .value, "one_dim_param_no_weight_decay": .value,
    "no_weight_decay_name": .value, "grad_clip": .value, "clip_norm": .value, "scope": .value,
    "lr": .values(
      "name learning_rate warmup_epoch warmup_start_lr eta_min by_epoch last_epoch end_lr power cycle step_size gamma "
        + "decay_epochs values milestones max_lr initial_lr step_size_up step_size_down mode factor patience threshold "
        + "threshold_mode cooldown min_lr divide_factor end_learning_rate phase_pct anneal_strategy three_phase"),
    "regularizer": .values("name coeff"),
  ]

  /// The second form: a list of `{Momentum: {scope: …}}`.
  private static let perModuleOptimizers: [String: ConfigurationKeys] = Dictionary(
    ["Momentum", "SGD", "Adam", "AdamW", "RMSProp"].map { ($0, .section(optimizer)) }
  ) { first, _ in first }

  private static let loader: ConfigurationKeys = .section([
    "dataset": .section([
      "name": .value, "image_root": .value, "cls_label_path": .value, "delimiter": .value, "relabel": .value,
      "label_ratio": .value, "transform_ops": .named(transforms), "batch_transform_ops": .named(batchTransforms),
    ]),
    "sampler": .values("name batch_size drop_last shuffle"),
    "loader": .values("num_workers use_shared_memory"),
  ])

  private static let transforms = ConfigurationKeys.operators(
    """
    DecodeImage to_rgb to_np channel_first backend return_numpy
    ResizeImage size resize_short interpolation backend return_numpy
    CropImage size
    CenterCropImage size
    NormalizeImage scale mean std order output_fp16 channel_num
    ToCHWImage
    ToTensor
    RandCropImage size scale ratio interpolation backend use_log_aspect
    RandFlipImage flip_code
    AutoAugment
    TimmAutoAugment prob config_str interpolation img_size fillcolor
    RandAugmentV4 num_layers num_magnitude_bins img_size fillcolor
    RandAugment num_layers magnitude fillcolor
    RandomErasing EPSILON sl sh r1 attempt use_log_aspect mode mean
    Cutout n_holes length fill_value
    ColorJitter prob brightness contrast saturation hue
    RandomHorizontalFlip prob
    """)

  private static let batchTransforms: [String: ConfigurationKeys] = {
    let single = ConfigurationKeys.operators("MixupOperator alpha class_num prob\nCutmixOperator alpha class_num prob")
    return single.merging(["OpSampler": .section(single.merging(["class_num": .value]) { first, _ in first })]) {
      first, _ in first
    }
  }()

  private static let postProcessing: [String: ConfigurationKeys] = ConfigurationKeys.operators(
    """
    Topk topk class_id_map_file label_list delimiter
    MultiLabelThreshOutput threshold class_id_map_file label_list delimiter
    """
  ).merging(["main_indicator": .value, "SavePreLabel": .section(["save_dir": .ignored])]) { first, _ in first }

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
          if name == key { found.append(full) }
          walk(child, full, depth: depth + 1)
        }
      }
    }
    walk(root, "", depth: 0)
    return found.sorted { ($0.count, $0) < ($1.count, $1) }
  }
}
