import Foundation
import HGNetCore
import HGNetVision
import Testing

@Suite("Picture files")
struct FileTests {
  @Test("A folder gives its pictures, with those of the folders inside, in the order of their bytes")
  func folder() throws {
    let folder = try TemporaryFolder()
    for name in ["b.jpg", "a/z.png", "a.bmp", "B.JPEG", "é.jpg", "a/notes.txt", "c.Jpg", "d.gif", "e.webp", "jpg", "f"]
    {
      try folder.write(name)
    }
    let expected = ["B.JPEG", "a.bmp", "a/z.png", "b.jpg", "c.Jpg", "e.webp", "jpg", "é.jpg"].map {
      "\(folder.path)/\($0)"
    }
    #expect(try PictureFolder.pictures(at: folder.path) == expected)
    #expect(try PictureFolder.pictures(at: folder.path + "/") == expected)
  }

  @Test("Endings count in any case, contents where the ending is of another format; the rest is told in one line")
  func endings() throws {
    let folder = try TemporaryFolder()
    for name in ["1.jfif", "2.JPE", "3.Png", "4.dib", "5.WebP", ".._6.jpg"] { try folder.write(name) }
    let picture = try Fixture.noise(height: 3, width: 4)
    try folder.write("a.gif", picture.encoded(as: .png))
    try folder.write("b.tiff", picture.encoded(as: .jpeg(quality: 90)))
    try folder.write("c", picture.encoded(as: .png))
    try folder.write("d.tif", Array("II*\u{0}12345678901234567890".utf8))
    try folder.write("more/e.heic", Array("....ftypheic............".utf8))
    try folder.write("f.txt", picture.encoded(as: .png))
    try folder.write("g", Array("BMW and other cars, a list".utf8))
    var lines: [String] = []
    let found = try PictureFolder.pictures(at: folder.path) { lines.append($0) }
    #expect(
      found == ["1.jfif", "2.JPE", "3.Png", "4.dib", "5.WebP", "a.gif", "b.tiff", "c"].map { "\(folder.path)/\($0)" })
    #expect(lines.count == 2)
    #expect(
      lines.first?.contains("5 files are passed over") == true && lines.first?.contains("1 .heic") == true
        && lines.first?.contains("1 without one") == true, "\(lines)")
    #expect(lines.last?.contains("3 pictures are read by content") == true, "\(lines)")
  }

  @Test("What systems, archives and notebooks leave behind is neither picture nor told, at any depth")
  func leftBehind() throws {
    let folder = try TemporaryFolder()
    let picture = try folder.write("a/b/photo.jpg")
    for name in [
      "__MACOSX/a/._photo.jpg", "__MACOSX/x.jpg", "a/._photo.jpg", "a/b/.DS_Store", "a/.ipynb_checkpoints/photo.jpg",
      "a/Thumbs.db", "a/b/desktop.ini", "a/@eaDir/photo.jpg/thumb.jpg",
    ] { try folder.write(name) }
    var lines: [String] = []
    #expect(try PictureFolder.pictures(at: folder.path) { lines.append($0) } == [picture])
    #expect(lines.isEmpty)
  }

  @Test("A file is itself; a file with another extension is none")
  func file() throws {
    let folder = try TemporaryFolder()
    let picture = try folder.write("one.jpeg")
    #expect(try PictureFolder.pictures(at: picture) == [picture])
    let text = try folder.write("one.txt")
    #expect { _ = try PictureFolder.pictures(at: text) } throws: {
      ($0 as? HGNetError)?.code == .noInput && "\($0)".contains("not found any img file in \(text)")
    }
  }

  @Test("Nothing to be found is an error")
  func nothing() throws {
    let folder = try TemporaryFolder()
    #expect { _ = try PictureFolder.pictures(at: folder.path) } throws: {
      ($0 as? HGNetError)?.code == .noInput && "\($0)".contains("not found any img file in \(folder.path)")
    }
    #expect { _ = try PictureFolder.pictures(at: folder.path + "/none") } throws: {
      ($0 as? HGNetError)?.code == .fileNotFound && "\($0)".contains("not found any img file in")
    }
  }

  @Test("A folder that links to itself ends")
  func loop() throws {
    let folder = try TemporaryFolder()
    let picture = try folder.write("a/b.jpg")
    try FileManager.default.createSymbolicLink(
      atPath: folder.path + "/a/loop.jpg", withDestinationPath: folder.path)
    #expect(try PictureFolder.pictures(at: folder.path) == [picture])
  }

  @Test("A list gives the first field of each line, joined to the folder and sorted")
  func list() throws {
    let folder = try TemporaryFolder()
    let list = try folder.write("list.txt", Array("\u{FEFF}b.jpg 3\r\n\n  a/c.png\t1 x\n/d.bmp 0".utf8))
    #expect(
      try PictureFolder.pictures(listedIn: list, under: "pictures")
        == ["/d.bmp", "pictures/a/c.png", "pictures/b.jpg"])
    #expect { _ = try PictureFolder.pictures(listedIn: list + "x", under: "") } throws: {
      "\($0)".contains("not found infer list \(list)x")
    }
    let binary = try folder.write("binary.txt", [0xFF, 0xFE, 0])
    #expect { _ = try PictureFolder.pictures(listedIn: binary, under: "") } throws: {
      ($0 as? HGNetError)?.code == .malformedData
    }
    let empty = try folder.write("empty.txt", Array("\n \n".utf8))
    #expect { _ = try PictureFolder.pictures(listedIn: empty, under: "") } throws: {
      ($0 as? HGNetError)?.code == .noInput
    }
  }

  @Test("A list of names with spaces gives the files that exist")
  func listOfSpaces() throws {
    let folder = try TemporaryFolder()
    let names = ["copy of a.jpg", "photo 1 (2).jpg", "x  y.jpg", "z.jpg"]
    for name in names { try folder.write(name) }
    let list = try folder.write("list.txt", Array("photo 1 (2).jpg 0\ncopy of a.jpg\nx  y.jpg\t3\nz.jpg 1 2".utf8))
    #expect(try PictureFolder.pictures(listedIn: list, under: folder.path) == names.map { "\(folder.path)/\($0)" })
  }

  @Test("PNG keeps every pixel", arguments: [(1, 1), (3, 70), (64, 5)])
  func png(_ height: Int, _ width: Int) throws {
    let image = try Fixture.noise(height: height, width: width)
    #expect(try Image(decoding: Blob(image.encoded(as: .png))) == image)
  }

  @Test("JPEG keeps the picture")
  func jpeg() throws {
    let image = try Image(contentsOf: Fixture.path("rgb-8.png")).resized(to: Size(height: 68, width: 92))
    let again = try Image(decoding: Blob(image.encoded(as: .jpeg(quality: 95))))
    #expect(again.size == image.size)
    let total = zip(image.pixels, again.pixels).reduce(0) { $0 + abs(Int($1.0) - Int($1.1)) }
    // Halved chroma on a ramp: the mean error stays within a few units.
    #expect(total < 6 * image.pixels.count)
    #expect(throws: HGNetError.self) { _ = try image.encoded(as: .jpeg(quality: 0)) }
    #expect(throws: HGNetError.self) { _ = try image.encoded(as: .jpeg(quality: 101)) }
  }

  @Test("A file is written in the format of its name, and no other name is taken")
  func writing() throws {
    let folder = try TemporaryFolder()
    let image = try Fixture.noise(height: 6, width: 8)
    try image.write(to: folder.path + "/a.png")
    #expect(try Image(contentsOf: folder.path + "/a.png") == image)
    try image.write(to: folder.path + "/a.jpg")
    #expect(try Image(contentsOf: folder.path + "/a.jpg").size == image.size)
    #expect { try image.write(to: folder.path + "/a.gif") } throws: { ($0 as? HGNetError)?.code == .invalidArgument }
    #expect { try image.write(to: folder.path + "/none/a.png") } throws: {
      ($0 as? HGNetError)?.code == .unwritableFile
    }
  }

  @Test("A picture of the wrong number of bytes or without pixels cannot be made")
  func sizes() {
    #expect { _ = try Image(size: Size(2), pixels: [1, 2, 3]) } throws: { ($0 as? HGNetError)?.code == .shapeMismatch }
    #expect { _ = try Image(size: Size(0), pixels: []) } throws: { ($0 as? HGNetError)?.code == .invalidArgument }
    #expect { _ = try Image(size: Size(.max), pixels: []) } throws: { ($0 as? HGNetError)?.code == .limitExceeded }
  }
}
