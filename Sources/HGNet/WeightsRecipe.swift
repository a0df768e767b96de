import HGNetConfiguration
import HGNetCore
import HGNetModels
import HGNetVision

/// The recipe that belongs to weights, and where it was found.
///
/// There is one rule, and every door follows it: `Classifier`, `FeatureExtractor`, the C library, the tool and the
/// server. A recipe is looked for, in this order:
///
/// 1. beside an exported model: `NAME.yml` of a file `NAME.…`, or `inference.yml`;
/// 2. inside the file: the `inference.yml` that an export carries;
/// 3. beside trained weights: the `config.yaml` of the training run;
/// 4. beside any other weights: the files of 1, unless they are of another model;
/// 5. by the name of published weights, which have PaddleClas' evaluation.
///
/// Where there is none, PaddleClas' evaluation of the model is assumed, at the size that the file declares. Threads: a
/// value, safe to share.
public struct WeightsRecipe: Sendable {
  /// Where a recipe comes from.
  public enum Origin: Sendable, Hashable, CustomStringConvertible {
    /// The caller gave it.
    case given
    /// A file beside the weights.
    case beside(path: String)
    /// The weights file itself carries it.
    case inside(path: String)
    /// The weights are published ones, whose recipe is known.
    case published(name: String)
    /// None was found: the evaluation of the model is assumed.
    case assumed

    /// What a person calls it.
    public var description: String {
      switch self {
      case .given: "given by the caller"
      case .beside(let path): path
      case .inside(let path): "inside \(path)"
      case .published(let name): "published with \(name)"
      case .assumed: "assumed"
      }
    }
  }

  /// The recipe; its activation is always set, since the head belongs to the weights.
  public let recipe: Recipe
  /// Where it was found.
  public let origin: Origin
  /// What was found and could not be used, such as names that belong to other classes; one line each.
  public let warnings: [String]
  /// What it was read from, if it was.
  package let configuration: Configuration?

  /// One line that says what is assumed where nothing was found, nil otherwise.
  public var assumption: String? {
    guard origin == .assumed else { return nil }
    let size = recipe.inputSize.map { "\($0)" } ?? "any size"
    let steps = recipe.transforms.compactMap { transform -> String? in
      switch transform {
      case .resizeShort(let side, let interpolation, _): "short side \(side) (\(interpolation.rawValue))"
      case .resize(let size, let interpolation, _): "resized to \(size) (\(interpolation.rawValue))"
      case .centerCrop, .normalize: nil
      }
    }
    let names = recipe.labels == nil ? "no names of classes" : "ImageNet's names"
    return "found no recipe beside the weights or inside them (inference.yml, config.yaml); assumed: "
      + (steps + ["crop \(size)", (recipe.activation ?? .none).rawValue, names]).joined(separator: ", ")
  }

  /// The name under which a model carries its `inference.yml`.
  package static let metadataKey = "inference.yml"
  /// The name under which weights without a head of their own carry what turns their logits into scores.
  package static let activationKey = "activation"
  /// The name under which weights carry a dropout other than their model's own, by which PaddlePaddle multiplies.
  package static let dropoutKey = "dropout_prob"
}

extension WeightsFile {
  /// Every file that `findRecipe()` may look at for weights under a path, whether it is there or not.
  ///
  /// What these files are decides about the recipe, so that whoever keeps weights open can see that it has changed.
  package static func recipeFiles(of path: String) -> [String] {
    NeighboringConfiguration.candidates(at: WeightsFile.resolve(path))
  }

  /// Finds the recipe that belongs to the weights; see `WeightsRecipe` for the rule.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for an `inference.yml` or `config.yaml` of this network that
  ///   cannot be used, naming the key; `malformedData` for a damaged file of labels.
  public func findRecipe() throws(HGNetError) -> WeightsRecipe {
    var warnings: [String] = []
    if let (origin, configuration) = try recipeSource(&warnings) {
      if var recipe = try configuration.recipe(isBesideWeights: true, warn: { warnings.append($0) }) {
        if let declared = declaredInputSize, let size = recipe.inputSize, size != declared {
          warnings.append(contradiction(origin, size, declared, &recipe))
        }
        recipe.labels = fittingLabels(recipe.labels, warn: { warnings.append($0) })
        recipe.activation = head(for: recipe)
        return WeightsRecipe(recipe: recipe, origin: origin, warnings: warnings, configuration: configuration)
      }
      warnings.append("\(origin): says nothing about the preparation of pictures")
    }
    var recipe = defaultRecipe
    recipe.activation = head(for: recipe)
    let published = PublishedWeights.all.first { $0.fileName == NeighboringConfiguration.name(of: path) }
    return WeightsRecipe(
      recipe: recipe, origin: published.map { .published(name: $0.fileName) } ?? .assumed, warnings: warnings,
      configuration: nil)
  }

  /// The recipe that a configuration describes for these weights; where it has none, the one that belongs to them.
  ///
  /// - Throws: as `findRecipe()`.
  package func recipe(of configuration: Configuration) throws(HGNetError) -> WeightsRecipe {
    var warnings: [String] = []
    var described = try configuration.recipe(warn: { warnings.append($0) })
    if described == nil { described = try configuration.recipe(isBesideWeights: true, warn: { warnings.append($0) }) }
    guard var recipe = described else {
      let found = try findRecipe()
      return WeightsRecipe(
        recipe: found.recipe, origin: found.origin, warnings: found.warnings, configuration: configuration)
    }
    recipe.labels = fittingLabels(recipe.labels, warn: { warnings.append($0) })
    recipe.activation = head(for: recipe)
    return WeightsRecipe(recipe: recipe, origin: .given, warnings: warnings, configuration: configuration)
  }

