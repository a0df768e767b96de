import HGNet
import HGNetCore
import HGNetFormats
import HGNetPlatform

/// A checkpoint of a training run: files that begin alike and are replaced together.
///
/// `PREFIX.pdparams`, `.pdopt` and `.pdstates`, which PaddlePaddle 3 and PaddleClas load, too; `.pdema` where weights are
/// averaged, `.safetensors` on request, or of quantisation-aware training always and in 8 bits, and `.yaml`, the configuration that
/// belongs to these weights. As in PaddleClas, a checkpoint with an average has the averaged weights in
/// `.pdparams` and the trained ones in `.pdema`.
///
/// A process that is killed at any moment of writing leaves the older checkpoint or the newer one, complete; `read` finds
/// it. Threads: safe, but only one process may write to a prefix at a time; others may read meanwhile.
public enum Checkpoint {
  /// The endings in the order in which files are written; that of the states comes last, since it completes the set.
  ///
  /// That of the configuration comes after those of weights, by which `WeightsRecord` tells which of two belongs to them.
  static let endings = ["pdparams", "pdema", "pdopt", "safetensors", "yaml", "pdstates"]
  /// How often a reader looks again while the files are being replaced.
  private static let attempts = 5

  /// Whether there is a checkpoint.
  public static func exists(at prefix: String) -> Bool {
    isFile("\(prefix).next.pdstates") || isFile("\(prefix).pdstates")
  }

  /// Removes a known ending, so that `latest.pdparams` names the checkpoint `latest`.
  public static func prefix(of path: String) -> String {
    for ending in endings where path.hasSuffix(".\(ending)") { return String(path.dropLast(ending.utf8.count + 1)) }
    return path
  }

  // MARK: Reading

  /// Reads a checkpoint.
  ///
  /// Arrays stay in the mapped files. Every file is read once to compare it with the sum that the states hold; a
  /// checkpoint of PaddleClas holds no sums and is taken as it is.
  ///
  /// - Parameter path: the path without ending; a path with one of the endings is taken, too.
  /// - Throws: `HGNetError.Code.fileNotFound` for a missing file, `malformedData` for files that do not belong together
  ///   or are damaged, and what the readers of the files throw.
  public static func read(_ path: String) throws(HGNetError) -> CheckpointContents {
    let prefix = prefix(of: path)
    var attempt = 1
    while true {
      let identity = identity(of: prefix)
      do throws(HGNetError) {
        return try readOnce(prefix)
      } catch {
        // Another process may have replaced the checkpoint between two of our looks.
        guard attempt < attempts, identity != Checkpoint.identity(of: prefix) else { throw error }
        attempt += 1
      }
    }
  }

  /// What changes when a checkpoint is replaced: the files of its states.
  private static func identity(of prefix: String) -> [UInt64] {
    ["\(prefix).next.pdstates", "\(prefix).pdstates"].flatMap { path -> [UInt64] in
      var status = stat()
      return stat(path, &status) == 0 ? [UInt64(status.st_dev), UInt64(status.st_ino)] : [0, 0]
    }
  }

  private static func readOnce(_ prefix: String) throws(HGNetError) -> CheckpointContents {
    let hasNext = isFile("\(prefix).next.pdstates")
    let states = try CheckpointStates(opened(hasNext ? "\(prefix).next.pdstates" : "\(prefix).pdstates"))
    func blob(_ ending: String) throws(HGNetError) -> Blob {
      // A file that is no longer under the new name has its final one already.
      let next = hasNext ? try? Blob(mapping: "\(prefix).next.\(ending)") : nil
      let blob: Blob
      if let next { blob = next } else { blob = try opened("\(prefix).\(ending)") }
      guard let stamp = states.stamps[ending] else { return blob }
      guard stamp.byteCount == blob.count, stamp.hash == XXHash64.text(of: blob) else {
        throw HGNetError(
          .malformedData,
          "this file and \(prefix).pdstates are of different checkpoints, or it is damaged: expected \(stamp.byteCount) "
            + "bytes with XXH64 \(stamp.hash), found \(blob.count) bytes. Take another checkpoint, such as an epoch_N",
          path: blob.path)
      }
      return blob
    }
    let main = try PaddleParameters.contents(of: blob("pdparams"))
    let isAveraged = states.stamps.isEmpty ? isFile("\(prefix).pdema") : states.stamps["pdema"] != nil
    var contents = CheckpointContents(
      parameters: main.parameters, internalNames: main.internalNames, optimizer: OptimizerState(),
      progress: states.progress)
    if isAveraged {
      contents.averaged = main.parameters
      contents.parameters = try PaddleParameters.read(blob("pdema"))
    }
    contents.optimizer = try CheckpointOptimizer.read(blob("pdopt"))
    return contents
  }

  private static func opened(_ path: String) throws(HGNetError) -> Blob {
    do {
      return try Blob(mapping: path)
    } catch {
      guard error.code == .fileNotFound else { throw error }
      throw HGNetError(
        .fileNotFound,
        "a checkpoint needs the files .pdparams, .pdopt and .pdstates, and this one is missing; to start from weights "
          + "alone, give them as pretrained weights", path: path)
    }
  }

