import ArgumentParser
import HGNet
import HGNetCore
import HGNetFormats
import HGNetTraining
import HGNetVision

/// Checks every picture of a folder, and writes its lists where they are asked for.
struct DatasetCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dataset", abstract: "Check a folder of pictures, and write the lists that training reads.",
    discussion: """
      FOLDER has one folder per class, or the folders train and val (or dev, test) with one folder per class each. Every \
      picture is decoded. Pictures that cannot be decoded are named and left out of the lists, and the exit status is 65. \
      With --output the lists train_list.txt, val_list.txt and labels.txt are written; their paths are relative to FOLDER, \
      the image_root of a configuration.
      """)

  @Argument(help: ArgumentHelp("The folder.", valueName: "folder"))
  var folder: String

  @Option(help: ArgumentHelp("Write the lists into this folder, which is created if necessary.", valueName: "folder"))
  var output: String?

  @Option(
    help: ArgumentHelp(
      "The share of each class's pictures for training, if there is no folder train.", valueName: "part"))
  var split = 0.9

  @Option(help: ArgumentHelp("The seed of the split.", valueName: "n"))
  var seed: UInt64 = 0

  @Flag(
    name: .customLong("multi-label"),
    help:
      "A picture has every class whose folder contains it (compared byte by byte); write multi-label lists of 0 and 1.")
  var hasMultipleClasses = false

  @Flag(help: "Print JSON.")
  var json = false

  @OptionGroup var compute: ThreadOptions

  func validate() throws {
    guard split > 0, split < 1 else { throw ValidationError("expected --split between 0 and 1, found \(split)") }
  }

  func run() throws {
    let layout = try FolderLayout(of: folder)
    let whole = try Dataset(folder: layout.training, checksPictures: false)
    var notes = layout.notes + whole.notes
    var inspection = DatasetInspection(folder: folder, pool: compute.pool())
    var first = try inspection.usable(whole)
    var second: Dataset
    if let evaluation = layout.evaluation {
      let other = try Dataset(folder: evaluation, classNames: whole.classNames, checksPictures: false)
      notes += other.notes
      second = try inspection.usable(other)
      if hasMultipleClasses { (first, second) = (try first.mergingEqualPictures(), try second.mergingEqualPictures()) }
    } else {
      let usable = hasMultipleClasses ? try first.mergingEqualPictures() : first
      (first, second) = usable.split(fraction: split, seed: seed)
    }
    for note in notes { StandardError.write("hgnet: note: \(note)") }
    if whole.classCount == 1, !hasMultipleClasses {
      StandardError.write("hgnet: warning: there is one class only, so that nothing can be learnt")
    }
    for line in inspection.broken { StandardError.write("hgnet: warning: \(line)") }
    guard first.count > 0, second.count > 0 else {
      throw HGNetError(
        .noInput,
        "expected at least two readable pictures, to train on and to evaluate on; found "
          + "\(first.count + second.count)", path: folder)
    }
    let names = whole.classNames ?? []
    let files = try write(first, second, names: names)
    try StandardOutput.write(report(first, second, names: names, files: files, inspection: inspection))
    if !inspection.broken.isEmpty { throw ExitStatus.dataError }
  }

  /// Writes the lists where they are asked for.
  private func write(_ first: Dataset, _ second: Dataset, names: [String]) throws -> [String] {
    guard let output else { return [] }
    try CheckpointFolder.make(output)
    let files = try Dataset.writeLists(
      training: first, evaluation: second, names: names, to: output, relativeTo: folder)
    if !hasMultipleClasses, (first.paths + second.paths).contains(where: { $0.dropFirst(folder.count).contains(" ") }) {
      StandardError.write(
        "hgnet: warning: some paths hold a space; hgnet reads these lists, PaddleClas does not. Rename to use both")
    }
    return [files.training, files.evaluation, files.labels]
  }

  private func report(
    _ first: Dataset, _ second: Dataset, names: [String], files: [String], inspection: DatasetInspection
  ) -> String {
    let counts = zip(first.pictureCounts, second.pictureCounts)
    if json {
      let classes = zip(names, counts).map { name, counts in
        JSONText.object([("name", .text(name)), ("train", .integer(counts.0)), ("val", .integer(counts.1))])
      }
      let sides = [inspection.smallest, inspection.largest].map { size in
        size.map { JSONText.list([.integer($0.height), .integer($0.width)]) } ?? .null
      }
      return JSONText.object([
        ("classes", .list(classes)), ("train", .integer(first.count)), ("val", .integer(second.count)),
        ("broken", .list(inspection.broken.map { .text("\($0)") })), ("smallest_size", sides[0]),
        ("largest_size", sides[1]), ("files", .list(files.map { .text($0) })),
      ]).line
    }
    var table = TextTable(titles: ["class", "name", "train", "val"])
    table.rightAligned = [0, 2, 3]
    for (number, (name, counts)) in zip(names, counts).enumerated() {
      table.append(["\(number)", name, Grouped.text(counts.0), Grouped.text(counts.1)])
    }
    table.append(["", "all pictures", Grouped.text(first.count), Grouped.text(second.count)])
    var text = table.text + "\n\n"
    if let smallest = inspection.smallest, let largest = inspection.largest {
      text += "sizes    \(smallest) to \(largest) pixels\n"
    }
    if !inspection.broken.isEmpty { text += "left out \(Grouped.text(inspection.broken.count)), named above\n" }
    if files.isEmpty { return text + "written  nothing; --output FOLDER writes the lists that training reads" }
    return text + "written  " + files.joined(separator: "\n         ")
  }
}

/// What the pictures of a folder turned out to be.
private struct DatasetInspection {
  let folder: String
  let pool: ThreadPool
  private(set) var broken: [HGNetError] = []
  /// The sizes with the fewest and with the most pixels.
  private(set) var smallest: Size?
  private(set) var largest: Size?

  init(folder: String, pool: ThreadPool) {
    self.folder = folder
    self.pool = pool
  }

  /// The pictures that can be decoded and listed; notes the others.
  mutating func usable(_ dataset: Dataset) throws -> Dataset {
    var usable: [Int] = []
    for (index, result) in dataset.decodedSizes(pool: pool).enumerated() {
      switch result {
      case .failure(let error): broken.append(error)
      case .success(let size):
        guard dataset.listLine(at: index, relativeTo: folder) != nil else {
          broken.append(Dataset.unlisted(dataset.paths[index]))
          continue
        }
        usable.append(index)
        let pixels = size.height * size.width
        if smallest.map({ pixels < $0.height * $0.width }) ?? true { smallest = size }
        if largest.map({ pixels > $0.height * $0.width }) ?? true { largest = size }
      }
    }
    return dataset.subset(usable)
  }
}
