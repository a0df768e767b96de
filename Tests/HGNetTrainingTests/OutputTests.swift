import Foundation
import HGNetCore
import HGNetTraining
import HGNetVision
import Testing

@Suite("TensorBoard records and the report")
struct OutputTests {
  private func withFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("hgnet-training-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try body(folder.path)
  }

  @Test("CRC-32C of the published check text, and the mask")
  func checksum() {
    // The checksum of "123456789" is E3069283.
    let value: UInt32 = 0xE306_9283
    #expect(TensorBoardEvents.maskedChecksum(Array("123456789".utf8)) == ((value >> 15) | (value << 17)) &+ 0xA282_EAD8)
  }

  @Test("The bytes are those that TensorBoard's own writer makes")
  func bytes() throws {
    try withFolder { folder in
      let events = try TensorBoardEvents(folder: folder + "/logs", time: 1_700_000_000)
      try events.add([("train_loss", 0.75), ("lr(LinearWarmup)", 0.001)], step: 300, time: 1_700_000_001.5)
      let other = try TensorBoardEvents(folder: folder + "/logs", time: 1_700_000_000)
      #expect(events.path != other.path)
      let expected = try Data(contentsOf: Fixture.folder.appendingPathComponent("events.bin"))
      #expect(try Data(contentsOf: URL(fileURLWithPath: events.path)) == expected)
    }
  }

  @Test("A folder that cannot be is an error")
  func badFolder() {
    #expect(throws: HGNetError.self) { _ = try TensorBoardEvents(folder: "/dev/null/x", time: 0) }
    #expect(throws: HGNetError.self) { _ = try TensorBoardEvents(folder: ".", time: .nan) }
  }

  static func report() throws -> TrainingReport {
    var random = RandomGenerator(seed: 5)
    let labels = ["circle", "square", "triangle", "star", "hexagon", "cross", "ring", "arrow", "heart <3", "moon"]
    var report = TrainingReport(
      title: "PPHGNetV2_B0 on shapes", subtitle: "10 classes, 2 000 pictures for training, 400 held out")
    report.figures = [
      ("top-1", "96.3%"), ("top-5", "99.8%"), ("epochs", "12"), ("pictures/s", "143"), ("time", "2 min 21 s"),
    ]
    func points(_ function: (Double) -> Double) -> [(x: Double, y: Double)] {
      (1...12).map { (Double($0), function(Double($0))) }
    }
    let noise = (0..<12).map { _ in Double(random.uniform()) }
    let loss = points { 0.5 + 1.9 / $0 + noise[Int($0) - 1] * 0.05 }
    let evaluationLoss = points { 0.1 + 2 / $0 + noise[12 - Int($0)] * 0.1 }
    let accuracy = points { 1 - 0.8 / $0 }
    let evaluationAccuracy = points { 1 - 0.7 / $0 - noise[Int($0) - 1] * 0.04 }
    var rates: [(x: Double, y: Double)] = []
    for step in 0..<2000 {
      let time = Double(step)
      rates.append((time, step < 200 ? time / 400 : 0.5 * (2000 - time) / 1800))
    }
    report.curves = [
      .init("Loss", series: [.init("training", points: loss), .init("evaluation", points: evaluationLoss)]),
      .init(
        "Top-1", isShare: true,
        series: [.init("training", points: accuracy), .init("evaluation", points: evaluationAccuracy)]),
      .init("Learning rate", axis: "step", series: [.init("rate", points: rates)]),
      .init("Nothing", series: [.init("empty", points: [(1, .nan)])]),
    ]
    report.labels = labels
    var matrix = try ConfusionMatrix(classes: 10)
    for label in 0..<10 {
      for _ in 0..<40 {
        let isRight = random.uniform() < 0.93
        try matrix.add(label: label, prediction: isRight ? label : Int(random.next() % 10))
      }
    }
    report.confusion = matrix
    for index in 0..<6 {
      var pixels: [UInt8] = []
      for offset in 0..<96 * 96 * 3 {
        let value: Int = (offset / 3 % 96) * 2 + index * 30 + (offset % 3) * 40
        pixels.append(UInt8(truncatingIfNeeded: value))
      }
      let image = try Image(size: Size(height: 96, width: 96), pixels: pixels)
      report.mistakes.append(
        .init(
          thumbnail: try image.encoded(as: .jpeg(quality: 80)), fileName: "test/\(labels[index])/\(index).jpg",
          label: index, prediction: (index + 3) % 10, score: 0.99 - Double(index) * 0.05))
    }
    report.configuration = "Global:\n  epochs: 12\nArch:\n  name: PPHGNetV2_B0\n  class_num: 10\n"
    return report
  }

  @Test("The report is complete, escaped and needs nothing else")
  func report() throws {
    let report = try Self.report()
    let html = report.html
    #expect(html.hasPrefix("<!DOCTYPE html>"))
    #expect(html.contains("heart &lt;3") && !html.contains("heart <3"))
    #expect(html.components(separatedBy: "<polyline").count == 6)
    #expect(html.components(separatedBy: "data:image/jpeg;base64,").count == 7)
    #expect(!html.contains("http:") && !html.contains("https:"))
    #expect(!html.contains("Nothing"))
    #expect(html.contains("class_num: 10"))
    // What went in as a picture comes out again.
    let encoded = html.components(separatedBy: "data:image/jpeg;base64,")[1].prefix { $0 != "\"" }
    #expect(Data(base64Encoded: String(encoded)).map(Array.init) == report.mistakes[0].thumbnail)
    try withFolder { folder in
      let path = folder + "/report.html"
      try report.write(to: path)
      #expect(try String(contentsOfFile: path, encoding: .utf8) == html)
      if let copy = ProcessInfo.processInfo.environment["HGNET_KEEP_REPORT"] { try report.write(to: copy) }
    }
  }

  @Test("Without anything it is still a page")
  func emptyReport() {
    let html = TrainingReport(title: "<x>", subtitle: "").html
    #expect(html.contains("&lt;x&gt;") && !html.contains("<section"))
  }

  @Test("Many classes are listed by their worst confusions")
  func manyClasses() throws {
    var report = TrainingReport(title: "many", subtitle: "")
    var matrix = try ConfusionMatrix(classes: 1000)
    for index in 0..<1000 { try matrix.add(label: index, prediction: (index + index % 2) % 1000) }
    report.confusion = matrix
    #expect(report.html.utf8.count < 600_000)
    #expect(report.html.contains("most frequent confusions"))
  }

  @Test("Any numbers make a diagram or none", arguments: [0.0, 1e-300, 1e300, -5, 1, .infinity, .nan, 123_456])
  func oddNumbers(_ value: Double) {
    var report = TrainingReport(title: "odd", subtitle: "")
    for other in [0, value, -value, value + 1, 1e-12] {
      report.curves.append(.init("c", series: [.init("s", points: [(0, value), (other, other)])]))
      report.curves.append(.init("c", isShare: true, series: [.init("s", points: [(other, value), (value, other)])]))
    }
    let numbers = report.html.components(separatedBy: "<svg").dropFirst().joined()
    #expect(
      !numbers.contains("nan,") && !numbers.contains("\"nan") && !numbers.contains(">nan") && !numbers.contains("inf"))
  }
}
