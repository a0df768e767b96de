import HGNet
import HGNetCore
import HGNetServing
import Synchronization
import Testing

@Suite("Models that come, change and go")
struct RepositoryTests {
  let fixture = ServingFixture()

  @Test("Versions, a replacement, a broken one, unloading")
  func changes() async throws {
    try fixture.place("shapes", version: 1, seed: 5)
    let models = fixture.repository()
    #expect(!models.isReady)
    #expect(await models.refresh().isEmpty)
    #expect(models.isReady)
    let first = try models.model(named: "shapes")
    let blank = [PictureInput.encoded(BlobSlice(Blob(try fixture.picture())))]
    let before = try await first.run(blank, deadline: nil).logits[0].get()

    try fixture.place("shapes", version: 1, seed: 6)
    try fixture.place("shapes", version: 12, seed: 7)
    await models.refresh()
    #expect(try models.model(named: "shapes").version == "12")
    let second = try models.model(named: "shapes", version: "1")
    #expect(try await second.run(blank, deadline: nil).logits[0].get() != before)
    // Whoever holds the old one still gets its answers.
    #expect(try await first.run(blank, deadline: nil).logits[0].get() == before)

    try fixture.folder.write([1, 2, 3], to: "shapes/1/weights.safetensors")
    #expect(await models.refresh().count == 1)
    #expect(try models.model(named: "shapes", version: "1") === second)
    #expect(models.index.first { $0.version == "1" }?.reason.contains("safetensors") == true)

    try models.unload("shapes")
    await models.refresh()
    #expect(throws: ServingError.self) { try models.model(named: "shapes") }
    try fixture.place("shapes", version: 1, seed: 5)
    try await models.load("shapes")
    #expect(try await models.model(named: "shapes", version: "1").run(blank, deadline: nil).logits[0].get() == before)
    await #expect(throws: ServingError.self) { try await models.load("other") }
  }

  @Test("A model that replaces another has the same precision, and what auto has chosen is told of each")
  func precisions() async throws {
    for precision in [Precision.bfloat16, nil] {
      let lines = Mutex<[String]>([])
      let log = ServingLog(level: .info, isJSON: false) { line in lines.withLock { $0.append(line) } }
      let models = fixture.repository(precision: precision, log: log)
      for seed in [UInt64(5), 6] {
        try fixture.place("shapes", version: 1, seed: seed)
        await models.refresh()
        let model = try models.model(named: "shapes").network.model
        let expected = precision ?? model.device.chosenPrecision
        #expect(model.precision == expected)
        let told = lines.withLock { lines in
          defer { lines = [] }
          return lines
        }
        #expect(told.contains { $0.contains("model ") && $0.contains(" precision=\(expected.rawValue) ") })
        let chosen = told.filter {
          $0.contains("precision chosen model=shapes version=1 precision=\(expected.rawValue) ")
        }
        #expect(chosen.count == (precision == nil ? 1 : 0))
      }
    }
  }

  @Test("A recipe or a file of names that changes beside the weights brings them anew; other files do not")
  func recipes() async throws {
    try fixture.place("shapes", version: 1, seed: 5)
    let models = fixture.repository()
    await models.refresh()
    let first = try models.model(named: "shapes")
    func write(size: Int) throws {
      let text = """
        Arch: {name: PPHGNetV2_B0, class_num: 5}
        Infer:
          transforms:
          - ResizeImage: {resize_short: \(size)}
          - CropImage: {size: \(size)}
          - NormalizeImage: {}
          PostProcess: {name: Topk, topk: 2, class_id_map_file: names.txt}
        """
      try fixture.folder.write(Array(text.utf8), to: "shapes/1/config.yaml")
    }
    try write(size: 64)
    await models.refresh()
    let second = try models.model(named: "shapes")
    #expect(second !== first && second.network.recipe.inputSize == Size(64))
    try write(size: 96)
    await models.refresh()
    let third = try models.model(named: "shapes")
    #expect(third !== second && third.network.recipe.inputSize == Size(96))
    try fixture.folder.write(Array("0 e\n1 d\n2 c\n3 b\n4 a\n".utf8), to: "shapes/1/names.txt")
    await models.refresh()
    let fourth = try models.model(named: "shapes")
    #expect(fourth !== third)
    try fixture.folder.write([1], to: "shapes/1/notes.txt")
    await models.refresh()
    #expect(try models.model(named: "shapes") === fourth)
  }

