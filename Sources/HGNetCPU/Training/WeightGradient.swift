import HGNetCore
import HGNetProgram

/// One way to compute the gradient of a convolution's weights.
protocol WeightGradient: Sendable {
  /// Why it does not take a unit; nil if it takes it.
  static func refusal(of unit: TrainingUnit) -> String?
  /// Appends its steps; `unit.convolved` holds the gradient of the convolution's result.
  static func addGradient(_ unit: TrainingUnit, _ name: String, input: Location, to plan: inout TrainingPlan)
}

/// All of them, best first: the first that accepts a unit computes its gradient.
enum WeightGradientList {
  static let all: [any WeightGradient.Type] = [Depthwise.self, WinogradF4.self, OuterProduct.self]
}

/// An operator of a decoder in training.
protocol DecoderTraining: Implementation {
  /// Appends the steps of the forward pass.
  static func addForward(_ pass: DecoderPass, to plan: inout TrainingPlan) throws(HGNetError)
  /// Appends the steps of the backward pass; `pass.output` is the gradient of the result.
  static func addGradient(_ pass: DecoderPass, to plan: inout TrainingPlan) throws(HGNetError)
}

/// What an operator of a decoder reads and writes in one pass of a training step.
struct DecoderPass {
  var name: String
  var layer: Layer
  var operation: DecoderOperator
  var inputs: [Location]
  var mask: Location?
  /// The result, or in the backward pass its gradient.
  var output: Location
  /// In the backward pass the gradients of the inputs, nil where none is wanted.
  var targets: [Location?] = []
}
