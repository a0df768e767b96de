import Foundation
import HGNetCore
import HGNetTraining

/// The log of a run: every line in a file as PaddleClas writes it, and on standard output.
///
/// A disk that is full does not end a run over its log: the first failure is told, the run goes on.
final class TrainingLogFile {
  /// The file.
  let path: String
  /// Whether the lines of single iterations are left to the progress bar.
  let hidesIterations: Bool
  /// Whether lines go to standard output at all; warnings and errors always do.
  let isEchoed: Bool
  private let handle: FileHandle?
  private var hasFailed = false

  /// Opens the file to append to it.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile`.
  init(path: String, hidesIterations: Bool, isEchoed: Bool = true) throws(HGNetError) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw HGNetError(
        .unwritableFile, "cannot open the log; choose another folder with Global.output_dir", path: path,
        cause: String(cString: strerror(errno)))
    }
    self.path = path
    self.hidesIterations = hidesIterations
    self.isEchoed = isEchoed
    handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
  }

  /// A log that keeps nothing, for all ranks but the first.
  init() {
    path = ""
    hidesIterations = true
    isEchoed = false
    handle = nil
  }

  /// Writes a line of PaddleClas; with `isEchoed` false into the file alone.
  func write(_ message: String, level: TrainingLog.Level = .info, isEchoed: Bool? = nil) {
    guard let handle else { return }
    let line = TrainingLog.line(message, level: level, time: Date().timeIntervalSince1970)
    do {
      try handle.write(contentsOf: Data((line + "\n").utf8))
    } catch {
      if !hasFailed {
        StandardError.write("hgnet: warning: \(path): cannot write the log (\(error)); going on without")
      }
      hasFailed = true
    }
    if !(isEchoed ?? self.isEchoed), level == .info { return }
    if hidesIterations, message.contains("][Iter: ") { return }
    // A reader that has gone away must not end the run either.
    try? StandardOutput.write(line)
  }
}
