import HGNetCore
import HGNetFormats
import Testing

@Suite("Safetensors")
struct SafetensorsTests {
  private func file(_ header: String, data: [UInt8] = []) -> Blob {
    let header = Array(header.utf8)
    return Blob((0..<8).map { UInt8(truncatingIfNeeded: header.count >> ($0 * 8)) } + header + data)
  }

  @Test("every element type that the Python package wrote")
  func types() throws {
    let blob = try ProgramFixtures.blob("types.safetensors")
    #expect(Safetensors.recognises(blob))
    let (store, metadata) = try Safetensors.read(blob)
    #expect(metadata == ["format": "np", "note": "a \"quoted\"\nline"])
    #expect(store.count == 11)
    let expected: [(String, ElementType, Shape, [Float])] = [
      ("half", .float16, [4], [0.5, -2, 65504, Float(halfBits: 1)]), ("double", .float64, [2, 1], [1.25, -3]),
      ("steps", .int64, [], [7]), ("int32", .int32, [2], [-5, 5]), ("int16", .int16, [1], [-300]),
      ("int8", .int8, [3], [-1, 2, 3]), ("uint8", .uint8, [1], [255]), ("flags", .bool, [2], [1, 0]),
      ("nothing", .float32, [0, 3], []), ("quoted \"ä\\", .float32, [1], [1]),
    ]
    for (name, type, shape, values) in expected {
      let parameter = try #require(store[name], "\(name)")
      #expect(parameter.elementType == type)
      #expect(parameter.shape == shape)
      #expect(parameter.tensor().values == values)
    }
    #expect(store["stem.stem1.conv.weight"]?.shape == [2, 3, 3, 3])
    let brain = try Safetensors.read(ProgramFixtures.blob("bfloat16.safetensors")).parameters["brain"]
    #expect(brain?.elementType == .bfloat16)
    #expect(brain?.tensor().values == [1, -10, 0])
  }

  @Test("what is written is read again, in order, aligned to 8 bytes")
  func roundTrip() throws {
    let source = try Safetensors.read(ProgramFixtures.blob("types.safetensors")).parameters
    var store = source
    store["a, after all others"] = Parameter(
      Tensor(shape: [2, 2], values: [1, -0.0, .infinity, .leastNonzeroMagnitude]))
    try ProgramFixtures.withFolder { folder in
      let path = "\(folder)/model.safetensors"
      try Safetensors.write(store, metadata: ["ä\"": "\u{1}\\", "b": ""], to: path)
      let blob = try Blob(mapping: path)
      let headerSize = blob.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
      #expect(headerSize % 8 == 0)
      let (again, metadata) = try Safetensors.read(blob)
      #expect(metadata == ["ä\"": "\u{1}\\", "b": ""])
      #expect(again.names == store.names)
      for name in store.names {
        #expect(again[name]?.elementType == .float32)
        #expect(again[name]?.shape == store[name]?.shape)
        let bits = { (store: ParameterStore) in store[name]?.tensor().values.map(\.bitPattern) }
        #expect(bits(again) == bits(store))
      }
      try Safetensors.write(ParameterStore(), to: path)
      #expect(try Safetensors.read(Blob(mapping: path)).parameters.isEmpty)
      store["__metadata__"] = Parameter(Tensor(shape: [1]))
      let error = hgnetError { try Safetensors.write(store, to: path) }
      #expect(error?.code == .invalidArgument)
      #expect(try Safetensors.read(Blob(mapping: path)).parameters.isEmpty)
      #expect(hgnetError { try Safetensors.write(source, to: "\(folder)/missing/x") }?.code == .unwritableFile)
    }
  }

  @Test(
    "broken headers",
    arguments: [
      ("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}", HGNetError.Code.malformedData),
      ("[]", .malformedData), ("{\"a\":1}", .malformedData), ("{\"a\":{}}", .malformedData),
      ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", .malformedData),
      ("{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}", .malformedData),
      ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", .malformedData),
      ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", .malformedData),
      ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", .malformedData),
      ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", .malformedData),
      ("{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", .malformedData),
      ("{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", .malformedData),
      ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1152921504606846976],\"data_offsets\":[0,8]}}", .limitExceeded),
      ("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}", .limitExceeded),
      ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,2],\"data_offsets\":[0,8]}}", .unsupported),
      ("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[8],\"data_offsets\":[0,8]}}", .unsupported),
      ("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,9223372036854775807]}}", .malformedData),
      (
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
        .malformedData
      ),
      ("{\"__metadata__\":{\"a\":1}}", .malformedData), ("{\"__metadata__\":[]}", .malformedData),
    ])
  func broken(header: String, code: HGNetError.Code) {
    let blob = file(header, data: [UInt8](repeating: 0, count: 8))
    #expect(hgnetError { _ = try Safetensors.read(blob) }?.code == code)
  }

  @Test("a header longer than the file or than the format allows")
  func headerSize() {
    for size: UInt64 in [3, 1 << 20, 1 << 60, .max] {
      let blob = Blob((0..<8).map { UInt8(truncatingIfNeeded: size >> ($0 * 8)) } + [0x7B, 0x7D])
      #expect(!Safetensors.recognises(blob))
      #expect(hgnetError { _ = try Safetensors.read(blob) }?.code == .malformedData)
    }
  }

  @Test("an error names file and array")
  func context() throws {
    try ProgramFixtures.withFolder { folder in
      let path = "\(folder)/a.safetensors"
      let blob = file(
        "{\"fc.bias\":{\"dtype\":\"C64\",\"shape\":[1],\"data_offsets\":[0,8]}}", data: [UInt8](repeating: 0, count: 8))
      try ProgramFixtures.write(blob.withUnsafeBytes { Array($0) }, to: path)
      let error = hgnetError { _ = try Safetensors.read(Blob(mapping: path)) }
      #expect(error?.context.path == path)
      #expect(error?.context.key == "fc.bias")
      #expect(error?.message.contains("C64") == true)
    }
  }

  @Test("every truncation is an error", arguments: ["types.safetensors", "bfloat16.safetensors"])
  func truncation(name: String) throws {
    let bytes = try ProgramFixtures.bytes(name)
    for length in 0..<bytes.count {
      #expect(hgnetError { _ = try Safetensors.read(Blob(bytes[..<length])) } != nil, "\(length)")
    }
  }

  @Test("changed files are read or refused")
  func mutations() throws {
    for bytes in Mutations(of: try ProgramFixtures.bytes("types.safetensors"), count: 3000) {
      guard let store = try? Safetensors.read(Blob(bytes)).parameters else { continue }
      #expect(store.elementCount <= bytes.count)
      for name in store.names { _ = store[name]?.tensor() }
    }
  }
}
