import HGNetCore

/// Where the pictures for training and for evaluation lie in a folder.
///
/// Threads: a value, safe to share.
package struct FolderLayout: Sendable {
  /// The names of a folder with the pictures to train on, in lower case.
  static let trainingNames = ["train", "training"]
  /// The names of a folder with the pictures to evaluate on, in lower case; the first that is there is taken.
  static let evaluationNames = ["val", "valid", "validation", "dev", "eval", "evaluation", "test", "testing"]
  /// How many folders that hold nothing but the next one are gone through.
  private static let maximumDepth = 8

  /// The folder to train on, with one folder per class.
  package let training: String
  /// The folder to evaluate on; nil where the training folder has to be cut.
  package let evaluation: String?
  /// What was decided that somebody may not expect, a line each.
  package private(set) var notes: [String] = []

  /// Looks at the folders in a folder.
  ///
  /// Folders `train` (or `training`) and `val`, `valid`, `validation`, `dev`, `eval` or `test`, in any case, are two parts.
  /// Any other folder beside `train` makes all of them classes, unless `train` and the other part hold the same classes. A
  /// folder that holds nothing but one folder of folders, as unzipping leaves it, stands for that one.
  ///
  /// - Throws: `HGNetError.Code.fileNotFound`, `unreadableFile`; `noInput` for parts without one to train on,
  ///   `malformedData` for two of them.
  package init(of folder: String) throws(HGNetError) {
    var root = folder
    var notes: [String] = []
    for _ in 0..<FolderLayout.maximumDepth {
      let names = try Dataset.folders(in: root)
      if let parts = try FolderLayout.parts(of: root, names: names, notes: &notes) {
        (training, evaluation) = (parts.training, parts.evaluation)
        self.notes = notes
        return
      }
      guard names.count == 1, try !FolderLayout.hasPictures(root),
        case let inner = PictureFolder.join(root, names[0]),
        try !Dataset.folders(in: inner).isEmpty, try !FolderLayout.hasPictures(inner)
      else { break }
      root = inner
      notes.append("\(folder) holds nothing but one folder of folders; the classes are taken from \(inner)")
    }
    (training, evaluation) = (root, nil)
    self.notes = notes.suffix(1)
  }

  /// The two parts among folders; nil where the folders are classes.
  private static func parts(
    of root: String, names: [String], notes: inout [String]
  ) throws(HGNetError) -> (training: String, evaluation: String?)? {
    let trainings = names.filter { trainingNames.contains($0.lowercased()) }
    let evaluations = evaluationNames.flatMap { known in names.filter { $0.lowercased() == known } }
    let others = names.filter { !trainings.contains($0) && !evaluations.contains($0) }
    let training = trainings.first.map { PictureFolder.join(root, $0) }
    let evaluation = evaluations.first.map { PictureFolder.join(root, $0) }
    guard let training else {
      guard others.isEmpty, let evaluation, try !Dataset.folders(in: evaluation).isEmpty else { return nil }
      throw HGNetError(
        .noInput,
        "expected a folder train beside \(evaluations.joined(separator: ", ")), found none; name the part itself, such "
          + "as \(evaluation)", path: root)
    }
    let classes = try Dataset.folders(in: training)
    if !others.isEmpty {
      // Beside classes, `train` is a class; beside something else, two parts with the same classes are parts.
      guard let evaluation, !classes.isEmpty, try !Set(Dataset.folders(in: evaluation)).isDisjoint(with: classes) else {
        return nil
      }
      notes.append(
        "\(root): \(others.prefix(4).joined(separator: ", ")) beside \(training) and \(evaluation) "
          + "\(others.count == 1 ? "is" : "are") not looked at")
    } else if classes.isEmpty, evaluations.isEmpty, try hasPictures(training) {
      return nil
    }
    guard trainings.count == 1 else {
      throw HGNetError(
        .malformedData, "expected one folder to train on, found \(trainings.joined(separator: " and "))", path: root)
    }
    if evaluations.count > 1 {
      notes.append(
        "\(root): evaluated on \(evaluations[0]); \(evaluations.dropFirst().joined(separator: ", ")) "
          + "\(evaluations.count == 2 ? "is" : "are") not looked at")
    }
    return (training, evaluation)
  }

  /// Whether pictures lie in the folder itself.
  static func hasPictures(_ folder: String) throws(HGNetError) -> Bool {
    try PictureFolder.entries(of: folder).contains { name in
      let path = PictureFolder.join(folder, name)
      return PictureFolder.kind(of: path, followingLinks: true) == .file && PictureFolder.isPicture(path, name: name)
    }
  }
}
