import HGNetCore
import HGNetModels
import Testing

/// What the reference implementation counts for one model with 1000 classes at 224×224.
struct ReferenceCounts: Sendable, CustomTestStringConvertible {
  var name: String
  var entries: Int
  var entriesWithoutStatistics: Int
  var learned: Int
  var statistics: Int
  var convolutions: Int
  var affineBlocks: Int
  var multiplyAdds: Int

  var testDescription: String { name }

  static let all: [ReferenceCounts] = [
    .init(
      name: "PPHGNetV2_B0", entries: 275, entriesWithoutStatistics: 191, learned: 5_996_550, statistics: 12_272,
      convolutions: 43, affineBlocks: 31, multiplyAdds: 321_326_464),
    .init(
      name: "PPHGNetV2_B1", entries: 275, entriesWithoutStatistics: 191, learned: 6_343_158, statistics: 14_088,
      convolutions: 43, affineBlocks: 31, multiplyAdds: 489_387_840),
    .init(
      name: "PPHGNetV2_B2", entries: 387, entriesWithoutStatistics: 267, learned: 11_221_356, statistics: 26_696,
      convolutions: 61, affineBlocks: 42, multiplyAdds: 1_137_703_680),
    .init(
      name: "PPHGNetV2_B3", entries: 449, entriesWithoutStatistics: 309, learned: 16_292_216, statistics: 34_600,
      convolutions: 71, affineBlocks: 48, multiplyAdds: 1_770_919_680),
    .init(
      name: "PPHGNetV2_B4", entries: 403, entriesWithoutStatistics: 243, learned: 19_796_680, statistics: 45_696,
      convolutions: 81, affineBlocks: 0, multiplyAdds: 2_734_148_352),
    .init(
      name: "PPHGNetV2_B5", entries: 653, entriesWithoutStatistics: 393, learned: 39_569_064, statistics: 93_920,
      convolutions: 131, affineBlocks: 0, multiplyAdds: 6_538_404_864),
    .init(
      name: "PPHGNetV2_B6", entries: 873, entriesWithoutStatistics: 525, learned: 75_256_776, statistics: 166_416,
      convolutions: 175, affineBlocks: 0, multiplyAdds: 16_840_566_272),
    .init(
      name: "PPHGNet_tiny", entries: 193, entriesWithoutStatistics: 121, learned: 14_735_864, statistics: 15_040,
      convolutions: 42, affineBlocks: 0, multiplyAdds: 4_530_447_104),
    .init(
      name: "PPHGNet_small", entries: 218, entriesWithoutStatistics: 136, learned: 24_360_872, statistics: 20_992,
      convolutions: 47, affineBlocks: 0, multiplyAdds: 8_508_610_304),
    .init(
      name: "PPHGNet_base", entries: 369, entriesWithoutStatistics: 229, learned: 71_578_184, statistics: 46_400,
      convolutions: 79, affineBlocks: 0, multiplyAdds: 25_109_564_352),
  ]
}

@Suite("Counts of the ten models")
struct CountsTests {
  @Test("The table and the models name the same ten")
  func models() { #expect(Model.all.map(\.name) == ReferenceCounts.all.map(\.name)) }

  @Test("Parameters, entries, convolutions, affine blocks, multiply-adds", arguments: ReferenceCounts.all)
  func counts(_ reference: ReferenceCounts) throws {
    let graph = try Model.named(reference.name).graph()
    #expect(graph.parameters.count == reference.entries)
    #expect(graph.parameters.filter(\.role.isLearned).count == reference.entriesWithoutStatistics)
    #expect(graph.learnedParameterCount == reference.learned)
    let values = graph.parameters.reduce(0) { $0 + $1.shape.count }
    #expect(values - graph.learnedParameterCount == reference.statistics)
    #expect(graph.multiplyAdds == reference.multiplyAdds)
    var convolutions = 0
    var affineBlocks = 0
    for node in graph.nodes {
      if case .convolution = node.operation { convolutions += 1 }
      if case .affine = node.operation { affineBlocks += 1 }
    }
    #expect(convolutions == reference.convolutions)
    #expect(affineBlocks == reference.affineBlocks)
  }

  @Test("Names of parameters and of layers are unique, and every parameter is read", arguments: Model.all)
  func names(_ model: Model) throws {
    let graph = try model.graph()
    let names = graph.parameters.map(\.name)
    #expect(Set(names).count == names.count)
    #expect(Set(graph.nodes.map(\.name)).count == graph.nodes.count)
    #expect(graph.nodes.flatMap(\.operation.parameterNames).sorted() == names.sorted())
  }
}
