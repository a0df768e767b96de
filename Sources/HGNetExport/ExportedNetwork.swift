import HGNet
import HGNetCore
import HGNetFormats

/// A network on its way into another system: the graph, its parameters, and what is put on top of the logits.
///
/// Threads: a value, safe to share.
public struct ExportedNetwork: Sendable {
  /// The network at the size of pictures that it is exported for; its output is `logits`, of a backbone without a
  /// classifier `embedding`.
  public let graph: Graph
  /// A parameter for each declaration of the graph.
  public let parameters: ParameterStore
  /// What turns the logits into the output.
  public let activation: Activation

  /// Takes the network of a weights file.
  ///
  /// - Parameters:
  ///   - weights: the network and its parameters.
  ///   - activation: what is put on top; nil for what the file says, or softmax.
  ///   - inputSize: height and width of the pictures in pixels; nil for the graph's own.
  /// - Throws: `HGNetError.Code.shapeMismatch` for a size that the network does not fit, `parameterMismatch` for a
  ///   parameter that is missing.
  public init(_ weights: WeightsFile, activation: Activation? = nil, inputSize: Size? = nil) throws(HGNetError) {
    try self.init(
      graph: weights.graph, parameters: weights.parameters,
      activation: weights.hasClassifier ? activation ?? weights.activation ?? .softmax : .none, inputSize: inputSize)
  }

  /// Takes a graph with its parameters.
  ///
  /// - Throws: as the other form.
  public init(
    graph: Graph, parameters: ParameterStore, activation: Activation, inputSize: Size? = nil
  ) throws(HGNetError) {
    let selected = try graph.selecting(outputs: [graph.classCount == nil ? .embedding : .logits])
    self.graph = try inputSize.map { size throws(HGNetError) in try selected.resized(to: size) } ?? selected
    self.parameters = parameters
    self.activation = activation
    for declaration in self.graph.parameters {
      guard let found = parameters[declaration.name]?.shape, found == declaration.shape else {
        throw HGNetError(
          .parameterMismatch,
          "expected the shape \(declaration.shape), found \(parameters[declaration.name]?.shape.description ?? "nothing")",
          key: declaration.name)
      }
    }
  }

  /// The activation in the words of the formats.
  var head: HeadActivation {
    switch activation {
    case .none: .none
    case .softmax: .softmax
    case .sigmoid: .sigmoid
    }
  }

  /// The number of classes; 0 for a backbone without a classifier.
  public var classCount: Int { graph.classCount ?? 0 }
}
