import Foundation
import HGNetCore
import HGNetVision
import Testing

@Suite("The order of samples")
struct SamplerTests {
  static let cases: [String] = {
    let file = Fixture.folder.deletingLastPathComponent().appendingPathComponent("data/sampler.txt")
    let text = (try? String(contentsOf: file, encoding: .utf8)) ?? ""
    return text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map(String.init)
  }()

  @Test("Batches are those of PaddlePaddle")
  func batches() throws {
    #expect(Self.cases.count == 64)
    for line in Self.cases {
      let parts = line.split(separator: ":", omittingEmptySubsequences: false)
      let numbers = parts[0].split(separator: " ").compactMap { Int($0) }
      let expected = parts[1].split(separator: "|").map { $0.split(separator: " ").compactMap { Int($0) } }
      let sampler = try DistributedBatchSampler(
        sampleCount: numbers[0], batchSize: numbers[1], shuffles: numbers[4] == 1, dropsLast: numbers[5] == 1,
        rank: numbers[3], rankCount: numbers[2])
      #expect(sampler.batches(epoch: numbers[6]) == expected, "\(parts[0])")
      #expect(sampler.batchCount == expected.count, "\(parts[0])")
    }
  }

  @Test("A shuffle is NumPy's")
  func shuffle() {
    var numbers = Array(0..<50_000)
    var generator = MersenneTwister(seed: 119)
    generator.shuffle(&numbers)
    #expect(numbers.prefix(8) == [882, 10905, 9003, 27457, 6108, 28969, 43796, 47590])
    let modulus: UInt64 = 1 << 61 - 1
    let folded = numbers.reduce(0 as UInt64) { hash, number in
      let product = hash.multipliedFullWidth(by: 31)
      let sum = product.low.addingReportingOverflow(UInt64(number))
      return modulus.dividingFullWidth((product.high + (sum.overflow ? 1 : 0), sum.partialValue)).remainder
    }
    #expect(folded == 103_725_016_174_658_118)
  }

  @Test("Numbers that make no sense are errors")
  func badNumbers() {
    #expect(throws: HGNetError.self) { try DistributedBatchSampler(sampleCount: 0, batchSize: 1, shuffles: true) }
    #expect(throws: HGNetError.self) { try DistributedBatchSampler(sampleCount: 1, batchSize: 0, shuffles: true) }
    #expect(throws: HGNetError.self) {
      try DistributedBatchSampler(sampleCount: 9, batchSize: 1, shuffles: true, rank: 2, rankCount: 2)
    }
    #expect(throws: HGNetError.self) {
      try DistributedBatchSampler(sampleCount: .max, batchSize: .max, shuffles: true)
    }
  }
}
