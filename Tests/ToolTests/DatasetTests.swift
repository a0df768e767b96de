import Foundation
import HGNetCore
import HGNetVision
import Testing

@Suite("hgnet dataset")
struct DatasetTests {
  let workspace: Workspace

  init() throws { workspace = try Workspace() }

  private func draw(_ name: String, side: Int = 8, shade: UInt8 = 0) throws {
    try workspace.write("", name)
    try Image(size: Size(side), pixels: [UInt8](repeating: shade, count: side * side * 3)).write(
      to: workspace.path(name))
  }

  private func text(_ name: String) throws -> String {
    try String(contentsOfFile: workspace.path(name), encoding: .utf8)
  }

  @Test("Lists, labels and a report of a folder with one folder per class")
  func split() throws {
    for number in 0..<10 {
      try draw("data/cat/\(number).png", side: 8 + number)
      try draw("data/big dog/\(number).jpg", side: 20)
    }
    let run = try ToolRun(["dataset", "data", "--output", ".", "--split", "0.8"], folder: workspace.url.path)
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.errors.contains("PaddleClas does not"))
    #expect(run.output.contains("8×8 to 20×20 pixels"))
    #expect(try text("labels.txt") == "0 big dog\n1 cat\n")
    let (training, evaluation) = (
      try Dataset(listFile: workspace.path("train_list.txt"), folder: workspace.path("data")),
      try Dataset(listFile: workspace.path("val_list.txt"), folder: workspace.path("data"))
    )
    #expect(training.pictureCounts == [8, 8])
    #expect(evaluation.pictureCounts == [2, 2])
    #expect(Set(training.paths + evaluation.paths).count == 20)
    let again = try ToolRun(
      ["dataset", "data", "--output", ".", "--split", "0.8", "--json"], folder: workspace.url.path)
    #expect(again.output.contains("\"train\": 16, \"val\": 4, \"broken\": []"))
    #expect(
      try Dataset(listFile: workspace.path("train_list.txt"), folder: workspace.path("data")).paths == training.paths)
  }

  @Test("Broken pictures are named and left out")
  func broken() throws {
    for number in 0..<4 { try draw("train/a/\(number).png") }
    try draw("test/a/0.png")
    try workspace.write("no picture", "train/a/bad.jpg")
    try workspace.write("", "test/a/empty.png")
    let plain = try ToolRun(["dataset", "."], folder: workspace.url.path)
    #expect(plain.status == 65 && plain.output.contains("written  nothing"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: workspace.url.path).sorted() == ["test", "train"])
    let run = try ToolRun(["dataset", ".", "--output", "."], folder: workspace.url.path)
    #expect(run.status == 65)
    #expect(run.errors.contains("./train/a/bad.jpg: expected a picture"))
    #expect(run.errors.contains("./test/a/empty.png: "))
    #expect(run.output.contains("left out 2"))
    #expect(try text("train_list.txt") == (0..<4).map { "train/a/\($0).png 0\n" }.joined())
    #expect(try text("val_list.txt") == "test/a/0.png 0\n")
  }

  @Test("A picture in the folders of several classes has all of them")
  func multipleClasses() throws {
    for (name, shade) in [("red/1", 1), ("red/2", 2), ("round/1", 1), ("round/3", 3), ("big/4", 4)] {
      try draw("train/\(name).png", shade: UInt8(shade))
      try draw("val/\(name).png", shade: UInt8(shade))
    }
    let run = try ToolRun(["dataset", ".", "--multi-label", "--output", "."], folder: workspace.url.path)
    #expect(run.status == 0, "\(run.errors)")
    #expect(
      try text("val_list.txt")
        == "val/big/4.png\t1,0,0\nval/red/1.png\t0,1,1\nval/red/2.png\t0,1,0\nval/round/3.png\t0,0,1\n")
    let read = try Dataset(multiLabelListFile: workspace.path("train_list.txt"), folder: workspace.url.path)
    #expect(read.pictureCounts == [1, 2, 2])
  }

  @Test("Files that are passed over, endings that say nothing, and a single class are told")
  func told() throws {
    for number in 0..<3 { try draw("data/a/\(number).png") }
    try FileManager.default.moveItem(atPath: workspace.path("data/a/2.png"), toPath: workspace.path("data/a/2.gif"))
    try workspace.write("II*\u{0} not ours", "data/a/3.tif")
    let run = try ToolRun(["dataset", "data"], folder: workspace.url.path)
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.errors.contains("1 file is passed over") && run.errors.contains("1 picture is read by content"))
    #expect(run.errors.contains("one class only"), "\(run.errors)")
    #expect(run.output.contains("all pictures"))
  }

  @Test("Folders that are no data set")
  func refused() throws {
    try draw("flat/1.png")
    #expect(try ToolRun(["dataset", "flat"], folder: workspace.url.path).status == 66)
    #expect(try ToolRun(["dataset", "none"], folder: workspace.url.path).status == 66)
    #expect(try ToolRun(["dataset", "flat", "--split", "1.5"], folder: workspace.url.path).status == 64)
  }
}
