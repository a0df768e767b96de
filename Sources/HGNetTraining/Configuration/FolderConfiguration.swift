import HGNetConfiguration
import HGNetCore
import HGNetModels
import HGNetVision

/// The configuration of a run on a folder of one's own pictures, with sound defaults.
///
/// `written()` makes the lists of pictures and the configuration, which is then read like any other, so that what was run
/// can be looked at, changed, and run again.
public struct FolderConfiguration: Sendable {
  /// What happens to a picture before it is trained on.
  public enum Augmentation: String, Sendable, CaseIterable {
    /// Crops, flips, changes of colour and form, erased parts: for few pictures and many epochs.
    case full
    /// Crops and flips: for a run that is too short for more.
    case light
    /// Nothing that is left to chance: what evaluation sees.
    case plain = "none"
  }

  /// The folder: one folder per class, or `train` and `val` (or `test`) with one folder per class each.
  public var folder: String
  /// Another folder with the pictures to evaluate on, with one folder per class; nil for those of `folder`.
  public var evaluationFolder: String?
  /// Where lists, checkpoints and the report go.
  public var output: String
  /// The network.
  public var model: Model
  /// The file of weights to begin with; nil for the published ones, or none of `isFromScratch`.
  public var weights: String?
  /// Whether training starts from random weights.
  public var isFromScratch = false
  /// Height and width of what the network sees.
  public var size = Size(224)
  /// Epochs of training; nil for the default.
  public var epochs: Int?
  /// Pictures of a batch.
  public var batchSize = 32
  /// The highest learning rate; nil for the default.
  public var learningRate: Double?
  /// What happens to a picture before it is trained on.
  public var augmentation = Augmentation.full
  /// Decides the split, the order and all chance.
  public var seed = 0

  /// Names the folder and the network; everything else has its default.
  ///
  /// - Parameters:
  ///   - folder: one folder per class, or `train` and `val` (or `test`) with one folder per class each.
  ///   - output: where lists, checkpoints and the report go.
  ///   - model: the network.
  ///   - weights: the file of weights to begin with; nil for the published ones.
  public init(folder: String, output: String, model: Model, weights: String?) {
    self.folder = folder
    self.output = output
    self.model = model
    self.weights = weights
  }

  /// What a folder holds and how it would be trained on, before anything is written.
  package struct Prepared: Sendable {
    /// The configuration, which names lists that `write` writes.
    package let value: ConfigurationValue
    /// The pictures to train on and to evaluate on.
    package let training, evaluation: Dataset
    /// What was decided or passed over, a line each.
    package let notes: [String]
    fileprivate let folder, evaluationFolder, output: String

    /// Writes `train_list.txt`, `val_list.txt` and `labels.txt` into the output folder, which is made if need be.
    ///
    /// - Throws: `HGNetError.Code.unwritableFile`, `unsupported` for a name that a list cannot hold.
    package func write() throws(HGNetError) {
      _ = try CheckpointFolder(path: output)
      _ = try Dataset.writeLists(
        training: training, evaluation: evaluation, names: training.classNames ?? [], to: output, relativeTo: folder,
        evaluationFolder: evaluationFolder)
    }

    /// The pictures of a part as its list will name them; nil where a configuration names other ones.
    ///
    /// - Parameters:
    ///   - part: `Train` or `Eval`.
    ///   - configuration: `value` with overrides.
    package func dataset(_ part: String, of configuration: Configuration) -> Dataset? {
      let root = "DataLoader.\(part).dataset"
      for key in ["name", "image_root", "cls_label_path", "delimiter", "relabel"] {
        guard configuration[root + "." + key] == value.value(at: root + "." + key) else { return nil }
      }
      return part == "Train" ? training : evaluation
    }
  }

  /// Reads the folder, and writes `train_list.txt`, `val_list.txt` and `labels.txt` into the output folder.
  ///
  /// The files of an earlier run there are moved into a folder `earlier-1` (2, 3 …) inside first; its `best_model` also stays
  /// where it is, with its own names, until it is replaced.
  ///
  /// - Returns: the configuration, which names these files.
  /// - Throws: what is wrong with the folder or its pictures, `HGNetError.Code.unwritableFile`, `limitExceeded` for a size
  ///   above 65536 pixels.
  public func written() throws(HGNetError) -> ConfigurationValue {
    let prepared = try prepared()
    _ = try EarlierRun.setAside(in: output)
    try prepared.write()
    return prepared.value
  }

  /// Reads the folder, and writes nothing.
  ///
  /// - Throws: what is wrong with the folder or its pictures, `HGNetError.Code.limitExceeded` for a size above 65536
  ///   pixels.
  package func prepared() throws(HGNetError) -> Prepared {
    guard [size.height, size.width].allSatisfy((1...Size.largestSide).contains) else {
      throw HGNetError(
        .limitExceeded, "expected an input size of 1×1 to \(Size(Size.largestSide)) pixels, found \(size)")
    }
    let layout = try FolderLayout(of: folder)
    let whole = try Dataset(folder: layout.training)
    var notes = layout.notes + whole.notes
    let first: Dataset
    let second: Dataset
    if let other = layout.evaluation, let evaluationFolder {
      notes.append("evaluated on \(evaluationFolder); \(other) is not looked at")
    }
    if let evaluation = evaluationFolder ?? layout.evaluation {
      (first, second) = (whole, try Dataset(folder: evaluation, classNames: whole.classNames))
      notes += second.notes
    } else {
      // Nine in ten of each class, and the rest.
      (first, second) = whole.split(fraction: 0.9, seed: UInt64(bitPattern: Int64(seed)))
    }
    guard first.count > 0, second.count > 0 else {
      throw HGNetError(
        .noInput, "expected at least two pictures of a class, to train on and to evaluate on; found \(whole.count)",
        path: folder)
    }
    let root = evaluationFolder ?? folder
    try Dataset.checkLists(of: [first], names: first.classNames ?? [], relativeTo: folder)
    try Dataset.checkLists(of: [second], names: [], relativeTo: root)
    return Prepared(
      value: try ConfigurationValue(
        yaml: text(Dataset.listFiles(in: output), classes: first.classCount, pictures: first.count)),
      training: first, evaluation: second, notes: notes, folder: folder, evaluationFolder: root, output: output)
  }

