import ArgumentParser
import HGNet
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetVision

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The first run of a newcomer: pictures, weights, classes and times, without network and without data.
struct Demo: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Draw pictures, write a model with random weights, classify: a first run without network.",
    discussion: """
      Everything that is made stays in the output folder, so that the other commands can be tried on it. The weights are \
      untrained: the classes mean nothing, the way there and the times do.
      """)

  @Option(help: ArgumentHelp("The model.", valueName: "name"))
  var model = "PPHGNetV2_B0"

  @Option(help: ArgumentHelp("How many pictures are drawn.", valueName: "n"))
  var pictures = 8

  @Option(name: [.short, .customLong("output")], help: ArgumentHelp("The folder for all files.", valueName: "folder"))
  var output = "hgnet-demo"

  @Option(help: ArgumentHelp("The seed of the weights.", valueName: "n"))
  var seed: UInt64 = 1

  @OptionGroup var compute: ThreadOptions

  func validate() throws {
    if !(1...1000).contains(pictures) { throw ValidationError("expected 1 to 1000 --pictures, found \(pictures)") }
    if output.isEmpty { throw ValidationError("expected a folder after --output, found nothing") }
  }

  func run() throws {
    let model = try Model.named(self.model)
    try makeFolder(output)
    let paths = try draw()
    let weights = try writeWeights(of: model)
    try classify(paths, weights)
    try StandardOutput.write(
      """

      The weights are random numbers (seed \(seed)), not trained: the classes and scores mean nothing, and most pictures get
      the same. What is shown is the whole way from a picture to classes, that both files of weights give the same scores,
      and how long it takes.

      Next, on the same files or on your own:
        hgnet predict \(paths[0]) --weights \(weights[0].path)
        hgnet summary \(weights[1].path)
        hgnet bench \(weights[1].path)
      """)
  }

  /// Draws the pictures, JPEG and PNG in turn.
  private func draw() throws(HGNetError) -> [String] {
    try makeFolder(output + "/pictures")
    var paths: [String] = []
    for index in 0..<pictures {
      let picture = DemoPicture(index: index)
      let number = index < 9 ? "0\(index + 1)" : "\(index + 1)"
      let path = "\(output)/pictures/\(number)-\(picture.name).\(index % 2 == 0 ? "jpg" : "png")"
      try Image(size: Size(height: picture.height, width: picture.width), pixels: picture.pixels).write(to: path)
      paths.append(path)
    }
    try StandardOutput.write("Drew \(pictures) pictures into \(output)/pictures.")
    return paths
  }

  /// A file of weights and how long it took to open it and compile the network.
  private struct Weights {
    var path: String
    var format: String
  }

  private func writeWeights(of model: Model) throws -> [Weights] {
    let graph = try model.graph()
    let parameters = Model.randomParameters(for: graph, seed: seed)
    let stem = "\(output)/\(model.name)_untrained"
    try PaddleParameters.write(parameters, to: stem + ".pdparams")
    try Safetensors.write(parameters, to: stem + ".safetensors")
    let written = [
      Weights(path: stem + ".pdparams", format: ".pdparams"),
      Weights(path: stem + ".safetensors", format: "safetensors"),
    ]
    for weights in written { try StandardOutput.write("Wrote \(weights.path) (\(try megabytes(of: weights.path))).") }
    return written
  }

  private func classify(_ paths: [String], _ weights: [Weights]) throws {
    let clock = ContinuousClock()
    let pool = compute.pool()
    var classifiers: [Classifier] = []
    try StandardOutput.write("")
    for file in weights {
      let start = clock.now
      let classifier = try Classifier(WeightsFile(contentsOf: file.path), pool: pool)
      // The first run makes the session; it is not what a picture costs.
      _ = try classifier.classify(contentsOf: paths[0])
      let milliseconds = FixedPoint.text((clock.now - start).milliseconds, digits: 0)
      try StandardOutput.write("Opened \(file.path) and ran it once: \(milliseconds) ms.")
      classifiers.append(classifier)
    }
    try StandardOutput.write("Classifying on \(pool.count) thread\(pool.count == 1 ? "" : "s"):\n")

    let names = paths.map { $0.split(separator: "/").last.map(String.init) ?? $0 }
    let width = max(7, names.map(\.count).max() ?? 0)
    var heading = pad("picture", to: width) + "   read ms"
    for file in weights { heading += "   " + pad("\(file.format) ms", to: 14, right: true) }
    try StandardOutput.write(heading + "   scores   class (untrained)")
    var agree = true
    for (path, name) in zip(paths, names) {
      let start = clock.now
      let picture = try classifiers[0].recipe.tensor(contentsOf: path)
      var line = pad(name, to: width) + milliseconds(since: start, clock, width: 10)
      var results: [[ScoredClass]] = []
      for classifier in classifiers {
        let start = clock.now
        results.append(try classifier.classes(of: [picture])[0])
        line += "   " + milliseconds(since: start, clock, width: 14)
      }
      let same = results.allSatisfy { $0 == results[0] }
      agree = agree && same
      line += same ? "    equal" : "   DIFFER"
      if let best = results[0].first {
        line += "   \(FixedPoint.text(best.score * 100, digits: 1, width: 5)) %  \(best.label ?? "class \(best.index)")"
      }
      try StandardOutput.write(line)
    }
    guard agree else {
      throw HGNetError(
        .internalInconsistency, "the two files of weights gave different scores for a picture; please report this")
    }
  }

  private func milliseconds(since start: ContinuousClock.Instant, _ clock: ContinuousClock, width: Int) -> String {
    FixedPoint.text((clock.now - start).milliseconds, digits: 1, width: width)
  }

  private func pad(_ text: String, to width: Int, right: Bool = false) -> String {
    let space = String(repeating: " ", count: max(0, width - text.count))
    return right ? space + text : text + space
  }

  private func megabytes(of path: String) throws(HGNetError) -> String {
    FixedPoint.text(Double(try Blob(mapping: path).count) / 1e6, digits: 1) + " MB"
  }

  /// Makes a folder and those above it.
  private func makeFolder(_ path: String) throws(HGNetError) {
    var made = path.hasPrefix("/") ? "/" : ""
    for part in path.split(separator: "/") {
      made += made.isEmpty || made.hasSuffix("/") ? String(part) : "/\(part)"
      guard mkdir(made, 0o755) != 0 else { continue }
      let number = errno
      var status = stat()
      guard stat(made, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
        throw HGNetError(
          .unwritableFile, "cannot make the folder; choose another with --output", path: made,
          cause: String(cString: strerror(number)))
      }
    }
  }
}
