import HGNetCore
import HGNetFormats
import Testing

@Suite("Tar archives")
struct TarTests {
  private static let common = [
    ("short.txt", Array("short".utf8)),
    (
      "folder/\(String(repeating: "a", count: 90))/\(String(repeating: "b", count: 60)).txt",
      Array("a name that ustar splits".utf8)
    ),
    ("empty.bin", []), ("block.bin", (0..<512).map { UInt8(truncatingIfNeeded: $0) }),
  ]
  private static let longest = [
    (
      "\(String(repeating: "c", count: 150))/\(String(repeating: "d", count: 150)).txt",
      Array("a name that ustar cannot hold".utf8)
    ),
    ("ä中.txt", Array("not ASCII".utf8)),
  ]

  @Test("files and names in every dialect", arguments: ["ustar", "gnu", "pax"])
  func dialects(name: String) throws {
    let blob = try ProgramFixtures.blob("\(name).tar")
    #expect(Tar.isTar(blob))
    let entries = try Tar(blob).entries
    let expected = TarTests.common + (name == "ustar" ? [] : TarTests.longest)
    #expect(entries.map(\.name) == expected.map(\.0))
    #expect(entries.map { entry in entry.contents.withUnsafeBytes { Array($0) } } == expected.map(\.1))
    #expect(entries[1].baseName == "\(String(repeating: "b", count: 60)).txt")
  }

  @Test("every truncation before the end mark is an error", arguments: ["ustar", "gnu", "pax"])
  func truncation(name: String) throws {
    let bytes = try ProgramFixtures.bytes("\(name).tar")
    let end = try #require(bytes.lastIndex { $0 != 0 })
    let endMark = (end + 512) / 512 * 512
    for length in 0..<endMark + 512 {
      #expect(hgnetError { _ = try Tar(Blob(bytes[..<length])) }?.code == .malformedData, "\(length)")
    }
    #expect(throws: Never.self) { try Tar(Blob(bytes[..<(endMark + 512)])) }
  }

  @Test("a wrong checksum, a size beyond the file, and compression are told apart")
  func broken() throws {
    var bytes = try ProgramFixtures.bytes("ustar.tar")
    bytes[3] ^= 1
    #expect(!Tar.isTar(Blob(bytes)))
    #expect(hgnetError { _ = try Tar(Blob(bytes)) }?.message.contains("checksum") == true)
    #expect(hgnetError { _ = try Tar(Blob([0x1F, 0x8B, 8, 0])) }?.code == .unsupported)
    // Base 256, 2^62 bytes, with the checksum put right.
    var header = [UInt8](try ProgramFixtures.bytes("published.tar")[512..<1024])
    header.replaceSubrange(124..<136, with: [0x80, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0])
    header.replaceSubrange(148..<156, with: Array("        ".utf8))
    let digits = String(header.reduce(0) { $0 + Int($1) }, radix: 8)
    header.replaceSubrange(
      148..<156, with: Array((String(repeating: "0", count: 6 - digits.count) + digits).utf8) + [0, 0x20])
    let error = hgnetError { _ = try Tar(Blob(header + [UInt8](repeating: 0, count: 1024))) }
    #expect(error?.message.contains("4611686018427387904") == true)
  }

  @Test("changed archives are read or refused", arguments: ["gnu", "pax"])
  func mutations(name: String) throws {
    var bytes = try ProgramFixtures.bytes("\(name).tar")
    // Without the checksums' protection most changes would stop at the first header.
    for mutated in Mutations(of: Array(bytes.prefix(6144)), count: 1500) {
      bytes = mutated
      for start in stride(from: 0, to: bytes.count - 511, by: 512) where bytes[start] != 0 {
        bytes.replaceSubrange(start + 148..<start + 156, with: Array("        ".utf8))
        let digits = String(bytes[start..<start + 512].reduce(0) { $0 + Int($1) }, radix: 8)
        bytes.replaceSubrange(
          start + 148..<start + 156,
          with: Array((String(repeating: "0", count: max(6 - digits.count, 0)) + digits).utf8.prefix(6)) + [0, 0x20])
      }
      guard let tar = try? Tar(Blob(bytes)) else { continue }
      #expect(tar.entries.allSatisfy { $0.contents.range.upperBound <= bytes.count })
    }
  }
}