  /// The side that the shorter side of a picture is resized to before the crop: 232 for 224.
  public static func shortSide(for size: Size) -> Int {
    // Beyond any size that a network takes the number no longer matters, and the product stays inside `Int`.
    (min(max(size.height, size.width), Int(Int32.max)) * 232 + 112) / 224
  }

  private func text(
    _ files: (training: String, evaluation: String, labels: String), classes: Int, pictures: Int
  ) -> String {
    let batch = min(batchSize, pictures)
    // The linear rule: twice the batch, twice the rate. New weights bear more than trained ones.
    let rate = learningRate ?? (isFromScratch ? 0.1 : 0.02) * Double(batch) / 64
    let epochs = epochs ?? (isFromScratch ? 60 : 20)
    let resize = FolderConfiguration.shortSide(for: size)
    let crop = size.height == size.width ? "\(size.height)" : "[\(size.width), \(size.height)]"
    // Of five classes or fewer, one of the five best is no news.
    let topK = classes > 5 ? "[1, 5]" : "[1]"
    let pretrained = weights == nil && !isFromScratch
    let evaluation = evaluationTransforms(resize: resize, crop: crop)
    let training = augmentation == .plain ? evaluation : trainingTransforms(crop: crop)
    return """
      Global:
        checkpoints: null
        pretrained_model: \(weights.map(quoted) ?? "null")
        output_dir: \(quoted(output))
        save_interval: 0
        eval_during_train: True
        eval_interval: 1
        epochs: \(epochs)
        print_batch_step: 10
        use_tensorboard: True
        seed: \(seed)
        scale_learning_rate: False
        image_shape: [3, \(size.height), \(size.width)]
      Arch:
        name: \(model.name)
        class_num: \(classes)
        pretrained: \(pretrained ? "True" : "False")
      Loss:
        Train:
          - CELoss: {weight: 1.0, epsilon: 0.1}
        Eval:
          - CELoss: {weight: 1.0}
      Optimizer:
        name: Momentum
        momentum: 0.9
        lr:
          name: Cosine
          learning_rate: \(rate)
          warmup_epoch: \(max(1, min(5, epochs / 10)))
        regularizer: {name: L2, coeff: 0.00004}
      DataLoader:
        Train:
          dataset:
            name: ImageNetDataset
            image_root: \(quoted(folder))
            cls_label_path: \(quoted(files.training))
            transform_ops:
      \(training)
          sampler: {name: DistributedBatchSampler, batch_size: \(batch), drop_last: \(pictures >= 4 * batch ? "True" : "False"), shuffle: True}
        Eval:
          dataset:
            name: ImageNetDataset
            image_root: \(quoted(evaluationFolder ?? folder))
            cls_label_path: \(quoted(files.evaluation))
            transform_ops:
      \(evaluation)
          sampler: {name: DistributedBatchSampler, batch_size: \(batch), drop_last: False, shuffle: False}
      Infer:
        infer_imgs: \(quoted(folder))
        batch_size: \(batch)
        transforms:
      \(evaluation.split(separator: "\n").map { $0.dropFirst(4) }.joined(separator: "\n"))
          - ToCHWImage:
        PostProcess: {name: Topk, topk: \(min(5, classes)), class_id_map_file: \(quoted(files.labels))}
      Metric:
        Train:
          - TopkAcc: {topk: \(topK)}
        Eval:
          - TopkAcc: {topk: \(topK)}
      """
  }

  private func evaluationTransforms(resize: Int, crop: String) -> String {
    """
            - DecodeImage: {to_rgb: True, channel_first: False}
            - ResizeImage: {resize_short: \(resize), interpolation: bicubic, backend: pil}
            - CropImage: {size: \(crop)}
            - NormalizeImage: {scale: 1.0/255.0, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], order: ''}
    """
  }

  private func trainingTransforms(crop: String) -> String {
    let first = "- DecodeImage: {to_rgb: True, channel_first: False}"
    let flip = "- RandFlipImage: {flip_code: 1}"
    let last =
      "- NormalizeImage: {scale: 1.0/255.0, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], order: ''}"
    func randomCrop(_ scale: String) -> String {
      "- RandCropImage: {size: \(crop), scale: \(scale), interpolation: bicubic, backend: pil}"
    }
    let steps =
      switch augmentation {
      case .light, .plain: [first, randomCrop("[0.85, 1.0], ratio: [0.9, 1.11]"), flip, last]
      case .full:
        [
          first, randomCrop("[0.35, 1.0]"), flip,
          "- TimmAutoAugment: {config_str: rand-m7-mstd0.5-inc1, interpolation: bicubic}",
          last,
          "- RandomErasing: {EPSILON: 0.25, sl: 0.02, sh: 0.33, r1: 0.3, attempt: 10, use_log_aspect: True, mode: pixel}",
        ]
      }
    return steps.map { "        " + $0 }.joined(separator: "\n")
  }

  private func quoted(_ text: String) -> String {
    ConfigurationValue.text(text).yaml.split(separator: "\n").first.map(String.init) ?? "''"
  }
}
