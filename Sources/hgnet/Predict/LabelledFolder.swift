import HGNet
import HGNetCore
import HGNetModels
import HGNetTraining
import HGNetVision

/// A folder with one folder per class, as the classes of a network: names decide, and they are numbered as in training.
struct LabelledFolder {
  private let folder: String
  private let weights: WeightsFile
  private let recipe: WeightsRecipe
  private let takesAll: Bool

  init(_ folder: String, weights: WeightsFile, recipe: WeightsRecipe, takesAll: Bool) {
    (self.folder, self.weights, self.recipe, self.takesAll) = (folder, weights, recipe, takesAll)
  }

  /// The pictures to measure the network on.
  ///
  /// Of the folder that the network was trained on, these are the pictures that the run held out.
  ///
  /// - Parameter note: told which pictures these are, and how many of them the network has learned from.
  func dataset(note: (String) -> Void) throws(HGNetError) -> Dataset {
    let layout = try FolderLayout(of: folder)
    for line in layout.notes { note(line) }
    let (training, evaluation) = (layout.training, layout.evaluation)
    let trained = recipe.configuration.flatMap(TrainedPictures.init)
    let classes = try classes(training: training, evaluation: evaluation, note: note)
    if !takesAll, evaluation == nil, let trained, trained.isFolder(folder),
      let heldOut = try trained.heldOut(classNames: classes.names)
    {
      note(
        "these weights were trained on it: measured on the \(heldOut.count) pictures that were held out; --all for all")
      return heldOut
    }
    func pictures(in folder: String) throws(HGNetError) -> Dataset {
      try Dataset(folder: folder, classNames: classes.names, otherNames: classes.synsets)
    }
    var dataset = try pictures(in: evaluation ?? training)
    if takesAll, evaluation != nil { dataset = dataset.joined(with: try pictures(in: training)) }
    for line in dataset.notes { note(line) }
    if let trained, case let count = try trained.trainedCount(in: dataset), count > 0 {
      note("\(count) of \(dataset.count) pictures were trained on, which makes the numbers too good")
    }
    return dataset
  }

  /// What the folders are called.
  private struct Classes {
    /// The classes of the network by number.
    var names: [String]
    /// The class of each folder that bears the number of a synset.
    var synsets: [String: Int] = [:]
  }

  /// The classes of the network, and what folders may be called besides.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` for a folder that is no class of the network.
  private func classes(
    training: String, evaluation: String?, note: (String) -> Void
  ) throws(HGNetError) -> Classes {
    guard let classCount = weights.graph.classCount else {
      throw HGNetError(.unsupported, "expected a network that classifies, found one without logits", path: weights.path)
    }
    var folders = try Dataset(folder: evaluation ?? training, checksPictures: false).classNames ?? []
    if takesAll, evaluation != nil {
      folders += try Dataset(folder: training, checksPictures: false).classNames ?? []
    }
    let synsets = synsets(of: folders, classCount: classCount)
    guard let labels = recipe.recipe.labels else {
      if folders.allSatisfy({ synsets[$0] != nil }) {
        note("no names of classes belong to the weights; the folders are numbered as ImageNet's synsets")
        return Classes(names: ImageNetLabels.names, synsets: synsets)
      }
      return Classes(names: try numberedFolders(training, classCount: classCount, note: note))
    }
    let known = (0..<classCount).map { labels[$0] }
    let unknown = folders.filter { !known.contains($0) && synsets[$0] == nil }
    guard unknown.isEmpty else {
      let other = labels == .imageNet ? "; folders may also bear ImageNet's synsets, such as n01440764" : ""
      throw HGNetError(
        .parameterMismatch,
        "\(LabelledFolder.listing(unknown)): no class of the network has this name; the classes of \(weights.path) are "
          + LabelledFolder.listing(known) + other, path: folder)
    }
    if let twice = folders.first(where: { name in synsets[name] == nil && known.count { $0 == name } > 1 }) {
      throw HGNetError(
        .parameterMismatch,
        "several classes of \(weights.path) are called \(twice); evaluate with a list, with -c FILE",
        path: folder)
    }
    if let name = folders.first(where: { synsets[$0] != nil }), let number = synsets[name] {
      note("folders are named by synset: \(name) is class \(number), \(known[number])")
    }
    return Classes(names: known, synsets: synsets)
  }

  /// The names of folders that are all classes of the network, in their order; for weights without names of classes.
  private func numberedFolders(
    _ training: String, classCount: Int, note: (String) -> Void
  ) throws(HGNetError) -> [String] {
    let names = try Dataset(folder: training, checksPictures: false).classNames ?? []
    guard names.count == classCount else {
      throw HGNetError(
        .parameterMismatch,
        "expected one folder for each of the \(classCount) classes of \(weights.path), found \(names.count)",
        path: folder)
    }
    note("no names of classes belong to the weights; the folders are numbered in the order of their names")
    return names
  }

  /// The classes of folders that are named by synset, as ImageNet's are.
  ///
  /// Which class a synset is says the name of the class, where it begins with it (`n01440764 tench`); ImageNet's own 1000
  /// names, or 1000 classes without names, are in ImageNet's order.
  private func synsets(of folders: [String], classCount: Int) -> [String: Int] {
    let labels = recipe.recipe.labels
    var classes: [String: Int] = [:]
    if (labels ?? .imageNet) == .imageNet, classCount == ImageNetSynsets.classes.count {
      classes = ImageNetSynsets.classes
    } else if let labels {
      let words = (0..<classCount).map { labels[$0].prefix { $0 != " " && $0 != "," } }
      classes = Dictionary(words.enumerated().map { (String($0.element), $0.offset) }) { first, _ in first }
      classes = classes.filter { LabelledFolder.isSynset($0.key) }
    }
    return classes.filter { folders.contains($0.key) && labels?[$0.value] != $0.key }
  }

  private static func isSynset(_ name: String) -> Bool {
    name.utf8.count == 9 && name.hasPrefix("n") && name.utf8.dropFirst().allSatisfy { (48...57).contains($0) }
  }

  private static func listing(_ names: [String]) -> String {
    let shown = names.prefix(12).map { String($0.prefix(60)) }.joined(separator: ", ")
    return names.count > 12 ? "\(shown) and \(names.count - 12) more" : shown
  }
}
