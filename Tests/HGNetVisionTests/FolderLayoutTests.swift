import Foundation
import HGNetCore
import HGNetVision
import Testing

/// Folders as people have them.
@Suite("Layouts of folders")
struct FolderLayoutTests {
  let root: TemporaryFolder

  init() throws { root = try TemporaryFolder() }

  /// The parts and classes that are found, relative to the folder.
  private func found(_ files: [String]) throws -> (
    training: String, evaluation: String?, classes: [String]?, notes: Int
  ) {
    for file in files { try root.write(file, [1]) }
    func relative(_ path: String) -> String {
      path == root.path ? "." : path.replacingOccurrences(of: root.path + "/", with: "")
    }
    let layout = try FolderLayout(of: root.path)
    return (
      relative(layout.training), layout.evaluation.map(relative), try Dataset(folder: layout.training).classNames,
      layout.notes.count
    )
  }

  @Test(
    "Two parts by their names, in any case",
    arguments: [
      ("train", "val"), ("Train", "Val"), ("TRAIN", "TEST"), ("training", "dev"), ("train", "valid"),
      ("Training", "Validation"), ("train", "test"), ("train", "eval"),
    ])
  func parts(training: String, evaluation: String) throws {
    let layout = try found(["\(training)/a/1.jpg", "\(training)/b/1.jpg", "\(evaluation)/a/1.jpg"])
    #expect(layout == (training, evaluation, ["a", "b"], 0))
  }

  @Test("A folder too many, as unzipping leaves it, also around two parts, with what a Mac adds")
  func unzipped() throws {
    let layout = try found(["photos/b/1.jpg", "photos/a/1.jpg", "__MACOSX/photos/a/._1.jpg"])
    #expect(layout == ("photos", nil, ["a", "b"], 1))
    let other = try TemporaryFolder()
    for file in ["x/y/train/a/1.jpg", "x/y/train/b/1.jpg", "x/y/val/a/1.jpg"] { try other.write(file, [1]) }
    let parts = try FolderLayout(of: other.path)
    #expect(parts.training == "\(other.path)/x/y/train" && parts.evaluation == "\(other.path)/x/y/val")
  }

  @Test("A class that is called train, with or without folders inside")
  func classCalledTrain() throws {
    let layout = try found(["bus/1.jpg", "car/1.jpg", "train/steam/1.jpg", "train/diesel/2.jpg"])
    #expect(layout == (".", nil, ["bus", "car", "train"], 0))
    let other = try TemporaryFolder()
    for file in ["bus/1.jpg", "train/1.jpg"] { try other.write(file, [1]) }
    #expect(try Dataset(folder: FolderLayout(of: other.path).training).classNames == ["bus", "train"])
  }

  @Test("Something else beside two parts is told; of two parts to evaluate on the first is taken")
  func others() throws {
    let layout = try found(["train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg", "val/b/1.jpg", "notes/x.txt"])
    #expect(layout == ("train", "val", ["a", "b"], 2))
  }

  @Test("One class with its pictures, and one that has folders of pictures")
  func single() throws {
    #expect(try found(["only/1.jpg", "only/2.jpg"]) == (".", nil, ["only"], 0))
    let deeper = try TemporaryFolder()
    for file in ["only/1.jpg", "only/more/2.jpg"] { try deeper.write(file, [1]) }
    #expect(try FolderLayout(of: deeper.path).training == deeper.path)
  }

  @Test("The output folder of a run among the classes is no class, nor is a hidden folder")
  func outputInside() throws {
    for file in ["output/config.yaml", "output/train.log", "output/best_model/model.pdparams", "output/report.html"] {
      try root.write(file, [1])
    }
    let layout = try found(["a/1.jpg", "b/1.jpg", ".ipynb_checkpoints/1-checkpoint.jpg", "lists/train_list.txt"])
    #expect(layout == (".", nil, ["a", "b"], 0))
    #expect(try Dataset(folder: root.path).notes.count == 2)
  }

  @Test("Pictures beside the classes, and formats that are not read, are told")
  func passedOver() throws {
    for file in ["a/1.jpg", "a/2.tif", "b/1.jpg", "lost.png"] { try root.write(file, [1]) }
    let notes = try Dataset(folder: root.path).notes
    #expect(notes.count == 1 && notes[0].contains("2 files are passed over"), "\(notes)")
    try root.write("c/1.heic", [1])
    #expect { try Dataset(folder: root.path) } throws: { "\($0)".contains("the class c has no pictures") }
  }

  @Test("Parts without one to train on, and two of them, are errors")
  func refused() throws {
    #expect { try found(["val/a/1.jpg", "test/a/1.jpg"]) } throws: { ($0 as? HGNetError)?.code == .noInput }
    let other = try TemporaryFolder()
    for file in ["train/a/1.jpg", "Train/b/1.jpg"] { try other.write(file, [1]) }
    #expect { try FolderLayout(of: other.path) } throws: { ($0 as? HGNetError)?.code == .malformedData }
  }
}
