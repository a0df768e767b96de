import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetFormats
import HGNetPlatform

/// The checkpoints of one run in its output folder, named as PaddleClas names them.
///
/// - `latest`: the newest.
/// - `best_model`: that of the best metric, and `best_model/model.pdparams`, the trained weights alone.
/// - `best_model_student.pdparams`: of a distillation, the weights of the network that is used later, under plain names.
/// - `epoch_N`: every `saveInterval` epochs.
///
/// Beside each of them lies the configuration of the run with the names of its classes, such as `best_model.yaml`, where one
/// is given: weights and names are replaced together, so that a later run in the same folder changes neither alone.
///
/// Threads: a value; one process writes.
public struct CheckpointFolder: Sendable {
  /// The folder.
  public let path: String
  /// The number of epochs between two that are kept; 0 or less keeps none.
  public var saveInterval: Int
  /// Whether each checkpoint has its weights as safetensors, too.
  public var writesSafetensors: Bool
  /// The text of the configuration beside each checkpoint.
  private let record: String?
  /// Device and number of the folder, by which it is known again.
  private let identity: [UInt64]

  /// Makes the folder if it does not exist.
  ///
  /// - Parameters:
  ///   - path: the folder.
  ///   - saveInterval: the number of epochs between two checkpoints that are kept; 0 or less keeps none.
  ///   - writesSafetensors: whether each checkpoint has its weights as safetensors, too.
  ///   - configuration: what is written beside each checkpoint; the label file that it names must exist by now.
  /// - Throws: `HGNetError.Code.unwritableFile`.
  public init(
    path: String, saveInterval: Int = 1, writesSafetensors: Bool = false, configuration: Configuration? = nil
  ) throws(HGNetError) {
    self.path = path.isEmpty ? "." : path
    self.saveInterval = saveInterval
    self.writesSafetensors = writesSafetensors
    record = configuration.map { $0.record().yaml }
    try CheckpointFolder.makeFolder(self.path)
    identity = CheckpointFolder.identity(of: self.path)
  }

  /// Checks that the folder is still the one that the run began with, neither deleted nor on a disk that is gone.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile`.
  package func check() throws(HGNetError) {
    let now = CheckpointFolder.identity(of: path)
    guard now != identity else { return }
    throw HGNetError(
      .unwritableFile,
      now.isEmpty
        ? "the output folder is gone: it was deleted, renamed or its disk was unmounted while the run went on"
        : "the output folder is another one than at the start: it was replaced, or its disk was unmounted", path: path)
  }

  /// Device and number of a folder; empty if there is none.
  private static func identity(of path: String) -> [UInt64] {
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { return [] }
    return [UInt64(status.st_dev), UInt64(status.st_ino)]
  }

  /// The prefix of the newest checkpoint.
  public var latest: String { "\(path)/latest" }
  /// The prefix of the best checkpoint.
  public var best: String { "\(path)/best_model" }
  /// The prefix of the checkpoint after an epoch, counted from 1.
  public func epoch(_ number: Int) -> String { "\(path)/epoch_\(number)" }

  /// Whether the checkpoint after an epoch, counted from 1, is kept.
  package func keeps(epoch: Int) -> Bool { saveInterval > 0 && epoch % saveInterval == 0 }

  /// Writes `latest`, and `epoch_N` where it is due after a complete epoch.
  ///
  /// - Returns: the prefixes written.
  /// - Throws: `HGNetError.Code.unwritableFile`; older checkpoints are then complete.
  @discardableResult
  package func save(_ contents: CheckpointContents) throws(HGNetError) -> [String] {
    try check()
    var written: [String] = []
    let progress = contents.progress
    if progress.stepInEpoch == 0, progress.epoch > 0, keeps(epoch: progress.epoch) {
      written.append(epoch(progress.epoch))
    }
    written.append(latest)
    for prefix in written {
      try Checkpoint.write(contents, to: prefix, writesSafetensors: writesSafetensors, record: record)
    }
    return written
  }

  /// Writes `best_model` and `best_model/model.pdparams`.
  ///
  /// - Parameters:
  ///   - contents: what to keep.
  ///   - inferred: the network of a distillation whose weights are written alone, too, into `best_model_student.pdparams`
  ///     (PaddleClas' name for it), with the internal names that they have among the others.
  /// - Throws: `HGNetError.Code.unwritableFile`; the older best checkpoint is then complete.
  package func saveBest(_ contents: CheckpointContents, inferred: String? = nil) throws(HGNetError) {
    try check()
    try Checkpoint.write(contents, to: best, writesSafetensors: writesSafetensors, record: record)
    try CheckpointFolder.makeFolder(best)
    try write(contents.parameters, to: "\(best)/model", internalNames: contents.internalNames)
    guard let inferred else { return }
    let prefix = "\(inferred)."
    let own = contents.internalNames.filter { $0.key.hasPrefix(prefix) }
    try write(
      (contents.averaged ?? contents.parameters).parameters(behind: prefix), to: "\(best)_student",
      internalNames: Dictionary(uniqueKeysWithValues: own.map { (String($0.key.dropFirst(prefix.count)), $0.value) }))
  }

  /// Writes weights that are no checkpoint, with the configuration beside them.
  private func write(
    _ parameters: ParameterStore, to prefix: String, internalNames: [String: String]
  ) throws(HGNetError) {
    let known = try? Blob(mapping: "\(prefix).yaml")
    if known.map({ blob in blob.withUnsafeBytes { Array($0) } }) != record.map({ Array($0.utf8) }) {
      // Older weights may not stand beside the names of this run, not even for a moment; `best_model` has been replaced.
      unlink("\(prefix).pdparams")
      unlink("\(prefix).yaml")
      if let record {
        var file = try FileOutput(path: "\(prefix).yaml")
        try file.write(record)
        try file.commit()
      }
    }
    try PaddleParameters.write(parameters, to: "\(prefix).pdparams", internalNames: internalNames)
  }

  /// Makes a folder and those that it lies in.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile`.
  package static func make(_ path: String) throws(HGNetError) { try makeFolder(path) }

  static func makeFolder(_ path: String) throws(HGNetError) {
    var made = path.hasPrefix("/") ? "/" : ""
    for part in path.split(separator: "/") {
      made += made.isEmpty || made.hasSuffix("/") ? part : "/\(part)"
      guard mkdir(made, 0o755) == 0 || errno == EEXIST || errno == EISDIR || errno == EROFS || errno == EACCES else {
        throw failure(path)
      }
    }
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { throw failure(path) }
  }

  private static func failure(_ path: String) -> HGNetError {
    HGNetError(
      .unwritableFile, "cannot make the folder; is there a file of that name, or may we not write there?", path: path,
      cause: String(cString: strerror(errno)))
  }
}
