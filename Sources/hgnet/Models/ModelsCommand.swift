import ArgumentParser
import HGNet
import HGNetCore
import HGNetDownload
import HGNetFormats
import HGNetModels

/// Lists the models that have published weights.
struct ModelsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "models",
    abstract: "List the models: parameters, multiply-adds, published accuracy, cached or not.",
    discussion: """
      Multiply-adds are those of one picture of the input size. Top-1 is the accuracy on ImageNet-1k that PaddleClas' page \
      gives for the weights that --model stands for. Cached weights lie in $XDG_CACHE_HOME/hgnet or ~/.cache/hgnet.
      """)

  @Flag(help: "Print JSON.")
  var json = false

  func run() throws {
    let cache = try? PublishedWeightsCache(isOffline: true)
    var rows: [(weights: PublishedWeights, graph: Graph, path: String?)] = []
    for weights in Model.all.compactMap(PublishedWeights.mostAccurate) {
      rows.append((weights, try weights.model.graph(), cache?.cachedPath(for: weights)))
    }
    guard !json else {
      let documents = rows.map { weights, graph, path in
        JSONText.object([
          ("model", .text(weights.model.name)), ("file", .text(weights.fileName)), ("url", .text(weights.url())),
          ("parameters", .integer(graph.learnedParameterCount)), ("multiply_adds", .integer(graph.multiplyAdds)),
          ("input_size", .list([.integer(graph.inputSize.height), .integer(graph.inputSize.width)])),
          ("top1", weights.accuracy.map { .number($0.top1) } ?? .null),
          ("top5", weights.accuracy.map { .number($0.top5) } ?? .null), ("cached", .boolean(path != nil)),
        ])
      }
      return try StandardOutput.write(JSONText.list(documents).indented)
    }
    var table = TextTable(titles: ["model", "parameters", "multiply-adds", "input", "top-1 %", "cached"])
    table.rightAligned = [1, 2, 4]
    for (weights, graph, path) in rows {
      table.append([
        weights.model.name, "\(FixedPoint.text(Double(graph.learnedParameterCount) / 1e6, digits: 2)) M",
        "\(FixedPoint.text(Double(graph.multiplyAdds) / 1e9, digits: 2)) G",
        "\(graph.inputSize.height)×\(graph.inputSize.width)",
        weights.accuracy.map { FixedPoint.text($0.top1, digits: 2) } ?? "", path == nil ? "no" : "yes",
      ])
    }
    try StandardOutput.write(table.text)
  }
}
