import HGNetCore
import HGNetFormats
import Testing

@Suite("Paddle tensors (.pdiparams)")
struct PaddleTensorsTests {
  private func names(_ network: String) throws -> [String] {
    try PaddleInferenceModel(contentsOf: ProgramFixtures.path("\(network)-json")).parameters.names
  }

  @Test("names are assigned in byte order, not in numeric order")
  func order() throws {
    let names = try names("v2-softmax")
    let convolutions = names.filter { $0.hasPrefix("conv2d_") }.prefix(3).map { $0.prefix { $0 != "." } }
    #expect(convolutions == ["conv2d_0", "conv2d_1", "conv2d_10"])
  }

  @Test("writing gives the bytes that PaddlePaddle wrote", arguments: ["v2-softmax", "v1-softmax"])
  func writing(network: String) throws {
    let model = try PaddleInferenceModel(contentsOf: ProgramFixtures.path("\(network)-json"))
    // In another order, to see the sorting.
    var store = ParameterStore()
    for name in model.parameters.names.reversed() { store[name] = model.parameters[name] }
    try ProgramFixtures.withFolder { folder in
      let path = "\(folder)/inference.pdiparams"
      try PaddleTensors.write(store, to: path)
      let written = try Blob(mapping: path).withUnsafeBytes { Array($0) }
      #expect(try written == ProgramFixtures.bytes("\(network)-json/inference.pdiparams"))
    }
  }

  @Test("levels of detail are passed over; half precision is read")
  func levelsAndTypes() throws {
    let levels: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9]
    // Element type 22 is bfloat16; the extents are packed here, as newer protobuf writers do.
    let description: [UInt8] = [0x08, 22, 0x12, 1, 2]
    let bytes = [0, 0, 0, 0] + levels + [0, 0, 0, 0, 5, 0, 0, 0] + description + [0x80, 0x3F, 0x20, 0xC1]
    let store = try PaddleTensors.read(BlobSlice(Blob(bytes)), names: ["a"])
    #expect(store["a"]?.tensor().values == [1, -10])
  }

  @Test("too few and too many names")
  func counts() throws {
    let blob = try ProgramFixtures.blob("v1-none-json/inference.pdiparams")
    let names = try names("v1-none")
    let missing = hgnetError { _ = try PaddleTensors.read(BlobSlice(blob), names: names + ["zebra"]) }
    #expect(missing?.code == .parameterMismatch)
    #expect(missing?.message.contains("zebra") == true)
    let unused = hgnetError { _ = try PaddleTensors.read(BlobSlice(blob), names: Array(names.dropLast())) }
    #expect(unused?.code == .parameterMismatch)
  }

  @Test(
    "broken headers",
    arguments: [
      (4, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]),  // Levels.
      (4, [1, 0, 0, 0, 0, 0, 0, 0]), (0, [1, 0, 0, 0]), (12, [1, 0, 0, 0]), (16, [0xFF, 0xFF, 0xFF, 0xFF]),
      (16, [0xFF, 0xFF, 0xFF, 0x7F]), (20, [0x08, 99]), (20, [0x09]), (22, [0x10, 0xFF, 0xFF, 0xFF, 0x7F]),
    ] as [(Int, [UInt8])])
  func broken(offset: Int, replacement: [UInt8]) throws {
    var bytes = try ProgramFixtures.bytes("v1-none-json/inference.pdiparams")
    bytes.replaceSubrange(offset..<offset + replacement.count, with: replacement)
    let names = try names("v1-none")
    #expect(hgnetError { _ = try PaddleTensors.read(BlobSlice(Blob(bytes)), names: names) } != nil)
  }

  @Test("extents beyond any memory and below zero")
  func extents() {
    for dims: [UInt8] in [
      [0x10, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10],
      [0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
      [0x10, 1, 0x10, 1, 0x10, 1, 0x10, 1, 0x10, 1],
    ] {
      let description = [0x08, 5] + dims
      let bytes = [UInt8](repeating: 0, count: 16) + [UInt8(description.count), 0, 0, 0] + description + [0, 0, 0, 0]
      let error = hgnetError { _ = try PaddleTensors.read(BlobSlice(Blob(bytes)), names: ["a"]) }
      #expect(error?.context.key == "a")
    }
  }

  @Test("every truncation is an error")
  func truncation() throws {
    let bytes = try ProgramFixtures.bytes("v1-none-json/inference.pdiparams")
    let names = try names("v1-none")
    for length in 0..<bytes.count {
      #expect(
        hgnetError { _ = try PaddleTensors.read(BlobSlice(Blob(bytes[..<length])), names: names) } != nil, "\(length)")
    }
  }

  @Test("changed files are read or refused")
  func mutations() throws {
    let names = try names("v1-none")
    for bytes in Mutations(of: try ProgramFixtures.bytes("v1-none-json/inference.pdiparams"), count: 3000) {
      guard let store = try? PaddleTensors.read(BlobSlice(Blob(bytes)), names: names) else { continue }
      #expect(store.elementCount * 4 <= bytes.count * 4)
    }
  }
}
