import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetPlatform

/// What an earlier run has left in an output folder, and where it goes before another one begins.
///
/// All of its files are moved into a folder `earlier-1` (2, 3 …) inside. `best_model` is there and stays where it was, too,
/// under a second name of the same file, so that whoever uses it meanwhile still finds it; its configuration lies beside it.
/// The first evaluation of the new run replaces it. A process that is killed on the way leaves `earlier-1.partial`, and the
/// next run goes on with it.
package enum EarlierRun {
  private static let lists = ["train_list.txt", "val_list.txt", "labels.txt"]
  private static let pages = ["history.json", "report.html", "train.log", "config.yaml"]
  /// Weights that stay where they are, too: with their checkpoint, alone, of a student.
  private static let best = ["best_model", "best_model/model", "best_model_student"]

  /// Moves the files of an earlier run out of the way of a new one.
  ///
  /// - Parameter folder: the output folder; it need not exist.
  /// - Returns: the folder where they are now; nil if there were none.
  /// - Throws: `HGNetError.Code.unwritableFile`.
  package static func setAside(in folder: String) throws(HGNetError) -> String? {
    let folder = folder.isEmpty ? "." : folder
    let partial = entries(of: folder).first { number($0, ending: ".partial") != nil }
    guard isPresent(in: folder) || partial != nil else { return nil }
    let last = entries(of: folder).compactMap { number($0, ending: "") }.max() ?? 0
    let name = partial.map { String($0.dropLast(".partial".count)) } ?? "earlier-\(last + 1)"
    let (goal, target) = ("\(folder)/\(name)", "\(folder)/\(name).partial")
    try CheckpointFolder.makeFolder(target)

    for prefix in checkpoints(in: folder) + ["best_model"] { try Checkpoint.complete("\(folder)/\(prefix)") }
    for list in lists where exists("\(folder)/\(list)") { try keep(list, in: folder, target: target) }
    for prefix in best where exists("\(folder)/\(prefix).pdparams") && !isKept(prefix, in: folder) {
      try keepWeights(prefix, in: folder, target: target, goal: goal)
    }
    for prefix in checkpoints(in: folder) {
      if let text = text(ofRecord: "\(folder)/\(prefix)", in: folder, goal: goal) {
        try write(text, to: "\(target)/\(prefix).yaml")
      }
      // Weights first: they may never stand without their configuration.
      for ending in Checkpoint.endings where ending != "yaml" || !exists("\(target)/\(prefix).yaml") {
        try move("\(folder)/\(prefix).\(ending)", to: "\(target)/\(prefix).\(ending)")
      }
      unlink("\(folder)/\(prefix).yaml")
    }
    if let text = rewritten("\(folder)/config.yaml", in: folder, goal: goal) {
      try write(text, to: "\(target)/config.yaml")
      unlink("\(folder)/config.yaml")
    }
    for page in pages + entries(of: folder).filter(isCurve) {
      try move("\(folder)/\(page)", to: "\(target)/\(page)")
    }
    guard rename(target, goal) == 0 else { throw failure(goal) }
    Checkpoint.synchronizeFolder(of: goal)
    return goal
  }

  /// Whether a checkpoint is one of the run whose files lie in a folder, so that a run from it goes on with that run.
  ///
  /// - Parameters:
  ///   - checkpoint: the prefix of the checkpoint.
  ///   - folder: the output folder.
  package static func isContinued(by checkpoint: String, in folder: String) -> Bool {
    let folder = folder.isEmpty ? "." : folder
    let name = checkpoint.split(separator: "/").last.map(String.init) ?? checkpoint
    let parent = checkpoint.lastIndex(of: "/").map { $0 == checkpoint.startIndex ? "/" : String(checkpoint[..<$0]) }
    guard let own = identity(of: folder), own == identity(of: parent ?? ".") else { return false }
    return !isKept(name, in: folder)
  }

  /// Whether there is a run in the folder that is not in an `earlier-N` already.
  private static func isPresent(in folder: String) -> Bool {
    if !checkpoints(in: folder).isEmpty || entries(of: folder).contains(where: isCurve) { return true }
    if pages.contains(where: { exists("\(folder)/\($0)") }) { return true }
    return best.contains { exists("\(folder)/\($0).pdparams") && !isKept($0, in: folder) }
  }

  /// The names of checkpoints that a new run would overwrite or leave lying between its own.
  private static func checkpoints(in folder: String) -> [String] {
    var found: Set<String> = []
    for name in entries(of: folder) {
      let parts = name.split(separator: ".", maxSplits: 1)
      guard parts.count == 2, let prefix = parts.first.map(String.init) else { continue }
      let isEpoch = prefix.hasPrefix("epoch_") && Int(prefix.dropFirst(6)) != nil
      let endings = Checkpoint.endings.flatMap { [$0, "next.\($0)"] }
      if prefix == "latest" || isEpoch, endings.contains(String(parts[1])) { found.insert(prefix) }
    }
    return found.sorted()
  }

  private static func isCurve(_ name: String) -> Bool { name.hasPrefix("events.out.tfevents.") }

  /// Gives weights that stay a second name, and a configuration that names the lists where they will be.
  private static func keepWeights(
    _ prefix: String, in folder: String, target: String, goal: String
  ) throws(HGNetError) {
    if prefix.contains("/") { try CheckpointFolder.makeFolder("\(target)/best_model") }
    if let text = text(ofRecord: "\(folder)/\(prefix)", in: folder, goal: goal) {
      try write(text, to: "\(folder)/\(prefix).yaml")
    }
    // The weights come last: by them it is known that all is kept.
    for ending in Checkpoint.endings.reversed() where exists("\(folder)/\(prefix).\(ending)") {
      try keep("\(prefix).\(ending)", in: folder, target: target)
    }
  }

  /// Whether weights have their second name already.
  private static func isKept(_ prefix: String, in folder: String) -> Bool {
    guard let own = identity(of: "\(folder)/\(prefix).pdparams") else { return false }
    return entries(of: folder).contains { name in
      number(name, ending: "") != nil && identity(of: "\(folder)/\(name)/\(prefix).pdparams") == own
    }
  }

  // MARK: Configurations

  /// The configuration beside weights, or that of the run where they have none, for weights that are set aside.
  private static func text(ofRecord prefix: String, in folder: String, goal: String) -> String? {
    if exists("\(prefix).yaml") { return rewritten("\(prefix).yaml", in: folder, goal: goal) }
    guard let run = try? Configuration(contentsOf: "\(folder)/config.yaml") else { return nil }
    return rewritten(run.record(), in: folder, goal: goal)
  }

  private static func rewritten(_ file: String, in folder: String, goal: String) -> String? {
    guard let value = try? ConfigurationValue(contentsOf: file) else { return nil }
    return rewritten(value, in: folder, goal: goal)
  }

  /// A configuration with the lists and labels of the run in their new place.
  private static func rewritten(_ value: ConfigurationValue, in folder: String, goal: String) -> String {
    var value = value
    for key in [
      "DataLoader.Train.dataset.cls_label_path", "DataLoader.Eval.dataset.cls_label_path",
      "Infer.PostProcess.class_id_map_file",
    ] {
      guard case .text(let path)? = value.value(at: key) else { continue }
      let slash = path.lastIndex(of: "/")
      let parent = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
      let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
      guard lists.contains(name), let own = identity(of: folder), identity(of: parent) == own else { continue }
      // As absolute as before.
      value.replace(at: key, with: .text("\(parent)/\(goal.split(separator: "/").last ?? "")/\(name)"))
    }
    return value.yaml
  }

  private static func write(_ text: String, to path: String) throws(HGNetError) {
    var file = try FileOutput(path: path)
    try file.write(text)
    try file.commit()
  }

  // MARK: Files

  /// Gives a file a second name; where a file system has none, it moves.
  private static func keep(_ name: String, in folder: String, target: String) throws(HGNetError) {
    let (old, new) = ("\(folder)/\(name)", "\(target)/\(name)")
    unlink(new)
    if link(old, new) != 0 { try move(old, to: new) }
  }

  private static func move(_ old: String, to new: String) throws(HGNetError) {
    guard rename(old, new) != 0, errno != ENOENT else { return }
    throw failure(new)
  }

  private static func failure(_ path: String) -> HGNetError {
    HGNetError(
      .unwritableFile, "cannot move the files of an earlier run there; choose another output folder", path: path,
      cause: String(cString: strerror(errno)))
  }

  /// The N of `earlier-N`.
  private static func number(_ name: String, ending: String) -> Int? {
    guard name.hasPrefix("earlier-"), name.hasSuffix(ending) else { return nil }
    return Int(name.dropFirst("earlier-".count).dropLast(ending.count))
  }

  private static func entries(of folder: String) -> [String] {
    guard let stream = opendir(folder) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      names.append(
        withUnsafePointer(to: &entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 1) { String(cString: $0) }
        })
    }
    return names.sorted()
  }

  private static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  private static func identity(of path: String) -> [UInt64]? {
    var status = stat()
    return stat(path, &status) == 0 ? [UInt64(status.st_dev), UInt64(status.st_ino)] : nil
  }
}