  // MARK: Writing

  /// Writes a checkpoint in place of an older one of the same prefix.
  ///
  /// - Parameters:
  ///   - contents: what to keep.
  ///   - prefix: the path without ending; its folder must exist.
  ///   - writesSafetensors: whether the weights of `.pdparams` are written as `.safetensors`, too.
  ///   - record: the text of `.yaml`, if any.
  /// - Throws: `HGNetError.Code.unwritableFile`, for example on a full disk; the older checkpoint is then complete.
  package static func write(
    _ contents: CheckpointContents, to prefix: String, writesSafetensors: Bool = false, record: String? = nil
  ) throws(HGNetError) {
    let next = "\(prefix).next"
    try complete(prefix)
    var stamps: [String: CheckpointStates.Stamp] = [:]
    do throws(HGNetError) {
      let weights = contents.averaged ?? contents.parameters
      try PaddleParameters.write(weights, to: "\(next).pdparams", internalNames: contents.internalNames)
      if contents.averaged != nil {
        try PaddleParameters.write(contents.parameters, to: "\(next).pdema", internalNames: contents.internalNames)
      }
      try Pickle.write(CheckpointOptimizer.pickled(contents.optimizer), to: "\(next).pdopt")
      if let quantized = contents.quantized {
        try QuantizedWeights.write(quantized, metadata: ["format": "pt"], to: "\(next).safetensors")
      } else if writesSafetensors {
        try Safetensors.write(weights, metadata: ["format": "pt"], to: "\(next).safetensors")
      }
      if let record {
        var file = try FileOutput(path: "\(next).yaml")
        try file.write(record)
        try file.commit()
      }
      for ending in endings where isFile("\(next).\(ending)") {
        let blob = try Blob(mapping: "\(next).\(ending)")
        stamps[ending] = CheckpointStates.Stamp(byteCount: blob.count, hash: XXHash64.text(of: blob))
      }
      // From here on the new checkpoint counts.
      let states = CheckpointStates(progress: contents.progress, stamps: stamps)
      try Pickle.write(states.pickled, to: "\(next).pdstates")
    } catch {
      discard(next)
      throw error
    }
    synchronizeFolder(of: prefix)
    try complete(prefix)
  }

  /// Finishes a replacement that has begun, or removes what is left of one that has not got so far.
  static func complete(_ prefix: String) throws(HGNetError) {
    let next = "\(prefix).next"
    removePartialFiles(of: next)
    guard isFile("\(next).pdstates") else {
      discard(next)
      return
    }
    let stamps: [String: CheckpointStates.Stamp]
    do {
      stamps = try CheckpointStates(Blob(mapping: "\(next).pdstates")).stamps
    } catch {
      // Not a file of ours: it cannot complete anything.
      discard(next)
      return
    }
    for ending in endings where ending != "pdstates" {
      if stamps[ending] == nil {
        // An average, a copy or a configuration that the older checkpoint had and the new one has not.
        unlink("\(next).\(ending)")
        unlink("\(prefix).\(ending)")
      } else if isFile("\(next).\(ending)") {
        try renamed("\(next).\(ending)", to: "\(prefix).\(ending)")
      }
    }
    synchronizeFolder(of: prefix)
    try renamed("\(next).pdstates", to: "\(prefix).pdstates")
    synchronizeFolder(of: prefix)
  }

  private static func renamed(_ old: String, to new: String) throws(HGNetError) {
    guard rename(old, new) == 0 else {
      throw HGNetError(
        .unwritableFile, "cannot give the new checkpoint its name; it is complete under \(old)", path: new,
        cause: String(cString: strerror(errno)))
    }
  }

  /// Removes the files of a checkpoint, the one that completes it first.
  private static func discard(_ prefix: String) {
    for ending in endings.reversed() { unlink("\(prefix).\(ending)") }
  }

  /// Removes what killed processes have left of files that they were writing.
  private static func removePartialFiles(of next: String) {
    let (folder, name) = split(next)
    guard let stream = opendir(folder) else { return }
    defer { closedir(stream) }
    while let entry = readdir(stream) {
      let file = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 1) { String(cString: $0) }
      }
      // NAME.next.ENDING.PROCESS.partial
      guard file.hasPrefix(name + "."), file.hasSuffix(".partial") else { continue }
      let parts = file.dropFirst(name.count + 1).split(separator: ".")
      guard parts.count == 3, endings.contains(String(parts[0])), let process = Int32(parts[1]) else { continue }
      if kill(process, 0) != 0, errno == ESRCH { unlink("\(folder)/\(file)") }
    }
  }

  /// Makes new names last through a loss of power.
  static func synchronizeFolder(of prefix: String) {
    let descriptor = open(split(prefix).folder, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    fsync(descriptor)
    close(descriptor)
  }

  private static func split(_ path: String) -> (folder: String, name: String) {
    guard let slash = path.lastIndex(of: "/") else { return (".", path) }
    let folder = slash == path.startIndex ? "/" : String(path[..<slash])
    return (folder, String(path[path.index(after: slash)...]))
  }

  private static func isFile(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
  }
}
