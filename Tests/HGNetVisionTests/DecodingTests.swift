import HGNetCore
import HGNetVision
import Testing

@Suite("Decoding")
struct DecodingTests {
  /// One row of `decoding.tsv`.
  struct Case: CustomTestStringConvertible, Sendable {
    let name: String
    let style: DecodingStyle
    let size: Size
    let hash: String

    var testDescription: String { "\(name) as \(style.rawValue)" }

    static let all: [Case] = Fixture.rows("decoding.tsv").compactMap { row in
      guard row.count == 5, row[4] != "error", let style = DecodingStyle(rawValue: row[1]), let height = Int(row[2]),
        let width = Int(row[3])
      else { return nil }
      return Case(name: row[0], style: style, size: Size(height: height, width: width), hash: row[4])
    }
  }

  @Test("The pixels are those of OpenCV and of Pillow", arguments: Case.all)
  func samePixels(_ expected: Case) throws {
    let image = try Image(contentsOf: Fixture.path(expected.name), style: expected.style)
    #expect(image.size == expected.size)
    #expect(Fixture.hash(image.pixels) == expected.hash)
  }

  @Test("The fixtures are all there")
  func fixtures() {
    #expect(Fixture.names.count > 100)
    #expect(Case.all.count > 200)
  }

  @Test("A picture that ends early is an error, wherever it ends", arguments: Fixture.names)
  func truncated(_ name: String) throws {
    guard !name.hasPrefix("bytes-after-end") else { return }
    let bytes = try Fixture.bytes(name)
    // Every length of the headers, then a part of the rest, and every length of the tail.
    for count in 0..<bytes.count where count < 300 || count % 17 == 0 || count > bytes.count - 24 {
      do {
        _ = try Image(decoding: Blob(bytes[..<count], path: name))
        Issue.record("\(name) cut to \(count) of \(bytes.count) bytes was accepted")
      } catch {
        #expect(error.context.path == name)
        let codes: [HGNetError.Code] = [.malformedData, .unsupported, .noInput]
        #expect(codes.contains(error.code), "\(name) cut to \(count) bytes: \(error)")
      }
    }
  }

  @Test("Damaged bytes give a picture or an error", arguments: Fixture.names)
  func damaged(_ name: String) throws {
    let bytes = try Fixture.bytes(name)
    var random = SeededGenerator(state: UInt64(bytes.count))
    for round in 0..<60 {
      var copy = bytes
      for _ in 0...Int.random(in: 0..<4, using: &random) {
        // Half of the time in the header, where sizes and offsets are.
        let limit = round % 2 == 0 ? min(bytes.count, 64) : bytes.count
        copy[Int.random(in: 0..<limit, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      if round % 7 == 0 { copy.removeSubrange(Int.random(in: 0..<copy.count, using: &random)...) }
      for style in DecodingStyle.allCases {
        do {
          let image = try Image(decoding: Blob(copy), style: style, pixelLimit: 1 << 20)
          #expect(image.height * image.width <= 1 << 20)
        } catch {
          #expect(!error.message.isEmpty)
        }
      }
    }
  }

  @Test("Random bytes behind a signature are an error", arguments: PictureFormat.allCases)
  func randomBytes(_ format: PictureFormat) throws {
    let signatures: [PictureFormat: [UInt8]] = [
      .jpeg: [0xFF, 0xD8, 0xFF], .png: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A],
      .webp: Array("RIFF\u{10}\u{0}\u{0}\u{0}WEBPVP8 ".utf8), .bmp: Array("BM".utf8),
    ]
    var random = SeededGenerator(state: 7)
    for _ in 0..<300 {
      let bytes =
        try #require(signatures[format])
        + (0..<Int.random(in: 0..<200, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      #expect(throws: HGNetError.self) { _ = try Image(decoding: Blob(bytes)) }
    }
  }

  /// Headers of 60 000 × 60 000 pixels, with next to nothing behind them.
  static let enormous: [(String, [UInt8])] = {
    func big32(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }
    func little32(_ value: UInt32) -> [UInt8] { big32(value).reversed() }
    var jpeg = (try? Fixture.bytes("colour-444.jpg")) ?? []
    if let frame = jpeg.indices.first(where: { $0 + 1 < jpeg.count && jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xC0 }) {
      jpeg.replaceSubrange((frame + 5)..<(frame + 9), with: [0xEA, 0x60, 0xEA, 0x60])
    }
    var png = (try? Fixture.bytes("grey-1.png")) ?? []
    png.replaceSubrange(16..<24, with: big32(60_000) + big32(60_000))
    // The checksum of that header.
    png.replaceSubrange(29..<33, with: checksum(png[12..<29]))
    var bmp = (try? Fixture.bytes("rgb-24.bmp")) ?? []
    bmp.replaceSubrange(18..<26, with: little32(60_000) + little32(60_000))
    let webp =
      Array("RIFF".utf8) + little32(30) + Array("WEBPVP8X".utf8) + little32(10)
      + [2, 0, 0, 0, 0x5F, 0xEA, 0, 0x5F, 0xEA, 0] + Array("ANMF".utf8) + [0, 0, 0, 0]
    return [("a.jpg", jpeg), ("a.png", png), ("a.webp", webp), ("a.bmp", bmp)]
  }()

  static func checksum(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    var value: UInt32 = ~0
    for byte in bytes {
      value ^= UInt32(byte)
      for _ in 0..<8 { value = value & 1 == 1 ? (value >> 1) ^ 0xEDB8_8320 : value >> 1 }
    }
    return [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: ~value >> $0) }
  }

  @Test("A picture of 60 000 × 60 000 pixels is refused from its header", arguments: enormous)
  func tooLarge(_ name: String, _ bytes: [UInt8]) {
    #expect { _ = try Image(decoding: Blob(bytes, path: name)) } throws: { error in
      guard let error = error as? HGNetError else { return false }
      return error.code == .limitExceeded && error.description.contains("60000×60000")
    }
  }

  @Test("A header that claims more pixels than the file can hold is refused", arguments: ["a.jpg", "a.png", "a.bmp"])
  func claimsTooMuch(_ name: String) throws {
    let bytes = try #require(Self.enormous.first { $0.0 == name }?.1)
    #expect { _ = try Image(decoding: Blob(bytes), pixelLimit: .max) } throws: { error in
      let code = (error as? HGNetError)?.code
      return code == .malformedData || code == .limitExceeded
    }
  }

  @Test("A run-length coded BMP cannot claim far more pixels than it has runs")
  func sparseRuns() throws {
    var bytes = try Fixture.bytes("runs-8.bmp")
    bytes.replaceSubrange(18..<26, with: [0x10, 0x27, 0, 0, 0x10, 0x27, 0, 0])
    #expect { _ = try Image(decoding: Blob(bytes)) } throws: { ($0 as? HGNetError)?.code == .malformedData }
  }

  @Test("A JPEG of 12 bits per sample is an error that says so")
  func deepJPEG() throws {
    var bytes = try Fixture.bytes("grey.jpg")
    let frame = try #require(bytes.indices.first { $0 + 1 < bytes.count && bytes[$0] == 0xFF && bytes[$0 + 1] == 0xC0 })
    bytes[frame + 4] = 12
    #expect { _ = try Image(decoding: Blob(bytes)) } throws: {
      ($0 as? HGNetError)?.code == .unsupported && "\($0)".contains("12")
    }
  }

