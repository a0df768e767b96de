import HGNetCore
import HGNetFormats
import Testing

@Suite("Paddle parameters") struct PaddleParametersTests {
  private static let names = [
    "stem.stem1.conv.weight", "stem.stem1.bn._mean", "fc.weight", "half", "brain", "double", "long", "int", "byte",
    "truth", "scalar",
  ]

  private func expectAll(_ store: ParameterStore) {
    typealias F = PickleFixtures
    #expect(store.names == PaddleParametersTests.names)
    F.expect(store, "stem.stem1.conv.weight", F.ramp(2, 3, 3, 3))
    F.expect(store, "stem.stem1.bn._mean", F.ramp(2))
    F.expect(store, "fc.weight", F.ramp(4, 3))
    F.expect(store, "half", F.ramp(2, 2), .float16)
    F.expect(store, "brain", F.ramp(2, 2), .bfloat16)
    F.expect(store, "double", F.ramp(3), .float64)
    F.expect(store, "long", Tensor(shape: [3], values: [1, -2, 3]), .int64)
    F.expect(store, "int", Tensor(shape: [3], values: [1, -2, 3]), .int32)
    F.expect(store, "byte", Tensor(shape: [3], values: [0, 128, 255]), .uint8)
    F.expect(store, "truth", Tensor(shape: [2], values: [1, 0]), .bool)
    F.expect(store, "scalar", Tensor(shape: [], values: [2.5]))
  }

  @Test(
    "Every form that PaddlePaddle writes is read",
    arguments: ["protocol2", "protocol3", "protocol4", "numpy1", "tuples"])
  func forms(name: String) throws {
    let contents = try PaddleParameters.contents(of: try PickleFixtures.blob("\(name).pdparams"))
    expectAll(contents.parameters)
    #expect(contents.internalNames["fc.weight"] == "internal_fc_weight")
    #expect(contents.internalNames.count == 11)
  }

  @Test func dataStaysInTheFile() throws {
    let blob = try PickleFixtures.blob("protocol4.pdparams")
    let store = try PaddleParameters.read(blob)
    #expect(store["stem.stem1.conv.weight"]?.bytes.blob === blob)
  }

  @Test func pieces() throws {
    let store = try PaddleParameters.read(try PickleFixtures.blob("pieces.pdparams"))
    #expect(Set(store.names) == ["fc.weight", "fc.bias"])
    PickleFixtures.expect(store, "fc.weight", PickleFixtures.ramp(4, 3))
    PickleFixtures.expect(store, "fc.bias", PickleFixtures.ramp(3))
  }

  @Test func fortranOrder() throws {
    let store = try PaddleParameters.read(try PickleFixtures.blob("fortran.pdparams"))
    PickleFixtures.expect(store, "w", PickleFixtures.ramp(2, 3, 4))
  }

  @Test func bigEndian() throws {
    let error = PickleFixtures.error { _ = try PaddleParameters.read(try PickleFixtures.blob("bigendian.pdparams")) }
    #expect(error?.code == .unsupported)
    #expect(error?.context.key == "w")
    #expect(error?.context.path == PickleFixtures.path("bigendian.pdparams"))
  }

  @Test func optimizerStateIsNoModel() throws {
    let error = PickleFixtures.error { _ = try PaddleParameters.read(try PickleFixtures.blob("momentum.pdopt")) }
    #expect(error?.code == .malformedData)
    #expect(error?.message.contains("a list") == true)
  }

  @Test("What is written is read again", arguments: [2, 3, 4])
  func roundTrip(version: Int) throws {
    let contents = try PaddleParameters.contents(of: try PickleFixtures.blob("protocol4.pdparams"))
    let path = PickleFixtures.temporaryPath("written\(version).pdparams")
    defer { PickleFixtures.remove(path) }
    try PaddleParameters.write(
      contents.parameters, to: path, protocol: version, internalNames: contents.internalNames)
    let again = try PaddleParameters.contents(of: try Blob(mapping: path))
    expectAll(again.parameters)
    #expect(again.internalNames == contents.internalNames)
  }

  @Test("The bytes are those that PaddlePaddle was seen to load", arguments: [2, 4])
  func golden(version: Int) throws {
    let contents = try PaddleParameters.contents(of: try PickleFixtures.blob("protocol4.pdparams"))
    let path = PickleFixtures.temporaryPath("golden\(version).pdparams")
    defer { PickleFixtures.remove(path) }
    // Protocol 2 in pieces of 16 bytes, so that most tensors are cut.
    try PaddleParameters.write(
      contents.parameters, to: path, protocol: version, internalNames: contents.internalNames,
      largestPieceByteCount: version == 2 ? 16 : 1 << 30)
    let expected = PickleFixtures.bytes(try PickleFixtures.blob("written\(version).pdparams"))
    #expect(PickleFixtures.bytes(try Blob(mapping: path)) == expected)
    let store = try PaddleParameters.read(try Blob(mapping: path))
    #expect(Set(store.names) == Set(PaddleParametersTests.names))
    PickleFixtures.expect(store, "stem.stem1.conv.weight", PickleFixtures.ramp(2, 3, 3, 3))
  }

  @Test func writingErrors() throws {
    let store = try PaddleParameters.read(try PickleFixtures.blob("protocol4.pdparams"))
    #expect(
      PickleFixtures.error { try PaddleParameters.write(store, to: "/nowhere/x.pdparams") }?.code == .unwritableFile)
    let path = PickleFixtures.temporaryPath("x.pdparams")
    defer { PickleFixtures.remove(path) }
    #expect(
      PickleFixtures.error { try PaddleParameters.write(store, to: path, protocol: 5) }?.code == .invalidArgument)
  }

  @Test(
    "Damaged files give errors, not traps",
    arguments: ["protocol2", "protocol3", "protocol4", "tuples", "pieces", "fortran", "written2"])
  func fuzz(name: String) throws {
    try PickleFixtures.fuzz("\(name).pdparams", iterations: 2000, seed: 2) {
      PickleFixtures.use(try PaddleParameters.read($0))
    }
  }
}
