import HGNetCore

/// A network of the PP-HGNetV2 or PP-HGNet family, by name.
///
/// A model is a row of a table; `graph(options:inputSize:)` turns it into the graph that everything else reads.
/// Threads: a value, safe to share.
public struct Model: Sendable, Hashable, CustomStringConvertible {
  /// The family, with the model's row.
  public enum Architecture: Sendable, Hashable {
    /// PP-HGNetV2, B0 to B6.
    case pphgnetV2(PPHGNetV2.Configuration)
    /// PP-HGNet: tiny, small, base.
    case pphgnet(PPHGNet.Configuration)
  }

  /// The name in PaddleClas, such as `PPHGNetV2_B0` or `PPHGNet_tiny`.
  public let name: String
  /// The family and the row.
  public let architecture: Architecture

  /// Makes a model of one's own from a row.
  public init(name: String, architecture: Architecture) {
    self.name = name
    self.architecture = architecture
  }

  /// The least height and width of a picture: the total stride.
  public static let minimumInputSide = 32
  /// The largest height and width of a picture.
  public static let maximumInputSide = 1 << 15

  /// The name.
  public var description: String { name }

  /// The probability of dropout before the classifier, unless an option says otherwise.
  public var dropoutProbability: Float {
    switch architecture {
    case .pphgnetV2(let configuration): configuration.dropoutProbability
    case .pphgnet(let configuration): configuration.dropoutProbability
    }
  }

  /// Whether a learnable affine block follows each ReLU, unless an option says otherwise.
  public var hasAffineBlocks: Bool {
    switch architecture {
    case .pphgnetV2(let configuration): configuration.hasAffineBlocks
    case .pphgnet: false
    }
  }

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
    let features = try backbone(into: &builder, options: options)
    let logits = builder.head(
      input: features.node, inputChannels: features.channels, options: options,
      hasAffineBlock: options.useLearnableAffineBlock ?? hasAffineBlocks,
      dropoutProbability: options.dropoutProbability ?? dropoutProbability)
    builder.nameOutput("logits", logits)
    return try builder.graph(outputs: ["logits"], inputSize: inputSize)
  }

  /// Builds the network without its classifier.
  ///
  /// The output is `embedding`: the mean over the last stage's map, with `use_last_conv` also the last convolution and what
  /// follows it. Selectable are the stages as well, as of `graph(options:inputSize:)`.
  ///
  /// - Parameters:
  ///   - options: what may differ; the class count does not matter.
  ///   - stageCount: how many of the four stages there are, 1 … 4; with fewer than four there is no last convolution.
  ///   - inputSize: height and width of the pictures in pixels, 32 … 32768 each.
  /// - Throws: `HGNetError.Code.invalidArgument` for an option or a number out of range.
  public func backboneGraph(
    options: ModelOptions = ModelOptions(), stageCount: Int = 4, inputSize: Size = Size(224)
  ) throws(HGNetError) -> Graph {
    guard 1...4 ~= stageCount else {
      throw HGNetError(.invalidArgument, "expected 1 to 4 stages, found \(stageCount)")
    }
    try check(options, inputSize: inputSize)
    var builder = GraphBuilder()
    _ = try backbone(into: &builder, options: options)
    // The stages behind the last one that is wanted go with `selecting`.
    let whole = try builder.graph(outputs: ["stages.\(stageCount - 1)"], inputSize: inputSize)
    guard let last = whole.outputs.first else { throw HGNetError(.internalInconsistency, "a backbone has no stages") }
    var own = options
    own.useLastConvolution = options.useLastConvolution && stageCount == 4
    let embedding = builder.embedding(
      input: last.node, inputChannels: whole[last.node].shape.channels, options: own,
      hasAffineBlock: options.useLearnableAffineBlock ?? hasAffineBlocks,
      dropoutProbability: options.dropoutProbability ?? dropoutProbability)
    builder.nameOutput("embedding", builder.append(.flatten, name: "flatten", inputs: [embedding.node]))
    let stages = (0..<stageCount).map { "stages.\($0)" }
    return try builder.graph(outputs: ["embedding"], inputSize: inputSize)
      .selecting(outputs: ["embedding"] + stages).selecting(outputs: ["embedding"])
  }

  private func check(_ options: ModelOptions, inputSize: Size) throws(HGNetError) {
    try options.validate()
    let sides = Model.minimumInputSide...Model.maximumInputSide
    guard sides ~= inputSize.height, sides ~= inputSize.width else {
      throw HGNetError(
        .invalidArgument,
        "\(name) takes pictures of \(sides.lowerBound) to \(sides.upperBound) pixels on each side, found \(inputSize)")
    }
  }

  /// Appends the input, the stem and all stages.
  private func backbone(
    into builder: inout GraphBuilder, options: ModelOptions
  ) throws(HGNetError) -> (node: Graph.NodeID, channels: Int) {
    let input = builder.append(.input(channels: 3), name: "input", inputs: [])
    switch architecture {
    case .pphgnetV2(let configuration):
      return (builder.backbone(of: configuration, input: input, options: options), configuration.featureChannels)
    case .pphgnet(let configuration):
      guard options.useLearnableAffineBlock != true else {
        throw HGNetError(.invalidArgument, "\(name) has no learnable affine blocks; leave the key out", key: "use_lab")
      }
      return (builder.backbone(of: configuration, input: input, options: options), configuration.featureChannels)
    }
  }
}

extension Model {
  /// PPHGNetV2_B0.
  public static let b0 = Model(name: "PPHGNetV2_B0", architecture: .pphgnetV2(.b0))
  /// PPHGNetV2_B1.
  public static let b1 = Model(name: "PPHGNetV2_B1", architecture: .pphgnetV2(.b1))
  /// PPHGNetV2_B2.
  public static let b2 = Model(name: "PPHGNetV2_B2", architecture: .pphgnetV2(.b2))
  /// PPHGNetV2_B3.
  public static let b3 = Model(name: "PPHGNetV2_B3", architecture: .pphgnetV2(.b3))
  /// PPHGNetV2_B4.
  public static let b4 = Model(name: "PPHGNetV2_B4", architecture: .pphgnetV2(.b4))
  /// PPHGNetV2_B5.
  public static let b5 = Model(name: "PPHGNetV2_B5", architecture: .pphgnetV2(.b5))
  /// PPHGNetV2_B6.
  public static let b6 = Model(name: "PPHGNetV2_B6", architecture: .pphgnetV2(.b6))
  /// PPHGNet_tiny.
  public static let tiny = Model(name: "PPHGNet_tiny", architecture: .pphgnet(.tiny))
  /// PPHGNet_small.
  public static let small = Model(name: "PPHGNet_small", architecture: .pphgnet(.small))
  /// PPHGNet_base.
  public static let base = Model(name: "PPHGNet_base", architecture: .pphgnet(.base))

  /// All ten models, B0 to B6, then tiny, small and base.
  public static let all: [Model] = [b0, b1, b2, b3, b4, b5, b6, tiny, small, base]

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
    let full = plain(model.name)
    let suffix = model.name.split(separator: "_").last.map { plain(String($0)) } ?? full
    return [full, String(full.dropFirst(2)), suffix]
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
