import HGNetCore

/// A network of one of the families, by name.
///
/// A model is a row of its family's table; `graph(options:inputSize:)` turns it into the graph that everything else reads.
/// Threads: a value, safe to share.
public struct Model: Sendable, Hashable, CustomStringConvertible {
  /// The name in PaddleClas, such as `PPHGNetV2_B0` or `PPHGNet_tiny`.
  public let name: String
  /// The row.
  package let architecture: any NetworkArchitecture

  /// Makes a model from a row.
  package init(name: String, architecture: any NetworkArchitecture) {
    self.name = name
    self.architecture = architecture
  }

  /// The family.
  public var family: NetworkFamily { type(of: architecture).family }

  /// Whether another model is the same network, whatever its name.
  public func isSameNetwork(as other: Model) -> Bool { architecture.isEqual(to: other.architecture) }

  /// Whether two models have the same name and are the same network.
  public static func == (left: Model, right: Model) -> Bool { left.name == right.name && left.isSameNetwork(as: right) }

  /// Hashes name and row.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(name)
    hasher.combine(architecture)
  }

  /// The least height and width of a picture: the total stride.
  public static let minimumInputSide = 32
  /// The largest height and width of a picture.
  public static let maximumInputSide = 1 << 15

  /// The name.
  public var description: String { name }

  /// The probability of dropout before the classifier, unless an option says otherwise.
  public var dropoutProbability: Float { architecture.dropoutProbability }

  /// Whether a learnable affine block follows each ReLU, unless an option says otherwise.
  public var hasAffineBlocks: Bool { architecture.hasAffineBlocks }

  /// Builds the network.
  ///
  /// The input node is named `input` and takes pictures of three channels. Outputs that can be asked for with
  /// `Graph.selecting(outputs:)`: `logits` (the default), and `stages.0` to `stages.3` at strides 4, 8, 16 and 32.
  /// Parameters are declared in the order of PaddlePaddle's state dictionary. For another size later, see
  /// `Graph.resized(to:)`.
  ///
  /// - Parameters:
  ///   - options: what may differ between two networks of the same model.
  ///   - inputSize: height and width of the pictures in pixels, 32 … 32768 each.
  /// - Throws: `HGNetError.Code.invalidArgument` for an option or a size out of range.
  public func graph(
    options: ModelOptions = ModelOptions(), inputSize: Size = Size(224)
  ) throws(HGNetError) -> Graph {
    try check(options, inputSize: inputSize)
    var builder = GraphBuilder()
    let backbone = appendBackbone(to: &builder, options: options)
    let embedding = architecture.appendEmbedding(
      to: &builder, input: backbone.node, inputChannels: backbone.channels, options: options)
    let logits = architecture.appendClassifier(
      to: &builder, input: embedding.node, features: embedding.channels, options: options)
    builder.markOutput(.logits, logits)
    return try builder.graph(output: .logits, inputSize: inputSize)
  }

  /// Builds the network without its classifier.
  ///
  /// The output is `embedding`: the mean over the last stage's map, with `use_last_conv` also the last convolution and what
  /// follows it. Selectable are the stages as well, as of `graph(options:inputSize:)`.
  ///
  /// - Parameters:
  ///   - options: what may differ; the class count does not matter.
  ///   - stageCount: how many of its stages there are; nil for all, and with fewer there is no last convolution.
  ///   - inputSize: height and width of the pictures in pixels, 32 … 32768 each.
  /// - Throws: `HGNetError.Code.invalidArgument` for an option or a number out of range.
  public func backboneGraph(
    options: ModelOptions = ModelOptions(), stageCount: Int? = nil, inputSize: Size = Size(224)
  ) throws(HGNetError) -> Graph {
    let whole = architecture.stageCount
    let stageCount = stageCount ?? whole
    guard 1...whole ~= stageCount else {
      throw HGNetError(.invalidArgument, "expected 1 to \(whole) stages, found \(stageCount)")
    }
    try check(options, inputSize: inputSize)
    var builder = GraphBuilder()
    _ = appendBackbone(to: &builder, options: options)
    // The stages behind the last one that is wanted go with `selecting`.
    let stages = try builder.graph(output: .stage(stageCount - 1), inputSize: inputSize)
    guard let last = stages.outputs.first else { throw HGNetError(.internalInconsistency, "a backbone has no stages") }
    var own = options
    own.useLastConvolution = options.useLastConvolution && stageCount == whole
    let embedding = architecture.appendEmbedding(
      to: &builder, input: last.node, inputChannels: stages[last.node].shape.channels, options: own)
    builder.markOutput(.embedding, builder.append(.flatten, name: "flatten", inputs: [embedding.node]))
    return try builder.graph(output: .embedding, inputSize: inputSize)
      .selecting(outputs: [.embedding] + (0..<stageCount).map { .stage($0) }).selecting(outputs: [.embedding])
  }

  private func check(_ options: ModelOptions, inputSize: Size) throws(HGNetError) {
    try options.validate()
    let sides = Model.minimumInputSide...Model.maximumInputSide
    guard sides ~= inputSize.height, sides ~= inputSize.width else {
      throw HGNetError(
        .invalidArgument,
        "\(name) takes pictures of \(sides.lowerBound) to \(sides.upperBound) pixels on each side, found \(inputSize)")
    }
    try architecture.check(options, of: name)
  }

  /// Appends the input, the stem and all stages.
  private func appendBackbone(
    to builder: inout GraphBuilder, options: ModelOptions
  ) -> (node: Graph.NodeID, channels: Int) {
    let input = builder.append(.input(channels: 3), name: "input", inputs: [])
    return architecture.appendBackbone(to: &builder, input: input, options: options)
  }
}

