import HGNetCore
import HGNetPlatform

extension Dataset {
  /// Reads a folder that has one folder per class, `CLASS/*.jpg`.
  ///
  /// The classes are numbered from 0 in the order of their names' bytes. Pictures may lie deeper inside a class. Which
  /// files count as pictures says `PictureFolder`; folders that are hidden or left behind by systems are no classes, nor is
  /// the output folder of a training run. `notes` says what was passed over.
  ///
  /// - Parameters:
  ///   - folder: the folder.
  ///   - classNames: the classes by number where another part of the data has set them; a class may then be without
  ///     pictures, but no other class may occur. Nil takes the folders that are there.
  ///   - otherNames: what else folders may be called, with the number of the class.
  ///   - checksPictures: whether each picture must be readable and not be empty.
  /// - Throws: `HGNetError.Code.fileNotFound` and `unreadableFile` for the folder, `noInput` without folders of classes,
  ///   `malformedData` for classes without pictures or that are not in `classNames`, and for what is wrong with pictures.
  package init(
    folder: String, classNames: [String]? = nil, otherNames: [String: Int] = [:], checksPictures: Bool = true
  ) throws(HGNetError) {
    var notes: [String] = []
    let found = try Dataset.folders(in: folder, notes: &notes)
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
    var passedOver = PassedOverFiles()
    for name in found {
      guard let number = numbers[name] ?? otherNames[name] else {
        faults.note(.malformedData, "the class \(name) does not occur in the other part of the data")
        continue
      }
      do {
        let listing = try PictureFolder.listing(of: PictureFolder.join(folder, name))
        passedOver.add(listing.passedOver)
        for path in listing.pictures {
          if checksPictures { faults.checkPicture(at: path) }
          paths.append(path)
          labels.append(number)
        }
      } catch {
        guard error.code == .noInput else { throw error }
        faults.note(.noInput, "the class \(name) has no pictures")
      }
    }
    // Pictures beside the classes belong to none.
    for name in try PictureFolder.entries(of: folder) {
      let path = PictureFolder.join(folder, name)
      guard PictureFolder.kind(of: path, followingLinks: true) == .file else { continue }
      if PictureFolder.isPicture(path, name: name) || Dataset.hasPictureEnding(name) { passedOver.add(path) }
    }
    try faults.check(
      path: folder, of: max(paths.count, found.count), unit: "pictures or classes",
      advice: "Expected one folder per class, each with readable pictures")
    notes += passedOver.lines.map { "\(folder): \($0)" }
    self.init(
      source: folder, paths: paths, targets: .classes(labels), classCount: names.count, classNames: names, notes: notes)
  }

  private static func hasPictureEnding(_ name: String) -> Bool {
    guard let ending = PictureFolder.fileExtension(name) else { return false }
    return PictureFolder.foreignExtensions.contains(ending)
  }

  /// The names of the folders in a folder that may hold pictures, sorted by bytes.
  static func folders(in folder: String) throws(HGNetError) -> [String] {
    var notes: [String] = []
    return try folders(in: folder, notes: &notes)
  }

  private static func folders(in folder: String, notes: inout [String]) throws(HGNetError) -> [String] {
    guard PictureFolder.kind(of: folder, followingLinks: true) != .missing else {
      throw HGNetError(.fileNotFound, "no such folder; check the path", path: folder)
    }
    guard PictureFolder.kind(of: folder, followingLinks: true) == .folder else {
      throw HGNetError(.unreadableFile, "expected a folder, found a file", path: folder)
    }
    var names: [String] = []
    for name in try PictureFolder.entries(of: folder) where !PictureFolder.isLeftBehind(name) {
      let path = PictureFolder.join(folder, name)
      guard PictureFolder.kind(of: path, followingLinks: true) == .folder else { continue }
      if try isOutput(path) {
        notes.append("\(path) holds the files of a training run; it is no class")
      } else {
        names.append(name)
      }
    }
    return PictureFolder.sorted(names)
  }

  /// Whether a folder is the output folder of a training run, which some people put among their pictures, or one of lists.
  private static func isOutput(_ folder: String) throws(HGNetError) -> Bool {
    func has(_ name: String) -> Bool {
      PictureFolder.kind(of: PictureFolder.join(folder, name), followingLinks: true) == .file
    }
    if ["best_model.pdparams", "latest.pdparams"].contains(where: has) { return true }
    if has("config.yaml"), has("train.log") || has("train_list.txt") { return true }
    // Sets of pictures come with such lists, too.
    guard has("train_list.txt"), try !FolderLayout.hasPictures(folder) else { return false }
    for name in try PictureFolder.entries(of: folder) where !PictureFolder.isLeftBehind(name) {
      if PictureFolder.kind(of: PictureFolder.join(folder, name), followingLinks: true) == .folder { return false }
    }
    return true
  }
}
