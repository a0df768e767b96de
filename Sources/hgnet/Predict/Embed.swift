import ArgumentParser
import HGNet
import HGNetCore
import HGNetFormats
import HGNetModels

/// Turns pictures into vectors, and finds the nearest ones.
struct Embed: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write the embeddings of pictures, or find the pictures nearest to one.",
    discussion: """
      The embedding is the input of the last linear layer: 2048 values in the published models.
        hgnet embed photos/ -o vectors.npy
        hgnet embed photos/ --nearest photo.jpg --count 10
      vectors.npy is float32 [N, K]; the paths are in vectors.txt, one a line in the same order. vectors.csv has the path and \
      the values on each line. --nearest ranks by cosine similarity.
      """)

  @OptionGroup var input: PictureArguments

  @Option(
    help: ArgumentHelp(
      "A file of weights in any format, the folder of an inference model, or the name of published weights.",
      valueName: "file"))
  var weights: String?

  @Option(
    help: ArgumentHelp(
      "The model, such as PPHGNetV2_B0; without --weights its published weights are fetched once (default: PPHGNetV2_B4).",
      valueName: "name"), completion: .modelNames)
  var model: String?

  @Option(
    name: [.short, .customLong("output")], help: ArgumentHelp("The file to write, .npy or .csv.", valueName: "file"))
  var output: String?

  @Option(help: ArgumentHelp("Print the pictures nearest to this one, the nearest first.", valueName: "picture"))
  var nearest: String?

  @Option(help: ArgumentHelp("With --nearest: how many.", valueName: "n"))
  var count = 5

  @Flag(help: "With --nearest: print JSON.")
  var json = false

  @Flag(help: "Do not use the network; published weights must be in the cache.")
  var offline = false

  @OptionGroup var compute: DeviceOptions

  func validate() throws {
    if input.isEmpty { throw ValidationError("expected pictures or folders") }
    if output == nil, nearest == nil { throw ValidationError("expected --output FILE or --nearest PICTURE") }
    if let output, !output.hasSuffix(".npy"), !output.hasSuffix(".csv") {
      throw ValidationError("expected --output of .npy or .csv, found \(output)")
    }
    if count < 1 { throw ValidationError("expected --count of at least 1, found \(count)") }
    if json, nearest == nil { throw ValidationError("--json belongs to --nearest") }
  }

  func run() async throws {
    if let output { try FileOutput.check(path: output) }
    let pictures = try input.pictures()
    let model = try self.model.map { name throws(HGNetError) in try Model.named(name) }
    let opened = try ModelSource.weights(file: weights, model: model, isOffline: offline, defaultModel: .b4)
    let found = try opened.findRecipe()
    found.tell(verbose: false)
    let extractor = try FeatureExtractor(opened, recipe: found.recipe, device: compute.device(for: opened.parameters))
    let vectors = try vectors(of: pictures, extractor)
    if let output { try write(vectors, to: output, columns: extractor.embeddingCount) }
    if let nearest {
      let wanted = try extractor.features(decoding: PictureArguments.blob(nearest)).embedding
      try tell(vectors, nearestTo: wanted)
    }
    if vectors.count < pictures.count { throw ExitStatus.dataError }
  }

  private typealias Vector = (path: String, values: [Float])

  /// The vectors of the pictures that can be read.
  private func vectors(of pictures: [String], _ extractor: FeatureExtractor) throws -> [Vector] {
    var vectors: [Vector] = []
    var progress = PictureProgress(total: pictures.count, isFirst: true)
    let step = extractor.recipe.usualBatch
    for first in stride(from: 0, to: pictures.count, by: step) {
      let batch = Array(pictures[first..<min(first + step, pictures.count)])
      for (path, result) in zip(batch, try embeddings(of: batch, extractor)) {
        switch result {
        case .success(let values): vectors.append((path, values))
        case .failure(let error):
          progress.clear()
          StandardError.write("hgnet: warning: \(error.at(path: path)); the picture is skipped")
        }
      }
      progress.add(batch.count)
    }
    progress.clear()
    return vectors
  }

  private func embeddings(
    of batch: [String], _ extractor: FeatureExtractor
  ) throws(HGNetError) -> [Result<[Float], HGNetError>] {
    guard batch.contains(PictureArguments.standardInput) else { return try extractor.embeddings(contentsOf: batch) }
    return batch.map { path in
      Result { () throws(HGNetError) in
        try extractor.features(decoding: PictureArguments.blob(path)).embedding
      }
    }
  }

  private func write(_ vectors: [Vector], to output: String, columns: Int) throws(HGNetError) {
    guard output.hasSuffix(".npy") else {
      var file = try FileOutput(path: output)
      try file.write("file_name," + (0..<columns).map { "v\($0)" }.joined(separator: ",") + "\n")
      for vector in vectors {
        try file.write(PredictionOutput.row([vector.path] + vector.values.map { "\($0)" }))
      }
      return try file.commit()
    }
    var values: [Float] = []
    for vector in vectors { values += vector.values }
    try NumpyArray.write(Tensor(shape: [vectors.count, columns], values: values), to: output)
    var names = try FileOutput(path: output.dropLast(4) + ".txt")
    for vector in vectors { try names.write(vector.path + "\n") }
    try names.commit()
  }

  private func tell(_ vectors: [Vector], nearestTo wanted: [Float]) throws {
    let scored = vectors.map { vector in (path: vector.path, cosine: Embed.cosine(wanted, vector.values)) }
    // Equally near ones stay in their order.
    let nearest = scored.enumerated()
      .sorted { ($1.element.cosine, $0.offset) < ($0.element.cosine, $1.offset) }.prefix(count).map { $0.element }
    guard !json else {
      let rows = nearest.map { JSONText.object([("file_name", .text($0.path)), ("cosine", .number($0.cosine))]) }
      return try StandardOutput.write(JSONText.list(rows).indented)
    }
    for row in nearest { try StandardOutput.write("\(FixedPoint.text(row.cosine, digits: 4))  \(row.path)") }
  }
  /// The cosine of the angle between two vectors of one length; 0 where one of them is zero.
  private static func cosine(_ left: [Float], _ right: [Float]) -> Double {
    func product(_ left: [Float], _ right: [Float]) -> Double {
      zip(left, right).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    let lengths = (product(left, left) * product(right, right)).squareRoot()
    return lengths > 0 ? product(left, right) / lengths : 0
  }
}
