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
  public enum Augmentation: Sendable {
    /// Crops, flips, changes of colour and form, erased parts: for few pictures and many epochs.
    case full
    /// Crops and flips: for a run that is too short for more.
    case light
  }

  /// The folder: one folder per class, or `train` and `val` (or `test`) with one folder per class each.
  public var folder: String
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
  /// Epochs of training; nil for the standard.
  public var epochs: Int?
  /// Pictures of a batch.
  public var batchSize = 32
  /// The highest learning rate; nil for the standard.
  public var learningRate: Double?
  /// What happens to a picture before it is trained on.
  public var augmentation = Augmentation.full
  /// Decides the split, the order and all chance.
  public var seed = 0

  /// Names the folder and the network; everything else has its standard.
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

  /// Reads the folder, and writes `train_list.txt`, `val_list.txt` and `labels.txt` into the output folder.
  ///
  /// - Returns: the configuration, which names these files.
  /// - Throws: what is wrong with the folder or its pictures, `HGNetError.Code.unwritableFile`, `limitExceeded` for a size
  ///   above 65536 pixels.
  public func written() throws(HGNetError) -> ConfigurationValue { try written(isWritten: false).value }

  /// The same for one of several ranks.
  ///
  /// - Parameter isWritten: whether the files are there already, because another rank has written them.
  /// - Returns: the configuration, and how many pictures and classes were found.
  /// - Throws: as `written()`.
  package func written(
    isWritten: Bool
  ) throws(HGNetError) -> (value: ConfigurationValue, training: Dataset, evaluation: Dataset) {
    guard [size.height, size.width].allSatisfy((1...Size.largestSide).contains) else {
      throw HGNetError(
        .limitExceeded, "expected an input size of 1×1 to \(Size(Size.largestSide)) pixels, found \(size)")
    }
    let (first, second) = try parts()
    let files = Dataset.listFiles(in: output)
    if !isWritten {
      // Makes the output folder.
      _ = try CheckpointFolder(path: output)
      _ = try Dataset.writeLists(
        training: first, evaluation: second, names: first.classNames ?? [], to: output, relativeTo: folder)
    }
    return (try ConfigurationValue(yaml: text(files, classes: first.classCount, pictures: first.count)), first, second)
  }

  /// The pictures to train and to evaluate on: the folder's own parts, else nine in ten of each class and the rest.
  private func parts() throws(HGNetError) -> (Dataset, Dataset) {
    let (training, evaluation) = try Dataset.parts(of: folder)
    let whole = try Dataset(folder: training)
    let first: Dataset
    let second: Dataset
    if let evaluation {
      (first, second) = (whole, try Dataset(folder: evaluation, classNames: whole.classNames))
    } else {
      (first, second) = whole.split(fraction: 0.9, seed: UInt64(bitPattern: Int64(seed)))
    }
    guard first.count > 0, second.count > 0 else {
      throw HGNetError(
        .noInput, "expected at least two pictures of a class, to train on and to evaluate on; found \(whole.count)",
        path: folder)
    }
    return (first, second)
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
    let evaluation = """
              - DecodeImage: {to_rgb: True, channel_first: False}
              - ResizeImage: {resize_short: \(resize), interpolation: bicubic, backend: pil}
              - CropImage: {size: \(crop)}
              - NormalizeImage: {scale: 1.0/255.0, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], order: ''}
      """
    let training = trainingTransforms(crop: crop)
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
            image_root: \(quoted(folder))
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
      case .light: [first, randomCrop("[0.85, 1.0], ratio: [0.9, 1.11]"), flip, last]
      case .full:
        [
          first, randomCrop("[0.35, 1.0]"), flip,
          "- TimmAutoAugment: {config_str: rand-m7-mstd0.5-inc1, interpolation: bicubic, img_size: \(size.height)}",
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
