import HGNet
import HGNetCore
import HGNetPlatform
import Testing

@Suite("From logits to classes")
struct PostProcessingTests {
  @Test("Softmax and sigmoid in double precision, without overflow")
  func activations() {
    let softmax = Activation.softmax.scores(of: [1, 2, 3])
    let expected = [0.09003057317038046, 0.24472847105479764, 0.6652409557748218]
    for (found, wanted) in zip(softmax, expected) { #expect(abs(found - wanted) < 1e-15) }
    #expect(Activation.softmax.scores(of: [1000, 0, -1000]) == [1, 0, 0])
    #expect(Activation.sigmoid.scores(of: [0, 1000, -1000]) == [0.5, 1, 0])
    #expect(Activation.none.scores(of: [0.5, -2]) == [0.5, -2])
  }

  @Test(
    "The best classes come first; ties in the order of the classes",
    arguments: [
      ([0, 3, 1, 3, 2], 3, [1, 3, 4]), ([1, 1, 1], 2, [0, 1]), ([5, 4], 9, [0, 1]),
      ([200, 100, 300, 301], 4, [3, 2, 0, 1]),
      // Both vanish after softmax; the order of the logits still counts.
      ([-2000, 0, -1000], 3, [1, 2, 0]),
    ] as [([Float], Int, [Int])])
  func topK(logits: [Float], count: Int, expected: [Int]) throws {
    let classes = try PostProcessing.topK(count).classes(of: logits, activation: .softmax, labels: nil)
    #expect(classes.map(\.index) == expected)
    #expect(classes.allSatisfy { $0.label == nil })
  }

  @Test("A threshold keeps the order of the classes and includes equality")
  func threshold() throws {
    let labels = Labels(["a", "b", "c"])
    let classes = try PostProcessing.threshold(0.5).classes(of: [0, -1, 4], activation: .sigmoid, labels: labels)
    #expect(classes.map(\.index) == [0, 2])
    #expect(classes.map(\.label) == ["a", "c"])
    #expect(PostProcessing.threshold(0.5).activation == .sigmoid)
    #expect(PostProcessing.topK(5).activation == .softmax)
  }

  @Test("Results that are not finite are an error", arguments: [Float.nan, .infinity, -.infinity])
  func notFinite(value: Float) {
    let error = #expect(throws: HGNetError.self) {
      try PostProcessing.topK(1).classes(of: [0, value], activation: .softmax, labels: nil)
    }
    #expect(error?.code == .malformedData)
  }

  @Test(
    "Every kind of failure has its exit status",
    arguments: [
      (.fileNotFound, 66), (.unreadableFile, 66), (.noInput, 66), (.unwritableFile, 73), (.malformedData, 65),
      (.unsupported, 65), (.unsafeContent, 65), (.limitExceeded, 65), (.parameterMismatch, 65), (.shapeMismatch, 65),
      (.invalidArgument, 64), (.invalidConfiguration, 78), (.networkFailure, 69),
      (.deviceFailure, 69), (.internalInconsistency, 70),
    ] as [(HGNetError.Code, Int32)])
  func exitStatus(code: HGNetError.Code, status: Int32) {
    #expect(ExitStatus(code).rawValue == status)
  }
}

@Suite("Names of classes")
struct LabelsTests {
  private func labels(_ text: String) throws -> Labels {
    let path = "/tmp/hgnet-labels-\(getpid())-\(UInt64.random(in: 0...UInt64.max)).txt"
    var output = try FileOutput(path: path)
    try output.write(text)
    try output.commit()
    defer { unlink(path) }
    return try Labels(contentsOf: path)
  }

  @Test("Everything after the first space is the name")
  func parse() throws {
    let labels = try labels("0 tench, Tinca tinca\r\n\n2 it's a name\n1\n")
    #expect(labels[0] == "tench, Tinca tinca")
    #expect(labels[2] == "it's a name")
    #expect(labels[1] == "")
    #expect(labels[7] == "7")
    #expect(labels.count == 3)
  }

  @Test("A line without an index is named", arguments: [("a b\n", 1), ("0 x\n-1 y\n", 2), ("0 x\n\n1.5 y\n", 3)])
  func malformed(text: String, line: Int) {
    let error = #expect(throws: HGNetError.self) { try labels(text) }
    #expect(error?.code == .malformedData)
    #expect(error?.context.line == line)
  }

  @Test("Empty and missing files")
  func absent() {
    #expect(throws: HGNetError.self) { try labels("") }
    let error = #expect(throws: HGNetError.self) { try Labels(contentsOf: "/nonexistent/labels.txt") }
    #expect(error?.code == .fileNotFound)
  }

  @Test("ImageNet")
  func imageNet() {
    #expect(Labels.imageNet.count == 1000)
    #expect(Labels.imageNet[8] == "hen")
    #expect(Labels.imageNet[0].hasPrefix("tench"))
  }
}
