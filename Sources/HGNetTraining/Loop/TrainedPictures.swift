import HGNetConfiguration
import HGNetCore
import HGNetPlatform
import HGNetVision

/// The pictures that a training run learned from, and those that it held out, as its configuration names them.
///
/// Threads: a value, safe to share.
package struct TrainedPictures: Sendable {
  private let root: String
  private let trainingList: String
  private let evaluationList: String?
  private let evaluationRoot: String
  private let delimiters: (training: String, evaluation: String)

  /// Reads where the lists are.
  ///
  /// Paths in a configuration are relative to the folder in which the run was started; that folder is told from
  /// `Global.output_dir`, in which the configuration lies, or else is taken to be this one.
  ///
  /// - Returns: nil for a configuration without a list of one class a picture to train on, or when that list is gone.
  package init?(_ configuration: Configuration) {
    func text(_ key: String) -> String? { (try? configuration.text(key)) ?? nil }
    let keys = (training: "DataLoader.Train.dataset", evaluation: "DataLoader.Eval.dataset")
    guard text("\(keys.training).name") ?? "ImageNetDataset" == "ImageNetDataset",
      let list = text("\(keys.training).cls_label_path")
    else { return nil }
    let file = TrainedPictures.canonical(configuration.path) ?? configuration.path
    let folder = file.lastIndex(of: "/").map { String(file[..<$0]) } ?? "."
    let base = TrainedPictures.base(of: folder, output: text("Global.output_dir") ?? "./output/")
    func resolved(_ path: String) -> String {
      guard !path.hasPrefix("/"), let base else { return path }
      return base + "/" + path
    }
    /// The list where the configuration says, else the file of that name beside the configuration.
    func found(_ path: String) -> String? {
      let name = path.split(separator: "/").last.map(String.init) ?? ""
      return [resolved(path), "\(folder)/\(name)"].first { access($0, R_OK) == 0 }
    }
    guard let training = found(list) else { return nil }
    trainingList = training
    evaluationList = text("\(keys.evaluation).cls_label_path").flatMap(found)
    root = resolved(text("\(keys.training).image_root") ?? "")
    evaluationRoot = resolved(text("\(keys.evaluation).image_root") ?? "")
    delimiters = (text("\(keys.training).delimiter") ?? " ", text("\(keys.evaluation).delimiter") ?? " ")
  }

  /// Whether a folder is the one that the run took its pictures from.
  package func isFolder(_ path: String) -> Bool {
    guard let own = TrainedPictures.canonical(root) else { return false }
    return own == TrainedPictures.canonical(path)
  }

  /// The pictures that the run evaluated on and did not learn from; nil where its configuration names no list of them.
  ///
  /// - Throws: what is wrong with the list or its pictures.
  package func heldOut(classNames: [String]) throws(HGNetError) -> Dataset? {
    guard let evaluationList else { return nil }
    return try Dataset(
      listFile: evaluationList, folder: evaluationRoot, delimiter: delimiters.evaluation,
      classCount: classNames.count
    ).named(classNames)
  }

  /// How many pictures of a data set the run learned from: the same files, or copies of them under the same names.
  ///
  /// - Throws: what is wrong with the list.
  /// - Cost: one question to the file system for each picture; pictures of the same name and length are compared.
  package func trainedCount(in dataset: Dataset) throws(HGNetError) -> Int {
    let trained = try Dataset(
      listFile: trainingList, folder: root, delimiter: delimiters.training, checksPictures: false,
      allowsUnlabelled: true)
    let paths = Set(trained.paths.compactMap(TrainedPictures.canonical))
    var copies: [String: [String]] = [:]
    for path in paths { if let key = TrainedPictures.nameAndLength(path) { copies[key, default: []].append(path) } }
    return dataset.paths.count { path in
      guard let canonical = TrainedPictures.canonical(path) else { return false }
      if paths.contains(canonical) { return true }
      guard let key = TrainedPictures.nameAndLength(canonical), let candidates = copies[key],
        let blob = try? Blob(mapping: canonical)
      else { return false }
      return candidates.prefix(16).contains { candidate in
        guard let other = try? Blob(mapping: candidate) else { return false }
        return blob.withUnsafeBytes { bytes in other.withUnsafeBytes { bytes.elementsEqual($0) } }
      }
    }
  }

  /// What copies of a file have in common; nil for a file that is gone.
  private static func nameAndLength(_ path: String) -> String? {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    return "\(status.st_size) \(path.split(separator: "/").last ?? "")"
  }

  /// The folder that a relative output folder is relative to; nil where the configuration lies elsewhere by now.
  private static func base(of folder: String, output: String) -> String? {
    guard !output.hasPrefix("/") else { return nil }
    let parts = output.split(separator: "/").filter { $0 != "." }
    let whole = folder.split(separator: "/")
    guard !parts.contains(".."), parts.count <= whole.count, Array(whole.suffix(parts.count)) == parts else {
      return nil
    }
    return "/" + whole.dropLast(parts.count).joined(separator: "/")
  }

  /// The path without links and dots; nil for one that leads nowhere.
  private static func canonical(_ path: String) -> String? {
    guard let resolved = realpath(path.isEmpty ? "." : path, nil) else { return nil }
    defer { free(resolved) }
    return String(cString: resolved)
  }
}
