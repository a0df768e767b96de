import HGNet
import HGNetCore
import HGNetModels
import Testing

/// Sessions that are kept from one run to the next.
@Suite struct SessionKeeperTests {
  private func model() throws -> InferenceModel {
    let graph = try Model.b0.graph(options: ModelOptions(classCount: 5, classExpand: 64), inputSize: Size(32))
    return try InferenceModel(
      graph: graph, parameters: Model.randomParameters(for: graph, seed: 51), device: .cpu(threads: 2))
  }

  @Test func theLastOneStaysAndGoesBeforeAnotherComes() throws {
    let model = try model()
    var made: [Int] = []
    weak var before: SessionKeeper<Session>.Holder?
    var wasGone = true
    var keeper = SessionKeeper<Session> { (batch, size) throws(HGNetError) in
      made.append(batch)
      wasGone = wasGone && before == nil
      return try model.session(batch: batch, inputSize: size)
    }
    for (batch, size) in [(2, Size(32)), (2, Size(32)), (3, Size(32)), (3, Size(64)), (3, Size(64)), (2, Size(32))] {
      let kept = try keeper.session(batch: batch, size: size)
      before = kept
      #expect(kept.session.batch == batch)
      #expect(kept.session.inputSize == size)
    }
    #expect(made == [2, 3, 3, 2])
    #expect(wasGone)
    #expect(before != nil)
  }

  @Test func batchesThatAreNamedStayAndGiveTheSameBits() throws {
    let model = try model()
    var keeper = SessionKeeper(model: model, keeping: [1, 2, 4], of: Size(32))
    var random = RandomGenerator(seed: 52)
    let first = try keeper.session(batch: 4, size: Size(32))
    for batch in [1, 4, 2, 3, 1, 4] {
      for size in [Size(32), Size(48)] {
        let count = batch * size.height * size.width * 3
        let input = Tensor(
          shape: [batch, size.height, size.width, 3], values: (0..<count).map { _ in random.normal() })
        var alone = try model.session(batch: batch, inputSize: size)
        let found = try keeper.session(batch: batch, size: size).session.run(input)[0].values
        #expect(try alone.run(input)[0].values == found, "\(batch) of \(size)")
      }
    }
    #expect(try keeper.session(batch: 4, size: Size(32)) === first)
  }

  @Test func anErrorLeavesItUsable() throws {
    var keeper = try SessionKeeper(model: model())
    _ = try keeper.session(batch: 1, size: Size(32))
    #expect(throws: HGNetError.self) { try keeper.session(batch: 0, size: Size(32)) }
    #expect(throws: HGNetError.self) { try keeper.session(batch: 1, size: Size(height: 0, width: 32)) }
    #expect(try keeper.session(batch: 2, size: Size(32)).session.batch == 2)
  }
}
