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
    let names = try classNames(training: training, evaluation: evaluation, note: note)
    if !takesAll, evaluation == nil, let trained, trained.isFolder(folder),
      let heldOut = try trained.heldOut(classNames: names)
    {
      note(
        "these weights were trained on it: measured on the \(heldOut.count) pictures that were held out; --all for all")
      return heldOut
    }
    var dataset = try Dataset(folder: evaluation ?? training, classNames: names)
    if takesAll, evaluation != nil { dataset = dataset.joined(with: try Dataset(folder: training, classNames: names)) }
    for line in dataset.notes { note(line) }
    if let trained, case let count = try trained.trainedCount(in: dataset), count > 0 {
      note("\(count) of \(dataset.count) pictures were trained on, which makes the numbers too good")
    }
    return dataset
  }

  /// The classes of the network by number.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` for a folder that is no class of the network.
  private func classNames(
    training: String, evaluation: String?, note: (String) -> Void
  ) throws(HGNetError) -> [String] {
    guard let classCount = weights.graph.classCount else {
      throw HGNetError(.unsupported, "expected a network that classifies, found one without logits", path: weights.path)
    }
    var folders = try Dataset(folder: evaluation ?? training, checksPictures: false).classNames ?? []
    if takesAll, evaluation != nil {
      folders += try Dataset(folder: training, checksPictures: false).classNames ?? []
    }
    guard let labels = recipe.recipe.labels, !areSynsets(folders, labels) else {
      let names = try Dataset(folder: training, checksPictures: false).classNames ?? []
      guard names.count == classCount else {
        throw HGNetError(
          .parameterMismatch,
          "expected one folder for each of the \(classCount) classes of \(weights.path), found \(names.count)",
          path: folder)
      }
      if recipe.recipe.labels == nil {
        note("no names of classes belong to the weights; the folders are numbered in the order of their names")
      }
      return names
    }
    let known = (0..<classCount).map { labels[$0] }
    let unknown = folders.filter { !known.contains($0) }
    guard unknown.isEmpty else {
      throw HGNetError(
        .parameterMismatch,
        "\(LabelledFolder.listing(unknown)): no class of the network has this name; the classes of \(weights.path) are "
          + LabelledFolder.listing(known), path: folder)
    }
    if let twice = folders.first(where: { name in known.count { $0 == name } > 1 }) {
      throw HGNetError(
        .parameterMismatch,
        "several classes of \(weights.path) are called \(twice); evaluate with a list, with -c FILE",
        path: folder)
    }
    return known
  }

  /// Whether folders bear the numbers of ImageNet's synsets, whose order is that of its classes.
  private func areSynsets(_ folders: [String], _ labels: Labels) -> Bool {
    labels == .imageNet && folders.count == labels.count
      && folders.allSatisfy { $0.utf8.count == 9 && $0.hasPrefix("n") && Int($0.dropFirst()) != nil }
  }

  private static func listing(_ names: [String]) -> String {
    let shown = names.prefix(12).map { String($0.prefix(60)) }.joined(separator: ", ")
    return names.count > 12 ? "\(shown) and \(names.count - 12) more" : shown
  }
}
