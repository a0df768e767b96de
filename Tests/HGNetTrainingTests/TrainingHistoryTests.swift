import Foundation
import HGNetTraining
import Testing

@Suite("The history of a run goes on with it")
struct TrainingHistoryTests {
  private func evaluated(_ epoch: Int, top1: Double) throws -> Trainer.Event {
    var confusion = try ConfusionMatrix(classes: 3)
    try confusion.add(label: 1, prediction: 2)
    try confusion.add(label: 0, prediction: 0)
    return .evaluated(
      epoch: epoch,
      Evaluator.Result(
        losses: [("loss", 0.5)], metrics: [("top1", top1)], metricText: "", confusion: confusion,
        mistakes: [Evaluator.Mistake(path: "a \"b\".jpg", label: 1, prediction: 2, score: 0.75)], broken: [],
        pictures: 2, rate: 10))
  }

  private func step(epoch: Int, iteration: Int) -> Trainer.Event {
    .step(
      Trainer.Step(
        position: TrainingLog.Position(epoch: epoch, epochs: 4, iteration: iteration, iterations: 2),
        globalStep: epoch * 2 + iteration, averages: [], loss: Double(epoch), learningRate: ("Cosine", 0.1),
        pictures: 8, took: 0.5, waited: 0.1))
  }

  private func history(epochs: Int) throws -> TrainingHistory {
    var history = TrainingHistory()
    for epoch in 1...epochs {
      for iteration in 0..<2 { history.note(step(epoch: epoch, iteration: iteration)) }
      history.note(.epochEnded(epoch: epoch, averages: [("loss", 1)], waited: 0.1, took: 1))
      history.note(try evaluated(epoch, top1: Double(epoch) / 10))
    }
    return history
  }

  @Test("What was complete is kept, what is repeated is not")
  func restored() throws {
    let path = NSTemporaryDirectory() + "hgnet-history-\(UUID().uuidString).json"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try history(epochs: 3).write(to: path)
    let whole = TrainingHistory(contentsOf: path, classCount: 3)
    #expect(whole.training.map(\.epoch) == [1, 2, 3])
    #expect(whole.losses.count == 6 && whole.pictureCount == 48)
    #expect(whole.best?.epoch == 3)
    #expect(whole.best?.result.confusion?[label: 1, prediction: 2] == 1)
    #expect(whole.best?.result.mistakes.first?.path == "a \"b\".jpg")
    #expect(TrainingHistory(contentsOf: path, classCount: 4).best?.result.confusion == nil)
    // It goes on from an older checkpoint, in the middle of the third epoch.
    var again = whole
    again.note(step(epoch: 3, iteration: 1))
    #expect(again.training.map(\.epoch) == [1, 2] && again.evaluation.map(\.epoch) == [1, 2])
    #expect(again.losses.map(\.epoch) == [0.5, 1, 1.5, 2, 2.5, 3])
    #expect(again.best == nil)
    // And from one at the end of the first.
    again.note(step(epoch: 2, iteration: 0))
    #expect(again.training.map(\.epoch) == [1])
    #expect(again.losses.map(\.epoch) == [0.5, 1, 1.5])
  }

  @Test("A missing or damaged file is no history", arguments: ["", "{", "{\"version\": 2}", "[1]", "{\"version\": 1}"])
  func damaged(_ text: String) throws {
    let path = NSTemporaryDirectory() + "hgnet-history-\(UUID().uuidString).json"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try text.write(toFile: path, atomically: false, encoding: .utf8)
    let history = TrainingHistory(contentsOf: path, classCount: 3)
    #expect(history.training.isEmpty && history.losses.isEmpty && history.best == nil)
  }
}
