import HGNetCore
import HGNetFormats

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The checkpoints of one run in its output folder, named as PaddleClas names them.
///
/// - `latest`: the newest.
/// - `best_model`: that of the best metric, and `best_model/model.pdparams`, the trained weights alone.
/// - `best_model_student.pdparams`: of a distillation, the weights of the network that is used later, under plain names.
/// - `epoch_N`: every `saveInterval` epochs.
///
/// Threads: a value; one process writes.
public struct CheckpointFolder: Sendable {
  /// The folder.
  public let path: String
  /// The number of epochs between two that are kept; 0 or less keeps none.
  public var saveInterval: Int
  /// Whether each checkpoint has its weights as safetensors, too.
  public var writesSafetensors: Bool

  /// Makes the folder if it does not exist.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile`.
  public init(path: String, saveInterval: Int = 1, writesSafetensors: Bool = false) throws(HGNetError) {
    self.path = path.isEmpty ? "." : path
    self.saveInterval = saveInterval
    self.writesSafetensors = writesSafetensors
    try CheckpointFolder.makeFolder(self.path)
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
    var written: [String] = []
    let progress = contents.progress
    if progress.stepInEpoch == 0, progress.epoch > 0, keeps(epoch: progress.epoch) {
      written.append(epoch(progress.epoch))
    }
    written.append(latest)
    for prefix in written { try Checkpoint.write(contents, to: prefix, writesSafetensors: writesSafetensors) }
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
    try Checkpoint.write(contents, to: best, writesSafetensors: writesSafetensors)
    try CheckpointFolder.makeFolder(best)
    try PaddleParameters.write(
      contents.parameters, to: "\(best)/model.pdparams", internalNames: contents.internalNames)
    guard let inferred else { return }
    let prefix = "\(inferred)."
    let own = contents.internalNames.filter { $0.key.hasPrefix(prefix) }
    try PaddleParameters.write(
      (contents.averaged ?? contents.parameters).parameters(behind: prefix), to: "\(best)_student.pdparams",
      internalNames: Dictionary(uniqueKeysWithValues: own.map { (String($0.key.dropFirst(prefix.count)), $0.value) }))
  }

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
