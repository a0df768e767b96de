import HGNet
import HGNetCore
import HGNetModels
import HGNetVision

/// The pictures that ranges are read from, with their classes where a list or the names of folders tell them.
struct CalibrationPictures {
  /// Prepared pictures are kept up to this sum of bytes, and read again beyond it.
  private static let mostKeptBytes = 256 << 20

  private(set) var paths: [String]
  /// The class of each; nil where they are not known.
  private(set) var labels: [Int]?
  private let recipe: Recipe
  private var kept: [Int: PreparedPicture] = [:]

  /// Finds pictures, evenly spread over a folder or list.
  ///
  /// - Parameters:
  ///   - data: a folder, with the folders inside, or a list of lines `path` or `path label`.
  ///   - most: how many are taken.
  ///   - weights: tell the number of classes.
  ///   - recipe: what is done to a picture; its labels are what folders may be called.
  /// - Throws: `HGNetError.Code.noInput` without pictures, `parameterMismatch` for folders of which some are classes of the
  ///   network and others are not, `malformedData` for labels of a list that the network does not have.
  init(_ data: String, most: Int, weights: WeightsFile, recipe: Recipe) throws(HGNetError) {
    self.recipe = recipe
    let found =
      FileKind.isFolder(data)
      ? try CalibrationPictures.folder(data, recipe: recipe, classCount: weights.graph.classCount ?? 0)
      : try CalibrationPictures.list(data, classCount: weights.graph.classCount)
    guard !found.paths.isEmpty else {
      throw HGNetError(.noInput, "expected pictures to read ranges from, found none", path: data)
    }
    let count = min(found.paths.count, most)
    let chosen = (0..<count).map { $0 * found.paths.count / count }
    paths = chosen.map { found.paths[$0] }
    labels = found.labels.map { labels in chosen.map { labels[$0] } }
  }

  private static func folder(
    _ data: String, recipe: Recipe, classCount: Int
  ) throws(HGNetError) -> (paths: [String], labels: [Int]?) {
    let paths = try PictureFolder.pictures(at: data, note: StandardError.note)
    guard let names = recipe.labels else { return (paths, nil) }
    var classes = names == .imageNet ? ImageNetSynsets.classes : [:]
    classes.merge((0..<classCount).map { (names[$0], $0) }) { first, _ in first }
    let folders = paths.map { $0.split(separator: "/").dropLast().last.map(String.init) ?? "" }
    let labels = folders.map { classes[$0] }
    let known = labels.compactMap { $0 }
    guard !known.isEmpty else { return (paths, nil) }
    if let place = labels.firstIndex(of: nil) {
      throw HGNetError(
        .parameterMismatch,
        "expected every folder of pictures to bear the name of a class of the network, as others here do, found "
          + HGNetError.quoted(folders[place]) + "; rename or move it", path: paths[place])
    }
    return (paths, known)
  }

  private static func list(
    _ data: String, classCount: Int?
  ) throws(HGNetError) -> (paths: [String], labels: [Int]?) {
    let parent = data.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    let folder = data.hasPrefix("/") && parent.isEmpty ? "/" : parent
    let paths = try PictureFolder.pictures(listedIn: data, under: folder)
    for delimiter in [" ", "\t"] {
      let read = try Dataset(
        listFile: data, folder: folder, delimiter: delimiter, checksPictures: false, allowsUnlabelled: true)
      guard case .classes(let labels) = read.targets, labels.contains(where: { $0 >= 0 }) else { continue }
      // All of them, then, and classes of the network.
      let dataset = try Dataset(
        listFile: data, folder: folder, delimiter: delimiter, classCount: classCount, checksPictures: false)
      guard case .classes(let labels) = dataset.targets else { continue }
      return (dataset.paths, labels)
    }
    return (paths, nil)
  }

  /// Decodes all pictures; those that cannot be read are told and left out.
  ///
  /// - Throws: the error of the first, where none can be read; `HGNetError.Code.limitExceeded`.
  mutating func read(progress: (_ done: Int, _ count: Int) -> Void, warn: (String) -> Void) throws(HGNetError) {
    var (readable, bytes, failure) = ([Int](), 0, HGNetError?.none)
    for (index, path) in paths.enumerated() {
      progress(index, paths.count)
      do throws(HGNetError) {
        let picture = try recipe.picture(decoding: Blob(mapping: path))
        bytes += picture.shape.count
        if bytes <= CalibrationPictures.mostKeptBytes { kept[readable.count] = picture }
        readable.append(index)
      } catch {
        guard error.code != .limitExceeded else { throw error }
        warn("\(error.at(path: path))")
        failure = failure ?? error.at(path: path)
      }
    }
    if readable.isEmpty, let failure { throw failure }
    paths = readable.map { paths[$0] }
    labels = labels.map { labels in readable.map { labels[$0] } }
  }

  /// A picture by its number.
  ///
  /// - Throws: as decoding it.
  func picture(_ index: Int) throws(HGNetError) -> PreparedPicture {
    if let picture = kept[index] { return picture }
    return try recipe.picture(decoding: Blob(mapping: paths[index]))
  }
}
