import HGNetCore
import HGNetFormats

/// The contents of a `.pdstates` file: PaddleClas' `metric` and `epoch`, and an entry of ours that it ignores.
struct CheckpointStates: Sendable {
  /// What a file of the checkpoint must be.
  struct Stamp: Sendable, Equatable {
    var byteCount: Int
    var hash: String
  }

  private static let ownKey = "hgnet"
  private static let version = 1

  var progress: TrainingProgress
  /// The files that belong together, by ending; empty in files of other programs.
  var stamps: [String: Stamp] = [:]

  init(progress: TrainingProgress, stamps: [String: Stamp]) {
    self.progress = progress
    self.stamps = stamps
  }

  // MARK: Writing

  var pickled: PickleValue {
    var own = PickleDictionary()
    own["version"] = .integer(CheckpointStates.version)
    own["epoch"] = .integer(progress.epoch)
    own["metric"] = .double(progress.metric)
    own["step_in_epoch"] = .integer(progress.stepInEpoch)
    own["global_step"] = .integer(progress.globalStep)
    if let metric = progress.bestMetric { own["best_metric"] = .double(metric) }
    if let epoch = progress.bestEpoch { own["best_epoch"] = .integer(epoch) }
    if let seed = progress.seed { own["seed"] = .integer(Int(truncatingIfNeeded: seed)) }
    if let model = progress.model { own["model"] = .text(model) }
    own["values"] = CheckpointStates.dictionary(progress.values) { .double($0) }
    own["generators"] = CheckpointStates.dictionary(progress.generators) { generator in
      .list(generator.words.map { .integer(Int(truncatingIfNeeded: $0)) })
    }
    own["files"] = CheckpointStates.dictionary(stamps) { .list([.integer($0.byteCount), .text($0.hash)]) }
    var outer = PickleDictionary()
    outer["metric"] = .double(progress.metric)
    outer["epoch"] = .integer(progress.epoch)
    outer[CheckpointStates.ownKey] = .dictionary(own)
    return .dictionary(outer)
  }

  private static func dictionary<Value>(_ values: [String: Value], _ pickled: (Value) -> PickleValue) -> PickleValue {
    .dictionary(
      PickleDictionary(
        values.sorted { $0.key < $1.key }.map {
          PickleDictionary.Pair(key: .text($0.key), value: pickled($0.value))
        }))
  }

  // MARK: Reading

  /// Reads a file of ours or of PaddleClas.
  ///
  /// - Throws: What `Pickle.read` throws; `HGNetError.Code.malformedData` for other contents, `unsupported` for an entry
  ///   of a later version of this package.
  init(_ blob: Blob) throws(HGNetError) {
    guard case .dictionary(let outer) = try Pickle.read(BlobSlice(blob)).value,
      let epoch = outer["epoch"]?.wholeNumber, epoch >= 0
    else {
      throw HGNetError(
        .malformedData, "expected the states of a checkpoint, a dictionary with the epoch; is this a .pdstates file?",
        path: blob.path)
    }
    progress = TrainingProgress(epoch: epoch)
    progress.metric = outer["metric"]?.number ?? 0
    guard case .dictionary(let own) = outer[CheckpointStates.ownKey] else { return }
    // PaddleClas may hand our entry on into a checkpoint of its own; then epoch or metric no longer agree.
    guard own["epoch"]?.wholeNumber == epoch, own["metric"]?.number?.bitPattern == progress.metric.bitPattern else {
      return
    }
    do throws(HGNetError) {
      try read(own)
    } catch {
      throw blob.path.map { error.at(path: $0) } ?? error
    }
  }

  private mutating func read(_ own: PickleDictionary) throws(HGNetError) {
    guard let version = own["version"]?.wholeNumber, version >= 1 else { throw CheckpointStates.broken("version") }
    guard version <= CheckpointStates.version else {
      throw HGNetError(
        .unsupported, "expected a checkpoint of version \(CheckpointStates.version), found \(version) of a later hgnet",
        key: CheckpointStates.ownKey)
    }
    guard let step = own["step_in_epoch"]?.wholeNumber, step >= 0, let total = own["global_step"]?.wholeNumber,
      total >= 0
    else { throw CheckpointStates.broken("steps") }
    progress.stepInEpoch = step
    progress.globalStep = total
    progress.bestMetric = own["best_metric"]?.number
    progress.bestEpoch = own["best_epoch"]?.wholeNumber
    progress.seed = own["seed"]?.wholeNumber.map { UInt64(bitPattern: Int64($0)) }
    if case .text(let model) = own["model"] { progress.model = model }
    for (name, value) in try CheckpointStates.entries(own, "values") {
      guard let number = value.number else { throw CheckpointStates.broken("values") }
      progress.values[name] = number
    }
    for (name, value) in try CheckpointStates.entries(own, "generators") {
      guard case .list(let items) = value else { throw CheckpointStates.broken("generators") }
      let words = items.compactMap { $0.wholeNumber.map { UInt64(bitPattern: Int64($0)) } }
      progress.generators[name] = try RandomGenerator(words: words)
    }
    for (name, value) in try CheckpointStates.entries(own, "files") {
      guard case .list(let items) = value, items.count == 2, let count = items[0].wholeNumber,
        case .text(let hash) = items[1]
      else { throw CheckpointStates.broken("files") }
      stamps[name] = Stamp(byteCount: count, hash: hash)
    }
  }

  private static func entries(_ own: PickleDictionary, _ key: String) throws(HGNetError) -> [(String, PickleValue)] {
    guard case .dictionary(let dictionary) = own[key] else { throw broken(key) }
    return dictionary.pairs.compactMap { pair in
      if case .text(let name) = pair.key { (name, pair.value) } else { nil }
    }
  }

  private static func broken(_ key: String) -> HGNetError {
    HGNetError(.malformedData, "expected \(key) as this package writes them, found none such", key: ownKey)
  }
}
