import HGNetCore

extension Model {
  /// The model and the options that a set of parameters belongs to.
  public struct Recognition: Sendable, Hashable {
    /// The model.
    public let model: Model
    /// The options whose traces were found: class count, width and presence of the last convolution, affine blocks.
    public let options: ModelOptions
    /// How much of the network there is.
    public let extent: Extent

    /// How much of a network a set of parameters holds.
    public enum Extent: Sendable, Hashable {
      /// All of it.
      case classifier
      /// Stem and so many of the stages, with the last convolution where the options have it; no classifier.
      case backbone(stageCount: Int)
    }

    /// Makes a result.
    public init(model: Model, options: ModelOptions = ModelOptions(), extent: Extent = .classifier) {
      self.model = model
      self.options = options
      self.extent = extent
    }

    /// The network that the parameters are for.
    ///
    /// - Parameter inputSize: height and width of the pictures in pixels, 32 … 32768 each.
    /// - Throws: as `Model.graph(options:inputSize:)`.
    public func graph(inputSize: Size = Size(224)) throws(HGNetError) -> Graph {
      switch extent {
      case .classifier: try model.graph(options: options, inputSize: inputSize)
      case .backbone(let stageCount):
        try model.backboneGraph(options: options, stageCount: stageCount, inputSize: inputSize)
      }
    }
  }

  /// Finds the model that named shapes belong to.
  ///
  /// Names and layouts are PaddlePaddle's. A model is recognised by its stem and stages, which must all be there in the
  /// right shapes; the head only tells the options, and whatever is missing or too much there is left to strict
  /// loading, which lists it. A set without a classifier is a backbone, which may end before the fourth stage.
  ///
  /// - Parameter shapes: names with shapes, in any order; names that no model knows do no harm.
  /// - Throws: `HGNetError.Code.parameterMismatch` naming the nearest model and the first parameter that differs.
  public static func recognize(_ shapes: [(name: String, shape: Shape)]) throws(HGNetError) -> Recognition {
    let found = Dictionary(shapes.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
    let head = headOptions(of: found)
    let extent = extent(of: found)
    let parts: [String]
    switch extent {
    case .classifier: parts = ["stem."] + (0..<4).map { "stages.\($0)." }
    case .backbone(let stageCount): parts = ["stem."] + (0..<stageCount).map { "stages.\($0)." }
    }
    let hasAffineBlocks = found.keys.contains { $0.hasSuffix(".lab.scale") }
    var nearest: (model: Model, agreeing: Int, expected: Int, difference: String)?
    for model in all {
      var options = head
      // PP-HGNet has no affine blocks to switch; PP-HGNetV2 may be built with or without.
      if case .pphgnetV2 = model.architecture, hasAffineBlocks != model.hasAffineBlocks {
        options.useLearnableAffineBlock = hasAffineBlocks
      }
      let expected = try model.graph(options: options).parameters.filter { parameter in
        parts.contains { parameter.name.hasPrefix($0) }
      }
      var agreeing = 0
      var difference: String?
      for parameter in expected {
        if found[parameter.name] == parameter.shape {
          agreeing += 1
        } else if difference == nil {
          let shape = found[parameter.name].map(\.description) ?? "nothing"
          difference = "\(parameter.name): expected \(parameter.shape), found \(shape)"
        }
      }
      guard let difference else { return Recognition(model: model, options: options, extent: extent) }
      if agreeing > nearest?.agreeing ?? 0 { nearest = (model, agreeing, expected.count, difference) }
    }
    guard let nearest else {
      let example = shapes.first.map { "found for example \(HGNetError.quoted($0.name))" } ?? "found none"
      throw HGNetError(
        .parameterMismatch,
        "expected the parameters of a PP-HGNetV2 or PP-HGNet network, such as stem.stem1.conv.weight; \(example)")
    }
    throw HGNetError(
      .parameterMismatch,
      "the parameters fit no known model; the nearest is \(nearest.model), of whose \(nearest.expected) backbone "
        + "parameters \(nearest.agreeing) fit; the first that does not is \(nearest.difference)")
  }

  /// Finds the model that a store's parameters belong to.
  ///
  /// - Throws: as the other form.
  public static func recognize(_ store: ParameterStore) throws(HGNetError) -> Recognition {
    try recognize(store.names.compactMap { name in store[name].map { (name, $0.shape) } })
  }

  /// Whether there is a classifier, and if not, how many stages there are.
  private static func extent(of found: [String: Shape]) -> Recognition.Extent {
    guard !found.keys.contains(where: { $0.hasPrefix("fc.") }) else { return .classifier }
    let stageCount = (0..<4).last { stage in found.keys.contains { $0.hasPrefix("stages.\(stage).") } }
    return .backbone(stageCount: (stageCount ?? 3) + 1)
  }

  /// The options that the head's parameters tell; an extent out of range leaves the default, for loading to refuse.
  private static func headOptions(of found: [String: Shape]) -> ModelOptions {
    var options = ModelOptions()
    var classCount: Int?
    if let bias = found["fc.bias"], bias.rank == 1 { classCount = bias[0] }
    if let weight = found["fc.weight"], weight.rank == 2 { classCount = weight[1] }
    if let classCount, ModelOptions.classCounts ~= classCount { options.classCount = classCount }
    if let projection = found["fc.input_proj.weight"], projection.rank == 4 {
      let layer = "fc.decoder.layers.0"
      var decoder = MLDecoder(features: projection[0])
      if let hidden = found["\(layer).linear1.weight"], hidden.rank == 2 { decoder.hiddenFeatures = hidden[1] }
      if let queries = found["fc.query_pos_embed.weight"], queries.rank == 2 { decoder.queryCount = queries[0] }
      // With several classes a query the rows are rounded up; how many of them count, only a configuration says.
      // The heads leave no trace; eight is what PaddleClas' configurations have.
      if decoder.features % decoder.heads != 0 { decoder.heads = 1 }
      if let group = found["fc.group_conv.bias"], group.rank == 1, ModelOptions.classCounts ~= group[0] {
        options.classCount = group[0]
      }
      options.decoder = decoder
    }
    if let last = found["last_conv.weight"] {
      if last.rank == 4, ModelOptions.classExpansions ~= last[0] { options.classExpand = last[0] }
    } else {
      options.useLastConvolution = false
    }
    return options
  }
}