extension Model {
  /// The models of all families: B0 to B6, then tiny, small and base.
  public static let all: [Model] = NetworkFamily.all.flatMap(\.models)

  /// The model of a name.
  ///
  /// Upper and lower case, `_` and `-` make no difference; `b4` and timm's `hgnetv2_b4` stand for `PPHGNetV2_B4`,
  /// `tiny` and `hgnet_tiny` for `PPHGNet_tiny`.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` with the nearest name and the list of all.
  public static func named(_ name: String) throws(HGNetError) -> Model {
    let wanted = plain(name)
    if let model = all.first(where: { spellings(of: $0).contains(wanted) }) { return model }
    let nearest = all.min { left, right in distance(wanted, to: left) < distance(wanted, to: right) }
    let suggestion = nearest.map { "did you mean \($0)? " } ?? ""
    let known = all.map(\.name).joined(separator: ", ")
    // A name from outside may be anything of any length; the message repeats only its beginning.
    throw HGNetError(.invalidArgument, "no model is named \(HGNetError.quoted(name)); \(suggestion)There are: \(known)")
  }

  private static func plain(_ name: String) -> String {
    String(name.lowercased().filter { $0.isLetter || $0.isNumber }.prefix(64))
  }

  private static func spellings(of model: Model) -> [String] {
    ([model.name] + model.family.aliases(model.name)).map(plain)
  }

  private static func distance(_ name: String, to model: Model) -> Int {
    spellings(of: model).map { editDistance(name, $0) }.min() ?? Int.max
  }
}

/// The number of characters to insert, remove or replace to turn one text into the other.
func editDistance(_ left: String, _ right: String) -> Int {
  let target = Array(right)
  var row = Array(0...target.count)
  for (line, character) in left.enumerated() {
    var diagonal = row[0]
    row[0] = line + 1
    for column in target.indices {
      let replaced = diagonal + (character == target[column] ? 0 : 1)
      diagonal = row[column + 1]
      row[column + 1] = min(replaced, diagonal + 1, row[column] + 1)
    }
  }
  return row[target.count]
}
