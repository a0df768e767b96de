import HGNetCore

/// How one network is built: the type of the rows of a family's table.
package protocol NetworkArchitecture: Hashable, Sendable {
  /// The family that the row belongs to.
  static var family: NetworkFamily { get }
  /// The probability of dropout before the classifier, unless an option says otherwise.
  var dropoutProbability: Float { get }
  /// Whether a learnable affine block follows each ReLU, unless an option says otherwise.
  var hasAffineBlocks: Bool { get }
  /// The number of stages.
  var stageCount: Int { get }
  /// One parameter of the stem and one of each stage with their shapes, by which the network is told from most others
  /// before its graph is built.
  var landmarks: [(name: String, shape: Shape)] { get }

  /// Refuses options that the network does not have.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` naming PaddleClas' key.
  func check(_ options: ModelOptions, of model: String) throws(HGNetError)
  /// The options of which parameters have traces.
  func options(in found: FoundParameters) -> ModelOptions
  /// Adds to the options what affine blocks, found or not, say about them.
  func options(_ options: ModelOptions, hasAffineBlocks: Bool) -> ModelOptions
  /// Appends stem and stages, marks the result of each stage, and gives that of the last with its channels.
  func appendBackbone(
    to builder: inout GraphBuilder, input: Graph.NodeID, options: ModelOptions
  ) -> (node: Graph.NodeID, channels: Int)
  /// Appends what stands between the last stage and the classifier, and gives its result with its channels.
  func appendEmbedding(
    to builder: inout GraphBuilder, input: Graph.NodeID, inputChannels: Int, options: ModelOptions
  ) -> (node: Graph.NodeID, channels: Int)
  /// Appends what makes the logits, and gives their node.
  func appendClassifier(
    to builder: inout GraphBuilder, input: Graph.NodeID, features: Int, options: ModelOptions
  ) -> Graph.NodeID
}

extension NetworkArchitecture {
  package var dropoutProbability: Float { 0 }
  package var hasAffineBlocks: Bool { false }
  package var stageCount: Int { 4 }

  package func check(_ options: ModelOptions, of model: String) throws(HGNetError) {
    guard options.useLearnableAffineBlock != true else {
      throw HGNetError(.invalidArgument, "\(model) has no learnable affine blocks; leave the key out", key: "use_lab")
    }
  }

  package func options(in found: FoundParameters) -> ModelOptions {
    options(found.headOptions, hasAffineBlocks: found.hasAffineBlocks)
  }

  package func options(_ options: ModelOptions, hasAffineBlocks: Bool) -> ModelOptions { options }

  package func appendEmbedding(
    to builder: inout GraphBuilder, input: Graph.NodeID, inputChannels: Int, options: ModelOptions
  ) -> (node: Graph.NodeID, channels: Int) {
    builder.embedding(
      input: input, inputChannels: inputChannels, options: options,
      hasAffineBlock: options.useLearnableAffineBlock ?? hasAffineBlocks,
      dropoutProbability: options.dropoutProbability ?? dropoutProbability)
  }

  package func appendClassifier(
    to builder: inout GraphBuilder, input: Graph.NodeID, features: Int, options: ModelOptions
  ) -> Graph.NodeID {
    builder.classifier(input: input, features: features, options: options)
  }

  /// Whether two rows describe the same network.
  func isEqual(to other: any NetworkArchitecture) -> Bool { (other as? Self) == self }
}
