import Foundation
import HGNetCore
import HGNetVision
import Synchronization
import Testing

@Suite("Loading ahead")
struct LoaderTests {
  let folder: TemporaryFolder
  let dataset: Dataset

  /// 23 pictures of 4 × 5 pixels; all bytes of picture i are i.
  init() throws {
    folder = try TemporaryFolder()
    var lines = ""
    for number in 0..<23 {
      try Image(size: Size(height: 4, width: 5), pixels: [UInt8](repeating: UInt8(number), count: 60))
        .write(to: "\(folder.path)/\(number).png")
      lines += "\(number).png \(number % 3)\n"
    }
    let list = try folder.write("list.txt", Array(lines.utf8))
    dataset = try Dataset(listFile: list, folder: folder.path)
  }

  /// The pixels, with a random number added to each picture.
  static let transform: Loader.PictureTransform = { (image, random) throws(HGNetError) in
    let shift = random.uniform()
    return .numbers(
      Tensor(
        shape: [image.height, image.width, 3], values: image.withUnsafeBytes { $0.map { Float($0) + shift } }))
  }

  private func batches(
    threads: Int, start: Int = 0, epoch: Int = 4, seed: UInt64 = 1, ahead: Int = 2
  ) throws -> [Loader.Batch] {
    let sampler = try DistributedBatchSampler(sampleCount: dataset.count, batchSize: 4, shuffles: true)
    var options = Loader.Options()
    options.threads = threads
    options.seed = seed
    options.batchesAhead = ahead
    let loader = try Loader(
      dataset: dataset, batches: sampler.batches(epoch: epoch), epoch: epoch, startingAt: start, options: options,
      transform: Self.transform)
    var result: [Loader.Batch] = []
    while let batch = try loader.next() { result.append(batch) }
    #expect(try loader.next() == nil)
    return result
  }

  @Test("Batches have the pictures of the sampler, in its order")
  func contents() throws {
    let batches = try batches(threads: 2)
    #expect(batches.map(\.number) == Array(0..<6))
    #expect(batches.map(\.count) == [4, 4, 4, 4, 4, 3])
    let sampler = try DistributedBatchSampler(sampleCount: 23, batchSize: 4, shuffles: true)
    #expect(batches.map(\.indices) == sampler.batches(epoch: 4))
    for batch in batches {
      let inputs = try batch.inputs()
      #expect(inputs.shape == [batch.count, 4, 5, 3])
      #expect(batch.targets == .classes(batch.indices.map { $0 % 3 }))
      for (position, index) in batch.indices.enumerated() {
        #expect(Int(inputs[position * 60]) == index)
        #expect(inputs[position * 60] == inputs[position * 60 + 59])
      }
    }
  }

