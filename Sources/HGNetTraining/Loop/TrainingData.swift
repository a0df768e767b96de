import HGNetConfiguration
import HGNetCore
import HGNetVision

/// One part of the data of a run, with what happens to its pictures and the order in which they come.
///
/// Threads: a value, safe to share.
public struct TrainingData: Sendable {
  /// The pictures and what they show.
  package var dataset: Dataset
  /// The pictures of a batch, at least 1.
  public var batchSize: Int
  /// Whether each epoch has an order of its own.
  public var shuffles: Bool
  /// Whether a smaller last batch is left out.
  public var dropsLast: Bool
  /// What happens to each picture.
  package var transforms: TrainingTransforms
  /// How pictures are read ahead.
  package var loading = Loader.Options()
  /// The share of pictures that have each label, where a loss weights by it (`label_ratio`).
  package var labelRatios: [Float]?
  /// This process and the number of those that train together, each on its share of every batch.
  var (rank, rankCount) = (0, 1)

  /// Makes a part from its pieces.
  package init(
    dataset: Dataset, batchSize: Int, shuffles: Bool, dropsLast: Bool = false, transforms: TrainingTransforms
  ) {
    self.dataset = dataset
    self.batchSize = batchSize
    self.shuffles = shuffles
    self.dropsLast = dropsLast
    self.transforms = transforms
    loading.decodingStyle = transforms.decodingStyle
  }

  /// Reads a part of `DataLoader`.
  ///
  /// - Parameters:
  ///   - configuration: a PaddleClas configuration.
  ///   - part: `Train` or `Eval`.
  ///   - classCount: the number of classes of the network.
  ///   - allowsUnlabelled: whether pictures may have no label, as where only a teacher judges.
  /// - Returns: nil when the configuration has no such part.
  /// - Throws: `HGNetError.Code.invalidConfiguration` naming a missing or wrong key, and what is wrong with the list or
  ///   its pictures.
  public init?(
    _ configuration: Configuration, part: String, classCount: Int, allowsUnlabelled: Bool = false
  ) throws(HGNetError) {
    try self.init(
      configuration, part: part, classCount: classCount, allowsUnlabelled: allowsUnlabelled, listed: nil)
  }

  /// Reads a part of `DataLoader`; `listed` are the pictures of its list where that need not be read.
  package init?(
    _ configuration: Configuration, part: String, classCount: Int, allowsUnlabelled: Bool = false, listed: Dataset?
  ) throws(HGNetError) {
    let root = "DataLoader.\(part)"
    guard configuration[root] != nil else { return nil }
    func required(_ key: String) throws(HGNetError) -> String {
      guard let text = try configuration.text("\(root).dataset.\(key)") else {
        throw HGNetError(
          .invalidConfiguration, "expected a path, found nothing", path: configuration.path,
          key: "\(root).dataset.\(key)")
      }
      return text
    }
    guard let transforms = try configuration.trainingTransforms(dataset: "\(root).dataset") else {
      throw HGNetError(
        .invalidConfiguration, "expected a list of transforms, found nothing", path: configuration.path,
        key: "\(root).dataset.transform_ops")
    }
    let (folder, list) = (try required("image_root"), try required("cls_label_path"))
    let delimiter = try configuration.text("\(root).dataset.delimiter")
    let name = try configuration.text("\(root).dataset.name") ?? "ImageNetDataset"
    switch name {
    case _ where listed != nil:
      guard let listed, listed.classCount <= classCount else {
        throw HGNetError(
          .invalidConfiguration,
          "expected a network of at least \(listed?.classCount ?? 0) classes for these pictures, found \(classCount)",
          path: configuration.path, key: "Arch.class_num")
      }
      dataset = listed.listed(classCount: classCount)
    case "ImageNetDataset":
      dataset = try Dataset(
        listFile: list, folder: folder, delimiter: delimiter ?? " ",
        relabels: configuration.boolean("\(root).dataset.relabel") ?? false,
        numberedAs: part == "Train" ? nil : try TrainingData.numberingList(configuration), classCount: classCount,
        allowsUnlabelled: allowsUnlabelled)
    case "MultiLabelDataset":
      dataset = try Dataset(
        multiLabelListFile: list, folder: folder, delimiter: delimiter ?? "\t", classCount: classCount)
    case let other:
      throw HGNetError(
        .unsupported, "expected ImageNetDataset or MultiLabelDataset, found \(other)", path: configuration.path,
        key: "\(root).dataset.name")
    }
    if try configuration.boolean("\(root).dataset.label_ratio") == true {
      guard case .multipleClasses = dataset.targets else {
        throw HGNetError(
          .invalidConfiguration, "label_ratio belongs to MultiLabelDataset", path: configuration.path,
          key: "\(root).dataset.label_ratio")
      }
      // In double, then rounded, as NumPy's mean.
      let count = Double(max(dataset.count, 1))
      labelRatios = dataset.pictureCounts.map { Float(Double($0) / count) }
    }
    let isTraining = part == "Train"
    let counts = 1...Int(Int32.max)
    batchSize = try configuration.integer("\(root).sampler.batch_size", in: counts) ?? 1
    shuffles = try configuration.boolean("\(root).sampler.shuffle") ?? isTraining
    dropsLast = try configuration.boolean("\(root).sampler.drop_last") ?? false
    self.transforms = transforms
    loading.decodingStyle = transforms.decodingStyle
    // Threads in the place of PaddleClas' processes, no more than there are processors; they share memory in any case.
    if let workers = try configuration.integer("\(root).loader.num_workers", in: 0...65536) {
      loading.threads = min(workers, ProcessorCount.current().count)
    }
    _ = try configuration.boolean("\(root).loader.use_shared_memory")
  }

