import HGNet
import HGNetCore

/// A compiled network with what turns pictures into its input and its results into scores.
///
/// Threads: safe to share.
package struct ServedNetwork: Sendable {
  /// The compiled network; its first output is the logits, and a second one the map that heat maps are made of.
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
  /// Heat maps come from the same network, so that nothing is read later: the file may be another one by then. They take
  /// a copy of the classifier's last layers, 10 MB for 1000 classes.
  ///
  /// - Parameters:
  ///   - weights: the file.
  ///   - recipe: how pictures become input.
  ///   - device: where the network will run.
  ///   - isAlone: whether all threads may pack the weights; else the caller's does.
  /// - Throws: `HGNetError.Code.unsupported` for a network that does not classify, and as `InferenceModel`.
  package init(
    _ weights: WeightsFile, recipe: Recipe, device: Device, isAlone: Bool = true
  ) throws(HGNetError) {
    try weights.requireClassifier()
    guard let classCount = weights.graph.classCount else {
      throw HGNetError(.unsupported, "expected a network that classifies, found one without logits", path: weights.path)
    }
    let recipe = try weights.completing(recipe)
    self.recipe = recipe
    self.classCount = classCount
    activation = recipe.activation ?? recipe.postProcessing.activation
    modelName = weights.model?.name ?? ""
    let head = Result { () throws(HGNetError) in
      try ClassifierHead(weights.graph, parameters: weights.parameters)
    }
    var outputs = [Graph.Output.Role.logits]
    if case .success = head { outputs = ClassActivation.outputs(of: weights.graph) }
    let single = device.with(ThreadPool(count: 1))
    let made = try InferenceModel(
      graph: weights.graph.selecting(outputs: outputs), parameters: weights.parameters,
      device: isAlone ? device : single)
    model = isAlone ? made : try InferenceModel(sharing: made, on: device)
    // Beside the batcher's threads.
    let beside = try InferenceModel(sharing: made, on: single)
    heatMaps = HeatMaps(head.map { ClassActivation(beside, head: $0) }, recipe: recipe)
  }
}
