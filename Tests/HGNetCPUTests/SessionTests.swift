import CAllocationCounter
import HGNetCore
import HGNetCPU
import HGNetModels
import HGNetProgram
import Testing

/// What a user relies on when a network runs.
@Suite struct SessionTests {
  static let names = Model.all.map(\.name)

  @Test(arguments: ["PPHGNetV2_B0", "PPHGNetV2_B4", "PPHGNet_tiny"])
  func everyInstructionSetAgreesWithTheReference(name: String) throws {
    // Drawing the weights takes as long as all that is done with them at one size.
    let parameters = Model.randomParameters(for: try Model.named(name).graph(), seed: 11)
    for size in [Size(32), Size(height: 41, width: 65)] { try agree(name, size, parameters) }
  }

  private func agree(_ name: String, _ size: Size, _ parameters: ParameterStore) throws {
    let graph = try Model.named(name).graph(inputSize: size)
    var random = TestRandom(seed: 12)
    let input = random.tensor([1, size.height, size.width, 3])
    var expected: [Float] = []
    for instructionSet in InstructionSet.available.reversed() {
      let model = try CPUModel(graph: graph, parameters: parameters, instructionSet: instructionSet)
      let session = try model.session(batch: 1, pool: ThreadPool(count: 1))
      let logits = try session.run(input)[0]
      #expect(logits.shape == [1, 1, 1, 1000])
      if expected.isEmpty { expected = logits.values }
      let largest = expected.reduce(0) { max($0, abs($1)) }
      let worst = zip(expected, logits.values).reduce(0) { max($0, abs($1.0 - $1.1)) }
      #expect(worst <= 1e-5 * largest, "\(instructionSet): off by \(worst) of \(largest)")
    }
  }

  // The larger picture is one whose products are Strassen's.
  @Test(arguments: names.map { ($0, Size(height: 33, width: 64)) } + [("PPHGNetV2_B0", Size(height: 192, width: 256))])
  func bitsDoNotDependOnThreadsOrPlaceInBatch(name: String, size: Size) throws {
    let graph = try Model.named(name).graph(options: ModelOptions(classCount: 10), inputSize: size)
    let model = try CPUModel(graph: graph, parameters: Model.randomParameters(for: graph, seed: 21))
    var random = TestRandom(seed: 22)
    let pictures = (0..<3).map { _ in random.tensor([1, size.height, size.width, 3]) }
    let together = Tensor(
      shape: [3, size.height, size.width, 3], values: pictures.flatMap(\.values))
    let alone = try model.session(batch: 1, pool: ThreadPool(count: 1))
    var single: [Float] = []
    for picture in pictures { single += try alone.run(picture)[0].values }
    for threads in [1, 2, 3] {
      let session = try model.session(batch: 3, pool: ThreadPool(count: threads))
      for _ in 0..<2 {
        let found = try session.run(together)[0].values
        #expect(found == single, "\(threads) threads, batch 3")
      }
    }
  }

  // At this size the first layers take one picture at a time, with four threads two and then one.
  @Test(arguments: ["PPHGNetV2_B0", "PPHGNetV2_B4", "PPHGNet_tiny"], [1, 4])
  func groupsOfPicturesChangeNoResult(name: String, threads: Int) throws {
    let size = Size(height: 208, width: 240)
    let graph = try Model.named(name).graph(options: ModelOptions(classCount: 10), inputSize: size)
      .selecting(outputs: ["stages.0", "stages.1", "stages.3", "logits"])
    let model = try CPUModel(graph: graph, parameters: Model.randomParameters(for: graph, seed: 23))
    var random = TestRandom(seed: 24)
    let pictures = (0..<5).map { _ in random.tensor([1, size.height, size.width, 3]) }
    let alone = try model.session(batch: 1, pool: ThreadPool(count: 1))
    var single = [[Float]](repeating: [], count: 4)
    for picture in pictures {
      for (index, result) in try alone.run(picture).enumerated() { single[index] += result.values }
    }
    let session = try model.session(batch: 5, pool: ThreadPool(count: threads))
    let together = Tensor(shape: [5, size.height, size.width, 3], values: pictures.flatMap(\.values))
    let found = try session.run(together).map(\.values)
    for (index, output) in graph.outputs.enumerated() {
      #expect(found[index] == single[index], "\(output.name)")
    }
  }

  @Test func theFirstLayersNeedRoomForOnePicture() throws {
    let graph = try Model.named("PPHGNetV2_B0").graph(inputSize: Size(224))
    let model = try CPUModel(graph: graph, parameters: Model.randomParameters(for: graph, seed: 25))
    let graphBytes = 4 * graph.nodes.reduce(0) { $0 + $1.shape.count }
    let bytes = try [1, 8, 9].map { try model.byteCount(batch: $0) }
    // Another picture takes its own pixels, the map between the segments and little else.
    #expect(bytes[2] - bytes[1] < bytes[0] / 2)
    #expect(bytes[1] < 4 * bytes[0])
    // Results whose readers have gone make room.
    #expect(bytes[0] < graphBytes / 4)
  }

