import HGNetCore
import HGNetFormats
import Testing

@Suite("PyTorch checkpoints") struct TorchCheckpointTests {
  @Test("Every form that torch.save writes is read", arguments: ["zip", "legacy", "legacy4"])
  func forms(name: String) throws {
    typealias F = PickleFixtures
    let blob = try F.blob("\(name).pth")
    #expect(TorchCheckpoint.recognises(blob))
    let store = try TorchCheckpoint.read(blob)
    #expect(
      store.names == [
        "stem.stem1.conv.weight", "head.fc.weight", "half", "brain", "double", "num_batches_tracked", "transposed",
        "channels_last", "rows", "columns", "whole", "truth", "empty",
      ])
    F.expect(store, "stem.stem1.conv.weight", F.ramp(2, 3, 3, 3))
    F.expect(store, "head.fc.weight", F.ramp(3, 4))
    F.expect(store, "half", F.ramp(2, 2), .float16)
    F.expect(store, "brain", F.ramp(2, 2), .bfloat16)
    F.expect(store, "double", F.ramp(3), .float64)
    F.expect(store, "num_batches_tracked", Tensor(shape: [], values: [12]), .int64)
    let matrix = F.ramp(3, 4).values
    F.expect(
      store, "transposed",
      Tensor(shape: [4, 3], values: (0..<4).flatMap { row in (0..<3).map { matrix[$0 * 4 + row] } }))
    F.expect(store, "channels_last", F.ramp(1, 3, 2, 2))
    let whole = F.ramp(4, 6)
    F.expect(store, "whole", whole)
    F.expect(store, "rows", Tensor(shape: [2, 6], values: whole.values[6..<18]))
    F.expect(
      store, "columns",
      Tensor(shape: [4, 2], values: (0..<4).flatMap { row in (2..<4).map { whole[row * 6 + $0] } }))
    F.expect(store, "truth", Tensor(shape: [2], values: [1, 0]), .bool)
    F.expect(store, "empty", Tensor(shape: [0, 3], values: []))
    #expect(store["stem.stem1.conv.weight"]?.bytes.blob === blob)
  }

  @Test func trainingCheckpoint() throws {
    let store = try TorchCheckpoint.read(try PickleFixtures.blob("nested.pth"))
    #expect(store.names == ["w"])
    // The averaged weights are the ones to infer with.
    PickleFixtures.expect(store, "w", Tensor(shape: [2], values: [-0.25, 0]))
    let contents = try TorchCheckpoint.contents(of: try PickleFixtures.blob("nested.pth"))
    #expect(contents.entry == "state_dict_ema" && contents.otherEntries == ["state_dict"])
    #expect(try TorchCheckpoint.contents(of: try PickleFixtures.blob("zip.pth")).entry == nil)
    PickleFixtures.expect(
      try TorchCheckpoint.read(try PickleFixtures.blob("ema.pth")), "w", PickleFixtures.ramp(2))
  }

  @Test func wholeModuleIsRefused() {
    let error = PickleFixtures.error { _ = try TorchCheckpoint.read(try PickleFixtures.blob("module.pth")) }
    #expect(error?.code == .unsafeContent)
    #expect(error?.message.contains("__main__.Holder") == true)
    #expect(error?.message.contains("torch.save(model.state_dict()") == true)
    #expect(error?.context.path == PickleFixtures.path("module.pth"))
  }

  @Test func scriptIsRefused() {
    let error = PickleFixtures.error { _ = try TorchCheckpoint.read(try PickleFixtures.blob("script.pt")) }
    #expect(error?.code == .unsupported)
    #expect(error?.message.contains("TorchScript") == true)
  }

  @Test func compressedEntriesAreRefused() throws {
    // The method of the first entry of the directory, changed to 8 (deflate).
    var bytes = PickleFixtures.bytes(try PickleFixtures.blob("zip.pth"))
    let directory = try #require((0..<bytes.count - 4).first { Array(bytes[$0..<$0 + 4]) == [0x50, 0x4B, 1, 2] })
    bytes[directory + 10] = 8
    let error = PickleFixtures.error { _ = try TorchCheckpoint.read(Blob(bytes)) }
    #expect(error?.code == .unsupported)
    #expect(error?.message.contains("without compression") == true)
  }

  @Test func zip64() throws {
    let store = try TorchCheckpoint.read(try PickleFixtures.blob("zip64.pth"))
    PickleFixtures.expect(store, "w", PickleFixtures.ramp(2, 3))
  }

  @Test func otherFilesAreNone() throws {
    let blob = try PickleFixtures.blob("protocol2.pdparams")
    #expect(!TorchCheckpoint.recognises(blob))
    #expect(PickleFixtures.error { _ = try TorchCheckpoint.read(blob) }?.code == .malformedData)
    #expect(!TorchCheckpoint.recognises(Blob([])))
    #expect(PickleFixtures.error { _ = try TorchCheckpoint.read(Blob([])) }?.code == .malformedData)
  }

  @Test(
    "Damaged files give errors, not traps", arguments: ["zip.pth", "legacy.pth", "legacy4.pth", "zip64.pth", "ema.pth"])
  func fuzz(name: String) throws {
    try PickleFixtures.fuzz(name, iterations: 2000, seed: 3) { PickleFixtures.use(try TorchCheckpoint.read($0)) }
  }
}