  @Test("The same numbers with any number of threads, and when started in the middle")
  func deterministic() throws {
    let expected = try batches(threads: 0).map { try $0.inputs().values }
    for threads in [1, 2, 5] {
      #expect(try batches(threads: threads, ahead: 3).map { try $0.inputs().values } == expected)
    }
    #expect(try batches(threads: 2, start: 4).map { try $0.inputs().values } == Array(expected[4...]))
    #expect(try batches(threads: 0, start: 6).isEmpty)
    #expect(try batches(threads: 1, seed: 2).map { try $0.inputs().values } != expected)
    // Another epoch draws other numbers for the same picture.
    let shifts = try [4, 5].map { epoch in
      try #require(
        batches(threads: 1, epoch: epoch).first { $0.indices.contains(7) }.map { batch in
          try batch.inputs()[(batch.indices.firstIndex(of: 7) ?? 0) * 60]
        })
    }
    #expect(shifts[0] != shifts[1])
  }

  @Test("A broken picture is left out and named", arguments: [0, 1, 3])
  func broken(threads: Int) throws {
    try folder.write("2.png", Array("no picture".utf8))
    try FileManager.default.removeItem(atPath: folder.path + "/4.png")
    for number in [5, 6, 7] { try folder.write("\(number).png", [0x89]) }
    try folder.write("8.png")
    var options = Loader.Options()
    options.threads = threads
    let order = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    let loader = try Loader(
      dataset: dataset, batches: order, epoch: 0, options: options, transform: Self.transform)
    let first = try #require(try loader.next())
    #expect(first.indices == [0, 1, 3])
    #expect(try first.inputs().shape == [3, 4, 5, 3])
    #expect(first.targets == .classes([0, 1, 0]))
    #expect(first.broken.map(\.path) == [folder.path + "/2.png"])
    #expect("\(try #require(first.broken.first).error)".contains("2.png: expected a picture"))
    let second = try #require(try loader.next())
    #expect(second.count == 0)
    #expect(try second.inputs().shape == [0, 0, 0, 0])
    #expect(second.broken.map(\.index) == [4, 5, 6, 7])
    #expect(try loader.next()?.indices == [9])
    #expect(try loader.next() == nil)
    #expect(loader.brokenCount == 6)

    options.brokenPictureLimit = 3
    let strict = try Loader(
      dataset: dataset, batches: order, epoch: 0, options: options, transform: Self.transform)
    #expect(try strict.next()?.count == 3)
    for _ in 0..<2 {
      #expect {
        try strict.next()
      } throws: {
        "\($0)".contains("2.png: 5 pictures could not be read, more than the limit of 3")
      }
    }
  }

  @Test("A transform that fails, or gives several sizes, ends the run", arguments: [0, 2])
  func badTransform(threads: Int) throws {
    var options = Loader.Options()
    options.threads = threads
    let failing = try Loader(dataset: dataset, batches: [[0], [1]], epoch: 0, options: options) {
      (image, random) throws(HGNetError) in
      guard image.withUnsafeBytes({ $0[0] }) == 0 else { throw HGNetError(.shapeMismatch, "cannot crop") }
      return try Self.transform(image, &random)
    }
    #expect(try failing.next()?.count == 1)
    #expect { try failing.next() } throws: { "\($0)".contains("1.png: cannot crop") }
    let uneven = try Loader(dataset: dataset, batches: [[0, 1, 2]], epoch: 0, options: options) {
      (image, random) throws(HGNetError) in
      .numbers(Tensor(shape: [1, image.withUnsafeBytes { $0[0] } == 2 ? 2 : 1, 3]))
    }
    #expect { try uneven.next() } throws: { "\($0)".contains("2.png: expected [1, 1, 3]") }
    let flat = try Loader(dataset: dataset, batches: [[0]], epoch: 0, options: options) {
      (image, random) throws(HGNetError) in .numbers(Tensor(shape: [3]))
    }
    #expect { try flat.next() } throws: { "\($0)".contains("expected a transform that gives [H, W, 3]") }
  }

  @Test("No more than the batches ahead are made, and the wait is measured")
  func bounded() throws {
    let counter = Counter()
    var options = Loader.Options()
    options.threads = 3
    options.batchesAhead = 2
    let loader = try Loader(dataset: dataset, batches: (0..<10).map { [$0, $0 + 1] }, epoch: 0, options: options) {
      (image, random) throws(HGNetError) in
      counter.value.wrappingAdd(1, ordering: .relaxed)
      usleep(2_000)
      return try Self.transform(image, &random)
    }
    usleep(80_000)
    #expect(counter.value.load(ordering: .relaxed) <= 4)
    _ = try loader.next()
    usleep(40_000)
    #expect(counter.value.load(ordering: .relaxed) <= 6)
    while let batch = try loader.next() { #expect(batch.waited >= .zero) }
    #expect(loader.waited > .zero)
    #expect(counter.value.load(ordering: .relaxed) == 20)
  }

  private final class Counter: Sendable { let value = Atomic<Int>(0) }

  @Test("Releasing a loader ends its threads at once")
  func dropped() throws {
    let start = ContinuousClock.now
    for _ in 0..<20 {
      var options = Loader.Options()
      options.threads = 4
      let loader = try Loader(
        dataset: dataset, batches: (0..<100).map { _ in [0, 1, 2] }, epoch: 0, options: options
      ) { (image, random) throws(HGNetError) in
        usleep(1_000)
        return try Self.transform(image, &random)
      }
      _ = try loader.next()
      loader.stop()
      #expect(try loader.next() == nil)
    }
    #expect(ContinuousClock.now - start < .seconds(30))
  }

  @Test("Arguments outside their ranges are errors")
  func arguments() throws {
    #expect(throws: HGNetError.self) {
      try Loader(dataset: dataset, batches: [[23]], epoch: 0, transform: Self.transform)
    }
    #expect(throws: HGNetError.self) {
      try Loader(dataset: dataset, batches: [[]], epoch: 0, transform: Self.transform)
    }
    #expect(throws: HGNetError.self) {
      try Loader(dataset: dataset, batches: [[0]], epoch: 0, startingAt: 2, transform: Self.transform)
    }
    var options = Loader.Options()
    options.batchesAhead = 0
    #expect(throws: HGNetError.self) {
      try Loader(dataset: dataset, batches: [[0]], epoch: 0, options: options, transform: Self.transform)
    }
  }
}
