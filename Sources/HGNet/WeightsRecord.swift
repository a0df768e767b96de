import HGNetConfiguration
import HGNetCore
import HGNetPlatform

/// The configuration that `hgnet train` leaves beside each of its weights, and which is replaced together with them.
///
/// `best_model.yaml` belongs to `best_model.pdparams` and `best_model.safetensors`, whatever another run in the same folder
/// has written into `config.yaml` since.
package enum WeightsRecord {
  /// The files that may describe weights, the nearest first, and whether they lie in the same folder; all of them exist.
  ///
  /// - Parameter weights: the file of weights.
  package static func files(of weights: String) -> [(path: String, isBeside: Bool)] {
    places(of: weights).filter { exists($0.path) }
  }

  /// The files that may describe weights, now or later, whether they exist or not.
  static func candidates(of weights: String) -> [String] {
    var paths = places(of: weights).map(\.path)
    if let dot = weights.lastIndex(of: "."), !weights[dot...].contains("/") {
      paths += ["\(weights[..<dot]).yaml", "\(weights[..<dot]).next.yaml"]
    }
    return paths
  }

  private static func places(of weights: String) -> [(path: String, isBeside: Bool)] {
    let folder = parent(of: weights)
    let beside = folder == "." ? "" : folder == "/" ? "/" : "\(folder)/"
    let name = weights.split(separator: "/", omittingEmptySubsequences: false).last.map(String.init) ?? weights
    var files: [(path: String, isBeside: Bool)] = []
    if let dot = name.lastIndex(of: "."), dot > name.startIndex {
      let (stem, ending) = (name[..<dot], name[name.index(after: dot)...])
      let next = "\(beside)\(stem).next"
      // A process may have been killed while it replaced a checkpoint. Weights get their new name before this file does.
      let isNext = exists("\(next).yaml") && !exists("\(next).\(ending)")
      files.append((isNext ? "\(next).yaml" : "\(beside)\(stem).yaml", true))
    }
    // The weights alone lie one folder deeper, in `best_model/model.pdparams`.
    files += [("\(beside)config.yaml", true), ("\(parent(of: folder))/config.yaml", false)]
    // What belongs to the weights lies beside the file, wherever somebody has put a link to it.
    return files + (FileKind.linkTarget(of: weights).map(places) ?? [])
  }

  private static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return path == "." ? ".." : "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  private static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
}

extension Configuration {
  /// The keys of the folders and lists of pictures, which are found from any working directory once they are absolute.
  private static let pathKeys = ["Train", "Eval"].flatMap { part in
    ["image_root", "cls_label_path"].map { "DataLoader.\(part).dataset.\($0)" }
  }

  /// The configuration as it lies beside weights: with the names of the classes instead of a label file that may change,
  /// and with absolute paths of pictures and their lists.
  package func record() -> ConfigurationValue {
    var value = root
    let key = "Infer.PostProcess"
    if let count = try? model()?.options.classCount, let labels = try? recipe()?.labels, labels.count == count,
      // A file that is numbered from 1 has a name too far.
      labels[count] == "\(count)"
    {
      value.replace(at: "\(key).label_list", with: .list((0..<count).map { .text(labels[$0]) }))
    }
    guard let folder = getcwd(nil, 0) else { return value }
    defer { free(folder) }
    for key in Configuration.pathKeys {
      guard case .text(let path)? = self[key], !path.hasPrefix("/") else { continue }
      value.replace(at: key, with: .text("\(String(cString: folder))/\(path)"))
    }
    return value
  }
}

extension ConfigurationValue {
  /// Puts a value in the place of a key, or adds the key, where all that it lies in are mappings.
  package mutating func replace(at key: String, with value: ConfigurationValue) {
    let parts = key.split(separator: ".", maxSplits: 1)
    guard case .mapping(var mapping) = self, let name = parts.first.map(String.init) else { return }
    if parts.count == 1 {
      mapping[name] = value
    } else if var inner = mapping[name] {
      inner.replace(at: String(parts[1]), with: value)
      mapping[name] = inner
    }
    self = .mapping(mapping)
  }
}