  /// The list that numbers the classes for every part: the one to train on, where its labels are numbered anew.
  private static func numberingList(_ configuration: Configuration) throws(HGNetError) -> String? {
    guard try configuration.boolean("DataLoader.Train.dataset.relabel") == true else { return nil }
    return try configuration.text("DataLoader.Train.dataset.cls_label_path")
  }

  /// The order of the pictures.
  ///
  /// - Throws: as `DistributedBatchSampler.init`.
  package func sampler() throws(HGNetError) -> DistributedBatchSampler {
    try DistributedBatchSampler(
      sampleCount: dataset.count, batchSize: batchSize, shuffles: shuffles, dropsLast: dropsLast, rank: rank,
      rankCount: rankCount)
  }

  /// Starts to read the batches of an epoch.
  ///
  /// - Parameters:
  ///   - epoch: the number of epochs before this one, from 0.
  ///   - start: the first batch to deliver.
  ///   - count: the number of batches of the epoch, nil for all.
  ///   - seed: of all random transforms.
  ///   - part: the number of a part and the number of parts: part k of n has the batches k, k + n, k + 2 n …
  /// - Throws: as `Loader.init`.
  package func loader(
    epoch: Int, startingAt start: Int = 0, count: Int? = nil, seed: UInt64 = 0, part: (Int, of: Int) = (0, of: 1)
  ) throws(HGNetError) -> Loader {
    var options = loading
    options.seed = seed
    var batches = try sampler().batches(epoch: epoch)
    if let count { batches = Array(batches.prefix(count)) }
    if part.of > 1 { batches = stride(from: part.0, to: batches.count, by: part.of).map { batches[$0] } }
    let transforms = transforms
    return try Loader(
      dataset: dataset, batches: batches, epoch: epoch, startingAt: min(start, batches.count), options: options
    ) { (image, generator) throws(HGNetError) in try transforms.picture(from: image, using: &generator) }
  }
}

extension TrainingData {
  /// Mixes the pictures and labels of a batch as the transforms say.
  ///
  /// - Parameters:
  ///   - pictures: `[N, H, W, 3]`.
  ///   - targets: N classes, which become vectors `[N, K]` where something is mixed, or such vectors.
  ///   - generator: where chance comes from.
  /// - Throws: as `BatchMixing.draw` and `BatchMix.apply`.
  func mix(
    _ pictures: inout Tensor, _ targets: inout Targets, using generator: inout RandomGenerator
  ) throws(HGNetError) {
    for mixing in transforms.mixing {
      let size = Size(height: pictures.shape[1], width: pictures.shape[2])
      guard let mix = try mixing.draw(count: pictures.shape[0], size: size, using: &generator) else { continue }
      var labels: Tensor
      switch targets {
      case .vectors(let vectors): labels = vectors
      case .classes(let classes):
        let count = dataset.classCount
        let subject = "the labels of \(classes.count) pictures"
        labels = try Tensor(allocating: [classes.count, count], for: subject) { values in
          for index in values.indices { values[index] = classes[index / count] == index % count ? 1 : 0 }
        }
      }
      try mix.apply(toPictures: &pictures, labels: &labels)
      targets = .vectors(labels)
    }
  }
}

extension TrainingData {
  /// A hash of what is read and how it is labelled, by which ranks see that they have the same.
  var hash: String {
    var chain = XXHash64.Chain()
    for path in dataset.paths { chain.add(path) }
    switch dataset.targets {
    case .classes(let classes): classes.withUnsafeBytes { chain.add($0) }
    case .multipleClasses(let values): values.withUnsafeBytes { chain.add($0) }
    }
    return chain.text
  }
}

extension Dataset.Targets {
  /// The targets as a loss takes them.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded`.
  func targets(classCount: Int) throws(HGNetError) -> Targets {
    switch self {
    case .classes(let classes): return .classes(classes)
    case .multipleClasses(let values):
      let count = classCount == 0 ? 0 : values.count / classCount
      return .vectors(
        try Tensor(allocating: [count, classCount], for: "the labels of \(count) pictures") { target in
          for (index, value) in values.prefix(target.count).enumerated() { target[index] = Float(value) }
        })
    }
  }
}