  @Test("Names that lie beside a model and cannot be those of its classes are told, and not used")
  func labels() async throws {
    try fixture.place("shapes", version: 1, seed: 5)
    try fixture.folder.write(Array("1 one\n2 two\n".utf8), to: "shapes/1/labels.txt")
    let location = try ModelFolder(path: fixture.folder.path).source(of: "shapes", version: 1)
    var warnings: [String] = []
    let network = try location.load(device: .cpu()) { warnings.append($0) }
    #expect(network.recipe.labels == nil)
    #expect(warnings.contains { $0.contains("numbered from 0") || $0.contains("number them from 0") })
    var named = location
    named.areLabelsNamed = true
    #expect(throws: HGNetError.self) { try named.load(device: .cpu()) { _ in } }
  }

  @Test("A heat map is that of the network that serves, whatever lies in its place by then")
  func heatMaps() async throws {
    try fixture.place("shapes", version: 1, seed: 5)
    let models = fixture.repository()
    await models.refresh()
    let model = try models.model(named: "shapes")
    let bytes = BlobSlice(Blob(try fixture.picture()))
    let logits = try await model.run([.encoded(bytes)], deadline: nil).logits[0].get()
    func logit(of classIndex: Int) async throws -> Float {
      try await model.network.heatMaps.map(
        of: bytes, classIndex: classIndex, pixelLimit: model.pixelLimit, deadline: nil
      ).map.logit
    }
    // Other weights, then none that can be read.
    try fixture.place("shapes", version: 1, seed: 6)
    for classIndex in 0..<5 { #expect(try await logit(of: classIndex) == logits[classIndex]) }
    try fixture.folder.write([1, 2, 3], to: "shapes/1/weights.safetensors")
    #expect(await models.refresh().count == 1)
    #expect(try models.model(named: "shapes") === model)
    #expect(try await logit(of: 2) == logits[2])
  }

  @Test("Requests side by side get what they get alone; a full queue and a passed deadline are told at once")
  func batches() async throws {
    try fixture.place("shapes", version: 1, seed: 5)
    var limits = Batcher.Limits()
    limits.queueCapacity = 6
    let models = fixture.repository(limits: limits)
    await models.refresh()
    let model = try models.model(named: "shapes")
    let pictures = try (1...4).map { PictureInput.encoded(BlobSlice(Blob(try fixture.picture(seed: $0)))) }
    var single: [[Float]] = []
    for picture in pictures { single.append(try await model.run([picture], deadline: nil).logits[0].get()) }
    let alone = single
    let together = try await model.run(pictures, deadline: nil)
    #expect(try together.logits.map { try $0.get() } == alone)

    let outcomes = await withTaskGroup(of: ServingError.Kind?.self) { group in
      for index in 0..<60 {
        group.addTask {
          do {
            let result = try await model.run([pictures[index % 4]], deadline: nil)
            let logits = try result.logits[0].get()
            return logits == alone[index % 4] ? nil : .internalFailure
          } catch { return (error as? ServingError)?.kind ?? .internalFailure }
        }
      }
      return await group.reduce(into: [ServingError.Kind?]()) { $0.append($1) }
    }
    #expect(outcomes.allSatisfy { $0 == nil || $0 == .overloaded })
    #expect(outcomes.contains { $0 == nil })
    #expect(outcomes.contains { $0 == .overloaded })

    do {
      _ = try await model.run(pictures, deadline: .now - .seconds(1))
      Issue.record("expected a refusal")
    } catch { #expect(error.kind == .deadlineExceeded) }
    do {
      _ = try await model.run(pictures + pictures, deadline: nil)
      Issue.record("expected a refusal")
    } catch { #expect(error.kind == .tooLarge) }

    let cancelled = Task { try await model.run(pictures, deadline: nil) }
    cancelled.cancel()
    await #expect(throws: ServingError.self) { try await cancelled.value }
  }
}