  @Test(arguments: ["PPHGNetV2_B0", "PPHGNet_small"], [1, 2])
  func aRunAllocatesNothing(name: String, threads: Int) throws {
    let graph = try Model.named(name).graph(inputSize: Size(64))
    let model = try CPUModel(graph: graph, parameters: Model.randomParameters(for: graph, seed: 31))
    let pool = ThreadPool(count: threads)
    let session = try model.session(batch: 2, pool: pool)
    session.withInput { $0.update(repeating: 0.5) }
    try session.execute()
    var before = [Int64](repeating: 0, count: pool.count)
    var after = before
    func count(into counts: inout [Int64]) {
      counts.withUnsafeMutableBufferPointer { counts in
        guard let base = counts.baseAddress else { return }
        pool.run(context: UnsafeMutableRawPointer(base)) { context, worker in
          context.assumingMemoryBound(to: Int64.self)[worker] = allocation_count()
        }
      }
    }
    count(into: &before)
    for _ in 0..<3 { try session.execute() }
    count(into: &after)
    #expect(before == after)
    #if os(Linux)
      #expect(before[0] > 0, "the counter does not count")
    #endif
  }

  @Test(arguments: names) func stagesComeOutAtTheirStrides(name: String) throws {
    let model = try Model.named(name)
    let size = Size(height: 64, width: 96)
    let graph = try model.graph(inputSize: size)
      .selecting(outputs: ["stages.0", "stages.1", "stages.2", "stages.3", "logits"])
    let parameters = Model.randomParameters(for: graph, seed: 41)
    let compiled = try CPUModel(graph: graph, parameters: parameters)
    let session = try compiled.session(batch: 1, pool: ThreadPool(count: 1))
    var random = TestRandom(seed: 42)
    let input = random.tensor([1, 64, 96, 3])
    let results = try session.run(input)
    for (index, stride) in [4, 8, 16, 32].enumerated() {
      #expect(results[index].shape[1] == 64 / stride && results[index].shape[2] == 96 / stride)
    }
    // Asking for more results changes none of them.
    let logitsOnly = try CPUModel(graph: model.graph(inputSize: size), parameters: parameters)
    let other = try logitsOnly.session(batch: 1, pool: ThreadPool(count: 1))
    let logits = try other.run(input)[0].values
    #expect(logits == results[4].values)
  }

  @Test func oneModelServesManySizes() throws {
    let graph = try Model.named("PPHGNetV2_B1").graph()
    let model = try CPUModel(graph: graph, parameters: Model.randomParameters(for: graph, seed: 51))
    for size in [Size(32), Size(height: 50, width: 37), Size(96)] {
      let session = try model.session(batch: 1, inputSize: size, pool: ThreadPool(count: 2))
      let logits = try session.run(Tensor(shape: [1, size.height, size.width, 3], repeating: 0.1))[0]
      let isFinite = logits.values.allSatisfy { $0.isFinite }
      #expect(isFinite)
    }
  }

  @Test func sessionsOfOneMemoryDoNotDisturbEachOther() throws {
    let graph = try Model.named("PPHGNetV2_B0").graph(inputSize: Size(96))
    let model = try CPUModel(graph: graph, parameters: Model.randomParameters(for: graph, seed: 51))
    let pool = ThreadPool(count: 2)
    var random = TestRandom(seed: 52)
    let pictures = random.tensor([4, 96, 96, 3])
    let picture = Tensor(shape: [1, 96, 96, 3], values: Array(pictures.values.prefix(96 * 96 * 3)))
    let alone = try model.session(batch: 4, pool: pool)
    let expected = try alone.run(pictures)[0].values
    let memory = try model.memory(batches: [1, 4], threads: 2)
    let single = try model.session(batch: 1, memory: memory, pool: pool)
    let four = try model.session(batch: 4, memory: memory, pool: pool)
    for _ in 0..<3 {
      let one = try single.run(picture)[0].values
      let all = try four.run(pictures)[0].values
      #expect(one == Array(expected.prefix(1000)))
      #expect(all == expected)
    }
    let small = try model.memory(batches: [1], threads: 2)
    #expect(throws: HGNetError.self) { _ = try model.session(batch: 4, memory: small, pool: pool) }
    let narrow = try model.memory(batches: [1, 4], threads: 1)
    #expect(throws: HGNetError.self) { _ = try model.session(batch: 4, memory: narrow, pool: pool) }
  }
}
