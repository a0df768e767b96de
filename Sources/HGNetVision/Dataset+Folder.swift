import HGNetCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

extension Dataset {
  /// Reads a folder that has one folder per class, `CLASS/*.jpg`.
  ///
  /// The classes are numbered from 0 in the order of their names' bytes. Pictures may lie deeper inside a class. Which
  /// files count as pictures says `PictureFolder`; folders whose names begin with a dot are passed over.
  ///
  /// - Parameters:
  ///   - folder: the folder.
  ///   - classNames: the classes by number where another part of the data has set them; a class may then be without
  ///     pictures, but no other class may occur. Nil takes the folders that are there.
  ///   - checksPictures: whether each picture must be readable and not be empty.
  /// - Throws: `HGNetError.Code.fileNotFound` and `unreadableFile` for the folder, `noInput` without folders of classes,
  ///   `malformedData` for classes without pictures or that are not in `classNames`, and for what is wrong with pictures.
  package init(
    folder: String, classNames: [String]? = nil, checksPictures: Bool = true
  ) throws(HGNetError) {
    let found = try Dataset.folders(in: folder)
    guard !found.isEmpty else {
      throw HGNetError(
        .noInput, "expected one folder per class with its pictures inside, found no folders", path: folder)
    }
    let names = classNames ?? found
    guard names.count <= Dataset.maximumClassCount else {
      throw HGNetError(
        .limitExceeded, "expected at most \(Dataset.maximumClassCount) classes, found \(names.count)", path: folder)
    }
    let numbers = Dictionary(names.enumerated().map { ($0.element, $0.offset) }) { first, _ in first }
    var faults = DatasetFaults()
    var paths: [String] = []
    var labels: [Int] = []
    for name in found {
      guard let number = numbers[name] else {
        faults.note(.malformedData, "the class \(name) does not occur in the other part of the data")
        continue
      }
      do {
        for path in try PictureFolder.pictures(at: PictureFolder.join(folder, name)) {
          if checksPictures { faults.checkPicture(at: path) }
          paths.append(path)
          labels.append(number)
        }
      } catch {
        guard error.code == .noInput else { throw error }
        faults.note(.noInput, "the class \(name) has no pictures")
      }
    }
    try faults.check(
      path: folder, of: max(paths.count, found.count), unit: "pictures or classes",
      advice: "Expected one folder per class, each with readable pictures")
    self.init(
      source: folder, paths: paths, targets: .classes(labels), classCount: names.count, classNames: names)
  }

  /// Where the pictures for training and for evaluation lie in a folder.
  ///
  /// A folder `train` (or `training`) beside `val`, `valid`, `validation`, `test` or `eval` makes two parts; a folder
  /// without `train` is one part.
  ///
  /// - Returns: the folder to train on, and the one to evaluate on where there is one.
  /// - Throws: `HGNetError.Code.fileNotFound`, `unreadableFile`.
  package static func parts(of folder: String) throws(HGNetError) -> (training: String, evaluation: String?) {
    let names = try folders(in: folder)
    guard let training = ["train", "training"].first(where: { names.contains($0) }) else { return (folder, nil) }
    let evaluation = ["val", "valid", "validation", "test", "eval"].first { names.contains($0) }
    return (PictureFolder.join(folder, training), evaluation.map { PictureFolder.join(folder, $0) })
  }

  /// The names of the folders in a folder, sorted by bytes.
  private static func folders(in folder: String) throws(HGNetError) -> [String] {
    guard PictureFolder.kind(of: folder, followingLinks: true) != .missing else {
      throw HGNetError(.fileNotFound, "no such folder; check the path", path: folder)
    }
    guard let stream = opendir(folder) else {
      throw HGNetError(
        .unreadableFile, "expected a folder that can be listed", path: folder, cause: String(cString: strerror(errno)))
    }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 1) { String(cString: $0) }
      }
      if name.hasPrefix(".") { continue }
      if PictureFolder.kind(of: PictureFolder.join(folder, name), followingLinks: true) == .folder {
        names.append(name)
      }
    }
    return PictureFolder.sorted(names)
  }
}
