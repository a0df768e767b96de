import HGNetCore

/// What a session does for a layer, as it is told to people.
package struct LayerDescription: Hashable, Sendable {
  /// The layer's name, as in the parameters.
  package var name: String
  /// The engine's algorithm in one word: `product`, `strassen`, `direct`, `winograd-f4`, `depthwise` and so on.
  package var algorithm: String
  /// The extents of one picture before.
  package var inputShape: ActivationShape
  /// The extents of one picture after.
  package var outputShape: ActivationShape
  /// Operations of the algorithm, a multiply-add counted as two: fewer than the direct sum's for Strassen and Winograd.
  package var operations: Int
  /// The least bytes that move: weights, input and output once each.
  package var byteCount: Int

  /// Describes a layer.
  package init(
    name: String, algorithm: String, inputShape: ActivationShape, outputShape: ActivationShape, operations: Int,
    byteCount: Int
  ) {
    (self.name, self.algorithm) = (name, algorithm)
    (self.inputShape, self.outputShape) = (inputShape, outputShape)
    (self.operations, self.byteCount) = (operations, byteCount)
  }
}
