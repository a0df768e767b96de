import Foundation
import HGNetBatching
import HGNetFormats
import TemporaryFolders
import Testing

/// `HGNET_MEASURE=tasks swift test -c release --filter BatchingMeasurement` prints pictures a second of eight tasks, and how late
/// a task comes that sleeps 5 ms; with the direct form and with `BatchingClassifier`, by turns.
@Suite("Measurement of tasks", .enabled(if: ProcessInfo.processInfo.environment["HGNET_MEASURE"] == "tasks"))
struct BatchingMeasurement {
  private func run(
    for seconds: Double, _ classify: @escaping @Sendable () async throws -> [ScoredClass]
  ) async throws -> (rate: Double, late: Double) {
    let clock = ContinuousClock()
    let (begin, end) = (clock.now, clock.now + .seconds(seconds))
    let (count, late) = try await withThrowingTaskGroup(of: (count: Int, late: Double).self) { group in
      for _ in 0..<8 {
        group.addTask {
          var count = 0
          while clock.now < end {
            _ = try await classify()
            count += 1
          }
          return (count, 0)
        }
      }
      group.addTask {
        // Late is also who may not even begin.
        var (latest, due) = (0.0, begin + .milliseconds(5))
        while due < end {
          try await Task.sleep(until: due, clock: clock)
          latest = max(latest, (clock.now - due) / .seconds(1))
          due = clock.now + .milliseconds(5)
        }
        return (0, latest)
      }
      return try await group.reduce((0, 0.0)) { ($0.0 + $1.count, max($0.1, $1.late)) }
    }
    return (Double(count) / ((clock.now - begin) / .seconds(1)), late)
  }

  @Test func eightTasks() async throws {
    let folder = TemporaryFolder()
    let graph = try Model.b0.graph()
    try Safetensors.write(Model.randomParameters(for: graph, seed: 5), to: folder.file("b0.safetensors"))
    let size = Size(height: 375, width: 500)
    let pixels = (0..<(size.height * size.width * 3)).map { index in
      let (y, x) = (index / 3 / size.width, index / 3 % size.width)
      return UInt8(truncatingIfNeeded: (y * y + x * (index % 3 + 1)) / 97 + (x ^ y) / 16)
    }
    try Image(size: size, pixels: pixels).write(to: folder.file("a.jpg"), as: .jpeg(quality: 90))
    let blob = try Blob(mapping: folder.file("a.jpg"))
    let direct = try Classifier(weights: folder.file("b0.safetensors"))
    let batching = try BatchingClassifier(direct)
    var ratios: [Double] = []
    for round in 0..<6 {
      let first = try await run(for: 4) { try direct.classify(decoding: blob) }
      let second = try await run(for: 4) { try await batching.classify(decoding: blob) }
      // The first round warms up.
      if round > 0 { ratios.append(second.rate / first.rate) }
      print(
        String(
          format: "direct %.1f pictures/s, 5 ms late by %.4f s; batching %.1f, %.4f s; ratio %.2f", first.rate,
          first.late, second.rate, second.late, second.rate / first.rate))
    }
    print(String(format: "median ratio %.2f", ratios.sorted()[ratios.count / 2]))
  }
}
