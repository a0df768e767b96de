import HGNet
import HGNetCore
import HGNetEngine
import HGNetModels

/// A compiled network with what turns pictures into its input and its results into scores.
///
/// Threads: safe to share.
package struct ServedNetwork: Sendable {
  /// The compiled network; its first output is the logits.
  package let model: InferenceModel
  /// How pictures become input, and which classes are told.
  package let recipe: Recipe
  /// Shows where the evidence for a class is.
  package let heatMaps: HeatMaps
  /// How logits become scores.
  package let activation: Activation
  /// The name of the model, such as `PPHGNetV2_B0`; empty for one that is unknown.
  package let modelName: String
  /// The number of classes.
  package let classCount: Int

  /// Compiles the network of a weights file.
  ///
  /// - Parameter model: what the file was said to be of; nil where it was recognised.
  /// - Throws: `HGNetError.Code.unsupported` for a network that does not classify, and as `InferenceModel`.
  package init(_ weights: WeightsFile, model: Model?, recipe: Recipe, pool: ThreadPool?) throws(HGNetError) {
    try weights.requireClassifier()
    guard let classCount = weights.graph.classCount else {
      throw HGNetError(.unsupported, "expected a network that classifies, found one without logits", path: weights.path)
    }
    let recipe = try weights.completing(recipe)
    self.recipe = recipe
    self.classCount = classCount
    activation = recipe.activation ?? recipe.postProcessing.activation
    heatMaps = HeatMaps(path: weights.path, model: model, recipe: recipe)
    modelName = weights.model?.name ?? ""
    self.model = try InferenceModel(
      graph: weights.graph.selecting(outputs: [.logits]), parameters: weights.parameters, pool: pool)
  }
}
