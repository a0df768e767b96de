import Foundation
import HGNetCore
import HGNetVision
import Testing

@Suite("Data sets")
struct DatasetTests {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    for name in ["a.jpg", "b c.jpg", "d.jpg", "e,f.jpg"] { try folder.write(name, [1]) }
    try folder.write("empty.jpg")
  }

  private func list(_ text: String) throws -> String { try folder.write("list.txt", Array(text.utf8)) }

  private func names(_ dataset: Dataset) -> [String] {
    dataset.paths.map { $0.replacingOccurrences(of: folder.path + "/", with: "") }
  }

  @Test("A list as PaddleClas reads it")
  func plain() throws {
    let text = "\u{FEFF}a.jpg 2\r\n\n  d.jpg 0 more \nb c.jpg 1\n\(folder.path)/a.jpg 3"
    let dataset = try Dataset(listFile: list(text), folder: folder.path)
    #expect(names(dataset) == ["a.jpg", "d.jpg", "b c.jpg", "a.jpg"])
    #expect(dataset.targets == .classes([2, 0, 1, 3]))
    #expect(dataset.classCount == 4)
    #expect(dataset.pictureCounts == [1, 1, 1, 1])
    #expect(dataset.classNames == nil)
    #expect(try Dataset(listFile: list(text), folder: folder.path + "/", classCount: 10).classCount == 10)
  }

  @Test("Other delimiters, and labels numbered anew")
  func options() throws {
    let dataset = try Dataset(
      listFile: list("a.jpg\t700\nb c.jpg\t5\nd.jpg\t700\n"), folder: folder.path, delimiter: "\t", relabels: true)
    #expect(dataset.targets == .classes([1, 0, 1]))
    #expect(dataset.classCount == 2)
    let commas = try Dataset(listFile: list("e,f.jpg,1\na.jpg,0"), folder: folder.path, delimiter: ",")
    #expect(names(commas) == ["e,f.jpg", "a.jpg"])
  }

  @Test("A part that lacks a class is numbered as the list to train on")
  func numberedAsTraining() throws {
    let training = try folder.write("train.txt", Array("a.jpg 5\nb c.jpg 9\nd.jpg 700\n".utf8))
    let dataset = try Dataset(
      listFile: list("a.jpg 700\nd.jpg 9\n"), folder: folder.path, relabels: true, numberedAs: training, classCount: 3)
    #expect(dataset.targets == .classes([2, 1]))
    let error = #expect(throws: HGNetError.self) {
      try Dataset(listFile: list("a.jpg 6\n"), folder: folder.path, relabels: true, numberedAs: training)
    }
    #expect(error?.message.contains("label 6") == true)
  }

  @Test("Labels below 0, of no class or missing, where pictures may have none")
  func unlabelled() throws {
    let file = try list("a.jpg -1\nb.jpg 2\nc.jpg\nd.jpg 7\n")
    let dataset = try Dataset(
      listFile: file, folder: "", classCount: 3, checksPictures: false, allowsUnlabelled: true)
    #expect(dataset.targets == .classes([-1, 2, -1, -1]))
    #expect(names(dataset) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"])
    #expect(dataset.pictureCounts == [0, 0, 1])
    #expect(throws: HGNetError.self) { try Dataset(listFile: file, folder: "", classCount: 3, checksPictures: false) }
  }

  @Test("A list with several classes per picture")
  func multipleClasses() throws {
    let dataset = try Dataset(
      multiLabelListFile: list("a.jpg\t0,1,0\nb c.jpg\t1,1,0\n"), folder: folder.path, classCount: 3)
    #expect(names(dataset) == ["a.jpg", "b c.jpg"])
    #expect(dataset.targets == .multipleClasses([0, 1, 0, 1, 1, 0]))
    #expect(dataset.classRatios == [0.5, 1, 0])
    #expect(dataset.subset([1]).targets == .multipleClasses([1, 1, 0]))
  }

  @Test(
    "What is wrong with a list is told with its lines",
    arguments: [
      ("a.jpg 0\nnone.jpg 1\n", "fileNotFound", 2, "none.jpg does not exist"),
      ("a.jpg 0\nempty.jpg 1\n", "malformedData", 2, "empty.jpg is empty"),
      (". 1\n", "unreadableFile", 1, "is not a file"),
      ("a.jpg 3\nd.jpg 4\n", "malformedData", 2, "line 2: expected a class of 0 to 3 for 4 classes, found 4"),
      ("a.jpg -1\n", "malformedData", 1, "expected a class from 0, found -1"),
      ("a.jpg 1.5\n", "malformedData", 1, "expected a class as an integer, found \"1.5\""),
      ("a.jpg cat\n", "malformedData", 1, "expected a class as an integer, found \"cat\""),
      ("a.jpg 99999999999999999999\n", "malformedData", 1, "expected a class as an integer"),
      ("a.jpg 0\nd.jpg\t1\n", "malformedData", 2, "found no delimiter \" \" in \"d.jpg\\t1\" (is it \"\\t\"?)"),
      ("a.jpg,1\n", "malformedData", 1, "(is it \",\"?)"),
      ("", "noInput", nil, "found no lines"),
      ("\n \r\n", "noInput", nil, "found no lines"),
    ] as [(String, String, Int?, String)])
  func wrongLines(text: String, code: String, line: Int?, words: String) throws {
    let list = try list(text)
    #expect {
      try Dataset(listFile: list, folder: folder.path, classCount: 4)
    } throws: {
      let error = $0 as? HGNetError
      let fits = error?.code.description == code && error?.context.line == line && error?.context.path == list
      if !fits || !"\($0)".contains(words) { Issue.record("\($0)") }
      return fits
    }
  }

  @Test("Many wrong lines are counted, and the first few told")
  func manyWrongLines() throws {
    let list = try list((0..<1000).map { "missing\($0).jpg \($0 % 4)" }.joined(separator: "\n"))
    #expect {
      try Dataset(listFile: list, folder: folder.path)
    } throws: {
      let text = "\($0)"
      return ($0 as? HGNetError)?.code == .fileNotFound && text.contains("1000 of 1000 lines are wrong")
        && text.contains("missing4.jpg") && !text.contains("missing5.jpg") && text.contains("and 995 more")
    }
  }

  @Test(
    "What is wrong with a list of several classes",
    arguments: [
      ("a.jpg 0,1\n", "found no delimiter"), ("a.jpg\t0,2\n", "found \"2\""), ("a.jpg\t0,1\nd.jpg\t1\n", "expected 2"),
      ("a.jpg\t\n", "line 1"), ("a.jpg\t0,,1\n", "found \"\""), ("gone.jpg\t0,1\n", "gone.jpg does not exist"),
    ])
  func wrongMultiLabelLines(text: String, words: String) throws {
    let list = try list(text)
    #expect {
      try Dataset(multiLabelListFile: list, folder: folder.path, classCount: nil)
    } throws: {
      if !"\($0)".contains(words) { Issue.record("\($0)") }
      return $0 is HGNetError
    }
  }

  @Test("Lists that are no lists")
  func foreignLists() throws {
    #expect(throws: HGNetError.self) { try Dataset(listFile: folder.path, folder: "") }
    #expect(throws: HGNetError.self) { try Dataset(listFile: folder.path + "/none", folder: "") }
    let binary = try folder.write("binary", [0xFF, 0xFE, 0, 1])
    #expect(throws: HGNetError.self) { try Dataset(listFile: binary, folder: "") }
    #expect(throws: HGNetError.self) { try Dataset(listFile: list("a.jpg 0"), folder: "", delimiter: "") }
  }

  @Test("Random bytes in place of a list never trap")
  func randomLists() throws {
    var random = SeededGenerator(state: 5)
    // Every other list is valid UTF-8; each has some tens of lines.
    let alphabet = Array("a.jpg 01,\t\n-9\r".utf8) + [0xFF, 0]
    for round in 0..<100 {
      let bytes = (0..<Int.random(in: 0..<600, using: &random)).map { _ in
        alphabet[Int.random(in: 0..<alphabet.count - round % 2 * 2, using: &random)]
      }
      let list = try folder.write("fuzz.txt", bytes)
      _ = try? Dataset(listFile: list, folder: folder.path, relabels: true, checksPictures: false)
      _ = try? Dataset(multiLabelListFile: list, folder: folder.path, checksPictures: false)
    }
  }

  @Test("Whatever a picture is called, its line is read back", arguments: awkwardNames)
  func roundTrip(name: String) throws {
    let root = try TemporaryFolder()
    let data = try Dataset(
      folder: {
        for folder in ["a 0", " b", "1"] { try root.write("\(folder)/\(name)", Self.png) }
        return root.path
      }())
    #expect(data.count == 3)
    let list = "\(root.path)/list.txt"
    try data.writeList(to: list, relativeTo: root.path)
    let read = try Dataset(listFile: list, folder: root.path)
    #expect(read.targets == data.targets)
    #expect(read.paths.map(Self.bytes) == data.paths.map(Self.bytes))
    // The first name of a folder may begin with white space, too.
    let inner = "\(root.path)/a 0"
    let flat = try Dataset(listFile: list, folder: root.path).subset([1])
    try flat.writeList(to: list, relativeTo: inner)
    #expect(
      try Dataset(listFile: list, folder: inner, classCount: 3).paths.map(Self.bytes) == flat.paths.map(Self.bytes))
    let several = try data.mergingEqualPictures()
    try several.writeList(to: list, relativeTo: root.path)
    let multiple = try Dataset(multiLabelListFile: list, folder: root.path)
    #expect(multiple.targets == several.targets && multiple.paths.map(Self.bytes) == several.paths.map(Self.bytes))
  }

  private static let png: [UInt8] =
    (try? Image(size: Size(1), pixels: [1, 2, 3]).encoded(as: .png)) ?? []
  /// Two texts are equal in Swift where they look alike; files are not.
  ///
  /// `./` at the beginning changes no path.
  private static func bytes(_ path: String) -> [UInt8] {
    Array(path.replacingOccurrences(of: "/./", with: "/").utf8)
  }

  @Test("The last integer of a line is the class, unless only a file further to the left exists")
  func lastDelimiter() throws {
    try folder.write("photo 1 (2).jpg", [1])
    let text = "photo 1 (2).jpg 3\na.jpg 0 7\na.jpg  2\nd.jpg 1 2 more\nb c.jpg 1 1.5\n"
    let dataset = try Dataset(listFile: list(text), folder: folder.path)
    #expect(names(dataset) == ["photo 1 (2).jpg", "a.jpg", "a.jpg", "d.jpg", "b c.jpg"])
    #expect(dataset.targets == .classes([3, 0, 2, 1, 1]))
    let unlabelled = try Dataset(
      listFile: list("photo 1 (2).jpg\na.jpg 1\nb c.jpg"), folder: folder.path, classCount: 2, allowsUnlabelled: true)
    #expect(names(unlabelled) == ["photo 1 (2).jpg", "a.jpg", "b c.jpg"])
    #expect(unlabelled.targets == .classes([-1, 1, -1]))
  }

  @Test("Names that no list can hold are refused by name", arguments: ["a\nb.jpg", "a\rb.jpg"])
  func unlisted(name: String) throws {
    let root = try TemporaryFolder()
    try root.write("class/\(name)", [1])
    let data = try Dataset(folder: root.path)
    #expect(data.listLine(at: 0, relativeTo: root.path) == nil)
    #expect {
      try data.writeList(to: "\(root.path)/list.txt", relativeTo: root.path)
    } throws: {
      ($0 as? HGNetError)?.code == .unsupported && "\($0)".contains("line break")
    }
  }

  @Test("One folder per class")
  func classFolders() throws {
    let root = try TemporaryFolder()
    for name in ["train/dog/2.jpg", "train/dog/more/1.png", "train/cat/x.jpg", "train/.cache/y.jpg", "val/dog/3.jpg"] {
      try root.write(name, [1])
    }
    try root.write("train/cat/notes.txt", [1])
    let parts = try FolderLayout(of: root.path)
    #expect(parts.training == root.path + "/train")
    #expect(parts.evaluation == root.path + "/val")
    #expect(try FolderLayout(of: parts.training).evaluation == nil)
    let training = try Dataset(folder: parts.training)
    #expect(training.classNames == ["cat", "dog"])
    #expect(training.targets == .classes([0, 1, 1]))
    #expect(training.paths.map { ($0 as NSString).lastPathComponent } == ["x.jpg", "2.jpg", "1.png"])
    let evaluation = try Dataset(folder: #require(parts.evaluation), classNames: training.classNames)
    #expect(evaluation.targets == .classes([1]))
    #expect(evaluation.classCount == 2)
    #expect(throws: HGNetError.self) { try Dataset(folder: parts.training, classNames: ["dog"]) }
    try FileManager.default.createDirectory(atPath: root.path + "/train/empty", withIntermediateDirectories: true)
    #expect {
      try Dataset(folder: parts.training)
    } throws: {
      ($0 as? HGNetError)?.code == .noInput && "\($0)".contains("the class empty has no pictures")
    }
    #expect(throws: HGNetError.self) { try Dataset(folder: root.path + "/val/dog") }
    #expect(throws: HGNetError.self) { try Dataset(folder: root.path + "/none") }
  }

  @Test("A split keeps the classes' shares and repeats itself")
  func split() throws {
    let root = try TemporaryFolder()
    for (name, count) in [("a", 20), ("b", 3), ("c", 1)] {
      for number in 0..<count { try root.write("\(name)/\(number).jpg", [1]) }
    }
    let dataset = try Dataset(folder: root.path)
    let (first, second) = dataset.split(fraction: 0.9, seed: 7)
    #expect(first.pictureCounts == [18, 2, 1])
    #expect(second.pictureCounts == [2, 1, 0])
    #expect(Set(first.paths).isDisjoint(with: second.paths))
    #expect(dataset.split(fraction: 0.9, seed: 7).first.paths == first.paths)
    #expect(Set((0..<20).map { dataset.split(fraction: 0.9, seed: $0).first.paths }).count > 15)
    #expect(second.classNames == dataset.classNames)
  }
}

/// Names that phones, Windows and people give.
private let awkwardNames = [
  "photo 1 (2).jpg", "copy of photo 1 2.jpg", "a  b.jpg", "tab\tin 3 it.jpg", "back\\slash 1.jpg", "[7] x.jpg",
  "é 字 5.jpg",
  "comma, 0,1.jpg", " leading.jpg", "\tleading tab.jpg", "percent %20 1.jpg", "quote ' \" 2.jpg", "1 2 3", "-1.jpg",
  "\u{FEFF}mark.jpg",
]
