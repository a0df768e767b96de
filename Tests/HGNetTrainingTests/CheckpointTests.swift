import Foundation
import HGNetCore
import HGNetFormats
import HGNetTraining
import Testing

@Suite("Checkpoints")
struct CheckpointTests {
  static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/training")

  let folder: CheckpointWorkspace

  init() throws { folder = try CheckpointWorkspace() }

  // MARK: PaddlePaddle's files

  @Test("What PaddlePaddle writes is read, number by number", arguments: ["momentum", "adamw"])
  func paddle(kind: String) throws {
    let table = try String(contentsOf: Self.fixtures.appendingPathComponent("paddle.tsv"), encoding: .utf8)
    let contents = try Checkpoint.read(Self.fixtures.appendingPathComponent(kind).path)
    #expect(
      contents.progress
        == {
          var progress = TrainingProgress(epoch: 3)
          progress.metric = 0.625
          return progress
        }())
    #expect(contents.averaged == nil)
    #expect(contents.internalNames["conv.weight"] == "conv2d_0.w_0")
    var found = 0
    for line in table.split(separator: "\n") {
      let fields = line.split(separator: "\t").map(String.init)
      guard fields[0] == kind else { continue }
      if fields[1] == "schedule" {
        let schedule = try #require(contents.optimizer.schedule)
        #expect(schedule.step == Int(fields[2]))
        #expect(schedule.learningRate == Double(fields[3]))
        #expect(schedule.inner?.step == (fields.count > 4 ? Int(fields[4]) : nil))
        #expect(schedule.inner?.learningRate == (fields.count > 4 ? Double(fields[5]) : nil))
        continue
      }
      let store = fields[1] == "parameter" ? contents.parameters : contents.optimizer.tensors
      let values = try #require(store[fields[2]], "\(fields[2])").tensor().values
      #expect(values == fields[3].split(separator: " ").compactMap { Float($0) }, "\(fields[2])")
      found += 1
    }
    #expect(found == contents.parameters.count + contents.optimizer.tensors.count)
  }

  @Test("What we write is what PaddlePaddle was seen to load")
  func written() throws {
    // Tests/Fixtures/training/check_written.py loads these files.
    var contents = CheckpointWorkspace.contents(scale: 1)
    try Checkpoint.write(contents, to: folder.path("written"))
    contents.averaged = CheckpointWorkspace.store(offset: 50)
    try Checkpoint.write(contents, to: folder.path("averaged"))
    for name in ["written.pdparams", "written.pdopt", "written.pdstates", "averaged.pdema"] {
      let golden = Self.fixtures.appendingPathComponent(name)
      let bytes = try Data(contentsOf: URL(fileURLWithPath: folder.path(name)))
      if ProcessInfo.processInfo.environment["HGNET_RECORD_CHECKPOINT"] != nil { try bytes.write(to: golden) }
      #expect(bytes == (try Data(contentsOf: golden)), "\(name)")
    }
  }

  // MARK: Our own

  @Test("Everything comes back bit for bit", arguments: [false, true])
  func roundTrip(isAveraged: Bool) throws {
    var contents = CheckpointWorkspace.contents(scale: 3)
    if isAveraged { contents.averaged = CheckpointWorkspace.store(offset: 9) }
    var generator = RandomGenerator(seed: .max, stream: "dropout")
    _ = generator.normal()
    contents.progress.stepInEpoch = 17
    contents.progress.globalStep = 1 << 40
    contents.progress.bestMetric = 0.1
    contents.progress.bestEpoch = 2
    contents.progress.seed = .max
    contents.progress.model = "PPHGNetV2_B0"
    contents.progress.generators = ["dropout": generator, "mixup": RandomGenerator(seed: 2)]
    contents.progress.values = ["loss sum": 1.0 / 3, "none": -.infinity, "nan": .nan, "negative zero": -0.0]
    try Checkpoint.write(contents, to: folder.path("latest"), writesSafetensors: true)
    var read = try Checkpoint.read(folder.path("latest.pdopt"))
    #expect(read.progress == contents.progress)
    #expect(read.internalNames == contents.internalNames)
    #expect(read.optimizer.schedule == contents.optimizer.schedule)
    #expect(CheckpointWorkspace.bytes(read.parameters) == CheckpointWorkspace.bytes(contents.parameters))
    #expect(CheckpointWorkspace.bytes(read.optimizer.tensors) == CheckpointWorkspace.bytes(contents.optimizer.tensors))
    #expect(read.averaged.map(CheckpointWorkspace.bytes) == contents.averaged.map(CheckpointWorkspace.bytes))
    for _ in 0..<5 { #expect(read.progress.generators["dropout"]?.normal() == generator.normal()) }
    let weights = try Safetensors.read(Blob(mapping: folder.path("latest.safetensors"))).parameters
    #expect(
      CheckpointWorkspace.bytes(weights)
        == CheckpointWorkspace.bytes(contents.averaged ?? contents.parameters))
    // Without an average and a copy the older ones go away.
    contents.averaged = nil
    try Checkpoint.write(contents, to: folder.path("latest"))
    #expect(folder.names == ["latest.pdopt", "latest.pdparams", "latest.pdstates"])
    #expect(try Checkpoint.read(folder.path("latest")).averaged == nil)
  }

  @Test("The folder of a run has PaddleClas' names")
  func names() throws {
    let run = try CheckpointFolder(path: folder.path("a/b"), saveInterval: 2)
    var contents = CheckpointWorkspace.contents(scale: 1)
    for epoch in 1...4 {
      contents.progress = TrainingProgress(epoch: epoch)
      try run.save(contents)
    }
    contents.progress.stepInEpoch = 3
    #expect(try run.save(contents) == [run.latest])
    contents.averaged = CheckpointWorkspace.store(offset: 4)
    try run.saveBest(contents)
    let files = try FileManager.default.contentsOfDirectory(atPath: run.path).sorted()
    let sets = ["epoch_2", "epoch_4", "latest"].flatMap { name in
      ["pdopt", "pdparams", "pdstates"].map { "\(name).\($0)" }
    }
    let best = ["best_model"] + ["pdema", "pdopt", "pdparams", "pdstates"].map { "best_model.\($0)" }
    #expect(files == best + sets)
    #expect(try Checkpoint.read(run.epoch(2)).progress.epoch == 2)
    #expect(try Checkpoint.read(run.latest).progress.stepInEpoch == 3)
    let raw = try PaddleParameters.read(Blob(mapping: run.path + "/best_model/model.pdparams"))
    #expect(CheckpointWorkspace.bytes(raw) == CheckpointWorkspace.bytes(contents.parameters))
    #expect(!(try CheckpointFolder(path: run.path, saveInterval: 0)).keeps(epoch: 4))
  }

  // MARK: Damage

  @Test("At each step of a replacement the older or the newer checkpoint is there, complete", arguments: 0..<9)
  func interrupted(step: Int) throws {
    var (old, new) = (CheckpointWorkspace.contents(scale: 1), CheckpointWorkspace.contents(scale: 2))
    (old.progress, new.progress) = (TrainingProgress(epoch: 1), TrainingProgress(epoch: 2))
    old.averaged = CheckpointWorkspace.store(offset: 3)
    try Checkpoint.write(old, to: folder.path("latest"))
    try Checkpoint.write(new, to: folder.path("newer"), writesSafetensors: true)
    // Four files are written, then the stale average goes and four files get their names.
    let files = ["pdparams", "pdopt", "safetensors", "pdstates"]
    for ending in files.prefix(step) {
      try FileManager.default.copyItem(
        atPath: folder.path("newer.\(ending)"), toPath: folder.path("latest.next.\(ending)"))
    }
    if step >= 5 { try FileManager.default.removeItem(atPath: folder.path("latest.pdema")) }
    for ending in files.prefix(max(step - 5, 0)) {
      try? FileManager.default.removeItem(atPath: folder.path("latest.\(ending)"))
      try FileManager.default.moveItem(
        atPath: folder.path("latest.next.\(ending)"), toPath: folder.path("latest.\(ending)"))
    }
    func check(_ expected: CheckpointContents) throws {
      let read = try Checkpoint.read(folder.path("latest"))
      #expect(read.progress == expected.progress)
      #expect(CheckpointWorkspace.bytes(read.parameters) == CheckpointWorkspace.bytes(expected.parameters))
      #expect(
        CheckpointWorkspace.bytes(read.optimizer.tensors) == CheckpointWorkspace.bytes(expected.optimizer.tensors))
      #expect((read.averaged == nil) == (expected.averaged == nil))
    }
    try check(step < 4 ? old : new)
    // A half-written file of a process that is gone does no harm and is cleared away.
    try Data([1]).write(to: URL(fileURLWithPath: folder.path("latest.next.pdopt.4194303.partial")))
    var third = new
    third.progress.epoch = 3
    try Checkpoint.write(third, to: folder.path("latest"))
    try check(third)
    #expect(folder.names.filter { $0.hasPrefix("latest") }.count == 3)
  }

  @Test("Files of two checkpoints are not taken for one", arguments: ["pdparams", "pdopt", "pdstates"])
  func mixed(ending: String) throws {
    for (name, scale) in [("one", 1), ("two", 2)] {
      try Checkpoint.write(CheckpointWorkspace.contents(scale: Float(scale)), to: folder.path(name))
    }
    try FileManager.default.removeItem(atPath: folder.path("one.\(ending)"))
    try FileManager.default.copyItem(atPath: folder.path("two.\(ending)"), toPath: folder.path("one.\(ending)"))
    #expect {
      try Checkpoint.read(folder.path("one"))
    } throws: {
      ($0 as? HGNetError)?.code == .malformedData && "\($0)".contains("different checkpoints")
    }
  }

  @Test("Our entry in states that another program has written over is not believed")
  func foreignStates() throws {
    try Checkpoint.write(CheckpointWorkspace.contents(scale: 1), to: folder.path("one"))
    guard case .dictionary(var states) = try Pickle.read(BlobSlice(Blob(mapping: folder.path("one.pdstates")))).value
    else { return #expect(Bool(false)) }
    states["epoch"] = .integer(9)
    try Pickle.write(.dictionary(states), to: folder.path("one.pdstates"))
    try PaddleParameters.write(CheckpointWorkspace.store(offset: 8), to: folder.path("one.pdparams"))
    let read = try Checkpoint.read(folder.path("one"))
    #expect(read.progress.epoch == 9)
    #expect(
      CheckpointWorkspace.bytes(read.parameters) == CheckpointWorkspace.bytes(CheckpointWorkspace.store(offset: 8)))
  }

  @Test("A missing file is named", arguments: ["pdparams", "pdopt", "pdstates"])
  func missing(ending: String) throws {
    try Checkpoint.write(CheckpointWorkspace.contents(scale: 1), to: folder.path("one"))
    try FileManager.default.removeItem(atPath: folder.path("one.\(ending)"))
    #expect {
      try Checkpoint.read(folder.path("one"))
    } throws: {
      ($0 as? HGNetError)?.code == .fileNotFound && "\($0)".contains("one.\(ending)")
    }
    #expect(throws: HGNetError.self) {
      try Checkpoint.write(CheckpointWorkspace.contents(scale: 1), to: folder.path("no/such/folder"))
    }
  }

  @Test("Truncated and mutated files are errors", arguments: ["pdopt", "pdstates"])
  func damaged(ending: String) throws {
    let whole = [UInt8](try Data(contentsOf: Self.fixtures.appendingPathComponent("momentum.\(ending)")))
    for name in ["pdparams", "pdopt", "pdstates"] {
      try FileManager.default.copyItem(
        atPath: Self.fixtures.appendingPathComponent("momentum.\(name)").path, toPath: folder.path("one.\(name)"))
    }
    func read(_ bytes: [UInt8]) throws {
      let file = folder.path("one.\(ending)")
      let descriptor = open(file, O_WRONLY | O_TRUNC)
      defer { close(descriptor) }
      #expect(bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) } == bytes.count)
      _ = try Checkpoint.read(folder.path("one"))
    }
    for length in 0..<whole.count {
      #expect(throws: HGNetError.self, "\(length)") { try read(Array(whole[..<length])) }
    }
    var random = RandomGenerator(seed: 11)
    for _ in 0..<1500 {
      var bytes = whole
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      do { try read(bytes) } catch { #expect(error is HGNetError) }
    }
  }
}