  @Test("The limit on pixels is the caller's")
  func limit() throws {
    let path = Fixture.path("colour-420.jpg")
    #expect(try Image(contentsOf: path, pixelLimit: 17 * 23).height == 17)
    #expect { _ = try Image(contentsOf: path, pixelLimit: 17 * 23 - 1) } throws: {
      ($0 as? HGNetError)?.code == .limitExceeded && ($0 as? HGNetError)?.context.path == path
    }
  }

  @Test(
    "What is no picture is named",
    arguments: [
      ([], "empty file"), (Array("GIF89a........".utf8), "a GIF"), (Array("II*\u{0}........".utf8), "a TIFF"),
      (Array("<svg xmlns=''/>".utf8), "text"), ([1, 2, 3, 4, 5], "01 02 03 04"), ([0xFF], "ff"),
    ] as [([UInt8], String)])
  func otherContents(_ bytes: [UInt8], _ words: String) {
    #expect { _ = try Image(decoding: Blob(bytes, path: "photo.jpg")) } throws: { error in
      let text = "\(error)"
      return text.hasPrefix("photo.jpg: ") && text.contains(words)
    }
  }

  @Test("A missing file and a folder are errors that say so")
  func missing() {
    #expect { _ = try Image(contentsOf: "/nonexistent/a.jpg") } throws: { ($0 as? HGNetError)?.code == .fileNotFound }
    #expect { _ = try Image(contentsOf: "/") } throws: { ($0 as? HGNetError)?.code == .unreadableFile }
  }

  @Test("The name of a file does not choose its decoder")
  func wrongName() throws {
    let blob = Blob(try Fixture.bytes("rgb-8.png"), path: "photo.jpg")
    #expect(try Image(decoding: blob) == Image(contentsOf: Fixture.path("rgb-8.png")))
  }

  @Test("A slice of a blob is a picture of its own")
  func slice() throws {
    let bytes = try Fixture.bytes("colour-420.jpg")
    let blob = Blob([1, 2, 3] + bytes + [4])
    let image = try Image(decoding: BlobSlice(blob, range: 3..<(3 + bytes.count)))
    #expect(try image == Image(contentsOf: Fixture.path("colour-420.jpg")))
  }
}