  /// The names if they can be those of the classes; otherwise nil, after a warning.
  package func fittingLabels(_ labels: Labels?, warn: (String) -> Void) -> Labels? {
    guard let labels, let classCount = graph.classCount, let fault = labels.fault(classCount: classCount) else {
      return labels
    }
    warn("\(fault); the classes are told without names")
    return nil
  }

  /// The names of a file that somebody named.
  ///
  /// - Throws: `HGNetError.Code.malformedData` for names that cannot be those of the classes, and as
  ///   `Labels.init(contentsOf:)`.
  package func labels(contentsOf path: String) throws(HGNetError) -> Labels {
    let labels = try Labels(contentsOf: path)
    if let classCount = graph.classCount, let fault = labels.fault(classCount: classCount) {
      throw HGNetError(.malformedData, fault, path: path)
    }
    return labels
  }

  /// A recipe that a caller chose, with the head of the weights.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for names that cannot be those of the classes.
  package func completing(_ recipe: Recipe) throws(HGNetError) -> Recipe {
    if let labels = recipe.labels, let classCount = graph.classCount,
      let fault = labels.fault(classCount: classCount)
    {
      throw HGNetError(.invalidArgument, "the labels of the recipe do not belong to the network: \(fault)", path: path)
    }
    var completed = recipe
    if recipe.activation == nil {
      var warnings: [String] = []
      let isKnown = activation != nil || metadata[WeightsRecipe.activationKey] != nil
      // What the recipe beside the weights says about their head holds for every other recipe, too.
      let beside = isKnown ? nil : try? recipeSource(&warnings)?.configuration.recipe(isBesideWeights: true)
      completed.activation = beside.map(head) ?? head(for: recipe)
    }
    return completed
  }

  /// What turns the logits into scores.
  private func head(for recipe: Recipe) -> Activation {
    recipe.activation ?? activation ?? metadata[WeightsRecipe.activationKey].flatMap(Activation.init)
      ?? recipe.postProcessing.activation
  }

  /// The file or text that describes the preparation of pictures.
  private func recipeSource(
    _ warnings: inout [String]
  ) throws(HGNetError) -> (origin: WeightsRecipe.Origin, configuration: Configuration)? {
    let inside = metadata[WeightsRecipe.metadataKey]
    if format.isInferenceModel || inside != nil {
      for file in NeighboringConfiguration.exported(at: path) where FileKind.exists(file) {
        // Another program may have a file of the weights' name, too.
        guard file.hasSuffix("inference.yml") || NeighboringConfiguration.describesPictures(file) else {
          warnings.append("\(file) is no recipe; it is not used")
          continue
        }
        return (.beside(path: file), try Configuration(contentsOf: file))
      }
      if let inside {
        return (.inside(path: path), try Configuration(try ConfigurationValue(yaml: inside), path: path))
      }
    }
    guard !format.isInferenceModel, let model, let classCount = graph.classCount else { return nil }
    let trained = NeighboringConfiguration.trained(
      Model.Recognition(model: model, options: ModelOptions(classCount: classCount)), at: path,
      warn: { warnings.append($0) })
    if let trained { return (.beside(path: trained.path), trained) }
    for file in NeighboringConfiguration.exported(at: path) where NeighboringConfiguration.describesPictures(file) {
      let value = try ConfigurationValue(contentsOf: file)
      // An export of another network may lie in the same folder.
      if case .text(let name)? = value.value(at: "Global.model_name"), let other = try? Model.named(name),
        other != model
      {
        warnings.append("\(file) is of \(other), the weights are of \(model); it is not used")
        continue
      }
      return (.beside(path: file), try Configuration(value, path: file))
    }
    return nil
  }

  /// What is said where a recipe prepares pictures of another size than the model declares; an ONNX model runs at its
  /// declared size alone.
  private func contradiction(
    _ origin: WeightsRecipe.Origin, _ size: Size, _ declared: Size, _ recipe: inout Recipe
  ) -> String {
    let both = "\(origin) prepares pictures of \(size), \(path) declares \(declared)"
    guard format == .onnxModel else { return "\(both); Paddle's programs run at either, and the recipe decides" }
    recipe = recipe.resized(to: declared)
    return "\(both), which decides"
  }

  /// The recipe that is assumed where none is found: the model's evaluation, at the size that the file declares, with
  /// ImageNet's names for 1000 classes.
  public var defaultRecipe: Recipe {
    let labels = graph.classCount == ImageNetLabels.names.count ? Labels.imageNet : nil
    let model = model ?? (try? Model.structure(of: graph))?.recognition.model
    var recipe = model.map { Recipe.evaluation(of: $0, labels: labels) } ?? Recipe.evaluation(labels: labels)
    if activation == .sigmoid { recipe.postProcessing = .threshold(0.5) }
    if graph.nodes.contains(where: { if case .decoder = $0.operation { true } else { false } }) {
      // The decoder's configurations take the whole picture, at twice the side.
      recipe.transforms =
        [.resize(Size(448), interpolation: .bilinear, backend: .pillow)] + recipe.transforms.suffix(1)
    }
    return declaredInputSize.map(recipe.resized) ?? recipe
  }
}
