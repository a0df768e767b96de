import HGNetCore

/// The lines of `train.log` and `eval.log`, letter by letter as PaddleClas writes them.
///
/// Pure functions: nothing is printed here. People have scripts that read these lines.
public enum TrainingLog {
  /// The level of a line.
  package enum Level: String, Sendable {
    case info = "INFO", warning = "WARNING", error = "ERROR"
  }

  /// A whole line of the file: time, logger, level, message.
  ///
  /// - Parameters:
  ///   - message: the text.
  ///   - level: how much it matters.
  ///   - time: seconds since 1970, shown in local time.
  package static func line(_ message: String, level: Level = .info, time: Double) -> String {
    "[\(LocalTime.text(time))] ppcls \(level.rawValue): \(message)"
  }

  /// Where in training a line is written.
  public struct Position: Sendable, Hashable {
    /// The epoch, from 1.
    public var epoch: Int
    /// The number of epochs.
    public var epochs: Int
    /// The iteration in the epoch, from 0.
    public var iteration: Int
    /// The iterations of an epoch.
    public var iterations: Int

    /// Makes a position.
    package init(epoch: Int, epochs: Int, iteration: Int, iterations: Int) {
      self.epoch = epoch
      self.epochs = epochs
      self.iteration = iteration
      self.iterations = iterations
    }

    /// Iterations that are left, this one included.
    package var remaining: Int { (epochs - epoch + 1) * iterations - iteration }
  }

  /// Mean times of the iterations since the last line, in seconds.
  ///
  /// As in PaddleClas the means begin anew after every printed line and once at iteration 5, when caches are warm.
  package struct Times: Sendable, Hashable {
    /// Seconds from the end of one iteration to the end of the next.
    package private(set) var batch = RunningAverage()
    /// Seconds that an iteration waited for its data.
    package private(set) var reader = RunningAverage()

    /// Makes empty times.
    package init() {}

    /// Adds an iteration; call it before the line of that iteration is written.
    package mutating func add(batch seconds: Double, reader wait: Double, iteration: Int) {
      if iteration == 5 { reset() }
      batch.add(seconds)
      reader.add(wait)
    }

    /// Begins anew.
    package mutating func reset() { self = Times() }

    var text: String {
      "batch_cost: \(FixedPoint.text(batch.mean, digits: 5))s, "
        + "reader_cost: \(FixedPoint.text(reader.mean, digits: 5))"
    }

    func rate(_ samples: Int) -> String {
      FixedPoint.text(batch.mean > 0 ? Double(samples) / batch.mean : .infinity, digits: 5)
    }
  }

  /// The line of a training iteration.
  ///
  /// - Parameters:
  ///   - position: where in the run.
  ///   - learningRates: name and rate of each schedule after it has advanced, hence the rate of the next step.
  ///   - averages: metrics, then losses: the means of the epoch so far.
  ///   - times: how long batches took since the last line.
  ///   - batchSize: pictures of this iteration.
  package static func iteration(
    _ position: Position, learningRates: [(name: String, value: Double)], averages: [(name: String, value: Double)],
    times: Times, batchSize: Int
  ) -> String {
    let rates = learningRates.map { "lr(\($0.name)): \(FixedPoint.text($0.value, digits: 8))" }
    let eta = TextFormat.duration(Double(position.remaining) * times.batch.mean)
    return "[Train][Epoch \(position.epoch)/\(position.epochs)][Iter: \(position.iteration)/\(position.iterations)]"
      + "\(rates.joined(separator: ", ")), \(list(averages)), \(times.text), "
      + "ips: \(times.rate(batchSize)) samples/s, eta: \(eta)"
  }

  /// The line at the end of a training epoch.
  package static func epoch(_ epoch: Int, of epochs: Int, averages: [(name: String, value: Double)]) -> String {
    "[Train][Epoch \(epoch)/\(epochs)][Avg]\(list(averages))"
  }

  /// The line of an evaluation iteration.
  ///
  /// - Parameters:
  ///   - epoch: the epoch, 0 outside training.
  ///   - iteration: the batch, from 0.
  ///   - iterations: the batches of the evaluation.
  ///   - losses: the losses of this batch.
  ///   - metrics: the running metrics, as `metrics(_:)` or `metric(_:)` spell them.
  ///   - times: how long batches took since the last line.
  ///   - batchSize: pictures of this batch.
  package static func evaluation(
    epoch: Int, iteration: Int, iterations: Int, losses: [(name: String, value: Double)], metrics: String,
    times: Times, batchSize: Int
  ) -> String {
    "[Eval][Epoch \(epoch)][Iter: \(iteration)/\(iterations)]\(joined(losses, metrics)), \(times.text), "
      + "ips: \(times.rate(batchSize)) images/sec"
  }

  /// The line at the end of an evaluation, with the mean losses.
  package static func evaluation(epoch: Int, losses: [(name: String, value: Double)], metrics: String) -> String {
    "[Eval][Epoch \(epoch)][Avg]\(joined(losses, metrics))"
  }

  /// Metrics with five decimals, `top1: 0.25000, top5: 1.00000`.
  package static func metrics(_ values: [(name: String, value: Double)]) -> String { list(values) }

  /// The multi-label metric with three decimals, `MultiLabelMAP(integral): 0.376`.
  package static func metric(_ metric: MultiLabelMeanAveragePrecision) -> String {
    "\(metric.name): \(FixedPoint.text(metric.value, digits: 3))"
  }

  /// The line that names the best metric so far.
  ///
  /// - Parameters:
  ///   - epoch: the epoch.
  ///   - metric: the best value so far.
  ///   - isAveraged: whether the averaged weights were evaluated (`EMA`).
  package static func best(epoch: Int, metric: Double, isAveraged: Bool = false) -> String {
    "[Eval][Epoch \(epoch)][best metric\(isAveraged ? " ema" : ""): \(TextFormat.shortest(metric))]"
  }

  /// The line after a checkpoint was written.
  ///
  /// - Parameter prefix: its path without extension.
  package static func saved(_ prefix: String) -> String { "Already save model in \(prefix)" }

  /// The line after a checkpoint was loaded.
  ///
  /// - Parameter prefix: its path without extension.
  package static func loaded(_ prefix: String) -> String { "Finish load checkpoints from \(prefix)" }

  private static func list(_ values: [(name: String, value: Double)]) -> String {
    values.map { "\($0.name): \(FixedPoint.text($0.value, digits: 5))" }.joined(separator: ", ")
  }

  private static func joined(_ losses: [(name: String, value: Double)], _ metrics: String) -> String {
    // PaddleClas writes the comma even where there is no loss.
    "\(list(losses)), \(metrics)"
  }
}
