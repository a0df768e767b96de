import Foundation
import HGNetTraining
import Testing

@Suite("Log lines")
struct TrainingLogTests {
  private func times(_ batch: Double, _ reader: Double) -> TrainingLog.Times {
    var times = TrainingLog.Times()
    times.add(batch: batch, reader: reader, iteration: 0)
    return times
  }

  @Test("The lines are PaddleClas' to the letter")
  func golden() {
    #expect(
      TrainingLog.iteration(
        .init(epoch: 1, epochs: 2, iteration: 0, iterations: 3),
        learningRates: [("LinearWarmup", 0.05 / 3)],
        averages: [("top1", 0.5), ("top5", 1), ("CELoss", 1.48062), ("loss", 1.48062)],
        times: times(0.48612, 0.04381), batchSize: 6)
        == "[Train][Epoch 1/2][Iter: 0/3]lr(LinearWarmup): 0.01666667, top1: 0.50000, top5: 1.00000, CELoss: 1.48062, "
        + "loss: 1.48062, batch_cost: 0.48612s, reader_cost: 0.04381, ips: 12.34263 samples/s, eta: 0:00:02")
    #expect(
      TrainingLog.epoch(1, of: 2, averages: [("top1", 0.25), ("top5", 1), ("CELoss", 1.89677), ("loss", 1.89677)])
        == "[Train][Epoch 1/2][Avg]top1: 0.25000, top5: 1.00000, CELoss: 1.89677, loss: 1.89677")
    #expect(
      TrainingLog.evaluation(
        epoch: 1, iteration: 0, iterations: 2, losses: [("CELoss", 32.53437), ("loss", 32.53437)],
        metrics: TrainingLog.metrics([("top1", 0.25), ("top5", 1)]), times: times(0.11069, 0.01841), batchSize: 4)
        == "[Eval][Epoch 1][Iter: 0/2]CELoss: 32.53437, loss: 32.53437, top1: 0.25000, top5: 1.00000, "
        + "batch_cost: 0.11069s, reader_cost: 0.01841, ips: 36.13696 images/sec")
    #expect(
      TrainingLog.evaluation(
        epoch: 1, losses: [("CELoss", 32.81728), ("loss", 32.81728)],
        metrics: TrainingLog.metrics([("top1", Double(Float(1) / 6)), ("top5", 1)]))
        == "[Eval][Epoch 1][Avg]CELoss: 32.81728, loss: 32.81728, top1: 0.16667, top5: 1.00000")
    #expect(
      TrainingLog.best(epoch: 1, metric: Double(Float(1) / 6)) == "[Eval][Epoch 1][best metric: 0.1666666716337204]")
    #expect(TrainingLog.best(epoch: 3, metric: 1, isAveraged: true) == "[Eval][Epoch 3][best metric ema: 1.0]")
    #expect(TrainingLog.saved("./out/best_model") == "Already save model in ./out/best_model")
  }

  @Test(
    "Remaining time as Python's timedelta",
    arguments: [
      (0.0, "0:00:00"), (59.99, "0:00:59"), (3600, "1:00:00"), (86_399, "23:59:59"), (86_400, "1 day, 0:00:00"),
      (200_000, "2 days, 7:33:20"), (-1, "-1 day, 23:59:59"), (.infinity, "unknown"), (.nan, "unknown"),
    ])
  func eta(seconds: Double, text: String) {
    let line = TrainingLog.iteration(
      .init(epoch: 1, epochs: 1, iteration: 0, iterations: 1), learningRates: [], averages: [],
      times: times(seconds, 0), batchSize: 1)
    #expect(line.hasSuffix("eta: \(text)"))
  }

  @Test("Numbers that are none are written as Python writes them")
  func notNumbers() {
    #expect(
      TrainingLog.epoch(1, of: 1, averages: [("loss", .nan), ("a", -.nan), ("b", .infinity), ("c", -.infinity)])
        == "[Train][Epoch 1/1][Avg]loss: nan, a: nan, b: inf, c: -inf")
  }

  @Test("Means begin anew at iteration 5")
  func means() {
    var times = TrainingLog.Times()
    for iteration in 0..<5 { times.add(batch: 10, reader: 1, iteration: iteration) }
    #expect(times.batch.mean == 10)
    times.add(batch: 2, reader: 0, iteration: 5)
    #expect(times.batch.mean == 2)
  }

  @Test("A line of the file carries time, logger and level")
  func prefix() {
    let line = TrainingLog.line("hello", level: .warning, time: 1_700_000_000)
    #expect(line.wholeMatch(of: /\[2023\/11\/1\d \d\d:\d\d:\d\d\] ppcls WARNING: hello/) != nil)
  }
}
