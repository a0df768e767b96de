import HGNetCore
import HGNetFormats
import Testing

@Suite("NumPy arrays") struct NumpyArrayTests {
  @Test(
    "Arrays that NumPy wrote are read",
    arguments: [
      ("f4", [2, 3, 4]), ("f2", [2, 3]), ("f8", [2, 3]), ("fortran", [2, 3, 4]), ("v2", [2, 3]), ("v3", [2, 3]),
    ])
  func ramps(name: String, extents: [Int]) throws {
    let tensor = try NumpyArray.read(try PickleFixtures.blob("\(name).npy"))
    #expect(tensor.shape == Shape(extents))
    #expect(tensor.values == (0..<tensor.count).map { (Float($0) - 5) / 4 })
  }

  @Test func otherValues() throws {
    #expect(try NumpyArray.read(try PickleFixtures.blob("i8.npy")).values == [1, -2, 3])
    let scalar = try NumpyArray.read(try PickleFixtures.blob("scalar.npy"))
    #expect(scalar.shape == [])
    #expect(scalar.values == [2.5])
  }

  @Test func whatIsNotReadIsNamed() throws {
    let bigEndian = PickleFixtures.error { _ = try NumpyArray.read(try PickleFixtures.blob("bigendian.npy")) }
    #expect(bigEndian?.code == .unsupported)
    #expect(bigEndian?.message.contains(">f4") == true)
    #expect(bigEndian?.context.path == PickleFixtures.path("bigendian.npy"))
    #expect(
      PickleFixtures.error { _ = try NumpyArray.read(try PickleFixtures.blob("rank5.npy")) }?.code == .unsupported)
    let bytes = PickleFixtures.bytes(try PickleFixtures.blob("f4.npy"))
    let longer = PickleFixtures.error { _ = try NumpyArray.read(Blob(bytes + [0])) }
    #expect(longer?.message.contains("expected 96 bytes") == true)
    #expect(longer?.message.contains("found 97") == true)
  }

  @Test("A huge shape is an error before anything is allocated")
  func hugeShape() throws {
    let bytes = PickleFixtures.bytes(try PickleFixtures.blob("f4.npy"))
    let text = String(decoding: bytes[10..<128], as: UTF8.self)
    for shape in [
      "(1152921504606846976,)", "(999999999, 999999999, 999999999)", "(99999999999999999999,)", "(2, -3, 4)",
    ] {
      var header = text.split(separator: "(")[0] + shape + ", }"
      header += String(repeating: " ", count: 117 - header.utf8.count) + "\n"
      let error = PickleFixtures.error { _ = try NumpyArray.read(Blob(bytes[..<10] + header.utf8 + bytes[128...])) }
      #expect(error?.code == .limitExceeded || error?.code == .malformedData, "\(shape)")
    }
  }

  @Test(
    "The bytes written are those of NumPy", arguments: ["f4", "scalar"])
  func golden(name: String) throws {
    let golden = try PickleFixtures.blob("\(name).npy")
    let path = PickleFixtures.temporaryPath("\(name).npy")
    defer { PickleFixtures.remove(path) }
    try NumpyArray.write(try NumpyArray.read(golden), to: path)
    #expect(PickleFixtures.bytes(try Blob(mapping: path)) == PickleFixtures.bytes(golden))
  }

  @Test(
    "Shapes of every rank survive", arguments: [[], [5], [0, 3], [2, 3], [1, 2, 3], [3, 1, 2, 2]] as [[Int]])
  func roundTrip(extents: [Int]) throws {
    let shape = Shape(extents)
    let tensor = Tensor(shape: shape, values: (0..<shape.count).map { Float($0) * 0.37 - 1 })
    let path = PickleFixtures.temporaryPath("rank\(extents.count).npy")
    defer { PickleFixtures.remove(path) }
    try NumpyArray.write(tensor, to: path)
    let again = try NumpyArray.read(try Blob(mapping: path))
    #expect(again.shape == shape)
    #expect(again.values == tensor.values)
  }

  @Test("Damaged files give errors, not traps", arguments: ["f4", "f2", "fortran", "v2", "v3", "scalar"])
  func fuzz(name: String) throws {
    try PickleFixtures.fuzz("\(name).npy", iterations: 2000, seed: 4) { _ = try NumpyArray.read($0).values.count }
  }
}
