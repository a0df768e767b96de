import HGNet
import HGNetCore
import HGNetFormats
import HGNetModels

/// What leaves with a network: its head, the size of its input, and the recipe that says how pictures are prepared.
///
/// All of it follows from the recipe that belongs to the weights, so that every way of exporting writes the same files.
/// Threads: a value, safe to share.
public struct ExportPlan: Sendable {
  /// The network as it is exported.
  public let network: ExportedNetwork
  /// How pictures are prepared for it, and which classes are told.
  public let recipe: Recipe
  /// The name of the model, if it is known.
  public let modelName: String?
  /// What should be said about it, one line each.
  public let notes: [String]

  /// Plans the export of weights.
  ///
  /// - Parameters:
  ///   - weights: the network and its parameters.
  ///   - found: the recipe that belongs to them, as `WeightsFile.findRecipe()` finds it.
  ///   - inputSize: height and width of the pictures; nil for what the recipe makes of them, else
  ///     `Global.image_shape`, else what the weights declare, else 224×224.
  ///   - labels: the names of the classes; nil for those of the recipe.
  /// - Throws: `HGNetError.Code.invalidConfiguration` for a wrong key of the configuration, and as `ExportedNetwork`.
  public init(
    _ weights: WeightsFile, recipe found: WeightsRecipe, inputSize: Size? = nil, labels: Labels? = nil
  ) throws(HGNetError) {
    let settings = try found.exportSettings()
    var recipe = found.recipe
    var notes = found.warnings
    if let labels { recipe.labels = labels }
    if let inputSize { recipe = recipe.resized(to: inputSize) }
    if inputSize == nil, let size = recipe.inputSize, let named = settings?.inputSize, named != size {
      notes.append(
        "Global.image_shape says \(named), the pictures are prepared as \(size); the model is exported for \(size)")
    }
    let size = inputSize ?? recipe.inputSize ?? settings?.inputSize ?? weights.declaredInputSize
    let addsHead = settings?.addsHead ?? true
    network = try ExportedNetwork(
      weights, activation: addsHead ? recipe.activation : Activation.none, inputSize: size)
    self.recipe = recipe
    self.notes = notes
    modelName =
      settings?.modelName ?? weights.model?.name
      ?? (try? Model.structure(of: weights.graph))?.recognition.model.name
  }

  /// The recipe as `inference.yml`.
  public var description: String {
    recipe.inferenceText(modelName: modelName, classCount: network.classCount)
  }

  /// The texts that a file carries beside its weights: the model's name, the recipe, the names of the classes.
  public var metadata: [(key: String, value: String)] {
    var metadata: [(key: String, value: String)] = []
    if let modelName { metadata.append(("model", modelName)) }
    metadata.append((WeightsRecipe.metadataKey, description))
    if let labels = recipe.labels {
      metadata.append(("labels", JSONText.list((0..<network.classCount).map { .text(labels[$0]) }).line))
    }
    return metadata
  }

  /// The same for a file of weights alone, which cannot say by itself what turns its logits into scores, nor what leaves
  /// no parameter.
  public var metadataOfWeights: [(key: String, value: String)] {
    var metadata = metadata
    if let activation = recipe.activation, activation != recipe.postProcessing.activation {
      metadata.append((WeightsRecipe.activationKey, activation.rawValue))
    }
    let probabilities = network.graph.nodes.compactMap { node -> Float? in
      if case .dropout(let probability) = node.operation { probability } else { nil }
    }
    let declared = modelName.flatMap { try? Model.named($0) }?.dropoutProbability
    if let probability = probabilities.last, let declared, probability != declared {
      metadata.append((WeightsRecipe.dropoutKey, "\(probability)"))
    }
    return metadata
  }
}
