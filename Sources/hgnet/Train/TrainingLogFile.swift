import FoundationEssentials
import HGNetCore
import HGNetPlatform
import HGNetTraining

/// The log of a run: every line in a file as PaddleClas writes it, and on standard output.
///
/// A disk that is full does not end a run over its log: the first failure is told, the run goes on.
final class TrainingLogFile {
  /// The file; empty until there is one.
  private(set) var path = ""
  /// What a terminal shows in another form.
  enum Hidden {
    /// Nothing.
    case nothing
    /// The lines of single iterations, of which there is a bar.
    case iterations
    /// The lines of training, evaluation and checkpoints, of which there is a line an epoch.
    case epochs
  }

  /// Which lines are in the file alone.
  let hidden: Hidden
  /// Whether lines go to standard output at all; warnings and errors always do.
  let isEchoed: Bool
  private var descriptor: Int32?
  /// The lines that came before the file was opened; nil once it is, and for a log that keeps nothing.
  private var waiting: [String]?
  private var hasFailed = false

  /// Opens the file to append to it.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile`.
  convenience init(path: String, hidden: Hidden, isEchoed: Bool = true) throws(HGNetError) {
    self.init(hidden: hidden, isEchoed: isEchoed)
    try open(path)
  }

  /// A log that keeps its lines until it knows its file, so that a run that fails before it begins leaves none.
  init(hidden: Hidden, isEchoed: Bool) {
    self.hidden = hidden
    self.isEchoed = isEchoed
    waiting = []
  }

  /// Opens the file to append to it, and writes the lines that have waited for it.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile`.
  func open(_ path: String) throws(HGNetError) {
    let descriptor = openLog(path)
    guard descriptor >= 0 else {
      throw HGNetError(
        .unwritableFile, "cannot open the log; choose another folder with Global.output_dir", path: path,
        cause: String(cString: strerror(errno)))
    }
    self.path = path
    self.descriptor = descriptor
    let lines = waiting ?? []
    waiting = nil
    for line in lines { record(line: line) }
  }

  deinit { if let descriptor { close(descriptor) } }

  /// Whether there is a file, or will be one.
  private var keepsLines: Bool { descriptor != nil || waiting != nil }

  /// A log that keeps nothing, for all ranks but the first.
  init() {
    hidden = .epochs
    isEchoed = false
  }

  /// Writes a line of PaddleClas.
  func write(_ message: String, level: TrainingLog.Level = .info) {
    let line = TrainingLog.line(message, level: level, time: Date().timeIntervalSince1970)
    record(line: line)
    let isShown = isEchoed || level != .info
    guard keepsLines, isShown, level != .info || !isHidden(message) else { return }
    // A reader that has gone away must not end the run either.
    try? StandardOutput.write(line)
  }

  private func isHidden(_ message: String) -> Bool {
    switch hidden {
    case .nothing: false
    case .iterations: message.contains("][Iter: ")
    case .epochs: ["[Train]", "[Eval]", "Already save model in"].contains { message.hasPrefix($0) }
    }
  }

  /// Writes a line into the file alone.
  func record(_ message: String, level: TrainingLog.Level) {
    record(line: TrainingLog.line(message, level: level, time: Date().timeIntervalSince1970))
  }

  private func record(line: String) {
    waiting?.append(line)
    guard let descriptor else { return }
    let bytes = Array((line + "\n").utf8)
    if !bytes.withUnsafeBytes({ writeAll(descriptor, $0) }) {
      if !hasFailed {
        let reason = String(cString: strerror(errno))
        StandardError.write("hgnet: warning: \(path): cannot write the log (\(reason)); going on without")
      }
      hasFailed = true
    }
  }
}

/// Opens a file to append to it; the name of the system's function is taken inside.
private func openLog(_ path: String) -> Int32 { open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644) }
