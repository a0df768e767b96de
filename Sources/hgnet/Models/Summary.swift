import ArgumentParser
import HGNet
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetProgram

/// Prints the layers of a network with their sizes.
struct Summary: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print the layers of a model: operator, output shape, parameters, multiply-adds.",
    discussion: "The number of parameters excludes the running statistics of batch normalisation."
  )

  @Argument(
    help: ArgumentHelp("A model such as PPHGNetV2_B4, or a file of weights.", valueName: "model-or-file"),
    completion: .modelNames)
  var subject: String

  @Option(name: .customLong("input-size"), help: ArgumentHelp("Height and width in pixels.", valueName: "HxW"))
  var inputSize: SizeArgument?

  @Option(
    name: .customLong("class-num"), help: ArgumentHelp("The number of classes of a model by name.", valueName: "n"))
  var classCount: Int?

  @Flag(help: "Print the compiled program instead: fused layers in order, and the memory place of each result.")
  var program = false

  @Flag(help: "With --program: a training step, forward and backward.")
  var training = false

  @Option(help: "With --program: the batch size.")
  var batch = 1

  @Option(
    help: ArgumentHelp(
      "With --program: predict a run with up to so many threads, from the tasks of each layer and its time with one thread here.",
      valueName: "n"))
  var threads: Int?

  @Option(
    help: ArgumentHelp("With --threads: the memory bandwidth of all threads together in GB/s.", valueName: "GB/s"))
  var bandwidth = 100.0

  @OptionGroup var precision: PrecisionOptions

  @Flag(help: "Print JSON.")
  var json = false

  func validate() throws {
    guard program || (!training && batch == 1) else {
      throw ValidationError("--training and --batch belong to --program.")
    }
    guard !program || !json else { throw ValidationError("--program prints a table; leave --json out.") }
    guard threads == nil || (program && !training) else {
      throw ValidationError("--threads belongs to --program, of inference.")
    }
    guard threads != nil || precision.precision == nil else {
      throw ValidationError("--precision belongs to --threads.")
    }
    guard (1...1024).contains(threads ?? 1) else {
      throw ValidationError("expected 1 to 1024 threads, found \(threads ?? 0)")
    }
    guard bandwidth >= 1, bandwidth <= 1e6 else {
      throw ValidationError("expected a --bandwidth of 1 to 1000000 GB/s, found \(bandwidth)")
    }
  }

  func run() throws {
    let opened = try ModelOrFile(subject, classCount: classCount)
    guard opened.file == nil || classCount == nil else {
      throw HGNetError(
        .invalidArgument, "a file of weights has its own number of classes; leave --class-num out", path: subject,
        key: "--class-num")
    }
    let graph = try inputSize.map { size throws(HGNetError) in try opened.graph.resized(to: size.size) } ?? opened.graph
    let name = opened.file == nil ? opened.model?.name ?? subject : subject
    if program, let threads {
      let prediction = try ThreadPrediction(
        of: opened, extent: RunExtent(batch: batch, inputSize: graph.inputSize), threads: threads,
        precision: (precision.precision ?? .float32).precision, socketReading: bandwidth * 1e9)
      let size = "3×\(graph.inputSize.height)×\(graph.inputSize.width)"
      return try StandardOutput.write(
        "\(name), \(batch == 1 ? "1 picture" : "\(batch) pictures") of \(size)\n\n\(prediction.text)")
    }
    if program { return try StandardOutput.write(programText(of: graph, name: name)) }
    let rows = SummaryRow.rows(of: graph)
    let elements = graph.parameters.reduce(0) { $0 + $1.shape.count }
    if json {
      let layers = rows.map { row in
        JSONText.object([
          ("name", .text(row.name)), ("operator", .text(row.operation)),
          ("output_shape", .list([row.shape.channels, row.shape.height, row.shape.width].map { .integer($0) })),
          ("parameters", .integer(row.parameters)), ("multiply_adds", .integer(row.multiplyAdds)),
        ])
      }
      let names = graph.parameters.map { parameter in
        JSONText.object([
          ("name", .text(parameter.name)), ("shape", .list(parameter.shape.dimensions.map { .integer($0) })),
        ])
      }
      let document = JSONText.object([
        ("model", .text(opened.model?.name ?? name)),
        ("input_size", .list([.integer(graph.inputSize.height), .integer(graph.inputSize.width)])),
        ("parameters", .integer(graph.learnedParameterCount)),
        ("state_elements", .integer(elements)), ("state_entries", .integer(graph.parameters.count)),
        ("multiply_adds", .integer(graph.multiplyAdds)), ("layers", .list(layers)), ("state_dictionary", .list(names)),
      ])
      try StandardOutput.write(document.line)
      return
    }
    var table = TextTable(titles: ["layer", "operator", "output C×H×W", "parameters", "multiply-adds"])
    table.rightAligned = [3, 4]
    for row in rows {
      table.append([
        row.name, row.operation, row.shape.description, row.parameters > 0 ? Grouped.text(row.parameters) : "",
        row.multiplyAdds > 0 ? Grouped.text(row.multiplyAdds) : "",
      ])
    }
    let size = graph.inputSize
    var text = "\(name), input 3×\(size.height)×\(size.width)\n\n" + table.text + "\n\n"
    text += "parameters      \(Grouped.text(graph.learnedParameterCount))"
    text += "  (with running statistics \(Grouped.text(elements)) in \(graph.parameters.count) entries)\n"
    text += "multiply-adds   \(Grouped.text(graph.multiplyAdds)) per picture\n"
    text += "weights         \(FixedPoint.text(Double(elements) * 4 / 1e6, digits: 1)) MB as float32"
    try StandardOutput.write(text)
  }
}

