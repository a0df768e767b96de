import HGNetCore
import HGNetTraining
import Testing

@Suite("Metrics")
struct MetricTests {
  @Test("Equal scores: the lower index counts first")
  func ties() throws {
    var metric = try TopKAccuracy([1, 2])
    let logits = Tensor(shape: [3, 3], values: [1, 1, 0, 1, 1, 0, 1, 1, 0])
    let values = try metric.add(logits: logits, labels: [0, 1, 2])
    #expect(values.map(\.name) == ["top1", "top2"])
    #expect(values[0].value == Double(Float(1) / 3))
    #expect(values[1].value == Double(Float(2) / 3))
  }

  @Test("Averages weigh batches by their size")
  func weighting() throws {
    var metric = try TopKAccuracy([1])
    try metric.add(logits: Tensor(shape: [3, 2], values: [1, 0, 1, 0, 1, 0]), labels: [0, 0, 0])
    try metric.add(logits: Tensor(shape: [1, 2], values: [1, 0]), labels: [1])
    #expect(metric.averages["top1"]?.mean == 0.75)
    metric.reset()
    #expect(metric.averages.means.isEmpty)
  }

  @Test("More places than classes: everything is right, with a warning")
  func fewClasses() throws {
    var metric = try TopKAccuracy([1, 5])
    let values = try metric.add(logits: Tensor(shape: [1, 4], values: [4, 3, 2, 1]), labels: [3])
    #expect(values.map(\.value) == [0, 1])
    #expect(
      metric.warnings(classes: 4)
        == ["The output dims(4) is less than k(5), so the Top-5 metric is meaningless."])
    #expect(metric.warnings(classes: 5).isEmpty)
  }

  @Test("Bad labels, shapes and numbers are refused or wrong, never a trap")
  func badInput() throws {
    var metric = try TopKAccuracy([1])
    #expect(throws: HGNetError.self) { try metric.add(logits: Tensor(shape: [1, 2]), labels: [2]) }
    #expect(throws: HGNetError.self) { try metric.add(logits: Tensor(shape: [1, 2]), labels: [-1]) }
    #expect(throws: HGNetError.self) { try metric.add(logits: Tensor(shape: [2, 2]), labels: [0]) }
    #expect(try metric.add(logits: Tensor(shape: [1, 2], values: [.nan, 0]), labels: [0])[0].value == 0)
    #expect(throws: HGNetError.self) { try TopKAccuracy([]) }
    #expect(throws: HGNetError.self) { try TopKAccuracy([0]) }
    var matrix = try ConfusionMatrix(classes: 2)
    #expect(throws: HGNetError.self) { try matrix.add(label: 2, prediction: 0) }
    #expect(throws: HGNetError.self) { try matrix.add(logits: Tensor(shape: [1, 3]), labels: [0]) }
    #expect(throws: HGNetError.self) { try ConfusionMatrix(classes: 0) }
    #expect(throws: HGNetError.self) { try ConfusionMatrix(classes: 1 << 40) }
  }

  @Test("Mean average precision against a sum by hand")
  func meanAveragePrecision() throws {
    // Class 0 in order: 1 0 1 0 (precision 1, 2/3 at the positives). Class 1 has no positive. Class 2: last of four.
    let scores = Tensor(shape: [4, 3], values: [0.9, 0, 0.9, 0.8, 0, 0.8, 0.7, 0, 0.7, 0.6, 0, 0.6])
    let targets = Tensor(shape: [4, 3], values: [1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1])
    var integral = MultiLabelMeanAveragePrecision(.integral)
    var points = MultiLabelMeanAveragePrecision(.elevenPoint)
    try integral.add(scores: scores, targets: targets)
    try points.add(scores: scores, targets: targets)
    #expect(integral.averagePrecisions[1] == nil)
    let first: Double = 0.5 * (1 + 2.0 / 3)
    #expect(abs(integral.value - (first + 0.25) / 2) < 1e-12)
    // Class 0: precision 1 up to recall 0.5 (points 0 … 5), then 2/3 (points 6 … 10). Class 2: 1/4 everywhere.
    let elevenPoints: Double = (6 + 10.0 / 3) / 11
    #expect(abs(points.value - (elevenPoints + 0.25) / 2) < 1e-12)
    #expect(TrainingLog.metric(integral) == "MultiLabelMAP(integral): 0.542")
    #expect(points.name == "MultiLabelMAP(11point)")
    #expect(throws: HGNetError.self) {
      try integral.add(scores: Tensor(shape: [1, 2]), targets: Tensor(shape: [1, 2]))
    }
    #expect(MultiLabelMeanAveragePrecision().value == 0)
  }

  @Test("Batches give what one batch gives, equal scores keep their order")
  func batches() throws {
    var random = RandomGenerator(seed: 11)
    let values = (0..<60).map { _ in (random.uniform() * 8).rounded() }
    let truths = (0..<60).map { _ in random.uniform() < 0.3 ? Float(1) : 0 }
    var whole = MultiLabelMeanAveragePrecision()
    try whole.add(scores: Tensor(shape: [20, 3], values: values), targets: Tensor(shape: [20, 3], values: truths))
    var pieces = MultiLabelMeanAveragePrecision()
    for start in stride(from: 0, to: 60, by: 15) {
      try pieces.add(
        scores: Tensor(shape: [5, 3], values: values[start..<start + 15]),
        targets: Tensor(shape: [5, 3], values: truths[start..<start + 15]))
    }
    #expect(whole.averagePrecisions == pieces.averagePrecisions)
  }

  @Test("Confusion, precision, recall and F1")
  func confusion() throws {
    var matrix = try ConfusionMatrix(classes: 3)
    for (label, prediction) in [(0, 0), (0, 0), (0, 1), (1, 1), (1, 0), (1, 0), (1, 0), (0, 0)] {
      try matrix.add(label: label, prediction: prediction)
    }
    #expect(matrix[label: 1, prediction: 0] == 3)
    #expect(matrix.accuracy == 0.5)
    let qualities = matrix.qualities
    #expect(qualities[0].precision == 0.5 && qualities[0].recall == 0.75 && qualities[0].support == 4)
    #expect(abs(qualities[0].f1 - 0.6) < 1e-12)
    #expect(qualities[2].precision == 0 && qualities[2].recall == 0 && qualities[2].f1 == 0)
    #expect(matrix.worstConfusions(1).map(\.count) == [3])
    var other = try ConfusionMatrix(classes: 3)
    try other.add(logits: Tensor(shape: [2, 3], values: [1, 1, 0, 0, 0, 2]), labels: [1, 2])
    #expect(other[label: 1, prediction: 0] == 1 && other[label: 2, prediction: 2] == 1)
  }
}
