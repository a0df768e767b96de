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
  /// loading, which lists it. A set without a classifier is a backbone, which may end before the last stage.
  ///
  /// - Parameters:
  ///   - shapes: names with shapes, in any order; names that no model knows do no harm.
  ///   - models: the models that it may be, the first that fits being taken; nil for all of the families.
  /// - Throws: `HGNetError.Code.parameterMismatch` naming the nearest model and the first parameter that differs.
  public static func recognize(
    _ shapes: [(name: String, shape: Shape)], among models: [Model]? = nil
  ) throws(HGNetError) -> Recognition {
    let models = models ?? all
    let found = FoundParameters(shapes)
    for model in models where model.fitsLandmarks(of: found) {
      if let recognition = try model.comparison(with: found).recognition { return recognition }
    }
    // Nothing fits: every network is looked at, to say what is nearest.
    var nearest: (model: Model, comparison: FoundParameters.Comparison)?
    for model in models {
      let comparison = try model.comparison(with: found)
      if comparison.agreeing > nearest?.comparison.agreeing ?? 0 { nearest = (model, comparison) }
    }
    guard let (model, comparison) = nearest, let difference = comparison.difference else {
      let example = shapes.first.map { "found for example \(HGNetError.quoted($0.name))" } ?? "found none"
      throw HGNetError(
        .parameterMismatch,
        "expected the parameters of a \(NetworkFamily.listing) network, such as "
          + "\(NetworkFamily.all.first?.firstParameter ?? ""); \(example)")
    }
    throw HGNetError(
      .parameterMismatch,
      "the parameters fit no known model; the nearest is \(model), of whose \(comparison.expected) backbone "
        + "parameters \(comparison.agreeing) fit; the first that does not is \(difference)")
  }

  /// Finds the model that a store's parameters belong to.
  ///
  /// - Throws: as the other form.
  public static func recognize(
    _ store: ParameterStore, among models: [Model]? = nil
  ) throws(HGNetError) -> Recognition {
    try recognize(store.names.compactMap { name in store[name].map { (name, $0.shape) } }, among: models)
  }

  /// Whether the parameters may be those of the network, which is found out without a graph.
  ///
  /// The landmark of the stem must be there, and none may have another shape.
  package func fitsLandmarks(of found: FoundParameters) -> Bool {
    let landmarks = architecture.landmarks
    guard let stem = landmarks.first, found.shapes[stem.name] != nil else { return false }
    return landmarks.allSatisfy { name, shape in found.shapes[name].map { $0 == shape } ?? true }
  }

  /// Compares stem and stages with the network's, as far as it goes in the parameters.
  private func comparison(with found: FoundParameters) throws(HGNetError) -> FoundParameters.Comparison {
    let options = architecture.options(in: found)
    let declarations = try graph(options: options).parameters
    let parts = Set(declarations.compactMap { found.shapes[$0.name] == nil ? nil : $0.part })
    var extent = Recognition.Extent.classifier
    if !found.shapes.keys.contains(where: { family.headPart(ofParameter: $0) == .classifier }) {
      let last = (0..<architecture.stageCount).last { parts.contains(.stage($0)) }
      extent = .backbone(stageCount: (last ?? architecture.stageCount - 1) + 1)
    }
    var comparison = FoundParameters.Comparison()
    for declaration in declarations {
      switch (declaration.part, extent) {
      case (.stem, _), (.stage, .classifier): break
      case (.stage(let index), .backbone(let stageCount)) where index < stageCount: break
      default: continue
      }
      comparison.expected += 1
      let shape = found.shapes[declaration.name]
      if shape == declaration.shape {
        comparison.agreeing += 1
      } else if comparison.difference == nil {
        comparison.difference =
          "\(declaration.name): expected \(declaration.shape), found \(shape.map(\.description) ?? "nothing")"
      }
    }
    if comparison.difference == nil {
      comparison.recognition = Recognition(model: self, options: options, extent: extent)
    }
    return comparison
  }
}

/// Named shapes whose network is looked for.
package struct FoundParameters {
  /// How far the parameters are those of a network.
  struct Comparison {
    var agreeing = 0
    var expected = 0
    /// The first parameter of stem and stages that differs.
    var difference: String?
    /// Nil where one differs.
    var recognition: Model.Recognition?
  }

  package let shapes: [String: Shape]

  /// Takes names with shapes; of a name that is there twice the first.
  package init(_ shapes: [(name: String, shape: Shape)]) {
    self.shapes = Dictionary(shapes.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
  }

  /// Whether there is a learnable affine block behind some ReLU.
  package var hasAffineBlocks: Bool { shapes.keys.contains { $0.hasSuffix(".lab.scale") } }

  /// The options that the head's parameters tell; an extent out of range leaves the default, for loading to refuse.
  package var headOptions: ModelOptions {
    let found = shapes
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