extension Summary {
  /// The program of a graph as a table.
  private func programText(of graph: Graph, name: String) throws -> String {
    let rows: [ProgramRow]
    let buffers: [Buffer]
    if training {
      let step = try TrainingProgram(Program(graph, isTraining: true), batch: batch)
      (rows, buffers) = (step.rows, step.buffers)
    } else {
      let inference = try InferenceProgram(Program(graph), batch: batch)
      (rows, buffers) = (inference.rows, inference.placement.buffers)
    }
    var table = TextTable(titles: ["step", "layer", "work", "reads", "writes", "C×H×W", "kB", "until step"])
    table.rightAligned = [0, 6, 7]
    for row in rows {
      table.append([
        "\(row.number)", row.name, row.work, row.reads.joined(separator: " "), row.writes, row.shape.description,
        Grouped.text(row.byteCount / 1000), "\(row.lastStep)",
      ])
    }
    let size = graph.inputSize
    let all = buffers.reduce(0) { $0 + $1.byteCount }
    return "\(name), \(batch == 1 ? "1 picture" : "\(batch) pictures") of 3×\(size.height)×\(size.width)"
      + (training ? ", a training step" : "") + "\n\n\(table.text)\n\n"
      + "memory  \(FixedPoint.text(Double(MemoryPlan(buffers).byteCount) / 1e6, digits: 1)) MB for \(buffers.count) "
      + "buffers of \(FixedPoint.text(Double(all) / 1e6, digits: 1)) MB, which share it by their lifetimes"
  }
}

/// One line of the table.
struct SummaryRow {
  let name: String
  let operation: String
  let shape: ActivationShape
  let parameters: Int
  let multiplyAdds: Int

  /// A row for each node of a graph.
  static func rows(of graph: Graph) -> [SummaryRow] {
    let declarations = Dictionary(graph.parameters.map { ($0.name, $0) }) { first, _ in first }
    return graph.nodes.map { node in
      let count = node.operation.parameterNames.reduce(0) { sum, name in
        guard let declaration = declarations[name], declaration.role.isLearned else { return sum }
        return sum + declaration.shape.count
      }
      return SummaryRow(
        name: node.name, operation: node.operation.title, shape: node.shape, parameters: count,
        multiplyAdds: graph.multiplyAdds(of: node))
    }
  }
}
